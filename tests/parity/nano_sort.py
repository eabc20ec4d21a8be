"""Every number of one forward pass of minGPT's sorting model, as published beside the model (llm-viz, B. Bycroft): each named intermediate from the
unfolded tools and, where a run names it, from --tap-file, within 1e-5. The model is not ours to copy: PIPEFORMER_NANO_SORT names a folder with it,
hf/ (a checkpoint in GPT-2's layout) and partials.json; without it the test is skipped."""
import base64
import json
import os
import subprocess
import sys

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "common"))
from tools import bin_directory, check, finish, identical, load, path, run, save

folder = os.environ.get("PIPEFORMER_NANO_SORT")
if not folder:
    print("skipped: PIPEFORMER_NANO_SORT does not name the model's folder")
    sys.exit(77)

with open(os.path.join(folder, "partials.json")) as file:
    partials = {name: np.frombuffer(base64.b64decode(part["data"]), "<f4").reshape(part["shape"]) for name, part in json.load(file).items() if name != "config"}
unseen = set(partials)
model, layer = path("model.h5"), path("model.h5") + ":decoder/0"
run("model", "import", os.path.join(folder, "hf"), "-o", model)


def agree(name, ours, where):
    """ours: an array, or a stream of one record for each sequence."""
    unseen.discard(name)
    ours = np.stack(ours) if isinstance(ours, list) else ours
    theirs = partials[name].reshape(ours.shape) if partials[name].size == ours.size else partials[name]
    finite = np.isfinite(theirs)  # scores of keys that a query does not see are -infinity
    worst = float(np.max(np.abs(ours - theirs)[finite])) if ours.shape == theirs.shape else float("inf")
    check(f"{name:<10} {str(theirs.shape):<15} {worst:.1e}   {where}", worst <= 1e-5)


def tool(name, *arguments):
    """Runs a tool and keeps what it writes, for the next one."""
    kept = path(f"step{len(os.listdir(os.path.dirname(path('x'))))}.npy")
    run(name, *arguments, "-o", kept)
    return kept


records = lambda file: load(os.path.basename(file))
heads = lambda x: x.reshape(x.shape[0], 3, 16).swapaxes(0, 1)

ids = save("ids.npy", list(partials["idx"].astype("<i4")))
agree("idx", records(ids), "the input")
embedded = tool("embed", "-m", model, ids)
agree("tok_emb", records(embedded), "embed")
agree("pos_emb", run("posenc", "-m", model, "--table", "--length", 11), "posenc --table")
x = tool("posenc", "-m", model, embedded)
agree("x", records(x), "posenc")
normed = tool("norm", "-m", f"{layer}/norm1", x)
agree("ln1", records(normed), "norm")
query, key, value = (tool("linear", "-m", f"{layer}/self_attn/{part}", normed) for part in ("query", "key", "value"))
for name, part in ("q", query), ("k", key), ("v", value):
    agree(name, [heads(r) for r in records(part)], "linear, heads side by side")
agree("qkv", [np.concatenate(r, -1) for r in zip(records(query), records(key), records(value))], "the three beside each other")
scores = []  # each head's Q K^T is a linear layer with the keys as its weight; 1 / sqrt(16) is exact
for q, k in zip(records(query), records(key)):
    scores.append(np.stack([run("linear", "--weight", save("k.npy", b), save("q.npy", a))[0] / 4 for a, b in zip(heads(q), heads(k))]))
agree("att", scores, "linear --weight: Q K^T")
attended = tool("attend", "-m", f"{layer}/self_attn", "--query", query, "--key", key, "--value", value, "--weights", path("weights.npy"))
agree("attSm", load("weights.npy"), "attend --weights")
agree("y", records(attended), "attend")
projected = tool("linear", "-m", f"{layer}/self_attn/output", attended)
agree("yProj", records(projected), "linear")
middle = tool("add", "--to", x, projected)
agree("attnResid", records(middle), "add")
normed = tool("norm", "-m", f"{layer}/norm2", middle)
agree("ln2", records(normed), "norm")
inner = tool("linear", "-m", f"{layer}/ffn/linear1", normed)
agree("fc", records(inner), "linear")
active = tool("activate", "--kind", "gelu-tanh", inner)
agree("gelu", records(active), "activate")
out = tool("linear", "-m", f"{layer}/ffn/linear2", active)
agree("mlp", records(out), "linear")
block = tool("add", "--to", middle, out)
agree("mlpResid", records(block), "add")
agree("block0", records(block), "add")
for number in 1, 2:
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "unfold-decoder-layer")
    after = path(f"block{number}.npy")
    subprocess.run([script, model, str(number), block, after], check=True, env={**os.environ, "PATH": f"{bin_directory}:{os.environ['PATH']}"})
    block = after
    agree(f"block{number}", records(block), "unfold-decoder-layer")
hidden = tool("norm", "-m", f"{path('model.h5')}:decoder/norm", block)
agree("ln_f", records(hidden), "norm")
logits = tool("linear", "-m", model, "--logits", hidden)
agree("lm_head", records(logits), "linear --logits")
unit = save("unit.npy", [np.eye(3, dtype="<f4")] * 3)  # softmax: attention whose keys and values are the unit vectors
agree("probs", run("attend", "--scale", 1, "--key", unit, logits), "attend, as a softmax")
check(f"every name was compared {sorted(unseen)}", not unseen)

# What one run taps has the same bits.
first, rest = save("first.npy", [r[:1] for r in records(ids)]), save("rest.npy", [r[1:] for r in records(ids)])
whole = run("decode", "-m", model, first, "--target", rest, "--give", "logits", "--tap-file", path("stages.h5"))
check("decode gives the bits of the unfolded tools", identical(whole, records(logits)))
names = {"decoder/embeddings": embedded, "decoder/positions": x, "decoder/0/self_attn/query": query, "decoder/0/self_attn/key": key,
         "decoder/0/self_attn/value": value, "decoder/0/self_attn/weights": path("weights.npy"), "decoder/0/self_attn/context": attended,
         "decoder/0/self_attn/output": projected, "decoder/0/residual1": middle, "decoder/0/norm2": normed, "decoder/0/ffn/hidden": inner,
         "decoder/0/ffn/activation": active, "decoder/0/ffn/output": out, "decoder/1/residual2": path("block1.npy"), "decoder/2/residual2": block, "decoder/final_norm": hidden}
with h5py.File(path("stages.h5")) as stages:
    for name, unfolded in names.items():
        check(f"--tap {name}: the bits of the unfolded tools", stages[name]["data"][()].tobytes() == b"".join(r.tobytes() for r in records(unfolded)))
finish()
