"""decode against torch.nn.Transformer, with model files that h5py wrote: what it gives for targets, and its beam against one in plain Python over
PyTorch's logits, with the rules about what may come next as their papers define them. PyTorch takes one sequence at a time, we take them all at once."""
import itertools
import math
import os
import sys

import numpy as np
import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "common"))
from tools import agree, check, finish, layer_parameters, load, path, randomize, run, save, save_model

generator = torch.Generator().manual_seed(6)
torch.manual_seed(6)
width, heads, inner, layers, vocabulary = 48, 6, 80, 2, 37
begin, end = 1, 2
lengths, target_lengths = [3, 7, 1, 25, 12, 60], [5, 1, 0, 30, 11, 40]
draw = lambda n: torch.randint(3, vocabulary, (n,), generator=generator)
sources, targets = [draw(n) for n in lengths], [draw(n) for n in target_lengths]
save("src.npy", [s.numpy().astype("<i4") for s in sources])
save("trg.npy", [t.numpy().astype("<i4") for t in targets])

position = torch.arange(200, dtype=torch.float64)[:, None] / 10000.0 ** (torch.arange(0, width, 2) / width)
table = torch.stack([position.sin(), position.cos()], -1).reshape(200, width).float()
causal = lambda n: torch.ones(n, n).triu(1).bool()


class Model:
    """nn.Transformer with embeddings and an output of its own, and the model file that holds the same."""

    def __init__(self, pre, activation, sharp=1.0, vocabulary=vocabulary, ending=0.5):
        self.whole = nn.Transformer(width, heads, layers, layers, inner, dropout=0.0, activation=activation, batch_first=True, norm_first=pre)
        randomize(self.whole, generator)
        if not pre:
            self.whole.encoder.norm = self.whole.decoder.norm = None
        self.source, self.target = nn.Embedding(vocabulary, width), nn.Embedding(vocabulary, width)
        self.output = nn.Linear(width, vocabulary)
        with torch.no_grad():
            self.output.weight *= sharp
            self.output.bias[end] += ending * sharp  # so that some outputs end before the limit
        parameters = {"encoder/embedding/weight": self.source.weight, "decoder/embedding/weight": self.target.weight,
                      "decoder/output/weight": self.output.weight, "decoder/output/bias": self.output.bias}
        for side in "encoder", "decoder":
            stack = getattr(self.whole, side)
            for i, layer in enumerate(stack.layers):
                parameters.update(layer_parameters(f"{side}/{i}", layer))
            if stack.norm is not None:
                parameters.update({f"{side}/norm/weight": stack.norm.weight, f"{side}/norm/bias": stack.norm.bias})
        self.file = save_model("model.h5", parameters, source_vocabulary=vocabulary, target_vocabulary=vocabulary, width=width, heads=heads,
                               kv_heads=heads, inner=inner, encoder_layers=layers, decoder_layers=layers, activation=activation,
                               norm_position="pre" if pre else "post", final_norm=pre, output_bias=True, begin_id=begin, end_id=end)

    def embed(self, embedding, ids):
        return (embedding(ids) * math.sqrt(width) + table[:len(ids)])[None]

    def hidden(self, source, read):
        return self.whole(self.embed(self.source, source), self.embed(self.target, read), tgt_mask=causal(len(read)))[0]

    def logits(self, source, ids):
        """Of what follows begin and the ids."""
        return self.output(self.hidden(source, read(torch.tensor(ids, dtype=torch.long)))[-1])


class LanguageModel:
    """A decoder alone, of few ids: outputs repeat themselves."""

    def __init__(self, vocabulary, sharp):
        layer = nn.TransformerEncoderLayer(width, heads, inner, dropout=0.0, activation="relu", batch_first=True)
        self.stack = randomize(nn.TransformerEncoder(layer, layers, enable_nested_tensor=False), generator)
        randomize(self.stack, generator)
        self.embedding, self.output = nn.Embedding(vocabulary, width), nn.Linear(width, vocabulary)
        with torch.no_grad():
            self.output.weight *= sharp
            self.output.bias[end] -= 0.3 * sharp
        parameters = {"decoder/embedding/weight": self.embedding.weight, "decoder/output/weight": self.output.weight,
                      "decoder/output/bias": self.output.bias}
        for i, layer in enumerate(self.stack.layers):
            parameters.update(layer_parameters(f"decoder/{i}", layer))
        self.file = save_model("lm.h5", parameters, kind="decoder-only", target_vocabulary=vocabulary, width=width, heads=heads, kv_heads=heads,
                               inner=inner, decoder_layers=layers, output_bias=True, begin_id=begin, end_id=end)

    def logits(self, prompt, ids):
        ids = read(torch.tensor(ids, dtype=torch.long))
        x = (self.embedding(ids) * math.sqrt(width) + table[:len(ids)])[None]
        return self.output(self.stack(x, mask=causal(len(ids)))[0, -1])


def read(target):
    return torch.cat([torch.tensor([begin]), target])


def with_rules(logits, ids, generated, rules):
    """The log-probabilities (V,) of what follows `ids`, all of them given or generated, `generated` of them so far."""
    logits = logits.clone()
    for i in set(ids):  # Keskar et al. 2019, section 4.1
        logits[i] = logits[i] * rules.get("repetition-penalty", 1) if logits[i] < 0 else logits[i] / rules.get("repetition-penalty", 1)
    p = logits.log_softmax(-1).double()
    n = rules.get("no-repeat-ngram", 0)
    if n:
        grams = {tuple(ids[i:i + n]) for i in range(len(ids) - n + 1)}
        for v in range(len(p)):
            if tuple((ids + [v])[-n:]) in grams and len(ids) + 1 >= n:
                p[v] = -math.inf
    for phrase in rules.get("ban", []):
        for v in range(len(p)):
            if (ids + [v])[-len(phrase):] == phrase:
                p[v] = -math.inf
    for v in rules.get("suppress", []) + [begin] + ([end] if generated < rules.get("min-length", 0) else []):
        p[v] = -math.inf
    return p


def contains(ids, phrase):
    return any(ids[i:i + len(phrase)] == phrase for i in range(len(ids) - len(phrase) + 1))


def begun(ids, phrase):
    """How many ids of the phrase are there: all of them, or those of its first that the ids end with."""
    return len(phrase) if contains(ids, phrase) else max(n for n in range(len(phrase)) if n == 0 or ids[-n:] == phrase[:n])


def met(ids, required):
    """Required ids that are met: of the phrases that are there, and of the one that is furthest."""
    return sum(len(r) for r in required if contains(ids, r)) + max((begun(ids, r) for r in required if not contains(ids, r)), default=0)


def beam_search(model, source, beam, nbest, penalty, limit, gnmt=False, rules={}, given=[], prompt=False):
    """The search as lib/search/search.hpp defines it, one hypothesis at a time. [(ids, sum, score, ended, wanted)]"""
    score = lambda total, length: total / (((5 + length) / 6) if gnmt else length) ** penalty
    required = rules.get("require", [])
    required = [r for i, r in enumerate(required) if not any(contains(o, r) and (o != r or k < i) for k, o in enumerate(required) if k != i)]
    counted = [] if prompt else given  # what a prompt holds is not what is asked for
    live, finished = [([], 0.0, False, False)], []
    for length in range(1, limit + 1):
        extensions = []
        for n, (ids, total, urged, _) in enumerate(live):
            p = with_rules(model.logits(source, given + ids), given + ids, len(ids), rules)
            own = [v for _, v in sorted((-float(p[v]), v) for v in range(len(p)) if p[v] > -math.inf)[:beam + 1]]
            lacking, wanted = {tuple(r): begun(counted + ids, r) for r in required if not contains(counted + ids, r)}, []
            if lacking:
                wanted = [r[k] for r, k in lacking.items() if not urged or k == max(lacking.values())]
                wanted = [v for v in wanted if v != end and p[v] > -math.inf]
                own = [v for v in own if v != end] if not wanted or own and own[0] != end and not urged else []
            for v in sorted({*own, *wanted}):
                now = counted + ids + [v]
                if sum(map(len, required)) - met(now, required) <= limit - length:  # there must be room for what is lacking
                    inside = any(begun(now, r) for r in required if not contains(now, r))
                    extensions.append((-(total + float(p[v])), n, v, (urged or v not in own) and inside, v not in own))
        extensions.sort()
        if required:
            banks = [met(counted + live[n][0] + [v], required) for _, n, v, *_ in extensions]
            extensions = [e for _, e in sorted((banks[:i].count(banks[i]), e) for i, e in enumerate(extensions))]
        else:
            extensions = extensions[:2 * beam]
        grown = []
        for rank, (negative, n, v, urged, wanted) in enumerate(extensions):
            if len(grown) == beam:
                break
            if v == end and rank < beam:
                finished.append((live[n][0], -negative, score(-negative, length), True, live[n][3]))
            elif v != end:
                grown.append((live[n][0] + [v], -negative, urged, live[n][3] or wanted))
        if length == limit:
            finished += [(ids, total, score(total, length), False, wanted) for ids, total, _, wanted in grown]
            break
        if len(finished) >= beam or not grown:
            break
        if len(finished) >= nbest and sorted((f[2] for f in finished), reverse=True)[nbest - 1] >= score(max(g[1] for g in grown), limit):
            break
        live = grown
    return [(given + ids, *rest) for ids, *rest in sorted(finished, key=lambda f: -f[2])[:nbest]]


def search(model, source, beam, *others, **more):
    """As decode searches: what greedy search would put in only because it is required, a beam puts in a better place."""
    found = beam_search(model, source, beam, beam, *others, **more)
    return beam_search(model, source, 4, 1, *others, **more) if beam == 1 and found and found[0][4] else found


def phrases(lists):
    """A record of phrases."""
    return np.array([i for phrase in lists for i in [-1] + phrase][1:], "<i4")


with torch.no_grad():
    for pre, activation in itertools.product([False, True], ["relu", "gelu"]):
        kind = f"{'pre' if pre else 'post'}-norm, {activation}"
        model = Model(pre, activation)
        give = lambda what: run("decode", "-m", model.file, path("src.npy"), "--target", path("trg.npy"), "--give", what)
        hidden = [model.hidden(s, read(t)) for s, t in zip(sources, targets)]
        agree(f"nn.Transformer, {kind}, hidden", give("hidden"), hidden)
        logits = [model.output(h) for h in hidden]
        agree(f"nn.Transformer, {kind}, logits", give("logits"), logits)
        labels = [torch.cat([t, torch.tensor([end])]) for t in targets]
        expected = [l.log_softmax(-1).gather(-1, y[:, None])[:, 0] for l, y in zip(logits, labels)]
        agree(f"nn.Transformer, {kind}, log-probabilities", give("log-probabilities"), expected)

    seen = []
    for pre, (beam, nbest, penalty, gnmt) in zip([False, True, True], [(1, 1, 1.0, False), (4, 3, 0.6, True), (3, 3, 1.0, False)]):
        model = Model(pre, "relu", sharp=4.0)
        limit = 12
        expected = [h for s in sources for h in beam_search(model, s, beam, nbest, penalty, limit, gnmt)]
        ours = run("decode", "-m", model.file, path("src.npy"), "--beam", beam, "--nbest", nbest, "--length-penalty", penalty, "--max-length", limit,
                   "--length-penalty-kind", "gnmt" if gnmt else "average", "--scores", path("scores.npy"))
        name = f"beam {beam}, {nbest} best, {'gnmt' if gnmt else 'average'} {penalty}"
        check(f"{name}: the ids of a beam in Python", [o.tolist() for o in ours] == [h[0] for h in expected])
        agree(f"{name}: its scores", load("scores.npy"), [np.array(h[1:3]) for h in expected])
        seen += [tuple(o) for o in ours]
    # The comparison sees something: outputs that end, outputs that reach the limit, and many different ones.
    check(f"{len(set(seen))} different outputs", len(set(seen)) > 12 and min(map(len, seen)) < limit == max(map(len, seen)))

    # The rules, one by one and together: greedy, a beam, and sampling among one. Each must change something.
    limit = 14
    for kind in "translation", "language model":
        few = 9
        draw = lambda n: torch.randint(3, few, (n,), generator=generator)
        model = LanguageModel(few, 4.0) if kind == "language model" else Model(True, "relu", 4.0, few, -0.3)
        inputs = [draw(n) for n in (3, 9, 1, 5)]
        save("in.npy", [i.numpy().astype("<i4") for i in inputs])
        prefixes = [draw(n).tolist() for n in (2, 0, 6, 1)]
        save("prefix.npy", [np.array(p, "<i4") for p in prefixes])
        given = [i.tolist() for i in inputs] if kind == "language model" else [[] for _ in inputs]
        free = [beam_search(model, s, 3, 3, 1.0, limit, given=g) for s, g in zip(inputs, given)]
        # What they would say, so that a ban has something to do: single ids, pairs, and more.
        new = [[h[0][len(g):] for h in hs] for hs, g in zip(free, given)]
        bans = [[[ids[0]] for ids in hs[:1] if ids] + [ids[k:k + 2] for ids in hs for k in (1, 4) if len(ids) > k + 1] + [ids[2:6] for ids in hs if len(ids) > 5]
                for hs in new]
        bans = tuple([b for b in ban if end not in b] for ban in bans)  # a tuple: for each record its own
        every = sum(bans, [])
        cases = [{"repetition-penalty": 1.3}, {"repetition-penalty": 0.8}, {"no-repeat-ngram": 1}, {"no-repeat-ngram": 2}, {"no-repeat-ngram": 3},
                 {"suppress": [3, 5]}, {"suppress": [end]}, {"ban": bans}, {"ban": every}, {"min-length": 6},
                 {"repetition-penalty": 1.2, "no-repeat-ngram": 2, "suppress": [4], "ban": bans, "min-length": 3}]
        # Phrases that would not come by themselves; some hold each other, overlap, repeat their beginning, or are the whole output.
        requires = ([[3, 7]], [[5], [8, 3], [5]], [[3, 3, 4], [3, 4], [4, 8, 6]], [[6, 6, 7], [7, 3]])
        cases += [{"require": requires}, {"require": [[4, 3], [8]]}, {"require": ([], *requires[1:]), "min-length": 6, "repetition-penalty": 1.1},
                  {"require": [[3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3]], "suppress": [end]}]
        changed = 0
        for rules, beam, forced in itertools.product(cases, (1, 3), (False, True)):
            if forced and kind == "language model" or beam == 1 and rules.get("no-repeat-ngram") == 1:
                continue
            start, prompt = prefixes if forced else given, kind == "language model"
            of_record = lambda i: {k: v[i] if isinstance(v, tuple) else v for k, v in rules.items()}
            options = []
            for name, value in rules.items():
                if name in ("ban", "require"):
                    save("phrases.npy", [phrases(v) for v in value] if isinstance(value, tuple) else [phrases(value)])
                    value = path("phrases.npy")
                options += [f"--{name}", ",".join(map(str, value)) if isinstance(value, list) else value]
            if forced:
                options += ["--prefix", path("prefix.npy")]
            # A limit counts what is generated, a minimum as well.
            steps = limit if rules.get("no-repeat-ngram") != 1 else 3
            expected = [search(model, s, beam, 1.0, steps, rules=of_record(i), given=start[i], prompt=prompt) for i, s in enumerate(inputs)]
            name = f"{kind}, beam {beam}{', a prefix' if forced else ''}, " + ", ".join(k if k in ("ban", "require") else f"{k} {v}" for k, v in rules.items())
            common = ["-m", model.file, path("in.npy"), "--max-length", steps, *options]
            ours = run("decode", *common, "--beam", beam, "--nbest", beam, "--scores", path("scores.npy"), "--keep-end")
            flat = [h if k < len(hs) else ([], -math.inf, -math.inf, False) for hs in expected for k in range(beam) for h in [hs[min(k, len(hs) - 1)]]]
            check(f"{name}: the ids", [o.tolist() for o in ours] == [h[0] + [end] * h[3] for h in flat])
            agree(f"{name}: the scores", [x for x, h in zip(load("scores.npy"), flat) if h[1] > -math.inf], [np.array(h[1:3]) for h in flat if h[1] > -math.inf], 5e-6)
            if "require" in rules:
                held = [contains(o.tolist() if not prompt else o.tolist()[len(start[i // beam]):], r) for i, o in enumerate(ours) if len(o) for r in of_record(i // beam)["require"]]
                check(f"{name}: {len(held)} phrases are there", all(held))
            elif beam == 1:
                ours = run("decode", *common, "--sample", "--top-k", 1)
                check(f"{name}: sampling among one", [o.tolist() for o in ours] == [h[0] for h in flat])
            changed += [h[0] for h in flat] != [h[0] for g, s in zip(start, inputs) for h in beam_search(model, s, beam, beam, 1.0, steps, given=g)]
        check(f"{kind}: the rules changed the outputs of {changed} cases", changed >= (14 if kind == "language model" else 22))

    # Keys and values kept in fewer bits: PyTorch's attention to what PyTorch rounds, the second operand of both of its products. Where our
    # number and PyTorch's lie on two sides of a rounding edge they differ by a step, so the measure is what the rounding changes at all.
    def eight_bits(x):
        largest = x.abs().amax(-1, keepdim=True)
        return (x * (127 / largest)).round() * (largest / 127)
    rounding = {"f16": lambda x: x.half().float(), "bf16": lambda x: x.bfloat16().float(), "int8": eight_bits}
    products = torch.bmm, torch.baddbmm
    def hidden_with(type):
        of_vectors = rounding.get(type, lambda x: x)
        rounded = lambda x: of_vectors(x) if x.stride(-1) == 1 else of_vectors(x.transpose(1, 2)).transpose(1, 2)  # values; keys
        model.whole.train()  # no dropout, but no other path through attention either
        found = []
        for s, t in zip(sources, targets):
            memory = model.whole.encoder(model.embed(model.source, s))
            torch.bmm, torch.baddbmm = lambda a, b: products[0](a, rounded(b)), lambda mask, a, b: products[1](mask, a, rounded(b))
            found.append(model.whole.decoder(model.embed(model.target, read(t)), memory, tgt_mask=causal(len(t) + 1))[0].numpy())
            torch.bmm, torch.baddbmm = products
        return found
    model = Model(True, "relu")
    plain = hidden_with("f32")
    common = ["-m", model.file, path("src.npy"), "--target", path("trg.npy"), "--give", "hidden"]
    agree("the cache in f32: hidden states", run("decode", *common), plain, 1e-5)
    for type in rounding:
        expected, ours = hidden_with(type), run("decode", *common, "--cache", type)
        changed = math.sqrt(sum(((e - p) ** 2).sum() for e, p in zip(expected, plain)))
        off = math.sqrt(sum(((e - o) ** 2).sum() for e, o in zip(expected, ours)))
        check(f"the cache in {type}: hidden states change by {changed:.2g}, ours are {off:.2g} from PyTorch's", changed > 1e-4 and off < 0.1 * changed)
finish()
