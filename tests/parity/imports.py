"""model import and what runs on it: every checkpoint of testdata/checkpoints against what the reference library computed (its README), in float32 and
from 16-bit copies against the widened model, and the laws on imported models."""
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "common"))
import safetensors
from safetensors import checkpoints
from tools import check, finish, identical, load, path, run, save


def expected(folder, name):
    return np.load(os.path.join(checkpoints, folder, f"expect.{name}.npy"))


def close(name, ours, theirs):
    """|difference| <= 1e-4 max(1, |expected|); of a padded expectation only the rows that are real."""
    worst = 0.0
    for a, b in zip(ours, theirs):
        b = b[: len(a)] if a.ndim == b.ndim else b
        worst = float("inf") if a.shape != b.shape else max(worst, float(np.max(np.abs(a - b) / np.maximum(1, np.abs(b)))))
    check(f"{name}: {worst:.1e}", worst <= 1e-4 and len(ours) == len(theirs))


def records(folder):
    ids = expected(folder, "input_ids").astype("<i4")
    try:
        mask = expected(folder, "attention_mask")
    except FileNotFoundError:
        mask = np.ones_like(ids)
    return [row[: int(real.sum())] for row, real in zip(ids, mask)]


def same_ids(name, ours, theirs, prompt, end):
    """theirs: rows of ids, the prompt, and what follows up to the end id and fillings."""
    cut = lambda row: list(row[:prompt]) + list(row[prompt:][: list(row[prompt:]).index(end)] if end in row[prompt:] else row[prompt:])
    check(name, [list(a) for a in ours] == [cut(b) for b in theirs])


def end_of(folder):
    with open(os.path.join(checkpoints, folder, "config.json")) as file:
        return json.load(file)["eos_token_id"]


def language_model(folder, facts, model):
    ids = expected(folder, "input_ids").astype("<i4")
    first, rest = save("first.npy", [row[:1] for row in ids]), save("rest.npy", [row[1:] for row in ids])
    close(f"{folder}: logits", run("decode", "-m", model, first, "--target", rest, "--give", "logits"), list(expected(folder, "logits")))
    for name, options, new in ("greedy", [], facts["greedy_new"]), ("beam4", ["--beam", "4"], facts["beam_new"]):
        try:
            whole = expected(folder, name)[:1]
        except FileNotFoundError:
            continue
        given = whole.shape[1] - new
        prompt = save("prompt.npy", [whole[0][:given].astype("<i4")])
        same_ids(f"{folder}: {name}", run("decode", "-m", model, prompt, "--max-length", new, *options), whole, given, end_of(folder))


def encoder(folder, facts, model):
    source = save("source.npy", records(folder))
    hidden = max(name for name in os.listdir(os.path.join(checkpoints, folder)) if name.startswith("expect.hidden_"))
    close(f"{folder}: hidden states", run("encode", "-m", model, source), list(np.load(os.path.join(checkpoints, folder, hidden))))
    logits = list(expected(folder, "logits"))
    tool = "classify" if folder.endswith("_cls") else "encode"
    close(f"{folder}: logits", run(tool, "-m", model, source, "--give", "logits"), logits)


def translator(folder, facts, model):
    source = save("source.npy", records(folder))
    close(f"{folder}: memory", run("encode", "-m", model, source), list(expected(folder, "encoder_last")))
    begun = expected(folder, "started_decoder_input_ids").astype("<i4")
    target = save("target.npy", [row[1:] for row in begun])
    close(f"{folder}: logits", run("decode", "-m", model, source, "--target", target, "--give", "logits"), list(expected(folder, "started_logits")))
    for name, options in ("greedy", []), ("beam4", ["--beam", "4"]):
        new = facts["greedy_new" if name == "greedy" else "beam_new"]
        found = run("decode", "-m", model, source, "--max-length", new, "--max-length-factor", 1000, *options)
        same_ids(f"{folder}: {name}", found, expected(folder, name)[:, 1:], 0, end_of(folder))


def images(folder, facts, model):
    pixels = save("pixels.npy", list(expected(folder, "pixel_values")))
    logits = list(expected(folder, "logits"))
    if folder == "dinov2":
        close(f"{folder}: hidden states", run("encode", "-m", model, pixels), logits)
    else:
        close(f"{folder}: logits", run("classify", "-m", model, pixels, "--give", "logits"), logits)


def clip(folder, facts, model):
    text = save("text.npy", list(expected(folder, "input_ids").astype("<i4")))
    pixels = save("pixels.npy", list(expected(folder, "pixel_values")))
    close("clip: text", run("encode", "-m", f"{model}:text", text, "--pool", "model"), list(expected(folder, "text_embeds")))
    close("clip: images", run("encode", "-m", f"{model}:image", pixels, "--pool", "model"), list(expected(folder, "image_embeds")))


kinds = {"lm": language_model, "enc": encoder, "s2s": translator, "img": images, "clip": clip}
folders = sorted(os.listdir(checkpoints))
folders = [f for f in folders if os.path.isdir(os.path.join(checkpoints, f))]
check(f"{len(folders)} checkpoints", len(folders) == 24)
for folder in folders:
    model = path(f"{folder}.h5")
    run("model", "import", os.path.join(checkpoints, folder), "-o", model)
    with open(os.path.join(checkpoints, folder, "expect.json")) as file:
        facts = json.load(file)
    kinds[facts["kind"]](folder, facts, model)


# 16-bit weights stay 16 bits in the file and compute as their widened values do.
for folder, kind in ("gpt2", "F16"), ("llama_gqa", "BF16"), ("gemma", "BF16"), ("bert_mlm", "F16"), ("t5", "BF16"):
    narrow, wide = path(f"{folder}-{kind}"), path(f"{folder}-F32")
    safetensors.rounded_copies(folder, kind, narrow, wide)
    run("model", "import", narrow, "-o", path("narrow.h5"))
    run("model", "import", wide, "-o", path("wide.h5"))
    run("model", "import", narrow, "--widen", "-o", path("widened.h5"))
    source = save("x.npy", [np.array([5, 7, 9, 3], "<i4"), np.array([11], "<i4")])
    if folder in ("bert_mlm", "t5"):
        outputs = [run("encode", "-m", path(m), source) for m in ("narrow.h5", "wide.h5", "widened.h5")]
    else:
        outputs = [run("decode", "-m", path(m), source, "--target", source, "--give", "logits") for m in ("narrow.h5", "wide.h5", "widened.h5")]
    check(f"{folder}: {kind} computes as its widened values", identical(outputs[0], outputs[1]) and identical(outputs[0], outputs[2]))
    check(f"{folder}: a file of 16 bits is smaller", os.path.getsize(path("narrow.h5")) < 0.75 * os.path.getsize(path("wide.h5")))

# Law 4 on every shape of stack: batches, threads, one record at a time.
generator = np.random.default_rng(3)
for folder in "gpt2", "gpt_neox", "mistral", "qwen3", "bert_mlm", "electra", "t5", "marian", "bart":
    model = path(f"{folder}.h5")
    mixed = [generator.integers(3, 97, n).astype("<i4") for n in (9, 1, 20, 4, 13)]
    decoder_only = folder in ("gpt2", "gpt_neox", "mistral", "qwen3")
    tool = ["decode", "-m", model, "--max-length", 6] if decoder_only else ["encode", "-m", model]
    whole = run(*tool, save("all.npy", mixed), "-j", 2)
    check(f"{folder}: the same bits one by one", identical(whole, [run(*tool, save("one.npy", [x]), "-j", 1)[0] for x in mixed]))
    check(f"{folder}: the same bits in small batches", identical(whole, run(*tool, path("all.npy"), "--batch-rows", 3)))
    if decoder_only:  # what was generated step by step is what one pass over it says
        scored = run("decode", "-m", model, save("p.npy", [x[:1] for x in whole]), "--target", save("t.npy", [x[1:] for x in whole]), "--give", "logits")
        greedy = all(int(np.argmax(scores[len(x) - 1])) == int(y[len(x)]) for x, y, scores in zip(mixed, whole, scored) if len(y) > len(x))
        check(f"{folder}: the first generated id is the largest logit of one pass", greedy)
finish()
