"""model import and what runs on it: every checkpoint of testdata/checkpoints against what the reference library computed (its README), in float32 and
from 16-bit copies against the widened model, and the laws on imported models."""
import json
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

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


# 16-bit weights stay 16 bits in the file and compute as their widened values do, in every family.
def outputs(folder, kind, model):
    """Logits, or what the model gives instead of them."""
    ids = [np.array([5, 7, 9, 3, 98], "<i4"), np.array([11, 98], "<i4")]
    source = save("x.npy", ids)
    if kind in ("lm", "s2s"):
        return run("decode", "-m", model, source, "--target", source, "--give", "logits")
    pixels = save("pixels.npy", list(expected(folder, "pixel_values"))) if kind in ("img", "clip") else source
    if kind == "clip":
        return run("encode", "-m", f"{model}:text", source, "--pool", "model") + run("encode", "-m", f"{model}:image", pixels, "--pool", "model")
    return run("encode", "-m", model, pixels)


for folder in folders:
    with open(os.path.join(checkpoints, folder, "expect.json")) as file:
        shape = json.load(file)["kind"]
    for kind in "F16", "BF16":
        narrow, wide = path(f"{folder}-{kind}"), path(f"{folder}-{kind}-wide")
        safetensors.rounded_copies(folder, kind, narrow, wide)
        run("model", "import", narrow, "-o", path("narrow.h5"))
        run("model", "import", wide, "-o", path("wide.h5"))
        run("model", "import", narrow, "--widen", "-o", path("widened.h5"))
        results = [outputs(folder, shape, path(m)) for m in ("narrow.h5", "wide.h5", "widened.h5")]
        check(f"{folder}: {kind} computes as its widened values", identical(results[0], results[1]) and identical(results[0], results[2]))
        check(f"{folder}: a file of {kind} is smaller", os.path.getsize(path("narrow.h5")) < 0.9 * os.path.getsize(path("wide.h5")))

# OPT-350m's shape: narrow embeddings with a projection in and out, norms after the sublayers, no last one. Zhang et al. 2022; PyTorch from the folder.
def opt_350m(tied):
    width, narrow, heads, vocabulary = 32, 20, 4, 99
    folder = path(f"opt-350m-{tied}")
    os.makedirs(folder)
    with open(os.path.join(checkpoints, "opt", "config.json")) as file:
        config = dict(json.load(file), word_embed_proj_dim=narrow, do_layer_norm_before=False, tie_word_embeddings=tied)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)
    old = safetensors.read(os.path.join(checkpoints, "opt", "model.safetensors"))
    arrays = {k: safetensors.floats(t) for k, t in old.items() if not k.startswith("model.decoder.final_layer_norm")}
    draw = lambda *shape: generator.normal(0, 0.3, shape).astype("<f4")
    arrays |= {"model.decoder.embed_tokens.weight": draw(vocabulary, narrow), "model.decoder.project_in.weight": draw(width, narrow),
               "model.decoder.project_out.weight": draw(narrow, width)} | ({} if tied else {"lm_head.weight": draw(vocabulary, narrow)})
    safetensors.write(os.path.join(folder, "model.safetensors"), {k: ("F32", list(a.shape), np.ascontiguousarray(a, "<f4").tobytes()) for k, a in arrays.items()})
    w = {k: torch.from_numpy(a.astype(np.float64)) for k, a in arrays.items()}
    d = lambda name: w["model.decoder." + name]

    def forward(ids):
        linear = lambda x, name: F.linear(x, d(name + ".weight"), d(name + ".bias"))
        norm = lambda x, name: F.layer_norm(x, (width,), d(name + ".weight"), d(name + ".bias"))
        split = lambda x: x.view(len(ids), heads, -1).transpose(0, 1)
        x = F.linear(d("embed_tokens.weight")[ids], d("project_in.weight")) + d("embed_positions.weight")[2 : 2 + len(ids)]
        for i in range(config["num_hidden_layers"]):
            q, k, v = (split(linear(x, f"layers.{i}.self_attn.{p}_proj")) for p in "qkv")
            scores = (q @ k.transpose(1, 2) / (width // heads) ** 0.5).masked_fill(torch.ones(len(ids), len(ids)).triu(1).bool(), float("-inf"))
            x = norm(x + linear((scores.softmax(-1) @ v).transpose(0, 1).reshape(len(ids), width), f"layers.{i}.self_attn.out_proj"), f"layers.{i}.self_attn_layer_norm")
            x = norm(x + linear(torch.relu(linear(x, f"layers.{i}.fc1")), f"layers.{i}.fc2"), f"layers.{i}.final_layer_norm")
        return F.linear(F.linear(x, d("project_out.weight")), d("embed_tokens.weight") if tied else w["lm_head.weight"])

    return folder, forward


generator = np.random.default_rng(4)
for tied in True, False:
    folder, forward = opt_350m(tied)
    run("model", "import", folder, "-o", path("opt.h5"))
    texts = [generator.integers(3, 97, n).astype("<i4") for n in (6, 11, 2)]
    ours = run("decode", "-m", path("opt.h5"), save("first.npy", [x[:1] for x in texts]), "--target", save("rest.npy", [x[1:] for x in texts]), "--give", "logits")
    close(f"OPT with projected embeddings, tied {tied}", ours, [forward(torch.from_numpy(x.astype(np.int64))).numpy() for x in texts])
    run("model", "export", path("opt.h5"), "-o", folder + "-out")
    run("model", "import", folder + "-out", "-o", path("again.h5"))
    with open(path("opt.h5"), "rb") as a, open(path("again.h5"), "rb") as b:
        check(f"OPT with projected embeddings, tied {tied}: the same file after export and import", a.read() == b.read())

# Sentence-transformers' folders: what modules.json names, against NumPy on the hidden states; and back.
def sentence_folder(name, pooling, dense=None, normalize=False, inside=""):
    """A folder of bert_cls without its head: modules Transformer, Pooling, Dense (out, bias, class of torch.nn), Normalize."""
    folder = path(name)
    os.makedirs(os.path.join(folder, inside))
    with open(os.path.join(checkpoints, "bert_cls", "config.json")) as file:
        config = dict(json.load(file), architectures=["BertModel"])
    tensors = safetensors.read(os.path.join(checkpoints, "bert_cls", "model.safetensors"))
    safetensors.write(os.path.join(folder, inside, "model.safetensors"), {k[5:]: t for k, t in tensors.items() if k.startswith("bert.")})
    kinds = ("cls_token", "mean_tokens", "max_tokens", "lasttoken")
    modules = [("Transformer", inside, config), ("Pooling", "1_Pooling", {f"pooling_mode_{k}": k == pooling for k in kinds} | {"word_embedding_dimension": 32, "include_prompt": True})]
    weights = None
    if dense:
        out, bias, activation = dense
        modules.append(("Dense", "2_Dense", {"in_features": 32, "out_features": out, "bias": bias, "activation_function": f"torch.nn.modules.{activation}"}))
        weights = generator.normal(0, 0.3, (out, 32)).astype("<f4"), generator.normal(0, 0.3, out).astype("<f4")
    if normalize:
        modules.append(("Normalize", f"{len(modules)}_Normalize", None))
    for kind, where, settings in modules:
        os.makedirs(os.path.join(folder, where), exist_ok=True)
        if settings is not None:
            with open(os.path.join(folder, where, "config.json"), "w") as file:
                json.dump(settings, file)
    if dense:
        parts = {"linear.weight": ("F32", [dense[0], 32], weights[0].tobytes())} | ({"linear.bias": ("F32", [dense[0]], weights[1].tobytes())} if dense[1] else {})
        safetensors.write(os.path.join(folder, "2_Dense", "model.safetensors"), parts)
    with open(os.path.join(folder, "modules.json"), "w") as file:
        json.dump([{"idx": i, "name": str(i), "path": where, "type": f"sentence_transformers.models.{kind}"} for i, (kind, where, _) in enumerate(modules)], file)
    return folder, weights


source = save("x.npy", [np.array([5, 7, 9, 3], "<i4"), np.array([11], "<i4"), np.array([2, 8, 60], "<i4")])
pools = {"cls_token": lambda x: x[0], "mean_tokens": lambda x: x.mean(0), "max_tokens": lambda x: x.max(0), "lasttoken": lambda x: x[-1]}
for pooling, dense, normalize, inside in (
    ("mean_tokens", None, True, ""), ("cls_token", None, False, ""), ("max_tokens", None, False, "0_Transformer"), ("lasttoken", None, True, ""),
    ("cls_token", (32, True, "activation.Tanh"), True, ""), ("mean_tokens", (32, True, "linear.Identity"), False, ""), ("mean_tokens", (24, False, "linear.Identity"), True, ""),
    ("mean_tokens", (20, True, "activation.Tanh"), True, ""), ("max_tokens", (48, True, "linear.Identity"), False, ""), ("mean_tokens", (32, False, "activation.Tanh"), False, "")):
    name = f"sentences by {pooling}{' ' + str(dense) if dense else ''}{' normalised' if normalize else ''}"
    folder, weights = sentence_folder(f"sentences-{len(os.listdir(path('')))}", pooling, dense, normalize, inside)
    model, again = path("sentences.h5"), path("again.h5")
    run("model", "import", folder, "-o", model)
    want = [pools[pooling](x.astype(np.float64)) for x in run("encode", "-m", model, source)]
    if dense:
        want = [weights[0] @ x + weights[1] * dense[1] for x in want]
        want = [np.tanh(x) for x in want] if "Tanh" in dense[2] else want
    want = [x / np.linalg.norm(x) for x in want] if normalize else want
    ours = run("encode", "-m", model, source, "--pool", "model")
    close(name, ours, want)
    run("model", "export", model, "-o", folder + "-out")
    run("model", "import", folder + "-out", "-o", again)
    with open(model, "rb") as a, open(again, "rb") as b:
        check(f"{name}: the same file after export and import", a.read() == b.read())

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
