"""Ops and their gradients against PyTorch's autograd, called in this process through common/ops_module.cpp."""
import ctypes
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "common"))
import tools
from activations import activations
from tools import agree

ops = ctypes.CDLL(os.environ["PIPEFORMER_OPS_MODULE"])
generator = torch.Generator().manual_seed(5)
I, D, P = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p


def normal(*shape):
    return torch.randn(*shape, generator=generator)


def memory(tensor):
    """Where the elements of a contiguous tensor are; None stays None."""
    if tensor is None:
        return None
    assert tensor.is_contiguous()
    return tensor.data_ptr()


def structure(fields, values):
    """A C structure: pairs of name and type, and a value for each."""
    return type("Case", (ctypes.Structure,), {"_fields_": fields})(*values)


def attention(name, lengths, heads, kv_heads, causal=False, window=0, distances=False, scale=0.5, soft_cap=0.0, width=6, value_width=4):
    queries, keys = [a for a, _ in lengths], [b for _, b in lengths]
    q, k, v = normal(sum(queries), heads, width), normal(sum(keys), kv_heads, width), normal(sum(keys), kv_heads, value_width)
    longest = max(queries + keys)
    bias = normal(heads, 2 * longest - 1) if distances else None
    d_out = normal(sum(queries), heads, value_width)
    offsets = lambda n: torch.tensor([0] + n).cumsum(0)
    query_offsets, key_offsets = offsets(queries), offsets(keys)
    out, log_sum = torch.empty_like(d_out), torch.empty(sum(queries), heads)
    ours = [torch.full_like(t, 7.0) for t in (q, k, v)] + [torch.zeros_like(bias) if distances else None]
    names = ("sequences heads kv_heads key_width value_width causal window scale soft_cap query_offsets key_offsets query key value distance_bias "
             "distance_stride distance_zero out log_sum d_out d_query d_key d_value d_distance_bias").split()
    types = [I] * 7 + [D] * 2 + [P] * 6 + [I] * 2 + [P] * 7
    ops.attention(ctypes.byref(structure(list(zip(names, types)), [
        len(lengths), heads, kv_heads, width, value_width, causal, window, scale, soft_cap, *map(memory, (query_offsets, key_offsets, q, k, v, bias)),
        2 * longest - 1, longest - 1, *map(memory, (out, log_sum, d_out, *ours))])))

    inputs = [t.double().requires_grad_() for t in (q, k, v, bias) if t is not None]
    theirs = []
    for s, (tq, tk) in enumerate(lengths):
        x = inputs[0][query_offsets[s]:query_offsets[s + 1]].transpose(0, 1)
        m, y = (t[key_offsets[s]:key_offsets[s + 1]].transpose(0, 1).repeat_interleave(heads // kv_heads, 0) for t in inputs[1:3])
        scores = x @ m.transpose(1, 2) * scale
        if soft_cap:
            scores = soft_cap * torch.tanh(scores / soft_cap)
        away = torch.arange(tk)[None] - (torch.arange(tq)[:, None] + tk - tq)
        if distances:
            scores = scores + inputs[3][:, longest - 1 + away]
        seen = torch.ones(tq, tk, dtype=torch.bool)
        if causal:
            seen &= away <= 0
        if window:
            seen &= away > -window
        # A query that sees nothing gives zeros; the softmax of its row is taken over anything else, so that it has a gradient.
        weights = scores.masked_fill(~seen & seen.any(-1, keepdim=True), -math.inf).softmax(-1) * seen.any(-1, keepdim=True)
        theirs.append((weights @ y).transpose(0, 1))
    theirs = torch.cat(theirs)
    theirs.backward(d_out.double())
    agree(f"attention, {name}", [out.numpy()], [theirs])
    for what, a, b in zip(["queries", "keys", "values", "distance biases"], ours, inputs):
        agree(f"attention, {name}, gradient of {what}", [a.numpy()], [b.grad], 5e-6)


ragged = [(3, 5), (1, 1), (7, 7), (4, 2), (300, 280), (40, 300)]
attention("plain", ragged, 4, 2)
attention("causal", ragged, 4, 2, causal=True)
for window in [2, 30, 256]:
    attention(f"window of {window}", ragged + [(600, 600), (20, 700)], 4, 2, causal=True, window=window)
attention("distance biases", ragged, 4, 2, distances=True)
attention("distance biases, not scaled (T5)", ragged, 4, 4, distances=True, scale=1)
attention("distance biases, causal", ragged, 4, 1, distances=True, causal=True)
attention("soft cap", ragged, 4, 2, soft_cap=0.8)
attention("soft cap, window", ragged + [(600, 600)], 4, 2, causal=True, window=30, soft_cap=2.0)
attention("soft cap, distance biases", ragged, 4, 2, distances=True, soft_cap=0.8)
attention("distance biases, window", ragged + [(600, 600)], 4, 1, distances=True, causal=True, window=30)


# Rotary positions as transformers defines them (modeling_rope_utils), with the pairs of Llama and those of GPT-J, in float64.
# A sequence of the length that is given, where the angles depend on it.
def frequencies(base, width, scaling, factor, low, high, context, length, short, long):
    exponents = torch.arange(0, width, 2).double() / width
    if scaling == "dynamic" and length > context:
        base = base * (factor * length / context - (factor - 1)) ** (width / (width - 2))
    plain = 1.0 / base**exponents
    if scaling in ["not scaled", "dynamic"]:
        return plain
    if scaling == "linear":
        return plain / factor
    if scaling == "longrope":
        return 1.0 / (torch.tensor(long if length > context else short, dtype=torch.float64) * base**exponents)
    if scaling == "yarn":
        def dimension(rotations):
            return width * math.log(context / (rotations * 2 * math.pi)) / (2 * math.log(base))
        first, last = max(math.floor(dimension(high)), 0), min(math.ceil(dimension(low)), width - 1)
        ramp = torch.clamp((torch.arange(width // 2).double() - first) / (last - first if last != first else 0.001), 0, 1)
        return plain / factor * ramp + plain * (1 - ramp)
    wavelength = 2 * math.pi / plain
    scaled = torch.where(wavelength > context / low, plain / factor, plain)
    smooth = (context / wavelength - low) / (high - low)
    between = ~(wavelength < context / high) & ~(wavelength > context / low)
    return torch.where(between, (1 - smooth) * scaled / factor + smooth * scaled, scaled)


def rotated(x, positions, inverse_frequencies, interleaved, times):
    angle = positions.double()[:, None, None] * inverse_frequencies
    width = 2 * inverse_frequencies.shape[-1]
    turned, kept = x[..., :width], x[..., width:]
    a, b = (turned[..., 0::2], turned[..., 1::2]) if interleaved else turned.chunk(2, -1)
    cosine, sine = angle.cos() * times, angle.sin() * times
    pair = [a * cosine - b * sine, b * cosine + a * sine]
    return torch.cat([torch.stack(pair, -1).flatten(-2) if interleaved else torch.cat(pair, -1), kept], -1)


positions = torch.tensor([0, 1, 2, 100, 4097, 8191, 3, 511, 512], dtype=torch.int32)
# Sequences of several lengths, two rows of one side by side, and those whose rows are their last.
lengths = torch.tensor([1, 2, 9000, 9000, 9000, 8192, 512, 512, 513], dtype=torch.int32)
rotary_fields = list(zip("base width interleaved scaling factor low high context times short long rows heads head_width".split(),
                         [D] + [I] * 3 + [D] * 3 + [I] + [D] + [P] * 2 + [I] * 3))
for scaling, scaling_name in enumerate(["not scaled", "linear", "llama3", "yarn", "dynamic", "longrope"]):
    low, high = (1.0, 32.0) if scaling_name == "yarn" else (1.0, 4.0)
    for interleaved in [0, 1]:
        for base, width, times, last in [(10000.0, 64, 1.0, False), (500000.0, 64, 1.25, True), (10000.0, 16, 0.75, False), (100.0, 16, 1.0, True)]:
            x, dy = normal(len(positions), 3, 64), normal(len(positions), 3, 64)
            ours, dx = x.clone(), dy.clone()
            short, long = (1 + torch.rand(width // 2, generator=generator).double() * k for k in (0.5, 30))
            case = structure(rotary_fields, [base, width, interleaved, scaling, 8.0, low, high, 512, times, memory(short), memory(long), len(positions), 3, 64])
            for inverse, rows in [(0, ours), (1, dx)]:
                ops.rotary(ctypes.byref(case), P(memory(positions)), P(None if last else memory(lengths)), I(inverse), P(memory(rows)))
            there = x.double().requires_grad_()
            angles = torch.stack([frequencies(base, width, scaling_name, 8.0, low, high, 512, int(p) + 1 if last else int(n), short.tolist(), long.tolist())
                                  for p, n in zip(positions, lengths)])[:, None]
            theirs = rotated(there, positions, angles, interleaved, times)
            theirs.backward(dy.double())
            name = f"rotary, {scaling_name}, base {base:.0f}, {width} of 64 columns{', interleaved' if interleaved else ''}"
            agree(name, [ours.numpy()], [theirs], 1e-6)
            agree(name + ", gradient", [dx.numpy()], [there.grad], 1e-6)

for kind, (name, f) in enumerate(activations.items()):
    x, dy = normal(4001) * 3, normal(4001)
    y, dx, there = torch.empty_like(x), torch.empty_like(x), x.double().requires_grad_()
    ops.activate(I(kind), I(len(x)), *(P(memory(t)) for t in (x, dy, y, dx)))
    theirs = f(there)
    theirs.backward(dy.double())
    agree(f"activation {name}", [y.numpy()], [theirs], 1e-6)
    agree(f"activation {name}, gradient", [dx.numpy()], [there.grad], 1e-6)

lengths = [3, 0, 1, 40]
offsets, rows, width = torch.tensor([0] + lengths).cumsum(0), sum(lengths), 37
x, dy = normal(rows, width), normal(rows, width)
x[7] = 0
there, y, dx = x.double().requires_grad_(), x.clone(), torch.empty_like(x)
ops.normalize(I(rows), I(width), *(P(memory(t)) for t in (y, dy, dx)))
theirs = F.normalize(there, dim=-1)
theirs.backward(dy.double())
agree("normalized rows", [y.numpy()], [theirs], 1e-6)
agree("normalized rows, gradient", list(np.delete(dx.numpy(), 7, 0)), list(np.delete(there.grad.numpy(), 7, 0)), 1e-6)
agree("normalized rows, gradient of a row of zeros", [dx.numpy()[7]], [there.grad[7]], 1e-6)

scale = normal(width)
there, scale_there, y, dx, d_scale = x.double().requires_grad_(), scale.double().requires_grad_(), torch.empty_like(x), torch.empty_like(x), torch.zeros(width)
ops.scaled_columns(I(rows), I(width), *(P(memory(t)) for t in (x, scale, y)))
ops.scaled_columns_backward(I(rows), I(width), *(P(memory(t)) for t in (x, scale, dy, dx, d_scale)))
theirs = there * scale_there
theirs.backward(dy.double())
agree("scaled columns", [y.numpy()], [theirs], 1e-6)
agree("scaled columns, gradient", [dx.numpy(), d_scale.numpy()], [there.grad, scale_there.grad], 1e-6)

for pool, name, f in [(ops.pool_max, "max", lambda t: t.max(0)[0]), (ops.pool_mean, "mean", lambda t: t.mean(0))]:
    dy = normal(len(lengths), width)
    there, y, dx = x.double().requires_grad_(), torch.empty(len(lengths), width), torch.zeros_like(x)
    pool(I(len(lengths)), P(memory(offsets)), I(width), *(P(memory(t)) for t in (x, y, dy, dx)))
    theirs = torch.stack([f(there[a:b]) if b > a else torch.zeros(width).double() for a, b in zip(offsets, offsets[1:])])
    theirs.backward(dy.double())
    agree(f"{name} of a sequence's rows", [y.numpy()], [theirs], 1e-6)
    agree(f"{name} of a sequence's rows, gradient", [dx.numpy()], [there.grad], 1e-6)

tools.finish()
