"""model export: every checkpoint of testdata/checkpoints goes out and comes in as the same file, in float32 and in 16 bits; its tensors are those of the
original, by names, shapes and bytes; and models that were trained here compute in PyTorch, from the exported files alone, what they compute here."""
import json
import os
import subprocess
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "common"))
import safetensors
from safetensors import checkpoints
from tools import check, finish, identical, path, run, save


def same_file(a, b):
    with open(a, "rb") as one, open(b, "rb") as other:
        return one.read() == other.read()


def round_trip(name, folder):
    """model import, export, import: both model files are the same bytes. Returns the exported tensors."""
    run("model", "import", folder, "-o", path("a.h5"))
    out = path(f"{name}-out")
    run("model", "export", path("a.h5"), "-o", out)
    run("model", "import", out, "-o", path("b.h5"))
    check(f"{name}: import of the export is the same file", same_file(path("a.h5"), path("b.h5")))
    return safetensors.read(os.path.join(out, "model.safetensors"))


# What an import does not keep, because nothing reads it: rows of padding, buffers, a token of another training; and what it computes with.
padding = {"bart": 2, "opt": 2, "roberta": 2}
unread = {"dinov2": ["embeddings.mask_token"], "gpt_neox": [f"gpt_neox.layers.{i}.attention.rotary_emb.inv_freq" for i in (0, 1)]}
for folder in sorted(os.listdir(checkpoints)):
    theirs = safetensors.read(os.path.join(checkpoints, folder, "model.safetensors"))
    ours = round_trip(folder, os.path.join(checkpoints, folder))
    check(f"{folder}: the names of the original", set(ours) <= set(theirs) and sorted(set(theirs) - set(ours)) == unread.get(folder, []))
    different = []
    for name, tensor in ours.items():
        computed = folder == "gemma" and "norm" in name or folder == "deit" and "classifier.bias" in name
        first = padding.get(folder, 0) if "position" in name else 0
        if computed or first:
            a, b = safetensors.floats(tensor)[first:], safetensors.floats(theirs[name])[first:]
            if "classifier.bias" in name:  # the mean of two, which is what counts
                b = (safetensors.floats(theirs["cls_classifier.bias"]) + safetensors.floats(theirs["distillation_classifier.bias"])) / 2
            same = tensor[:2] == theirs[name][:2] and np.array_equal(a, b) if first else np.max(np.abs(a - b)) <= 2**-23
        else:
            same = tensor == theirs[name]
        different += [] if same else [name]
    check(f"{folder}: types, shapes and bytes of the original {different}", not different)
    for kind in "F16", "BF16":
        narrow, wide = path(f"{folder}-{kind}"), path(f"{folder}-{kind}-wide")
        safetensors.rounded_copies(folder, kind, narrow, wide)
        tensors = round_trip(f"{folder}-{kind}", narrow)
        kinds = {t[0] for name, t in tensors.items() if folder != "deit" or "classifier.bias" not in name}
        check(f"{folder}: {kind} stays so {kinds}", kinds == {kind})


# Fine-tuned here, exported, computed by PyTorch from the exported files.
def gpt2(config, weights, ids):
    """(T,) -> logits (T, V); Radford et al. 2019."""
    heads, width = config["n_head"], config["n_embd"]
    w = lambda name: weights["transformer." + name]
    norm = lambda x, name: F.layer_norm(x, (width,), w(name + ".weight"), w(name + ".bias"), config["layer_norm_epsilon"])
    linear = lambda x, name: x @ w(name + ".weight") + w(name + ".bias")
    split = lambda x: x.view(len(ids), heads, -1).transpose(0, 1)
    x = w("wte.weight")[ids] + w("wpe.weight")[: len(ids)]
    for i in range(config["n_layer"]):
        q, k, v = map(split, linear(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn").split(width, dim=-1))
        scores = q @ k.transpose(1, 2) / (width // heads) ** 0.5
        scores = scores.masked_fill(torch.ones_like(scores[0]).triu(1).bool(), float("-inf"))
        x = x + linear((scores.softmax(-1) @ v).transpose(0, 1).reshape(len(ids), width), f"h.{i}.attn.c_proj")
        inner = linear(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")
        inner = 0.5 * inner * (1 + torch.tanh((2 / np.pi) ** 0.5 * (inner + 0.044715 * inner**3)))
        x = x + linear(inner, f"h.{i}.mlp.c_proj")
    return norm(x, "ln_f") @ weights.get("lm_head.weight", w("wte.weight")).T


def bert_encoder(config, weights, ids):
    """(T,) -> hidden states (T, D); Devlin et al. 2019."""
    heads, width = config["num_attention_heads"], config["hidden_size"]
    w = lambda name: weights["bert." + name]
    norm = lambda x, name: F.layer_norm(x, (width,), w(name + ".weight"), w(name + ".bias"), config["layer_norm_eps"])
    linear = lambda x, name: F.linear(x, w(name + ".weight"), w(name + ".bias"))
    split = lambda x: x.view(len(ids), heads, -1).transpose(0, 1)
    tables = [w(f"embeddings.{kind}_embeddings.weight") for kind in ("word", "position", "token_type")]
    x = norm(tables[0][ids] + tables[1][: len(ids)] + tables[2][0], "embeddings.LayerNorm")
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}."
        q, k, v = (split(linear(x, f"{layer}attention.self.{part}")) for part in ("query", "key", "value"))
        mixed = ((q @ k.transpose(1, 2) / (width // heads) ** 0.5).softmax(-1) @ v).transpose(0, 1).reshape(len(ids), width)
        x = norm(x + linear(mixed, layer + "attention.output.dense"), layer + "attention.output.LayerNorm")
        inner = F.gelu(linear(x, layer + "intermediate.dense"))
        x = norm(x + linear(inner, layer + "output.dense"), layer + "output.LayerNorm")
    return x


def bert(config, weights, ids):
    """(T,) -> logits (classes,)"""
    pooled = torch.tanh(F.linear(bert_encoder(config, weights, ids)[0], weights["bert.pooler.dense.weight"], weights["bert.pooler.dense.bias"]))
    return F.linear(pooled, weights["classifier.weight"], weights["classifier.bias"])


def bert_tagger(config, weights, ids):
    """(T,) -> logits (T, classes)"""
    if config["architectures"] != ["BertForTokenClassification"] or config["id2label"] != {"0": "A", "1": "B", "2": "C"}:
        raise SystemExit(f"config.json of a tagger: {config}")
    return F.linear(bert_encoder(config, weights, ids), weights["classifier.weight"], weights["classifier.bias"])


def bert_reader(config, weights, ids):
    """(T,) -> logits (T, 2)"""
    if config["architectures"] != ["BertForQuestionAnswering"]:
        raise SystemExit(f"config.json of a reader: {config}")
    return F.linear(bert_encoder(config, weights, ids), weights["qa_outputs.weight"], weights["qa_outputs.bias"])


def compare(name, folder, forward, ours, records):
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    weights = {k: torch.from_numpy(safetensors.floats(t).copy()) for k, t in safetensors.read(os.path.join(folder, "model.safetensors")).items()}
    worst = max(float(torch.max(torch.abs(torch.from_numpy(a) - forward(config, weights, torch.from_numpy(x.astype(np.int64)))))) for a, x in zip(ours, records))
    check(f"{name}: PyTorch computes the same from the exported files: {worst:.1e}", worst <= 1e-5)


generator = np.random.default_rng(11)
texts = [generator.integers(3, 97, n).astype("<i4") for n in (5, 9, 2, 14, 7, 11, 3, 8)]
with open(path("labels"), "w") as file:
    file.writelines(f"LABEL_{len(x) % 3}\n" for x in texts)
for folder, forward, train, give in (
    ("gpt2", gpt2, ["--task", "language-model", "--target"], ["decode"]),
    ("bert_cls", bert, ["--task", "classification", "--labels", path("labels"), "--source"], ["classify"])):
    before, after, again = path("before.h5"), path(f"{folder}-tuned.h5"), path("again.h5")
    run("model", "import", os.path.join(checkpoints, folder), "-o", before)
    run("train", *train, save("texts.npy", texts), "--from", before, "--steps", 5, "--warmup", 1, "--learning-rate", 0.01, "-q", "-o", after)
    out = path(f"{folder}-tuned")
    run("model", "export", after, "-o", out)
    run("model", "import", out, "-o", again)
    if folder == "gpt2":
        source = [save("first.npy", [x[:1] for x in texts]), "--target", save("rest.npy", [x[1:] for x in texts])]
    else:
        source = [path("texts.npy")]
    old, ours, theirs = (run(*give, "-m", m, *source, "--give", "logits") for m in (before, after, again))
    check(f"{folder}: fine-tuning changed the logits", max(np.max(np.abs(a - b)) for a, b in zip(old, ours)) > 0.01)
    check(f"{folder}, fine-tuned: the same logits after export and import", identical(ours, theirs))
    compare(f"{folder}, fine-tuned", out, forward, ours, texts)
    for kind in "F16", "BF16":  # and from 16 bits, which PyTorch widens by itself
        narrow = path(f"{folder}-{kind}-out")
        model = path("narrow.h5")
        run("model", "import", narrow, "-o", model)
        compare(f"{folder} in {kind}", narrow, forward, run(*give, "-m", model, *source, "--give", "logits"), texts)

# A classifier and masked language models become taggers, with names that config.json keeps.
with open(path("tags"), "w") as file:
    file.writelines(" ".join("ABC"[k % 3] for k in x) + "\n" for x in texts)
for folder, architecture in ("bert_cls", "BertForTokenClassification"), ("bert_mlm", "BertForTokenClassification"), \
        ("roberta", "RobertaForTokenClassification"), ("distilbert", "DistilBertForTokenClassification"):
    before, after, again, out = path("before.h5"), path("tagger.h5"), path("again.h5"), path(f"{folder}-tagger")
    run("model", "import", os.path.join(checkpoints, folder), "-o", before)
    run("train", "--task", "tagging", "--source", path("texts.npy"), "--labels", path("tags"), "--from", before, "--steps", 3, "--warmup", 1, "-q", "-o", after)
    run("model", "export", after, "-o", out)
    run("model", "import", out, "-o", again)
    with open(os.path.join(out, "config.json")) as file:
        check(f"{folder}: exported as {architecture}", json.load(file)["architectures"] == [architecture])
    ours, theirs = (run("tag", "-m", m, path("texts.npy"), "--give", "logits") for m in (after, again))
    check(f"{folder}, a tagger: the same logits after export and import", identical(ours, theirs) and ours[0].shape == (5, 3))
    lines = [subprocess.run([os.path.join(os.environ["PIPEFORMER_BIN"], "tag"), "-m", m, "--names", path("texts.npy")], capture_output=True).stdout for m in (after, again)]
    check(f"{folder}, a tagger: its names too", lines[0] == lines[1] == "".join(" ".join("ABC"[k] for k in x.argmax(1)) + "\n" for x in ours).encode())
    if folder.startswith("bert"):
        compare(f"{folder}, a tagger", out, bert_tagger, ours, texts)

# And readers, which answer by a span.
save("spans.npy", [np.array([1, len(x) - 1], "<i4") for x in texts])
for folder, architecture in ("bert_cls", "Bert"), ("roberta", "Roberta"), ("distilbert", "DistilBert"), ("electra", "Electra"):
    before, after, again, out = path("before.h5"), path("reader.h5"), path("again.h5"), path(f"{folder}-reader")
    run("model", "import", os.path.join(checkpoints, folder if folder != "electra" else "bert_mlm"), "-o", before)
    run("train", "--task", "spans", "--source", path("texts.npy"), "--labels", path("spans.npy"), "--from", before, "--steps", 3, "--warmup", 1, "-q", "-o", after)
    run("model", "export", after, "-o", out, *(["--family", "electra"] if folder == "electra" else []))
    run("model", "import", out, "-o", again)
    with open(os.path.join(out, "config.json")) as file:
        check(f"{folder}: exported as {architecture}ForQuestionAnswering", json.load(file)["architectures"] == [f"{architecture}ForQuestionAnswering"])
    logits = run("encode", "-m", after, path("texts.npy"), "--give", "logits")
    check(f"{folder}, a reader: the same logits after export and import", identical(logits, run("encode", "-m", again, path("texts.npy"), "--give", "logits")))
    best = [max((x[a, 0] + x[b, 1], -a, -b) for a in range(len(x)) for b in range(a, len(x)) if a > 0 or b == 0)[1:] for x in logits]
    check(f"{folder}, a reader: its answers", [list(a) for a in run("answer", "-m", again, path("texts.npy"))] == [[-a, -b] for a, b in best])
    if folder == "bert_cls":
        compare(f"{folder}, a reader", out, bert_reader, logits, texts)
finish()
