#!/usr/bin/python3
"""Gradients of intermediates (train --tap 'gradient/*') against those of parameters, which train.py and gradients.py hold against PyTorch.

The chain rule leaves no choice: of y = x W^T + b the gradient of W is the sum over rows of (gradient of y) x^T, that of b the sum of (gradient of y); of a
norm's bias likewise, of an embedding table the sum over each id's rows. Each name that train lists must be written, and each is part of such an equation, or
equal to another one that is. Models of every part that has a gradient of its own.
"""
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np

BIN = os.environ["PIPEFORMER_BIN"]
failures = 0


def run(*words):
    return subprocess.run([os.path.join(BIN, words[0]), *map(str, words[1:])], check=True, capture_output=True, text=True).stdout


def check(name, a, b, limit=2e-5, size=None):
    """Of sums that cancel, as those of keys do, `size` is what is summed."""
    global failures
    difference = float(np.linalg.norm((a - b).ravel()) / (np.linalg.norm((b if size is None else size).ravel()) + 1e-30))
    failures += not difference <= limit
    if not difference <= limit:
        print(f"FAILED {name}: {difference:.2e}")


def refuse(model, what, names):
    global failures
    failures += len(names)
    for name in names:
        print(f"FAILED {model}: {name}: {what}")


def equations(model, options):
    task = options[options.index("--task") + 1] if "--task" in options else "translation"
    source, target = ["--source", "source.npy", "--source-vocabulary", 30], ["--target", "target.npy", "--target-vocabulary", 30, "--begin-id", 1, "--end-id", 2]
    work = {"translation": source + target, "language-model": target, "classification": source + ["--labels", "labels"],
            "masked-language-model": source + ["--mask-id", 4]}[task]
    # At a rate of 0 the model that is written has the weights of the update.
    base = ["train", "-q", "--learning-rate", 0, "--schedule", "constant", *work, "--width", 16, "--heads", 4, "--inner", 24, "--steps", 1, "--batch-tokens", 500, "--dropout", 0, *options]
    names = [line.split("\t")[0] for line in run(*base, "--list-taps").splitlines() if line.startswith("gradient/")]
    for name in ("m.h5", "m.h5.checkpoint.h5"):
        if os.path.exists(name):
            os.remove(name)
    run(*base, "-o", "m.h5", "--tap-file", "taps.h5", "--gradients", "g.h5")
    with h5py.File("taps.h5") as taps, h5py.File("g.h5") as parameters, h5py.File("m.h5") as weights:
        step, used = taps["step-1"], set()
        value = lambda name: step[name + "/data"][()].astype("f8")

        def d(name):
            used.add("gradient/" + name)
            return value("gradient/" + name)

        missing = [n for n in names if n not in step]
        refuse(model, "not written", missing)
        g = lambda name: parameters[name][()].astype("f8")

        def linear(name, y, x):
            check(f"{model} {name}", d(y).T @ value(x), g(name + "/weight"))
            if name + "/bias" in parameters:
                check(f"{model} {name} bias", d(y).sum(0), g(name + "/bias"), size=d(y))

        def heads_of(name, count, s):
            begin, end = step[name + "/offsets"][s:s + 2]
            x = value(name)[begin:end]
            return x.reshape(len(x), count, -1).swapaxes(0, 1)

        def matrices(name):
            group = step[name]
            data, offsets = group["data"][()].astype("f8"), group["offsets"][()]
            return [data[a:b].reshape(shape) for a, b, shape in zip(offsets, offsets[1:], group["shapes"][()])]

        def attention(sub, scale):
            """dW = dO V^T, dS = W * (dW - sum of W dW), and on to the queries: dQ = dS K * scale."""
            used.update((f"gradient/{sub}/scores", f"gradient/{sub}/weights"))
            turned = lambda which: next(n for n in (f"{sub}/{which}_rotated", f"{sub}/{which}_norm", f"{sub}/{which}") if n in step)
            for s, (w, dw, ds) in enumerate(zip(matrices(f"{sub}/weights"), matrices(f"gradient/{sub}/weights"), matrices(f"gradient/{sub}/scores"))):
                context, v = heads_of(f"gradient/{sub}/context", 4, s), heads_of(f"{sub}/value", 4, s)
                check(f"{model} {sub} weights", dw, context @ v.swapaxes(1, 2))
                check(f"{model} {sub} scores", ds, w * (dw - (w * dw).sum(-1, keepdims=True)), size=w * dw)
                dq = heads_of("gradient/" + turned("query"), 4, s)
                check(f"{model} {sub} queries", dq, ds @ heads_of(turned("key"), 4, s) * scale, size=ds @ np.abs(heads_of(turned("key"), 4, s)))

        for side in ("encoder", "decoder"):
            if f"gradient/{side}/embeddings" not in names:
                continue
            x = f"{side}/positions"
            check(f"{model} {side} embeddings", d(f"{side}/embeddings"), d(x), 0)
            if f"{side}/positions/weight" in parameters:
                table, offsets = g(f"{side}/positions/weight") * 0, step[x + "/offsets"][()]
                for a, b in zip(offsets, offsets[1:]):
                    table[: b - a] += d(x)[a:b]
                check(f"{model} {side} positions", table, g(f"{side}/positions/weight"))
            if f"{side}/embedding/weight" in parameters and "--tied" in options:
                table = g(f"{side}/embedding/weight") * 0
                np.add.at(table, step[f"{side}/ids/data"][()], d(f"{side}/embeddings"))
                check(f"{model} {side} table", table * (16 ** 0.5 if "--no-embedding-scale" not in options else 1), g(f"{side}/embedding/weight"))
            if f"{side}/embedding_norm" in step:
                check(f"{model} {side} embedding norm", d(f"{side}/embedding_norm").sum(0), g(f"{side}/embedding_norm/bias"))
                x = f"{side}/embedding_norm"
            for layer in range(2):
                at, pre = f"{side}/{layer}", "pre" in options
                parts = ["self_attn", *(["cross_attn"] if f"{side}/0/cross_attn" in step else []), "ffn"]
                for number, part in enumerate(parts, 1):
                    norm, sub = f"{at}/norm{number}", f"{at}/{part}"
                    given = norm if pre else x
                    if part == "ffn":
                        linear(f"{sub}/linear1", f"{sub}/hidden", given)
                        if f"{sub}/gate" in step:
                            linear(f"{sub}/gate", f"{sub}/gate", given)
                            # activation = f(gate) * hidden
                            check(f"{model} {sub} gated", d(f"{sub}/hidden") * value(f"{sub}/hidden"), d(f"{sub}/activation") * value(f"{sub}/activation"))
                        check(f"{model} {sub} activation", d(f"{sub}/activation"), d(f"{sub}/output") @ weights[f"{sub}/linear2/weight"][()].astype("f8"))
                        linear(f"{sub}/linear2", f"{sub}/output", f"{sub}/activation")
                    else:
                        other = given if part == "self_attn" else memory
                        linear(f"{sub}/query", f"{sub}/query", given)
                        linear(f"{sub}/key", f"{sub}/key", other)
                        linear(f"{sub}/value", f"{sub}/value", other)
                        for which in ("query", "key"):
                            if f"{sub}/{which}_norm" in step:  # a root-mean-square norm of each head
                                raw, dy = value(f"{sub}/{which}").reshape(-1, 4), d(f"{sub}/{which}_norm").reshape(-1, 4)
                                normed = raw / np.sqrt((raw * raw).mean(1, keepdims=True) + 1e-5)
                                check(f"{model} {sub} {which} norm", (dy * normed).sum(0), g(f"{sub}/{which}_norm/weight"))
                            if f"{sub}/{which}_rotated" in step:  # turning keeps lengths
                                before = d(f"{sub}/{which}_norm" if f"{sub}/{which}_norm" in step else f"{sub}/{which}")
                                check(f"{model} {sub} {which} turned", np.linalg.norm(d(f"{sub}/{which}_rotated").reshape(-1, 4), axis=1), np.linalg.norm(before.reshape(-1, 4), axis=1))
                        attention(sub, 0.5)  # heads of 4 columns
                        check(f"{model} {sub} context", d(f"{sub}/context"), d(f"{sub}/output") @ weights[f"{sub}/output/weight"][()].astype("f8"))
                        linear(f"{sub}/output", f"{sub}/output", f"{sub}/context")
                    if norm + "/bias" in parameters:
                        check(f"{model} {norm}", d(norm).sum(0), g(norm + "/bias"))
                    # What the sublayer gave, through its norm and scale, to the sum: without dropout the same gradient.
                    last = f"{at}/residual{number}"
                    if f"{at}/scale{number}" in step:
                        check(f"{model} {at} scale{number}", d(f"{at}/scale{number}"), d(last), 0)
                        last = f"{at}/scale{number}"
                    if f"{at}/sublayer_norm{number}" in step:
                        used.add(f"gradient/{at}/sublayer_norm{number}")
                        if f"{at}/sublayer_norm{number}/bias" in parameters:
                            check(f"{model} {at} sublayer_norm{number}", d(f"{at}/sublayer_norm{number}").sum(0), g(f"{at}/sublayer_norm{number}/bias"))
                    elif last.endswith(f"residual{number}"):
                        check(f"{model} {sub} sum", d(f"{sub}/output"), d(last), 0)
                    used.add("gradient/" + last)
                    x = f"{at}/residual{number}" if pre else norm
            if f"{side}/final_norm" in step:
                check(f"{model} {side} final norm", d(f"{side}/final_norm").sum(0), g(f"{side}/norm/bias"))
                x = f"{side}/final_norm"
            memory = x
        readout(model, d, value, linear, check, step, weights, parameters, x)
        refuse(model, "in no equation", sorted(set(names) - used))
        print(f"{model}: {len(names)} gradients of intermediates")


def readout(model, d, value, linear, check, step, weights, parameters, x):
    """From the last rows x to the logits, and back."""
    side = "decoder" if "decoder/embeddings" in step else "encoder"
    if "pooled" in step:  # a mean over the sequence
        offsets = step[x + "/offsets"][()]
        shares = np.concatenate([np.repeat(row[None] / (b - a), b - a, 0) for row, a, b in zip(d("pooled"), offsets, offsets[1:])])
        check(f"{model} pooled", d(x), shares)
        x = "pooled"
        if "pooler/dense" in step:
            linear("pooler", "pooler/dense", "pooled")
            check(f"{model} pooler activation", d("pooler/dense"), d("pooler/activation") * (1 - value("pooler/activation") ** 2))
            x = "pooler/activation"
        linear("classifier", "logits", x)
    elif f"{side}/head/dense" in step:  # of a masked language model: the rows that are masked
        check(f"{model} head norm", d(f"{side}/head/norm").sum(0), parameters[f"{side}/head/norm/bias"][()].astype("f8"))
        check(f"{model} head dense", d(f"{side}/head/dense").sum(0), parameters[f"{side}/head/dense/bias"][()].astype("f8"))
        d(f"{side}/head/activation")
        check(f"{model} logits", d("logits").T @ value(f"{side}/head/norm"), parameters[f"{side}/output/weight"][()].astype("f8"))
        check(f"{model} head", d(f"{side}/head/norm"), d("logits") @ weights[f"{side}/output/weight"][()].astype("f8"))
    else:
        linear(f"{side}/output", "logits", x)
        check(f"{model} last rows", d(x), d("logits") @ weights[f"{side}/output/weight"][()].astype("f8"))
    # A row of the gradient is the softmax less the answer, by its share: it sums to nothing.
    check(f"{model} logits, sums", d("logits").sum(-1), np.zeros(len(value("logits"))), size=d("logits"))


with tempfile.TemporaryDirectory() as directory:
    os.chdir(directory)
    draw = np.random.default_rng(3)
    for name in ("source", "target"):
        with open(name + ".npy", "wb") as file:
            for length in (5, 9, 3, 7, 8, 2):
                np.save(file, draw.integers(3, 30, length).astype("i4"))
    with open("labels", "w") as file:
        file.write("a\nb\na\nc\nb\na\n")
    both = ["--encoder-layers", 2, "--decoder-layers", 2]
    for model, options in {
        "the paper's": [*both, "--tied", "none"],
        "norms first": [*both, "--tied", "none", "--norm-position", "pre", "--positions", "learned", "--max-positions", 32],
        "gated, layer scale": [*both, "--tied", "none", "--gated", "--activation", "silu", "--layer-scale", "--norm-position", "pre", "--embedding-norm"],
        "rotary, norms of queries and keys": ["--task", "language-model", "--context", 12, "--decoder-layers", 2, "--tied", "none", "--positions", "rotary", "--query-key-norm", "--norm-position", "pre"],
        "norms of sublayers": ["--task", "language-model", "--context", 12, "--decoder-layers", 2, "--tied", "none", "--sublayer-norm", "--norm-position", "pre"],
        "classes, with a pooler": ["--task", "classification", "--encoder-layers", 2, "--pooler"],
        "a masked language model": ["--task", "masked-language-model", "--encoder-layers", 2, "--tied", "none", "--norm-position", "pre", "--head-dense", "--head-norm"],
    }.items():
        equations(model, options)

sys.exit(1 if failures else 0)
