#!/usr/bin/python3
"""Training against PyTorch: gradients of every parameter of the whole model, and Adam with label smoothing.

A model is made with `model make`, one update is taken with `train` on ragged random pairs, and the same is computed with torch.nn.Transformer's own
layers, one pair at a time (so that PyTorch pads nothing either), in float32 and float64.
"""
import math
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import torch

torch.set_num_threads(2)
BIN = os.environ["PIPEFORMER_BIN"]
failures = 0


def run(*words):
    subprocess.run([os.path.join(BIN, words[0]), *map(str, words[1:])], check=True)


def check(name, ours, reference, limit):
    global failures
    difference = float(np.linalg.norm((ours - reference).ravel()) / (np.linalg.norm(reference.ravel()) + 1e-30))
    good = difference <= limit
    failures += not good
    print(f"{'ok' if good else 'FAILED'} {name}: {difference:.2e} (limit {limit:.0e})")


def parameters(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda n, d: found.update({n: d[()]}) if isinstance(d, h5py.Dataset) and d.dtype == np.float32 and not n.startswith("training") else None)
    return found


def sinusoids(length, width):
    angle = np.arange(length)[:, None] * np.exp(np.arange(0, width, 2) * (-math.log(10000.0) / width))
    table = np.zeros((length, width))
    table[:, 0::2], table[:, 1::2] = np.sin(angle), np.cos(angle)
    return torch.tensor(table)


class Model:
    """nn.TransformerEncoderLayer / DecoderLayer filled with our parameters; gradients read back under our names."""

    def __init__(self, values, width, heads, inner, layers, pre, activation, dtype):
        self.width, self.dtype = width, dtype
        self.leaves = {n: torch.tensor(v, dtype=dtype, requires_grad=True) for n, v in values.items()}
        options = dict(d_model=width, nhead=heads, dim_feedforward=inner, dropout=0.0, activation=activation, batch_first=True, norm_first=pre, dtype=dtype)
        self.encoder = [torch.nn.TransformerEncoderLayer(**options) for _ in range(layers)]
        self.decoder = [torch.nn.TransformerDecoderLayer(**options) for _ in range(layers)]
        self.pre = pre

    def layer_state(self, prefix, decoder):
        p = self.leaves
        state = {}
        for theirs, ours in [("self_attn", "self_attn")] + ([("multihead_attn", "cross_attn")] if decoder else []):
            state[f"{theirs}.in_proj_weight"] = torch.cat([p[f"{prefix}/{ours}/{x}/weight"] for x in ("query", "key", "value")])
            state[f"{theirs}.in_proj_bias"] = torch.cat([p[f"{prefix}/{ours}/{x}/bias"] for x in ("query", "key", "value")])
            state[f"{theirs}.out_proj.weight"] = p[f"{prefix}/{ours}/output/weight"]
            state[f"{theirs}.out_proj.bias"] = p[f"{prefix}/{ours}/output/bias"]
        for x in ("linear1", "linear2"):
            state[f"{x}.weight"], state[f"{x}.bias"] = p[f"{prefix}/ffn/{x}/weight"], p[f"{prefix}/ffn/{x}/bias"]
        for i in range(1, 4 if decoder else 3):
            state[f"norm{i}.weight"], state[f"norm{i}.bias"] = p[f"{prefix}/norm{i}/weight"], p[f"{prefix}/norm{i}/bias"]
        return state

    def call(self, layer, prefix, decoder, *inputs, **options):
        return torch.nn.utils.stateless.functional_call(layer, self.layer_state(prefix, decoder), inputs, options)

    def final(self, x, side):
        if not self.pre:
            return x
        return torch.nn.functional.layer_norm(x, (self.width,), self.leaves[f"{side}/norm/weight"], self.leaves[f"{side}/norm/bias"])

    def embed(self, ids, side):
        table = self.leaves.get("embedding/weight", self.leaves.get(f"{side}/embedding/weight"))
        return table[ids] * math.sqrt(self.width) + sinusoids(len(ids), self.width).to(self.dtype)

    def logits(self, source, target):
        x = self.embed(source, "encoder")[None]
        for i, layer in enumerate(self.encoder):
            x = self.call(layer, f"encoder/{i}", False, x)
        memory = self.final(x, "encoder")
        y = self.embed(target, "decoder")[None]
        mask = torch.full((len(target), len(target)), float("-inf"), dtype=self.dtype).triu(1)
        for i, layer in enumerate(self.decoder):
            y = self.call(layer, f"decoder/{i}", True, y, memory, tgt_mask=mask)
        y = self.final(y, "decoder")[0]
        weight = next(self.leaves[n] for n in ("decoder/output/weight", "embedding/weight", "decoder/embedding/weight") if n in self.leaves)
        return y @ weight.T


def stream(path, records):
    with open(path, "wb") as file:
        for record in records:
            np.save(file, np.asarray(record, np.int32))


def adapters(pairs, vocabulary):
    """Of a weight W + s B A (Hu et al. 2022): dA = s B^T dW, dB = s dW A^T, dW that of PyTorch at the merged model."""
    with tempfile.TemporaryDirectory() as d:
        stream(f"{d}/s.npy", [s for s, _ in pairs])
        stream(f"{d}/t.npy", [t for _, t in pairs])
        run("model", "make", "--source-vocabulary", vocabulary, "--target-vocabulary", vocabulary, "--begin-id", 1, "--end-id", 2, "--width", 32,
            "--heads", 4, "--inner", 64, "--encoder-layers", 2, "--decoder-layers", 2, "--activation", "gelu", "-o", f"{d}/base.h5")
        train = ["train", "-q", "--source", f"{d}/s.npy", "--target", f"{d}/t.npy", "--from", f"{d}/base.h5", "--dropout", 0, "--warmup", 1, "--learning-rate",
                 0.01, "--batch-tokens", 100000, "--adapter", 3, "--adapter-alpha", 6, "--adapter-on", "*_attn/*/weight", "--adapter-on", "*/ffn/*/weight",
                 "-o", f"{d}/a.h5"]
        run(*train, "--steps", 3)
        run("model", "merge", f"{d}/a.h5", "-o", f"{d}/merged.h5")
        base, adapted, merged = parameters(f"{d}/base.h5"), parameters(f"{d}/a.h5"), parameters(f"{d}/merged.h5")
        run(*train, "--steps", 4, "--resume", "--gradients", f"{d}/g.h5")
        gradients = parameters(f"{d}/g.h5")
    weights = [n[: -len("adapter_a")] for n in adapted if n.endswith("adapter_a")]
    check("24 attention and 8 feed-forward weights have adapters", np.array(len(weights)), np.array(32), 0)
    check("what is frozen has not changed", np.concatenate([adapted[n].ravel() for n in base]), np.concatenate([base[n].ravel() for n in base]), 0)
    check("a merged weight is W + s B A", np.concatenate([merged[n + "weight"].ravel() for n in weights]),
          np.concatenate([(base[n + "weight"] + 2 * adapted[n + "adapter_b"].astype("f8") @ adapted[n + "adapter_a"]).ravel() for n in weights]), 1e-7)
    model = Model(merged, 32, 4, 64, 2, False, "gelu", torch.float32)
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1, reduction="sum")
    loss, tokens = 0, sum(len(t) + 1 for _, t in pairs)
    for source, target in pairs:
        loss = loss + criterion(model.logits(torch.tensor(source), torch.tensor(np.append(1, target))), torch.tensor(np.append(target, 2)))
    (loss / tokens).backward()
    for which, expected in [("a", lambda n, g: 2 * adapted[n + "adapter_b"].T @ g), ("b", lambda n, g: 2 * g @ adapted[n + "adapter_a"].T)]:
        check(f"gradients of adapters, {which}", np.concatenate([gradients[n + "adapter_" + which].ravel() for n in weights]),
              np.concatenate([expected(n, model.leaves[n + "weight"].grad.numpy()).ravel() for n in weights]), 1e-5)
    check("no gradient of what is frozen", np.concatenate([gradients[n].ravel() for n in base]), np.zeros(sum(x.size for x in base.values())), 0)


def main():
    rng = np.random.default_rng(7)
    vocabulary, width, heads, inner, layers = 60, 32, 4, 64, 2
    pairs = [(rng.integers(3, vocabulary, rng.integers(1, 15)), rng.integers(3, vocabulary, rng.integers(1, 15))) for _ in range(12)]
    for pre, activation, tied in [(False, "relu", "all"), (True, "gelu", "none"), (False, "gelu", "target")]:
        name = f"{'pre' if pre else 'post'}, {activation}, tied {tied}"
        with tempfile.TemporaryDirectory() as d:
            stream(f"{d}/s.npy", [s for s, _ in pairs])
            stream(f"{d}/t.npy", [t for _, t in pairs])
            run("model", "make", "--source-vocabulary", vocabulary, "--target-vocabulary", vocabulary, "--begin-id", 1, "--end-id", 2, "--width", width,
                "--heads", heads, "--inner", inner, "--encoder-layers", layers, "--decoder-layers", layers, "--tied", tied, "--activation", activation,
                "--norm-position", "pre" if pre else "post", "-o", f"{d}/a.h5")
            run("train", "-q", "--source", f"{d}/s.npy", "--target", f"{d}/t.npy", "--from", f"{d}/a.h5", "--steps", 1, "--dropout", 0, "--warmup", 1,
                "--learning-rate", 0.01, "--epsilon", "1e-8", "--batch-tokens", 100000, "--gradients", f"{d}/g.h5", "-o", f"{d}/b.h5")
            before, gradients, after = parameters(f"{d}/a.h5"), parameters(f"{d}/g.h5"), parameters(f"{d}/b.h5")
        model = Model(before, width, heads, inner, layers, pre, activation, torch.float32)
        loss, tokens = 0, sum(len(t) + 1 for _, t in pairs)
        criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1, reduction="sum")
        for source, target in pairs:
            labels = torch.tensor(np.append(target, 2))
            loss = loss + criterion(model.logits(torch.tensor(source), torch.tensor(np.append(1, target))), labels)
        (loss / tokens).backward()
        # A key's bias has a true gradient of zero (the softmax does not see it): it is compared within the whole gradient instead.
        names = [n for n in before if not n.endswith("key/bias")]
        worst = max(names, key=lambda n: np.linalg.norm(gradients[n] - model.leaves[n].grad.numpy()) / np.linalg.norm(model.leaves[n].grad.numpy()))
        check(f"gradients ({name}), worst of {len(names)}: {worst}", gradients[worst], model.leaves[worst].grad.numpy(), 1e-5)
        check(f"whole gradient ({name})", np.concatenate([gradients[n].ravel() for n in before]),
              np.concatenate([model.leaves[n].grad.numpy().ravel() for n in before]), 1e-5)
        # Adam's step from our own gradients, so that this measures Adam: the first step is about sign(g), which would magnify 1e-7 into 1.
        for n, leaf in model.leaves.items():
            leaf.grad = torch.tensor(gradients[n])
        torch.optim.Adam(model.leaves.values(), lr=0.01, betas=(0.9, 0.98), eps=1e-8).step()
        worst = max(before, key=lambda n: np.linalg.norm(after[n] - model.leaves[n].detach().numpy()) / np.linalg.norm(model.leaves[n].detach().numpy()))
        check(f"Adam step ({name}), worst: {worst}", after[worst], model.leaves[worst].detach().numpy(), 1e-6)
    adapters(pairs, vocabulary)
    sys.exit(failures != 0)


main()
