"""decode against torch.nn.Transformer, with model files that h5py wrote: what it gives for targets, and its beam against one in plain Python over
PyTorch's logits. PyTorch takes one sequence at a time, we take them all at once."""
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

    def __init__(self, pre, activation, sharp=1.0):
        self.whole = nn.Transformer(width, heads, layers, layers, inner, dropout=0.0, activation=activation, batch_first=True, norm_first=pre)
        randomize(self.whole, generator)
        if not pre:
            self.whole.encoder.norm = self.whole.decoder.norm = None
        self.source, self.target = nn.Embedding(vocabulary, width), nn.Embedding(vocabulary, width)
        self.output = nn.Linear(width, vocabulary)
        with torch.no_grad():
            self.output.weight *= sharp
            self.output.bias[end] += 0.5 * sharp  # so that some outputs end before the limit
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

    def log_probabilities(self, source, read):
        return self.output(self.hidden(source, read)).log_softmax(-1)


def read(target):
    return torch.cat([torch.tensor([begin]), target])


def beam_search(model, source, beam, nbest, penalty, limit, gnmt):
    """The search as lib/search/search.hpp defines it, one hypothesis at a time."""
    score = lambda total, length: total / (((5 + length) / 6) if gnmt else length) ** penalty
    live, finished = [([], 0.0)], []
    for length in range(1, limit + 1):
        extensions = []
        for n, (ids, total) in enumerate(live):
            p = model.log_probabilities(source, read(torch.tensor(ids, dtype=torch.long)))[-1].double()
            extensions += [(-(total + float(p[v])), n, v) for v in range(vocabulary) if v != begin]
        grown = []
        for rank, (negative, n, v) in enumerate(sorted(extensions)[:2 * beam]):
            if len(grown) == beam:
                break
            if v == end and rank < beam:
                finished.append((live[n][0], -negative, score(-negative, length)))
            elif v != end:
                grown.append((live[n][0] + [v], -negative))
        if length == limit:
            finished += [(ids, total, score(total, length)) for ids, total in grown]
            break
        if len(finished) >= beam:
            break
        if len(finished) >= nbest and sorted((f[2] for f in finished), reverse=True)[nbest - 1] >= score(grown[0][1], limit):
            break
        live = grown
    return sorted(finished, key=lambda f: -f[2])[:nbest]


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
        agree(f"{name}: its scores", load("scores.npy"), [np.array(h[1:]) for h in expected])
        seen += [tuple(o) for o in ours]
    # The comparison sees something: outputs that end, outputs that reach the limit, and many different ones.
    check(f"{len(set(seen))} different outputs", len(set(seen)) > 12 and min(map(len, seen)) < limit == max(map(len, seen)))
finish()
