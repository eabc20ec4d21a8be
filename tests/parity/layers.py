"""mhattn, encode and layers built from small tools against torch.nn, with model files that h5py wrote; PyTorch takes one sequence at a
time, we take them all at once."""
import itertools
import math
import os
import sys

import numpy as np
import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "common"))
import tools
from tools import agree, attention_parameters, check, identical, layer_parameters, load, path, randomize, run, save, save_model

generator = torch.Generator().manual_seed(4)
torch.manual_seed(4)
width, heads, inner = 48, 6, 80
lengths = [3, 0, 1, 7, 25, 60]
x = [torch.randn(t, width, generator=generator) for t in lengths]
memory = [torch.randn(t, width, generator=generator) for t in [5, 4, 1, 2, 33, 300]]
save("x.npy", [t.numpy() for t in x])
save("memory.npy", [t.numpy() for t in memory])


def each(module, *streams):
    """A module applied to the sequences one by one; an empty one stays empty."""
    return [module(*(t[None] for t in record))[0] if len(record[0]) else record[0] for record in zip(*streams)]


def causal_mask(t):
    return torch.ones(t, t).triu(1).bool()  # PyTorch's masks say what may not be attended to


# nn.MultiheadAttention: self, cross, causal, masked, with weights; its parameters from arrays and from a model file.
attention = randomize(nn.MultiheadAttention(width, heads, batch_first=True), generator)
arrays = ["--heads", heads, "--in-proj-weight", save("ipw.npy", attention.in_proj_weight.detach().numpy()), "--in-proj-bias",
          save("ipb.npy", attention.in_proj_bias.detach().numpy()), "--out-proj-weight",
          save("opw.npy", attention.out_proj.weight.detach().numpy()), "--out-proj-bias",
          save("opb.npy", attention.out_proj.bias.detach().numpy())]
model = save_model("attention.h5", attention_parameters("encoder/0/self_attn", attention), kind="encoder-only", source_vocabulary=1,
                   width=width, heads=heads, kv_heads=heads, encoder_layers=1)


def expected(queries, keys, mask=None):
    results = []
    for i, (q, k) in enumerate(zip(queries, keys)):
        if len(q) == 0:
            results.append((q, torch.zeros(heads, 0, len(k))))
            continue
        out, weights = attention(q[None], k[None], k[None], attn_mask=mask(i, len(q), len(k)) if mask else None, average_attn_weights=False)
        results.append((out[0], weights[0]))
    return [r[0] for r in results], [r[1] for r in results]


forbidden = [torch.rand(len(q), len(k), generator=generator) < 0.4 for q, k in zip(x, memory)]
for f in forbidden:
    f[:, 0] = False  # every query sees one key, or PyTorch gives NaN
save("allowed.npy", [(~f).numpy() for f in forbidden])
additive = [torch.randn(heads, len(q), len(k), generator=generator) for q, k in zip(x, memory)]
save("bias.npy", [a.numpy() for a in additive])
cases = [("self", [], x, None), ("causal", ["--causal"], x, lambda i, q, k: causal_mask(q)),
         ("cross", ["--memory", path("memory.npy")], memory, None),
         ("cross with a mask", ["--memory", path("memory.npy"), "--mask", path("allowed.npy")], memory, lambda i, q, k: forbidden[i]),
         ("cross with a bias for each head", ["--memory", path("memory.npy"), "--bias", path("bias.npy")], memory, lambda i, q, k: additive[i])]
for name, arguments, keys, mask in cases:
    ours = run("mhattn", *arrays, *arguments, path("x.npy"), "--tap", "layer/weights", "--tap-file", path("w.npy"))
    out, weights = expected(x, keys, mask)
    agree(f"nn.MultiheadAttention, {name}", ours, out)
    agree(f"nn.MultiheadAttention, {name}, weights", load("w.npy"), weights)
    from_model = run("mhattn", "-m", model + ":encoder/0/self_attn", *arguments, path("x.npy"))
    check(f"mhattn, {name}: arrays and a model file give the same bits", identical(ours, from_model))
dense = torch.randn(2, 9, width, generator=generator)
padding = torch.arange(9)[None] >= torch.tensor([9, 4])[:, None]
out, weights = attention(dense, dense, dense, key_padding_mask=padding, average_attn_weights=False)
ours = run("mhattn", *arrays, save("dense.npy", dense.numpy()), "--lengths", save("lengths.npy", np.array([9, 4])), "--tap", "layer/weights", "--tap-file", path("w.npy"))
agree("nn.MultiheadAttention, dense with lengths", ours, [out])
agree("nn.MultiheadAttention, dense with lengths, weights", load("w.npy"), list(weights))

# Layers, built from small tools as the paper's figure draws them, and the whole encoder.
activations = ["relu", "gelu"]


def sublayer(model, layer, number, tool, pre, stream, *arguments):
    """norm(x + tool(x)), or x + tool(norm(x))."""
    norm = lambda a, b: save(b, run("norm", "-m", f"{model}:{layer}/norm{number}", a))
    source = norm(stream, "normed.npy") if pre else stream
    out = save("sublayer.npy", run(tool, "-m", f"{model}:{layer}/" + arguments[0], source, *arguments[1:]))
    total = save(f"sum{number}.npy", run("add", "--to", stream, out))
    return total if pre else norm(total, f"out{number}.npy")


for pre, activation in itertools.product([False, True], activations):
    kind = f"{'pre' if pre else 'post'}-norm, {activation}"
    options = dict(dropout=0.0, activation=activation, batch_first=True, norm_first=pre)
    common = dict(width=width, heads=heads, kv_heads=heads, inner=inner, norm_position="pre" if pre else "post", activation=activation)

    layer = randomize(nn.TransformerEncoderLayer(width, heads, inner, **options), generator)
    model = save_model("layer.h5", {**layer_parameters("encoder/0", layer), "encoder/embedding/weight": torch.zeros(1, width)},
                       kind="encoder-only", source_vocabulary=1, encoder_layers=1, **common)
    ours = run("encode", "-m", model, path("x.npy"))
    agree(f"nn.TransformerEncoderLayer, {kind}", ours, each(layer, x))
    middle = sublayer(model, "encoder/0", 1, "mhattn", pre, path("x.npy"), "self_attn")
    check(f"encode is its small tools, {kind}, bit for bit", identical(ours, tools.load(os.path.basename(sublayer(model, "encoder/0", 2, "ffn", pre, middle, "ffn")))))

    layer = randomize(nn.TransformerDecoderLayer(width, heads, inner, **options), generator)
    model = save_model("layer.h5", {**layer_parameters("decoder/0", layer), "decoder/embedding/weight": torch.zeros(9, width)},
                       kind="encoder-decoder", source_vocabulary=9, target_vocabulary=9, decoder_layers=1, **common)
    a = sublayer(model, "decoder/0", 1, "mhattn", pre, path("x.npy"), "self_attn", "--causal")
    b = sublayer(model, "decoder/0", 2, "mhattn", pre, a, "cross_attn", "--memory", path("memory.npy"))
    ours = load(os.path.basename(sublayer(model, "decoder/0", 3, "ffn", pre, b, "ffn")))
    theirs = [layer(q[None], m[None], tgt_mask=causal_mask(len(q)))[0] if len(q) else q for q, m in zip(x, memory)]
    agree(f"nn.TransformerDecoderLayer, {kind}", ours, theirs)

    # The whole encoder from ids: embedding * sqrt(d) + sinusoids, three layers, a final norm with pre-norm.
    final = nn.LayerNorm(width) if pre else None
    stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(width, heads, inner, **options), 3, norm=final)
    for l in stack.layers:
        for parameter in l.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
    randomize(stack, generator)
    embedding = nn.Embedding(37, width)
    parameters = {"encoder/embedding/weight": embedding.weight}
    for i, l in enumerate(stack.layers):
        parameters.update(layer_parameters(f"encoder/{i}", l))
    if pre:
        parameters.update({"encoder/norm/weight": final.weight, "encoder/norm/bias": final.bias})
    model = save_model("stack.h5", parameters, kind="encoder-only", source_vocabulary=37, encoder_layers=3, final_norm=pre, **common)
    ids = [torch.randint(0, 37, (t,), generator=generator) for t in lengths]
    position = torch.arange(100, dtype=torch.float64)[:, None] / 10000.0**(torch.arange(0, width, 2) / width)
    table = torch.stack([position.sin(), position.cos()], -1).reshape(100, width).float()
    inputs = [embedding(i) * math.sqrt(width) + table[:len(i)] for i in ids]
    save("ids.npy", [i.numpy().astype("<i4") for i in ids])
    ours = run("encode", "-m", model, path("ids.npy"), "--tap-file", path("taps.h5"))
    agree(f"nn.TransformerEncoder from ids, {kind}", ours, each(stack, inputs))
    vectors = save("vectors.npy", run("posenc", "-m", model, save("embedded.npy", run("embed", "-m", model, path("ids.npy")))))
    check(f"encode from ids is embed, posenc, encode, {kind}, bit for bit", identical(ours, run("encode", "-m", model, vectors)))

    # What --tap-file wrote, read as h5py users read it.
    with tools.h5py.File(path("taps.h5")) as taps:
        def records(name):
            group = taps[name]
            parts = [group["data"][a:b] for a, b in zip(group["offsets"][:-1], group["offsets"][1:])]
            return [p.reshape(s) for p, s in zip(parts, group["shapes"][:])] if "shapes" in group else parts
        last = "encoder/final_norm" if pre else "encoder/2/norm2"
        check(f"encode --tap, last stage, {kind}, bit for bit", identical(records(last), ours))
        check(f"encode --tap, positions, {kind}, bit for bit", identical(records("encoder/positions"), load("vectors.npy")))
        first = stack.layers[0]
        weights = []
        for source in inputs:
            source = first.norm1(source) if pre else source
            weights.append(first.self_attn(source[None], source[None], source[None], average_attn_weights=False)[1][0] if len(source)
                           else torch.zeros(heads, 0, 0))
        agree(f"encode --tap, weights of layer 0, {kind}", records("encoder/0/self_attn/weights"), weights)
        check(f"taps are read back as records, {kind}", identical(run("convert", path("taps.h5") + ":encoder/0/self_attn/weights"), records("encoder/0/self_attn/weights")))

tools.finish()
