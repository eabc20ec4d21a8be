"""The tools attend, linear, norm, ffn, add, embed, posenc against PyTorch on NumPy-made arrays, ragged and dense, in float32."""
import math
import os
import re
import subprocess
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "common"))
import tools
from activations import activations
from tools import agree, bin_directory, check, identical, load, path, run, save

random = np.random.RandomState(3)


def normal(*shape):
    return random.standard_normal(shape).astype("<f4")


def attention(q, k, v, mask=None, bias=None, causal=False, scale=None):
    """softmax(q k^T scale + bias) v, with zeros for queries that see nothing. Returns output and weights."""
    q, k, v = map(torch.from_numpy, (q, k, v))
    scores = q @ k.transpose(-1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if bias is not None:
        scores = scores + torch.from_numpy(bias)
    seen = torch.ones(scores.shape, dtype=torch.bool)
    if mask is not None:
        seen &= torch.from_numpy(np.broadcast_to(mask, scores.shape).copy())
    if causal:
        seen &= torch.ones(scores.shape[-2:]).tril(k.shape[-2] - q.shape[-2]).bool()
    weights = scores.masked_fill(~seen, -math.inf).softmax(-1).nan_to_num(0.0)
    out = weights @ v
    if hasattr(F, "scaled_dot_product_attention") and scale is None and seen.any(-1).all():  # from PyTorch 2.0 on
        both = torch.zeros(scores.shape) if bias is None else torch.from_numpy(bias).expand(scores.shape)
        out = F.scaled_dot_product_attention(q, k, v, both.masked_fill(~seen, -math.inf))
    return out, weights


def split(x, heads):
    return np.ascontiguousarray(x.reshape(*x.shape[:-1], heads, -1).swapaxes(-2, -3))


def merge(x):
    return x.transpose(-2, -3).flatten(-2)


lengths = [(3, 5), (1, 1), (7, 7), (4, 2), (2, 9), (40, 33), (300, 280)]
q, k, v = [normal(tq, 24) for tq, _ in lengths], [normal(tk, 24) for _, tk in lengths], [normal(tk, 16) for _, tk in lengths]
masks = [random.rand(tq, tk) < 0.7 for tq, tk in lengths]
masks[2][3] = False
biases = [normal(tq, tk) for tq, tk in lengths]
streams = ["--query", save("q.npy", q), "--key", save("k.npy", k), "--value", save("v.npy", v)]
save("mask.npy", masks), save("bias.npy", biases)


def compare(name, arguments, expected):
    ours = run("attend", *streams, *arguments, "--weights", path("w.npy"))
    agree(f"attend, {name}", ours, [e[0] for e in expected])
    agree(f"attend, {name}, weights", load("w.npy"), [e[1] for e in expected])
    return ours


records = list(zip(q, k, v, masks, biases))
compare("plain", [], [attention(q, k, v) for q, k, v, m, b in records])
compare("causal", ["--causal"], [attention(q, k, v, causal=True) for q, k, v, m, b in records])
masked = compare("mask", ["--mask", path("mask.npy")], [attention(q, k, v, mask=m) for q, k, v, m, b in records])
check("attend: a query that sees nothing gives zeros", not masked[2][3].any())
compare("bias", ["--bias", path("bias.npy")], [attention(q, k, v, bias=b) for q, k, v, m, b in records])
compare("scale", ["--scale", "0.5"], [attention(q, k, v, scale=0.5) for q, k, v, m, b in records])
compare("mask, bias and causal", ["--mask", path("mask.npy"), "--bias", path("bias.npy"), "--causal"],
        [attention(q, k, v, mask=m, bias=b, causal=True) for q, k, v, m, b in records])

same = [normal(6, 24) for _ in range(4)]
one_mask = random.rand(6, 6) < 0.6
ours = run("attend", save("same.npy", same), "--mask", save("one.npy", one_mask))
agree("attend, one mask for all, keys and values are the queries", ours, [attention(x, x, x, mask=one_mask)[0] for x in same])

# Heads: PyTorch's form, one matrix whose columns are the heads.
heads = lambda q, k, v, h, kv, **more: attention(split(q, h), split(k, kv).repeat(h // kv, -3), split(v, kv).repeat(h // kv, -3), **more)
for kv in [4, 2, 1]:
    x, m, y = [normal(t, 32) for t, _ in lengths], [normal(t, 8 * kv) for _, t in lengths], [normal(t, 4 * kv) for _, t in lengths]
    ours = run("attend", "--heads", 4, "--kv-heads", kv, "--query", save("x.npy", x), "--key", save("m.npy", m), "--value",
               save("y.npy", y), "--causal", "--weights", path("w.npy"))
    expected = [heads(*record, 4, kv, causal=True) for record in zip(x, m, y)]
    agree(f"attend, 4 heads, {kv} of keys and values", ours, [merge(e[0]) for e in expected])
    agree(f"attend, 4 heads, {kv} of keys and values, weights", load("w.npy"), [e[1] for e in expected])
    if kv == 4:
        # The split of one big matrix is the loop over heads, bit for bit.
        parts = []
        for h in range(4):
            one = lambda name, arrays, w: save(name, [a[:, h * w:(h + 1) * w] for a in arrays])
            parts.append(run("attend", "--query", one("xh.npy", x, 8), "--key", one("mh.npy", m, 8), "--value", one("yh.npy", y, 4),
                             "--causal", "--weights", path(f"w{h}.npy")))
        loop = [np.concatenate(p, -1) for p in zip(*parts)]
        check("attend --heads is the loop over heads, bit for bit", identical(ours, loop))
        loop = [np.stack(p) for p in zip(*[load(f"w{h}.npy") for h in range(4)])]
        check("attend --heads is the loop over heads, weights, bit for bit", identical(load("w.npy"), loop))

head_masks = [random.rand(4, tq, tk) < 0.7 for tq, tk in lengths]
q4, k4, v4 = [normal(t, 32) for t, _ in lengths], [normal(t, 32) for _, t in lengths], [normal(t, 32) for _, t in lengths]
ours = run("attend", "--heads", 4, "--query", save("x.npy", q4), "--key", save("m.npy", k4), "--value", save("y.npy", v4), "--mask",
           save("hm.npy", head_masks))
agree("attend, a mask for each head", ours, [merge(heads(a, b, c, 4, 4, mask=m)[0]) for a, b, c, m in zip(q4, k4, v4, head_masks)])

# Dense batches: leading axes, lengths, masks that broadcast.
x, m = normal(3, 2, 5, 32), normal(3, 2, 7, 32)
valid = random.randint(0, 8, (3, 2)).astype("<i8")
valid[0, 0], valid[2, 1] = 0, 7
seen = (np.arange(7) < valid[..., None])[:, :, None, None, :]
bias = normal(2, 1, 5, 7)
ours = run("attend", "--heads", 4, "--query", save("x.npy", x), "--key", save("m.npy", m), "--lengths", save("n.npy", valid), "--bias",
           save("b.npy", bias), "--weights", path("w.npy"))
expected = heads(x, m, m, 4, 4, mask=seen, bias=bias)
agree("attend, dense batch with lengths and a broadcast bias", ours, [merge(expected[0])])
agree("attend, dense batch with lengths and a broadcast bias, weights", load("w.npy"), [expected[1]])
ragged = run("attend", "--heads", 4, "--query", save("x1.npy", list(x.reshape(6, 5, 32))), "--key", save("m1.npy", list(m.reshape(6, 7, 32))),
             "--bias", save("b1.npy", [b for b in np.broadcast_to(bias, (3, 2, 1, 5, 7)).reshape(6, 1, 5, 7)]), "--lengths",
             save("n1.npy", [n for n in valid.ravel()]))
check("attend: a dense batch is its records, bit for bit", ours[0].tobytes() == np.stack(ragged).tobytes())

# Rotary positions: of the first `width` columns the pair (i, i + half) is turned, or (2i, 2i + 1); linear scaling divides the angles.
def turned(x, base=10000.0, width=None, interleaved=False, factor=1.0, first_position=0, table=None):
    d = width or x.shape[-1]
    angle = (first_position + np.arange(x.shape[-2]))[:, None] / factor * base**(-2.0 * np.arange(d // 2) / d)
    if table is not None:
        angle = table[first_position:first_position + x.shape[-2]].astype("f8")
        d = 2 * table.shape[1]
    first, second = (slice(0, d, 2), slice(1, d, 2)) if interleaved else (slice(0, d // 2), slice(d // 2, d))
    a, b = x[..., first].astype("f8"), x[..., second].astype("f8")
    y = x.astype("f8")
    y[..., first], y[..., second] = a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)
    return y.astype("f4")


save("x.npy", q4)
for options, settings in [([], {}), (["--rotary-base", 500], dict(base=500.0)), (["--rotary-width", 6, "--rotary-interleaved"], dict(width=6, interleaved=True)),
                          (["--rotary-scaling", "linear", "--rotary-factor", 4], dict(factor=4.0))]:
    ours = run("attend", "--rotary", "--heads", 4, path("x.npy"), "--causal", *options)
    agree(f"attend, rotary {options}", ours,
          [merge(attention(turned(split(a, 4), **settings), turned(split(a, 4), **settings), split(a, 4), causal=True)[0]) for a in q4])

# Positions that do not begin at 0, and angles that are given. Turning by the same amount more on both sides changes no score.
angles = random.uniform(-7, 7, (60, 3)).astype("<f4")
for options, settings in [([], {}), (["--rotary-table", save("angles.npy", angles)], dict(table=angles)),
                          (["--rotary-table", path("angles.npy"), "--rotary-interleaved"], dict(table=angles, interleaved=True))]:
    q_turned = [turned(split(a[:30], 4), first_position=20, **settings) for a in q4]
    k_turned = [turned(split(a, 4), first_position=3, **settings) if "table" not in settings or len(a) < 57 else None for a in k4]
    few = [i for i, b in enumerate(k_turned) if b is not None]
    ours = run("attend", "--rotary", "--heads", 4, save("q30.npy", [q4[i][:30] for i in few]), "--key", save("k57.npy", [k4[i] for i in few]),
               "--first-query", 20, "--first-key", 3, *options)
    agree(f"attend, positions of their own {options[2:]}", ours, [merge(attention(q_turned[i], k_turned[i], split(k4[i], 4))[0]) for i in few])
agree("attend, rotary scores know distances alone", run("attend", "--rotary", "--heads", 4, path("x.npy"), "--first-query", 1000, "--first-key", 1000, "--give", "scores"),
      run("attend", "--rotary", "--heads", 4, path("x.npy"), "--give", "scores"), 2e-4)

# The causal order from the first query and key (torch.nn.attention.bias.causal_upper_left), not from the last ones.
upper_left = [np.tril(np.ones((tq, tk), dtype=bool)) for tq, tk in lengths]
compare("causal from the upper left", ["--causal-upper-left"], [attention(q, k, v, mask=m) for q, k, v, m in zip(q, k, v, upper_left)])
agree("attend, window from the upper left", run("attend", *streams, "--causal-upper-left", "--window", 3),
      [attention(q, k, v, mask=m & np.triu(np.ones(m.shape, dtype=bool), -2))[0] for q, k, v, m in zip(q, k, v, upper_left)])

# Biases by distance: ALiBi's slopes, and a learned number for each bucket of distances (here the exact ones alone).
distance = lambda t: np.arange(t)[None, :] - np.arange(t)[:, None]
agree("attend, alibi", run("attend", "--alibi", "--heads", 4, path("x.npy"), "--causal"),
      [merge(heads(a, a, a, 4, 4, causal=True, bias=np.stack([-(2.0**(-2 * (h + 1))) * np.abs(distance(len(a))) for h in range(4)]).astype("f4"))[0]) for a in q4])
buckets = normal(8, 4)
short = [normal(t, 32) for t in (2, 1, 2)]
agree("attend, relative", run("attend", "--relative", save("buckets.npy", buckets), "--heads", 4, save("short.npy", short)),
      [merge(heads(a, a, a, 4, 4, bias=np.moveaxis(buckets[np.abs(distance(len(a))) + 4 * (distance(len(a)) > 0)], -1, 0))[0]) for a in short])
inside = lambda t: (distance(t) <= 0) & (distance(t) > -3)
agree("attend, window", run("attend", "--window", 3, "--heads", 4, path("x.npy"), "--causal"),
      [merge(heads(a, a, a, 4, 4, mask=inside(len(a)))[0]) for a in q4])

# Scores step by step: scaled, capped, biased and masked.
steps = ["--causal", "--scale", 0.5, "--soft-cap", 0.8, "--bias", path("bias.npy"), "--mask", path("mask.npy")]
scaled = [torch.from_numpy(a) @ torch.from_numpy(b).T * 0.5 for a, b in zip(q, k)]
capped = [0.8 * torch.tanh(s / 0.8) for s in scaled]
unseen = [torch.from_numpy(~m) | ~torch.ones(s.shape).tril(s.shape[1] - s.shape[0]).bool() for s, m in zip(scaled, masks)]
biased = [(s + torch.from_numpy(b)).masked_fill(u, -math.inf) for s, b, u in zip(capped, biases, unseen)]
for give, expected in dict(scores=scaled, capped=capped, biased=biased).items():
    ours = run("attend", *streams, *steps, "--give", give)
    finite = [np.isfinite(e.numpy()) for e in expected]
    check(f"attend --give {give}, -inf", all((np.isneginf(a) == ~f).all() for a, f in zip(ours, finite)))
    agree(f"attend --give {give}", [np.where(f, a, 0) for a, f in zip(ours, finite)], [np.where(f, e, 0) for e, f in zip(expected, finite)])
check("attend --give capped without a cap is the scores", identical(run("attend", *streams, "--causal", "--give", "capped"), run("attend", *streams, "--give", "scores")))

# Dropout: weights are zero or 1 / (1 - p) times what they were, as often as they should be, from the seed.
plain = run("attend", *streams, "--weights", path("w.npy"))
run("attend", *streams, "--dropout", 0.25, "--seed", 5, "--weights", path("d.npy"))
weights, dropped = np.concatenate([w.ravel() for w in load("w.npy")]), np.concatenate([w.ravel() for w in load("d.npy")])
kept = dropped != 0
check("attend --dropout scales what it keeps", np.allclose(dropped[kept], weights[kept] / 0.75, rtol=1e-5))
check("attend --dropout drops a quarter", abs((~kept).mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / kept.size))
first = run("attend", *streams, "--dropout", 0.25, "--seed", 5)
agree("attend --dropout, output from its weights", first, [w @ v for w, v in zip(load("d.npy"), v)])
check("attend --dropout is the same for the same seed, whatever the batch",
      identical(first, run("attend", *streams, "--dropout", 0.25, "--seed", 5, "--batch-rows", 1)))
check("attend --dropout is another for another seed", not identical(first, run("attend", *streams, "--dropout", 0.25, "--seed", 6)))

# The other pieces.
x = [normal(t, 24) for t in [3, 0, 1, 50]]
tensors = [torch.from_numpy(a) for a in x]
save("x.npy", x)
weight, bias = normal(10, 24), normal(10)
save("weight.npy", weight), save("bias.npy", bias)
agree("linear", run("linear", path("x.npy"), "--weight", path("weight.npy"), "--bias", path("bias.npy")),
      [F.linear(t, torch.from_numpy(weight), torch.from_numpy(bias)) for t in tensors])
agree("linear without bias", run("linear", path("x.npy"), "--weight", path("weight.npy")),
      [F.linear(t, torch.from_numpy(weight)) for t in tensors])
with open(path("fortran.npy"), "wb") as out:
    np.save(out, np.asfortranarray(weight))
agree("linear, Fortran order", run("linear", path("x.npy"), "--weight", path("fortran.npy")),
      [F.linear(t, torch.from_numpy(weight)) for t in tensors])
dense = normal(2, 3, 5, 24)
agree("linear --transpose", run("linear", "--transpose", save("ten.npy", [normal(t, 10) for t in [3, 0, 1, 50]]), "--weight", path("weight.npy"), "--bias", save("bias24.npy", normal(24))),
      [a @ weight + load("bias24.npy")[0] for a in load("ten.npy")])
agree("linear, dense", run("linear", save("dense.npy", dense), "--weight", path("weight.npy")), [dense @ weight.T])

gamma, beta = normal(24), normal(24)
save("gamma.npy", gamma), save("beta.npy", beta)
for epsilon in [1e-5, 1e-2]:
    agree(f"norm, layer, epsilon {epsilon}",
          run("norm", path("x.npy"), "--weight", path("gamma.npy"), "--bias", path("beta.npy"), "--epsilon", epsilon),
          [F.layer_norm(t, (24,), torch.from_numpy(gamma), torch.from_numpy(beta), epsilon) for t in tensors])
    agree(f"norm, rms, epsilon {epsilon}", run("norm", path("x.npy"), "--kind", "rms", "--weight", path("gamma.npy"), "--epsilon", epsilon),
          [t / (t.pow(2).mean(-1, keepdim=True) + epsilon).sqrt() * torch.from_numpy(gamma) for t in tensors])

norm_steps = lambda t: (t.mean(-1, keepdim=True), 1 / (t.var(-1, unbiased=False, keepdim=True) + 1e-3).sqrt())
for place, give in enumerate(("mean", "rstd")):
    agree(f"norm --give {give}", run("norm", path("x.npy"), "--give", give, "--epsilon", 1e-3), [norm_steps(t)[place] for t in tensors])
    agree(f"norm --give {give}, 4 heads", run("norm", path("x.npy"), "--give", give, "--heads", 4, "--epsilon", 1e-3),
          [norm_steps(t.reshape(len(t), 4, 6))[place].reshape(len(t), 4) for t in tensors])
agree("norm --give rstd, rms", run("norm", path("x.npy"), "--give", "rstd", "--kind", "rms"), [1 / (t.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() for t in tensors])

save("gamma6.npy", gamma[:6])
agree("norm, 4 heads side by side", run("norm", path("x.npy"), "--kind", "rms", "--weight", path("gamma6.npy"), "--heads", 4),
      [(lambda h: (h / (h.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * torch.from_numpy(gamma[:6])).reshape(t.shape))(t.reshape(len(t), 4, 6)) for t in tensors])
agree("linear, a diagonal", run("linear", path("x.npy"), "--weight", path("gamma.npy")), [a * gamma for a in x])
agree("norm, unit", run("norm", path("x.npy"), "--kind", "unit"), [F.normalize(t, dim=-1) for t in tensors])
agree("norm, unit, of a vector alone", run("norm", save("alone.npy", list(x[3])), "--kind", "unit"), list(F.normalize(tensors[3], dim=-1)))
agree("linear, a vector alone", run("linear", path("alone.npy"), "--weight", path("weight.npy")), [a @ weight.T for a in x[3]])
full = [a for a in x if len(a) > 1]
for kind, function in dict(mean=lambda a: a.mean(0), first=lambda a: a[0], last=lambda a: a[-1], max=lambda a: a.max(0)).items():
    agree(f"pool, {kind}", run("pool", "--kind", kind, path("x.npy")), [function(a) if len(a) else np.zeros(24) for a in x])
agree("pool, first-and-mean", run("pool", "--kind", "first-and-mean", save("full.npy", full)), [np.concatenate([a[0], a[1:].mean(0)]) for a in full])
agree("pool, dense", run("pool", path("dense.npy")), [dense.mean(-2)])
offered = re.search(r"--kind ([a-z|-]*)", subprocess.run([os.path.join(bin_directory, "activate"), "--help"], capture_output=True, text=True).stdout)
check("every activation is compared, in the order of their numbers", offered and ["identity", *offered[1].split("|")] == list(activations))
del activations["identity"]
for kind, function in activations.items():
    agree(f"activate, {kind}", run("activate", "--kind", kind, path("x.npy")), [function(t) for t in tensors])

w1, b1, w2, b2, wg, bg = normal(40, 24), normal(40), normal(24, 40), normal(24), normal(40, 24), normal(40)
for name, array in dict(w1=w1, b1=b1, w2=w2, b2=b2, wg=wg, bg=bg).items():
    save(name + ".npy", array)
arrays = ["--linear1-weight", path("w1.npy"), "--linear1-bias", path("b1.npy"), "--linear2-weight", path("w2.npy"), "--linear2-bias", path("b2.npy")]
linear = lambda t, w, b: F.linear(t, torch.from_numpy(w), torch.from_numpy(b))
for name, f in activations.items():
    agree(f"ffn, {name}", run("ffn", path("x.npy"), *arrays, "--activation", name), [linear(f(linear(t, w1, b1)), w2, b2) for t in tensors])
    agree(f"ffn, gated {name}",
          run("ffn", path("x.npy"), *arrays, "--gate-weight", path("wg.npy"), "--gate-bias", path("bg.npy"), "--activation", name),
          [linear(f(linear(t, wg, bg)) * linear(t, w1, b1), w2, b2) for t in tensors])

y = [normal(*a.shape) for a in x]
check("add, bit for bit", identical(run("add", "--to", save("y.npy", y), path("x.npy")), [a + b for a, b in zip(x, y)]))

table = normal(30, 16)
ids = [random.randint(0, 30, n) for n in [4, 0, 1, 20]]
for dtype in ["<i4", "<i8", "|u1"]:
    save("ids.npy", [i.astype(dtype) for i in ids])
    check(f"embed, {dtype}, bit for bit", identical(run("embed", "--table", save("table.npy", table), path("ids.npy")), [table[i] for i in ids]))
check("embed --scale, bit for bit",
      identical(run("embed", "--table", path("table.npy"), "--scale", 4, path("ids.npy")), [table[i] * np.float32(4) for i in ids]))
check("embed, dense ids", identical(run("embed", "--table", path("table.npy"), save("ids.npy", np.arange(12).reshape(2, 6) % 30)),
                                    [table[np.arange(12).reshape(2, 6) % 30]]))


def sinusoids(length, width, halved=False):
    angle = np.arange(length)[:, None] / 10000.0**(np.arange(0, width, 2) / width)
    pair = np.concatenate([np.sin(angle), np.cos(angle)], -1) if halved else np.stack([np.sin(angle), np.cos(angle)], -1).reshape(length, width)
    return pair.astype("<f4")


for kind, halved in [("sinusoidal", False), ("sinusoidal-halved", True)]:
    agree(f"posenc --table, {kind}", run("posenc", "--table", "--length", 500, "--width", 24, "--kind", kind), [sinusoids(500, 24, halved)], 1e-7)
    agree(f"posenc, {kind}", run("posenc", "--kind", kind, path("x.npy")), [a + sinusoids(len(a), 24, halved) for a in x], 1e-7)
agree("posenc --first", run("posenc", "--first", 7, path("x.npy")), [a + sinusoids(len(a) + 7, 24)[7:] for a in x], 1e-7)
agree("posenc --table --first", run("posenc", "--table", "--first", 7, "--length", 5, "--width", 24), [sinusoids(12, 24)[7:]], 1e-7)

tools.finish()
