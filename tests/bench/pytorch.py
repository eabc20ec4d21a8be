#!/usr/bin/python3
"""The other side of scripts/bench: the same work by PyTorch, with the same weights and ids, in a process that stays.

    pytorch.py THREADS

Reads one request a line (JSON) and answers with the seconds of its computation, files already read, models already built.
"""
import functools
import json
import math
import sys
import time

import h5py
import numpy as np
import torch


@functools.lru_cache(None)
def stream(path):
    records = []
    with open(path, "rb") as file:
        while file.peek(1):
            records.append(torch.from_numpy(np.load(file)))
    return records


@functools.lru_cache(None)
def positions(length, width):
    angle = torch.arange(length)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    table = torch.zeros(length, width)
    table[:, 0::2], table[:, 1::2] = torch.sin(angle), torch.cos(angle)
    return table


class Model(torch.nn.Module):
    def __init__(self, path, dropout):
        super().__init__()
        with h5py.File(path) as file:
            attributes = dict(file.attrs)
            values = {}
            file.visititems(lambda name, data: values.update({name: torch.from_numpy(data[()])}) if isinstance(data, h5py.Dataset) and data.dtype == np.float32 else None)
        self.width = int(attributes["width"])
        options = dict(d_model=self.width, nhead=int(attributes["encoder_heads"]), dim_feedforward=int(attributes["encoder_inner"]), dropout=dropout, batch_first=True)
        self.embedding = torch.nn.Embedding.from_pretrained(next(v for n, v in values.items() if "embedding" in n), freeze=False)
        self.encoder = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(**options), int(attributes["encoder_layers"]))
        self.decoder = torch.nn.TransformerDecoder(torch.nn.TransformerDecoderLayer(**options), int(attributes["decoder_layers"]))
        self.dropout = torch.nn.Dropout(dropout)
        with torch.no_grad():
            for side in ("encoder", "decoder"):
                for i, layer in enumerate(getattr(self, side).layers):
                    parts = {n.removeprefix(f"{side}/{i}/"): v for n, v in values.items() if n.startswith(f"{side}/{i}/")}
                    for ours, theirs in ("self_attn", "self_attn"), ("cross_attn", "multihead_attn"):
                        if f"{ours}/output/weight" not in parts:
                            continue
                        attention = getattr(layer, theirs)
                        for kind in ("weight", "bias"):
                            getattr(attention, f"in_proj_{kind}").copy_(torch.cat([parts[f"{ours}/{role}/{kind}"] for role in ("query", "key", "value")]))
                            getattr(attention.out_proj, kind).copy_(parts[f"{ours}/output/{kind}"])
                    for name, module in layer.named_modules():
                        for kind in ("weight", "bias"):
                            for prefix in ("", "ffn/"):
                                if f"{prefix}{name}/{kind}" in parts:
                                    getattr(module, kind).copy_(parts[f"{prefix}{name}/{kind}"])

    def embed(self, ids):
        return self.dropout(self.embedding(ids) * math.sqrt(self.width) + positions(ids.shape[1], self.width))


@functools.lru_cache(None)
def model(path, dropout):
    return Model(path, dropout)


def padded(records):
    ids = torch.nn.utils.rnn.pad_sequence([r.long() for r in records], batch_first=True)
    lengths = torch.tensor([len(r) for r in records])
    mask = torch.arange(ids.shape[1])[None] >= lengths[:, None]
    return ids, mask if bool(mask.any()) else None


@torch.inference_mode()
def encode(request):
    m = model(request["model"], 0.0).eval()
    records, size = stream(request["ids"]), 1 if request["order"] == "single" else 64
    if request["order"] == "sorted":
        records = sorted(records, key=len)
    for i in range(0, len(records), size):
        ids, mask = padded(records[i:i + size])
        m.encoder(m.embed(ids), src_key_padding_mask=mask)


def train(request):
    """Batches of sentences of about equal length, which is the best order for a padded batch."""
    m = model(request["model"], request["dropout"]).train()
    optimizer = torch.optim.Adam(m.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-9)
    pairs = sorted(zip(stream(request["source"]), stream(request["target"])), key=lambda pair: (len(pair[1]), len(pair[0])))
    batches, tokens = [[]], 0
    for pair in pairs:
        if tokens + len(pair[1]) + 1 > request["tokens"]:
            batches.append([])
            tokens = 0
        batches[-1].append(pair)
        tokens += len(pair[1]) + 1
    generator = torch.Generator().manual_seed(1)
    chosen = [batches[i] for i in torch.randperm(len(batches) - 1, generator=generator)[:request["steps"]]]
    started, done = 0.0, 0
    for i, batch in enumerate(chosen):
        if i == 1:  # the first step makes the optimizer's state
            started, done = time.perf_counter(), 0
        source, source_mask = padded([s for s, _ in batch])
        target, _ = padded([torch.cat([torch.tensor([1]), t]) for _, t in batch])
        answers, _ = padded([torch.cat([t, torch.tensor([2])]) for _, t in batch])
        memory = m.encoder(m.embed(source), src_key_padding_mask=source_mask)
        causal = torch.triu(torch.full((target.shape[1], target.shape[1]), float("-inf")), 1)
        hidden = m.decoder(m.embed(target), memory, tgt_mask=causal, memory_key_padding_mask=source_mask)
        loss = torch.nn.functional.cross_entropy((hidden @ m.embedding.weight.T).flatten(0, 1), answers.flatten(), ignore_index=0, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        done += int((answers != 0).sum())
    return (time.perf_counter() - started) * request["tokens"] * request["steps"] / done


@torch.inference_mode()
def attend(request):
    x = stream(request["q"])[0]
    mask = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
    started = time.perf_counter()  # making the mask is not counted
    scores = torch.matmul(x, x.T) / math.sqrt(x.shape[1])
    torch.matmul(torch.softmax(scores.masked_fill_(mask, float("-inf")), -1), x)
    return time.perf_counter() - started


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    for line in sys.stdin:
        request = json.loads(line)
        started = time.perf_counter()
        seconds = globals()[request["work"]](request)
        print(time.perf_counter() - started if seconds is None else seconds, flush=True)
