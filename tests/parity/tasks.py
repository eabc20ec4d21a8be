"""Every task of train but translation (train.py), the optimizers, and classify, against PyTorch.

Gradients: `train --gradients` after one step from a model of `model make`, with dropout 0 and one batch that holds everything,
against autograd over torch.nn.TransformerEncoderLayer in float64, one sequence at a time. What is drawn (the beginning of the
windows, masked positions and what stands in their place) is a function of the seed, by SplitMix64; it is drawn here again.

Optimizers: from our own gradients of each step (those of --steps 1, 2, ... of the same run), so that this measures the
optimizers: the first step of Adam is about the sign of a gradient, which would magnify its rounding.
"""
import math
import os
import sys

import h5py
import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "common"))
from tools import agree, check, error, finish, load, path, run, save

torch.set_num_threads(1)
rng = np.random.default_rng(3)
VOCABULARY, WIDTH, HEADS, INNER, LAYERS = 40, 32, 4, 64, 2
SHAPE = ["--width", WIDTH, "--heads", HEADS, "--inner", INNER]
BEGIN, END, MASK = 1, 2, 0


# --- the model in PyTorch ---


def tensors(name):
    """The float datasets of a model or gradient file, in float64; not what a checkpoint holds of the run."""
    found = {}
    with h5py.File(path(name)) as file:
        file.visititems(lambda n, d: found.update({n: d[()]}) if isinstance(d, h5py.Dataset) and d.dtype == np.float32 else None)
    return {n: torch.tensor(v, dtype=torch.float64, requires_grad=True) for n, v in found.items()}


def stack(p, side, x, causal, pre, activation):
    """The layers of one side over one sequence (T, D)."""
    options = dict(d_model=WIDTH, nhead=HEADS, dim_feedforward=INNER, dropout=0.0, activation=activation, batch_first=True, norm_first=pre)
    layer = torch.nn.TransformerEncoderLayer(**options, dtype=torch.float64)
    mask = torch.full((len(x), len(x)), float("-inf"), dtype=torch.float64).triu(1) if causal else None
    for i in range(LAYERS):
        at = f"{side}/{i}"
        state = {f"self_attn.in_proj_{kind}": torch.cat([p[f"{at}/self_attn/{role}/{kind}"] for role in ("query", "key", "value")])
                 for kind in ("weight", "bias")}
        for kind in ("weight", "bias"):
            state[f"self_attn.out_proj.{kind}"] = p[f"{at}/self_attn/output/{kind}"]
            for theirs, ours in [("linear1", "ffn/linear1"), ("linear2", "ffn/linear2"), ("norm1", "norm1"), ("norm2", "norm2")]:
                state[f"{theirs}.{kind}"] = p[f"{at}/{ours}/{kind}"]
        x = torch.nn.utils.stateless.functional_call(layer, state, (x[None],), {"src_mask": mask})[0]
    return torch.nn.functional.layer_norm(x, (WIDTH,), p[f"{side}/norm/weight"], p[f"{side}/norm/bias"]) if pre else x


def sinusoids(length):
    angle = np.arange(length)[:, None] * np.exp(np.arange(0, WIDTH, 2) * (-math.log(10000.0) / WIDTH))
    table = np.zeros((length, WIDTH))
    table[:, 0::2], table[:, 1::2] = np.sin(angle), np.cos(angle)
    return torch.tensor(table)


def positions(p, side, x):
    learned = p.get(f"{side}/positions/weight")
    return x + (sinusoids(len(x)) if learned is None else learned[: len(x)])


def embed(p, side, sequence):
    """Ids or vectors to what the first layer reads."""
    if sequence.ndim == 1:
        return positions(p, side, p[f"{side}/embedding/weight"][torch.tensor(sequence, dtype=torch.int64)] * math.sqrt(WIDTH))
    x = torch.tensor(sequence, dtype=torch.float64) @ p["encoder/input/weight"].T + p["encoder/input/bias"]
    return positions(p, side, torch.cat([p["encoder/class_token"], x]) if "encoder/class_token" in p else x)


def classes(p, sequence, pooling, causal=False, **kind):
    """The logits of one sequence; an empty one is seen as zeros."""
    x = stack(p, "encoder", embed(p, "encoder", sequence), causal, **kind)
    pooled = torch.zeros(WIDTH, dtype=torch.float64) if len(x) == 0 else x.mean(0) if pooling == "mean" else x[-1] if pooling == "last" else x[0]
    return p["classifier/weight"] @ pooled + p.get("classifier/bias", 0)


def cross_entropy(logits, labels, smoothing=0.0):
    return torch.nn.functional.cross_entropy(torch.cat(logits), torch.tensor(np.concatenate(labels), dtype=torch.int64), label_smoothing=smoothing)


def compare_gradients(name, p, loss, ours, zero=()):
    loss.backward()
    # A key's bias has a true gradient of zero (the softmax does not see it), and so has what `zero` names: they count in the whole gradient only.
    theirs = {n: leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for n, leaf in p.items()}
    each = {n: error([ours[n].detach().numpy()], [g.numpy()]) for n, g in theirs.items() if not n.endswith("key/bias") and n not in zero}
    worst = max(each, key=each.get)
    check(f"{name}: worst gradient of {len(each)}, {worst}: {each[worst]:.1e}", each[worst] <= 1e-5)
    agree(f"{name}: whole gradient", [ours[n].detach().numpy() for n in p], list(theirs.values()), 1e-5)


# --- what training draws ---

BITS = (1 << 64) - 1


def mix(z):
    z = (z + 0x9E3779B97F4A7C15) & BITS
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & BITS
    z = (z ^ z >> 27) * 0x94D049BB133111EB & BITS
    return z ^ z >> 31


def derive(key, stream):
    return mix(key ^ mix(stream))


class Random:
    def __init__(self, key):
        self.key, self.counter = key, -1

    def next(self):
        self.counter += 1
        return mix((self.key + 0x9E3779B97F4A7C15 * self.counter) & BITS)

    def uniform(self):
        return (self.next() >> 11) * 2.0 ** -53

    def below(self, bound):
        return self.next() % bound  # a draw that would be rejected comes once in 10^17


def word(text):
    return int.from_bytes(text.encode(), "big")


def masked(record, number, rate, seed=1):
    """A record as the first epoch reads it, and the positions that are predicted."""
    random = Random(derive(derive(derive(seed, word("example")), 0), number))
    one, count = random.below(len(record)), max(1, int(rate * len(record)))
    ids, rows = record.copy(), []
    for t in range(len(record)):
        if len(rows) == count:
            break
        if (t != one) if count == 1 else random.uniform() * (len(record) - t) >= count - len(rows):
            continue
        rows.append(t)
        draw = random.uniform()
        if draw < 0.8:
            ids[t] = MASK
        elif draw < 0.9:
            ids[t] = random.below(VOCABULARY)
    return ids, rows


# --- the tasks ---

ONE = ["-q", "--steps", 1, "--dropout", 0, "--batch-tokens", 1000000]


def make(*options):
    run("model", "make", *SHAPE, *options, "-o", path("a.h5"))
    return tensors("a.h5")


def gradients(*options):
    run("train", *ONE, "--from", path("a.h5"), *options, "--gradients", path("g.h5"), "-o", path("b.h5"))
    return tensors("g.h5")


def ids(lengths):
    return [rng.integers(3, VOCABULARY, n).astype("<i4") for n in lengths]


def language_models():
    lines = ids([5, 1, 0, 12, 9, 3])
    text = ids([25])
    documents = ids([4, 1, 9, 0, 7])
    joined = np.concatenate([np.append(d, END) for d in documents])
    window = lambda x: (np.append(BEGIN, x[:-1]), x)
    # The random beginning of the first epoch's windows of 6 tokens.
    start = Random(derive(derive(derive(1, word("order")), 0), 1)).below(6)
    cases = [
        ("lines", lines, [], [(np.append(BEGIN, x), np.append(x, END)) for x in lines]),
        ("a text of one window", text, ["--context", 25], [window(text[0])]),
        ("a text shorter than the window", text, ["--context", 500], [window(text[0])]),
        ("windows of several documents", documents, ["--context", 6],
         [window(joined[at : at + 6]) for at in range(start, len(joined) - 5, 6)]),
    ]
    for pre, activation, tied, where in [(False, "relu", "target", "sinusoidal"), (True, "gelu", "none", "learned")]:
        p = make("--kind", "decoder-only", "--target-vocabulary", VOCABULARY, "--begin-id", BEGIN, "--end-id", END, "--decoder-layers", LAYERS,
                 "--tied", tied, "--activation", activation, "--norm-position", "pre" if pre else "post", "--positions", where)
        for name, records, options, windows in cases:
            for leaf in p.values():
                leaf.grad = None
            ours = gradients("--task", "language-model", "--target", save("t.npy", records), "--label-smoothing", 0.1, *options)
            output = p["decoder/embedding/weight" if tied == "target" else "decoder/output/weight"]
            logits = [stack(p, "decoder", embed(p, "decoder", x), True, pre, activation) @ output.T for x, _ in windows]
            loss = cross_entropy(logits, [y for _, y in windows], 0.1)
            compare_gradients(f"language model, {name} ({activation}, {where}, tied {tied})", p, loss, ours)


def masked_language_models():
    records = ids([5, 1, 0, 30, 17, 60])
    p = make("--kind", "encoder-only", "--head", "tokens", "--source-vocabulary", VOCABULARY, "--mask-id", MASK, "--encoder-layers", LAYERS,
             "--output-bias", "--activation", "gelu", "--norm-position", "pre")
    for rate in [0.15, 0.5, 1]:
        for leaf in p.values():
            leaf.grad = None
        ours = gradients("--task", "masked-language-model", "--source", save("s.npy", records), "--mask-rate", rate)
        logits, labels, corrupted = [], [], [0, 0, 0]
        for number, record in enumerate(records):
            if len(record) == 0:
                continue
            read, rows = masked(record, number, rate)
            x = stack(p, "encoder", embed(p, "encoder", read), False, True, "gelu")[rows]
            logits.append(x @ p["encoder/embedding/weight"].T + p["encoder/output/bias"])
            labels.append(record[rows])
        compare_gradients(f"masked language model, rate {rate}", p, cross_entropy(logits, labels), ours)
    # The shares of what has just been seen to be what training draws, in one long record.
    record = ids([20000])[0]
    read, rows = masked(record, 0, 0.15)
    mask, kept = np.mean(read[rows] == MASK), np.mean(read[rows] == record[rows])
    check(f"of 15 %: {mask:.3f} are masked, {kept:.3f} kept", len(rows) == 3000 and abs(mask - 0.8) < 0.03 and abs(kept - 0.1) < 0.03)


def classifications():
    kind = ["--kind", "encoder-only", "--head", "classes", "--classes", 3, "--encoder-layers", LAYERS]
    texts = ids([5, 1, 0, 12, 9, 3])
    vectors = [rng.standard_normal((n, 12)).astype("<f4") for n in [5, 1, 0, 12, 9, 3]]
    labels = rng.integers(0, 3, 6).astype("<i4")
    for name, records, pooling, shape, options in [
        ("ids, mean", texts, "mean", dict(pre=False, activation="relu"), ["--source-vocabulary", VOCABULARY]),
        ("ids, first row", texts, "first", dict(pre=True, activation="relu"), ["--source-vocabulary", VOCABULARY]),
        ("ids, last row of causal layers", texts, "last", dict(pre=True, activation="relu", causal=True), ["--source-vocabulary", VOCABULARY, "--causal"]),
        ("vectors, mean", vectors, "mean", dict(pre=False, activation="gelu"), ["--input-width", 12]),
        ("vectors, class token", vectors, "first", dict(pre=True, activation="gelu"),
         ["--input-width", 12, "--class-token", "--positions", "learned", "--max-positions", 16]),
    ]:
        p = make(*kind, *options, "--pooling", pooling, "--norm-position", "pre" if shape["pre"] else "post", "--activation", shape["activation"])
        ours = gradients("--task", "classification", "--source", save("s.npy", records), "--labels", save("l.npy", labels))
        logits = [classes(p, x, pooling, **shape)[None] for x in records]
        agree(f"classify, {name}", run("classify", "-m", path("a.h5"), path("s.npy")), [torch.softmax(x[0], 0) for x in logits])
        compare_gradients(f"classification, {name}", p, cross_entropy(logits, [labels]), ours)


def classes_of_language_models():
    """A decoder alone, read as an encoder: the same layers, and a linear layer without bias that reads the last position."""
    lm = make("--kind", "decoder-only", "--decoder-layers", LAYERS, "--target-vocabulary", VOCABULARY, "--begin-id", BEGIN, "--end-id", END, "--norm-position", "pre", "--activation", "gelu")
    texts, labels = ids([5, 1, 0, 12, 9, 3]), rng.integers(0, 3, 6).astype("<i4")
    data = ["--task", "classification", "--source", save("s.npy", texts), "--labels", save("l.npy", labels)]
    run("train", *data, "--from", path("a.h5"), "--learning-rate", 0, "--steps", 1, "--quiet", "-o", path("c.h5"))
    os.replace(path("c.h5"), path("a.h5"))
    p = tensors("a.h5")
    layers = {n: "encoder/" + n[len("decoder/"):] for n in lm if not n.startswith("decoder/output/")}
    check("a language model's layers", set(p) == {*layers.values(), "classifier/weight"} and all(torch.equal(lm[n], p[m]) for n, m in layers.items()))
    logits = [classes(p, x, "last", causal=True, pre=True, activation="gelu")[None] for x in texts]
    compare_gradients("classification by a language model", p, cross_entropy(logits, [labels]), gradients(*data))


def weighted_classes():
    """Class weights, whose sum the mean divides by, with and without smoothing: of sequences and of positions."""
    weights = torch.tensor([0.5, 3.0, 1.25], dtype=torch.float64)
    named = [w for c in (0, 1, 2) for w in ("--class-weights", f"{c}={weights[c]:g}")]
    lengths = [5, 1, 0, 12, 9, 3]
    texts, of_records = ids(lengths), np.array([0, 1, 1, 2, 0, 0], "<i4")
    of_positions = [rng.integers(-1, 3, n).astype("<i4") for n in lengths]
    for task, head, labels in [("classification", "classes", of_records), ("tagging", "token-classes", of_positions)]:
        p = make("--kind", "encoder-only", "--head", head, "--classes", 3, "--encoder-layers", LAYERS, "--source-vocabulary", VOCABULARY)
        given = ["--task", task, "--source", save("s.npy", texts), "--labels", save("l.npy", labels), "--log", path("l.tsv"),
                 "--valid-source", path("s.npy"), "--valid-labels", path("l.npy")]
        right = np.concatenate(labels) if head == "token-classes" else labels
        counts = np.bincount(right[right >= 0], minlength=3)
        for name, options, w in [("given", named, weights), ("balanced", ["--class-weights", "balanced"], torch.tensor(counts.sum() / (3 * counts)))]:
            for smoothing in [0, 0.2]:
                for leaf in p.values():
                    leaf.grad = None
                ours = gradients(*given, *options, "--label-smoothing", smoothing)
                if head == "classes":
                    logits = torch.stack([classes(p, x, "mean", pre=False, activation="relu") for x in texts])
                else:
                    hidden = torch.cat([stack(p, "encoder", embed(p, "encoder", x), False, False, "relu") for x in texts])
                    logits = hidden @ p["classifier/weight"].T + p["classifier/bias"]
                loss = torch.nn.functional.cross_entropy(logits, torch.tensor(right, dtype=torch.int64), weight=w, ignore_index=-1, label_smoothing=smoothing)
                reported = float(open(path("l.tsv")).read().split("\n")[1].split("\t")[2])
                check(f"{task}, weights {name}, smoothing {smoothing}: loss {reported}", abs(reported - loss.item()) < 1e-5 * loss.item())
                compare_gradients(f"{task}, weights {name}, smoothing {smoothing}", p, loss, ours)


def values():
    """Labels of which several hold, and numbers: the means over all elements of binary cross-entropies and of squared errors."""
    F = torch.nn.functional
    lengths = [5, 1, 0, 12, 9, 3]
    texts, types = ids(lengths), [(np.arange(n) >= n // 3).astype("<i4") for n in lengths]
    vectors = [rng.standard_normal((n, 12)).astype("<f4") for n in lengths]
    sets = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1]], "<f4")
    soft, numbers = rng.random((6, 3)).astype("<f4"), (3 * rng.standard_normal((6, 3))).astype("<f4")
    pos = torch.tensor([2.5, 1.0, 0.5], dtype=torch.float64)
    balanced = torch.tensor((1 - sets).sum(0) / sets.sum(0), dtype=torch.float64)
    open(path("l.txt"), "w").writelines(" ".join("abc"[k] for k in range(3) if row[k]) + "\n" for row in sets)
    bce = lambda targets, weight=None: lambda x: F.binary_cross_entropy_with_logits(x, torch.tensor(targets, dtype=torch.float64), pos_weight=weight)
    mse = lambda targets: lambda x: F.mse_loss(x, torch.tensor(targets, dtype=torch.float64))
    labels, given = ["--task", "multi-label", "--labels"], ["--task", "regression", "--target-values"]
    open(path("v.txt"), "w").writelines(", ".join(repr(float(x)) for x in row) + "\n" for row in numbers)
    kinds = [("ids", texts, ["--source-vocabulary", VOCABULARY, "--token-types", 2], dict(pre=False, activation="relu"), "mean"),
             ("vectors, class token", vectors, ["--input-width", 12, "--class-token", "--positions", "learned", "--max-positions", 16],
              dict(pre=True, activation="gelu"), "first")]
    for what, records, options, shape, pooling in kinds:
        beside = ["--types", save("t.npy", types)] if what == "ids" else []
        for problem, name, train, loss_of in [
            ("multi-label", "sets", [*labels, save("l.npy", sets)], bce(sets)),
            ("multi-label", "soft labels", [*labels, save("f.npy", list(soft))], bce(soft)),
            ("multi-label", "pos-weights", [*labels, path("l.npy"), "--pos-weights", "0=2.5", "--pos-weights", "2=0.5"], bce(sets, pos)),
            ("multi-label", "balanced", [*labels, path("l.npy"), "--pos-weights", "balanced"], bce(sets, balanced)),
            ("regression", "numbers", [*given, save("v.npy", numbers)], mse(numbers)),
            ("regression", "numbers in text", [*given, path("v.txt")], mse(numbers)),
        ]:
            p = make("--kind", "encoder-only", "--head", "classes", "--problem-type", problem, "--classes", 3, "--encoder-layers", LAYERS, *options,
                     "--pooling", pooling, "--norm-position", "pre" if shape["pre"] else "post", "--activation", shape["activation"])
            ours = gradients(*train, "--source", save("s.npy", records), *beside, "--log", path("l.tsv"))
            rows = []
            for x, kind in zip(records, types):
                h = embed(p, "encoder", x)
                if beside:
                    h = h + p["encoder/token_types/weight"][torch.tensor(kind, dtype=torch.int64)]
                h = stack(p, "encoder", h, False, **shape)
                pooled = torch.zeros(WIDTH, dtype=torch.float64) if len(h) == 0 else h.mean(0) if pooling == "mean" else h[0]
                rows.append(p["classifier/weight"] @ pooled + p["classifier/bias"])
            x = torch.stack(rows)
            loss = loss_of(x)
            reported = float(open(path("l.tsv")).read().split("\n")[1].split("\t")[2])
            check(f"{problem}, {what}, {name}: loss {reported}", abs(reported - loss.item()) < 1e-5 * loss.item())
            written = run("classify", "-m", path("a.h5"), path("s.npy"), *beside)
            agree(f"classify, {problem}, {what}, {name}", written, list(torch.sigmoid(x) if problem == "multi-label" else x))
            compare_gradients(f"{problem}, {what}, {name}", p, loss, ours)
    # One number, as similarity has: its mean is over records.
    p = make("--kind", "encoder-only", "--head", "classes", "--problem-type", "regression", "--classes", 1, "--encoder-layers", LAYERS, "--source-vocabulary", VOCABULARY)
    ours = gradients(*given, save("v.npy", list(numbers[:, :1])), "--source", save("s.npy", texts))
    x = torch.stack([classes(p, x, "mean", pre=False, activation="relu") for x in texts])
    compare_gradients("regression, one number", p, mse(numbers[:, :1])(x), ours)
    # Labels by name are those of the array, by the order of the names.
    run("train", *ONE, *labels, path("l.txt"), "--source", path("s.npy"), *SHAPE, "--encoder-layers", 1, "--source-vocabulary", VOCABULARY, "-o", path("named.h5"))
    run("train", *ONE, *labels, path("l.npy"), "--source", path("s.npy"), *SHAPE, "--encoder-layers", 1, "--source-vocabulary", VOCABULARY, "-o", path("numbered.h5"))
    named, numbered = tensors("named.h5"), tensors("numbered.h5")
    check("multi-label: the same bits by names and by numbers", all(torch.equal(named[n], numbered[n]) for n in numbered))


def recomputed():
    """--checkpoint-activations: the gradients that the same run has without it, to the bit."""
    texts, others = ids([5, 1, 0, 12, 9, 30]), ids([7, 2, 4, 0, 9, 25])
    dropout = ["--dropout", 0.2, "--attention-dropout", 0.1, "--activation-dropout", 0.1, "--layer-drop", 0.3]
    kind = ["--encoder-layers", 3, "--source-vocabulary", VOCABULARY]
    pair = ["--source", save("s.npy", texts), "--target", save("t.npy", others)]
    for name, words in [("translation", [*pair, *kind, "--decoder-layers", 3, "--target-vocabulary", VOCABULARY, "--begin-id", 1, "--end-id", 2, "--positions", "relative"]),
                        ("contrastive", ["--task", "contrastive", *pair, *kind, "--norm-position", "pre"])]:
        found = []
        for flag in [[], ["--checkpoint-activations"]]:
            run("train", "-q", *words, *SHAPE, *dropout, "--steps", 3, "--warmup", 1, *flag, "--gradients", path("g.h5"), "-o", path("b.h5"))
            found.append((tensors("g.h5"), tensors("b.h5")))
        check(f"{name}: the same bits from recomputed activations", all(torch.equal(one[n], two[n]) for one, two in zip(*found) for n in one)
              and any(g.abs().max() > 0 for g in found[0][0].values()))


def taggings():
    """A class for each position, where it has a label, or for each word's first id."""
    kind = ["--kind", "encoder-only", "--head", "token-classes", "--classes", 5, "--encoder-layers", LAYERS]
    lengths = [5, 1, 0, 12, 9, 3]
    texts = ids(lengths)
    vectors = [rng.standard_normal((n, 12)).astype("<f4") for n in lengths]
    labels = [rng.integers(-1, 5, n).astype("<i4") for n in lengths]
    words = [np.cumsum(rng.integers(0, 2, n) | (np.arange(n) == 1)).astype("<i4") - 1 for n in lengths]  # the first of some are of no word
    words[3] = np.array([-1, 0, 0, 1, 2, 2, 1, 3, 4, 4, -1, -1], "<i4")  # as a word may be in two places
    first = [[list(w).index(k) for k in range(w.max(initial=-1) + 1)] for w in words]
    names = "v w x y z".split()
    named = [rng.integers(0, 5, len(f)) for f in first]
    open(path("l.txt"), "w").writelines(" ".join(names[k] for k in n) + "\n" for n in named)
    for name, records, shape, options, of_words in [
        ("ids", texts, dict(pre=False, activation="relu"), ["--source-vocabulary", VOCABULARY], False),
        ("words", texts, dict(pre=True, activation="gelu"), ["--source-vocabulary", VOCABULARY], True),
        ("vectors", vectors, dict(pre=False, activation="gelu"), ["--input-width", 12], False),
        ("vectors, class token", vectors, dict(pre=True, activation="gelu"),
         ["--input-width", 12, "--class-token", "--positions", "learned", "--max-positions", 16], False),
    ]:
        p = make(*kind, *options, "--norm-position", "pre" if shape["pre"] else "post", "--activation", shape["activation"])
        given = ["--labels", path("l.txt"), "--words", save("w.npy", words)] if of_words else ["--labels", save("l.npy", labels)]
        ours = gradients("--task", "tagging", "--source", save("s.npy", records), *given)
        hidden = [stack(p, "encoder", embed(p, "encoder", x), False, **shape)[-len(x) or 99:] for x in records]
        logits = [x @ p["classifier/weight"].T + p["classifier/bias"] for x in hidden]
        if of_words:
            logits, targets = [x[f] for x, f in zip(logits, first)], named
            given = ["--words", path("w.npy")]
        else:
            targets, given = labels, []
        agree(f"tag, {name}", run("tag", "-m", path("a.h5"), path("s.npy"), *given), [torch.softmax(x, 1) for x in logits])
        agree(f"tag, {name}, logits", run("tag", "-m", path("a.h5"), path("s.npy"), *given, "--give", "logits"), logits)
        numbers = run("tag", "-m", path("a.h5"), path("s.npy"), *given, "--give", "numbers")
        check(f"tag, {name}, numbers", all(n.tolist() == x.argmax(1).tolist() for n, x in zip(numbers, logits)))
        asked = [t >= 0 for t in targets]
        loss = cross_entropy([x[a] for x, a in zip(logits, asked)], [t[a] for t, a in zip(targets, asked)])
        compare_gradients(f"tagging, {name}", p, loss, ours)


def spans():
    """The first and the last position of an answer, each a choice among the positions of its record (Devlin et al. 2019, section 4.2)."""
    lengths = [5, 1, 0, 12, 9, 3]
    texts = ids(lengths)
    types = [(np.arange(n) >= n // 3).astype("<i4") for n in lengths]
    labels = np.array([[1, 3], [0, 0], [0, 0], [7, 7], [0, 0], [1, 2]], "<i4")
    # The same as characters: ids of the second text, two characters each, a space between.
    offsets = [np.array([[t, 3 * i, 3 * i + 2] for i, t in enumerate(kinds)], "<i4").reshape(-1, 3) for kinds in types]
    characters = np.array([[3 * a + 1, 3 * b + 2] if b else [0, 0] for a, b in labels], "<i4")
    for name, options, shape, dense in [("types, post-norm", ["--token-types", 2], dict(pre=False, activation="relu"), False),
                                        ("pre-norm, a dense head", ["--token-types", 2, "--head-dense", "--head-norm"], dict(pre=True, activation="gelu"), True)]:
        p = make("--kind", "encoder-only", "--head", "token-classes", "--classes", 2, "--encoder-layers", LAYERS, "--source-vocabulary", VOCABULARY,
                 "--norm-position", "pre" if shape["pre"] else "post", "--activation", shape["activation"], *options)
        given = ["--task", "spans", "--source", save("s.npy", texts), "--types", save("t.npy", types)]
        ours = gradients(*given, "--labels", save("l.npy", labels), "--label-smoothing", 0.1)
        theirs = gradients(*given, "--labels", save("l.npy", list(characters)), "--offsets", save("o.npy", offsets), "--label-smoothing", 0.1)
        check(f"spans, {name}: of characters the same bits as of positions", all(torch.equal(ours[n], theirs[n]) for n in p))
        logits = []
        for x, kinds in zip(texts, types):
            h = embed(p, "encoder", x) + p["encoder/token_types/weight"][torch.tensor(kinds, dtype=torch.int64)]
            h = stack(p, "encoder", h, False, **shape)
            if dense:
                h = torch.nn.functional.gelu(h @ p["encoder/head/dense/weight"].T + p["encoder/head/dense/bias"])
                h = torch.nn.functional.layer_norm(h, (WIDTH,), p["encoder/head/norm/weight"], p["encoder/head/norm/bias"])
            logits.append(h @ p["classifier/weight"].T + p["classifier/bias"])
        agree(f"spans, {name}: logits", run("encode", "-m", path("a.h5"), path("s.npy"), "--types", path("t.npy"), "--give", "logits"), logits)
        each = [torch.nn.functional.cross_entropy(x[None, :, k], torch.tensor([int(l[k])]), label_smoothing=0.1)
                for x, l in zip(logits, labels) for k in (0, 1) if len(x)]
        # What adds the same to all positions changes no choice among them.
        zero = ["classifier/bias", "encoder/head/norm/bias" if dense else f"encoder/{LAYERS - 1}/norm2/bias"]
        compare_gradients(f"spans, {name}", p, torch.stack(each).mean(), ours, zero)
        # The best answers by definition, of the second text and of all positions.
        for beside, allowed in [(["--offsets", path("o.npy")], lambda i, t: t > 0 and types[i][t] == 1), ([], lambda i, t: t > 0)]:
            best = []
            for i, x in enumerate(logits):
                x, n = x.detach().numpy(), len(x)
                spans = [(x[a, 0] + x[b, 1], a, b) for a in range(n) for b in range(a, min(n, a + 4)) if allowed(i, a) and allowed(i, b)]
                spans = sorted(spans + ([(x[0, 0] + x[0, 1] - 0.5, 0, 0)] if n else [(0, 0, 0)]), reverse=True)[:3]
                best.append(spans)
            common = ["answer", "-m", path("a.h5"), "--types", path("t.npy"), *beside, "--max-answer", 4, "--threshold", 0.5, path("s.npy")]
            places = run(*common, "--nbest", 3)
            check(f"answer, {name}, {len(beside)}: the best three", [p.tolist() for p in places] == [[[a, b] for _, a, b in spans] for spans in best])
            agree(f"answer, {name}, {len(beside)}: their scores", run(*common, "--nbest", 3, "--give", "scores"), [np.array([s for s, _, _ in spans]) for spans in best])
            check(f"answer, {name}, {len(beside)}: the best one, its ids", [x.tolist() for x in run(*common, "--give", "ids")] ==
                  [texts[i][spans[0][1]:spans[0][2] + 1].tolist() if spans[0][2] else [] for i, spans in enumerate(best)])


def pairs():
    """Pairs whose vectors are compared, by one encoder and by two, in more parts than one; the loss needs all of them."""
    F = torch.nn.functional
    lengths = np.append(rng.integers(1, 60, 39), 0)
    texts, others = ids(lengths), ids(rng.permutation(lengths))
    vectors = [rng.standard_normal((n, 12)).astype("<f4") for n in lengths]

    def vector(p, tower, sequence, pooling, **kind):
        p = {n.removeprefix(tower): v for n, v in p.items()}
        x = stack(p, "encoder", embed(p, "encoder", sequence), False, **kind)
        pooled = torch.zeros(WIDTH, dtype=torch.float64) if len(x) == 0 else x.mean(0) if pooling == "mean" else x[0]
        return F.normalize(p["projection/weight"] @ pooled if "projection/weight" in p else pooled, dim=0)

    for name, sources, towers, pooling, shape, options in [
        ("ids", texts, ("", ""), "mean", dict(pre=False, activation="relu"), []),
        ("ids, projected", texts, ("", ""), "first", dict(pre=True, activation="gelu"), ["--projection", 16]),
        ("vectors and ids", vectors, ("image/", "text/"), "mean", dict(pre=True, activation="gelu"),
         ["--projection", 24, "--class-token", "--image", "positions=learned", "--image", "max-positions=70"]),
    ]:
        given = ["--task", "contrastive", "--source", save("s.npy", sources), "--target", save("t.npy", others)]
        run("train", "-q", *given, *SHAPE, *options, "--source-vocabulary", VOCABULARY, "--encoder-layers", LAYERS, "--pooling", pooling,
            "--norm-position", "pre" if shape["pre"] else "post", "--activation", shape["activation"], "--steps", 1, "--learning-rate", 0, "-o", path("a.h5"))
        p = tensors("a.h5")
        scale = p["logit_scale"]
        check(f"pairs, {name}: the first scale", abs(scale.item() - math.log(1 / 0.07)) < 1e-6)
        sides = [torch.stack([vector(p, tower, x, pooling, **shape) for x in side]) for tower, side in zip(towers, (sources, others))]
        for tower, side, file in zip(towers, sides, ("s.npy", "t.npy")):
            agree(f"pairs, {name}: vectors {tower}", run("encode", "-m", path("a.h5") + (":" + tower[:-1] if tower else ""), path(file), "--pool", "model"), list(side))
        for smoothing in [0, 0.1]:
            for leaf in p.values():
                leaf.grad = None
            ours = gradients(*given, "--label-smoothing", smoothing, "--log", path("l.tsv"))
            logits, right = scale.exp() * sides[0] @ sides[1].T, torch.arange(len(sources))
            loss = (F.cross_entropy(logits, right, label_smoothing=smoothing) + F.cross_entropy(logits.T, right, label_smoothing=smoothing)) / 2
            reported = float(open(path("l.tsv")).read().split("\n")[1].split("\t")[2])
            check(f"pairs, {name}, smoothing {smoothing}: loss {reported}", abs(reported - loss.item()) < 1e-5 * loss.item())
            loss.backward(retain_graph=True)
            each = {n: error([ours[n].detach().numpy()], [leaf.grad.numpy()]) for n, leaf in p.items() if not n.endswith("key/bias")}
            worst = max(each, key=each.get)
            check(f"pairs, {name}, smoothing {smoothing}: worst gradient of {len(each)}, {worst}: {each[worst]:.1e}", each[worst] <= 1e-5)


def windows():
    """A long text in windows that overlap: each is a record of its own, of a span in two the higher score counts, of no answer the lowest."""
    p = make("--kind", "encoder-only", "--head", "token-classes", "--classes", 2, "--encoder-layers", LAYERS, "--source-vocabulary", VOCABULARY, "--token-types", 2)
    record, question, end = ids([60])[0], 6, 59     # 6 ids of the question, 53 of the text, a control id
    types = np.array([0] * question + [1] * 54, "<i4")
    offsets = np.array([[-1, -1, -1]] + [[0, i, i + 1] for i in range(5)] + [[1, i, i + 1] for i in range(53)] + [[-1, -1, -1]], "<i4")
    given = ["--types", save("t.npy", types), "--offsets", save("o.npy", offsets), save("s.npy", record)]
    candidates, none = {}, []
    for begin in range(question, end, 20 - 7 - 5):
        stop = min(begin + 20 - 7, end)
        places = [*range(question), *range(begin, stop), end]
        save("ws.npy", record[places]), save("wt.npy", types[places])
        x = run("encode", "-m", path("a.h5"), path("ws.npy"), "--types", path("wt.npy"), "--give", "logits")[0].astype(np.float64)
        none.append(x[0].sum())
        for a in range(begin, stop):
            for b in range(a, stop):
                score = x[places.index(a), 0] + x[places.index(b), 1]
                candidates[a, b] = max(score, candidates.get((a, b), -1e9))
        if stop == end:
            break
    candidates[0, 0] = min(none)
    best = sorted(candidates, key=candidates.get, reverse=True)[:10]
    options = ["--window", 20, "--stride", 5, "--nbest", 10]
    check(f"answer: {len(none)} windows, the best ten", run("answer", "-m", path("a.h5"), *given, *options)[0].tolist() == [list(b) for b in best])
    check("answer: a window with room for all is none", run("answer", "-m", path("a.h5"), *given, "--window", 60, "--stride", 5, "--nbest", 10)[0].tolist()
          == run("answer", "-m", path("a.h5"), *given, "--nbest", 10)[0].tolist())


def vision():
    """patchify | embed | posenc | encode, stage by stage, against the model's forward from the images."""
    images = rng.standard_normal((4, 8, 8)).astype("<f4")
    p = make("--kind", "encoder-only", "--head", "classes", "--classes", 3, "--encoder-layers", LAYERS, "--input-width", 16, "--class-token",
             "--positions", "learned", "--max-positions", 5, "--norm-position", "pre", "--activation", "gelu", "--pooling", "first")
    patches = images.reshape(4, 2, 4, 2, 4).swapaxes(2, 3).reshape(4, 4, 16)
    save("patches.npy", run("patchify", "--size", 4, save("images.npy", images))[0])
    save("embedded.npy", run("embed", "-m", path("a.h5"), path("patches.npy"))[0])
    save("placed.npy", run("posenc", "-m", path("a.h5"), path("embedded.npy"))[0])
    read = [embed(p, "encoder", x) for x in patches]
    agree("patchify | embed | posenc", load("placed.npy"), [torch.stack(read)])
    memory = torch.stack([stack(p, "encoder", x, False, True, "gelu") for x in read])
    agree("patchify | embed | posenc | encode", run("encode", "-m", path("a.h5"), path("placed.npy")), [memory])
    probabilities = torch.softmax(torch.stack([classes(p, x, "first", pre=True, activation="gelu") for x in patches]), 1)
    agree("patchify | classify", run("classify", "-m", path("a.h5"), path("patches.npy")), [probabilities])


# --- the optimizers ---


def arrays(name):
    return {n: t.detach().to(torch.float32) for n, t in tensors(name).items()}


def optimizers():
    steps, rate = 4, 0.05
    make("--kind", "decoder-only", "--target-vocabulary", VOCABULARY, "--begin-id", BEGIN, "--end-id", END, "--decoder-layers", LAYERS)
    text = save("t.npy", ids([5, 1, 12, 9, 3]))
    every = ["-q", "--task", "language-model", "--target", text, "--from", path("a.h5"), "--dropout", 0, "--warmup", 1, "--schedule", "constant",
             "--learning-rate", rate, "--validate-every", 1]

    def train(output, *options):
        run("train", *every, *options, "-o", path(output))
        return arrays(output)

    def one_axis(n, p):
        return p.dim() == 1

    def compare(name, options, build, clip=None, factor=lambda n: 1.0, limit=1e-6):
        """build(groups of torch's parameters) makes torch's optimizer."""
        leaves = {n: torch.nn.Parameter(v) for n, v in arrays("a.h5").items()}
        optimizer = build([dict(params=[p], one_axis=one_axis(n, p), lr=rate * factor(n)) for n, p in leaves.items() if factor(n) > 0])
        for step in range(1, steps + 1):
            after = train("b.h5", "--steps", step, "--gradients", path("g.h5"), *options)
            for n, g in arrays("g.h5").items():
                leaves[n].grad = g
            if clip:
                norm = float(torch.nn.utils.clip_grad_norm_(leaves.values(), clip))
                check(f"{name}: step {step} has norm {norm:.2f}, which {clip} clips", norm > 1.2 * clip)
            optimizer.step()
        # Relative to how far the parameters have come, not to their size.
        start = arrays("a.h5")
        moved = [n for n in start if factor(n) > 0]
        e = error([(after[n] - start[n]).numpy() for n in moved], [(leaves[n].detach() - start[n]).numpy() for n in moved])
        check(f"{name}, {steps} steps: {e:.1e}", e <= limit)
        frozen = [n for n in start if factor(n) == 0]
        check(f"{name}: {len(frozen)} frozen parameters keep their bits, {len(moved)} others move",
              all(torch.equal(after[n], start[n]) for n in frozen) and all(not torch.equal(after[n], start[n]) for n in moved))

    def adamw(decay):
        def build(groups):
            for group in groups:
                group["weight_decay"] = 0.0 if group.pop("one_axis") else decay
            return torch.optim.AdamW(groups, lr=rate, betas=(0.8, 0.95), eps=1e-6)
        return build

    def adam(groups):
        return torch.optim.Adam([{k: v for k, v in g.items() if k != "one_axis"} for g in groups], lr=rate, betas=(0.9, 0.98), eps=1e-9)

    def sgd(l2):
        def build(groups):
            for group in groups:
                group["weight_decay"] = 0.0 if group.pop("one_axis") else l2  # torch's name for the penalty
            return torch.optim.SGD(groups, lr=rate, momentum=0.7)
        return build

    # Of movements of up to 1e-1 the rounding of a parameter near 1 (6e-8) is the largest part of these differences.
    compare("Adam", [], adam)
    compare("AdamW", ["--optimizer", "adamw", "--weight-decay", 0.3, "--beta1", 0.8, "--beta2", 0.95, "--epsilon", 1e-6], adamw(0.3))
    compare("SGD", ["--optimizer", "sgd", "--momentum", 0.7], sgd(0))
    compare("SGD with --l2", ["--optimizer", "sgd", "--momentum", 0.7, "--l2", 0.2], sgd(0.2))
    compare("Adam with --clip-norm", ["--clip-norm", 0.2], adam, clip=0.2, limit=1e-5)  # torch divides by norm + 1e-6
    compare("SGD with --clip-norm", ["--optimizer", "sgd", "--momentum", 0.7, "--clip-norm", 0.2], sgd(0), clip=0.2, limit=1e-5)
    factors = lambda n: 0.0 if n.endswith("embedding/weight") or n.startswith("decoder/1/ffn") else 0.1 if n.startswith("decoder/0") else 1.0
    options = ["--rate-factor", "decoder/0/*=0.1", "--freeze", "*/embedding/*", "--freeze", "decoder/1/ffn*"]
    compare("Adam with --rate-factor and --freeze", options, adam, factor=factors)
    compare("SGD with --clip-norm and --freeze", [*options, "--optimizer", "sgd", "--momentum", 0.7, "--clip-norm", 0.2], sgd(0), clip=0.2,
            factor=factors, limit=1e-5)

    # Several batches of one update are one batch of all their tokens.
    train("b.h5", "--steps", 1, "--gradients", path("g.h5"))
    whole = arrays("g.h5")
    for tokens in [7, 20]:
        train("c.h5", "--steps", 1, "--batch-tokens", tokens, "--accumulate", 3 if tokens == 20 else 5, "--gradients", path("g.h5"))
        parts = arrays("g.h5")
        agree(f"gradients of batches of {tokens} tokens, accumulated", [parts[n].numpy() for n in whole], list(whole.values()), 1e-6)

    # The moving average, from the parameters of each step of the same run without it.
    number = 12
    train("raw.h5", "--steps", number, "--keep-last", number)
    for decay in [0.3, 0.9]:
        train("mean.h5", "--steps", number, "--keep-last", number, "--overwrite", "--average-decay", decay)
        average = {n: v.numpy().astype(np.float64) for n, v in arrays("a.h5").items()}
        worst = 0
        for step in range(1, number + 1):
            keep = min(decay, (1 + step) / (10 + step))
            values, ours = arrays(f"raw.h5.step-{step}.h5"), arrays(f"mean.h5.step-{step}.h5")
            average = {n: keep * average[n] + (1 - keep) * values[n].numpy() for n in average}
            worst = max(worst, error([ours[n].numpy() for n in average], list(average.values())))
        check(f"moving average, decay {decay}, worst of {number} steps: {worst:.1e}", worst <= 2e-7)


language_models()
masked_language_models()
classifications()
classes_of_language_models()
taggings()
spans()
pairs()
windows()
vision()
optimizers()
weighted_classes()
values()
recomputed()
finish()
