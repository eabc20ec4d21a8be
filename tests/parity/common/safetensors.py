"""Safetensors files and checkpoints, as the format's page describes them, without any of our code."""
import json
import os
import shutil
import struct

import numpy as np

checkpoints = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "testdata", "checkpoints")


def read(path):
    """name -> (type, shape, bytes)"""
    with open(path, "rb") as file:
        data = file.read()
    length, = struct.unpack("<Q", data[:8])
    header, data = json.loads(data[8:8 + length]), data[8 + length:]
    return {name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])]) for name, entry in header.items() if name != "__metadata__"}


def write(path, tensors):
    header, data = {}, b""
    for name, (kind, shape, raw) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def floats(tensor):
    """An array of float32."""
    kind, shape, raw = tensor
    if kind == "BF16":
        values = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    else:
        values = np.frombuffer(raw, {"F16": "<f2", "F32": "<f4"}[kind]).astype("<f4")
    return values.reshape(shape)


def rounded(x, kind):
    """The bytes of float32 values rounded to F16 or BF16, to nearest even."""
    if kind == "F16":
        return x.astype("<f2").tobytes()
    bits = np.ascontiguousarray(x, "<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def rounded_copies(folder, kind, narrow, wide):
    """Two copies of a checkpoint: its tensors as F16 or BF16, and the rounded values as F32."""
    tensors = read(os.path.join(checkpoints, folder, "model.safetensors"))
    short = {name: (kind, t[1], rounded(floats(t), kind)) for name, t in tensors.items()}
    long = {name: ("F32", t[1], floats(t).tobytes()) for name, t in short.items()}
    for to, content in (narrow, short), (wide, long):
        shutil.copytree(os.path.join(checkpoints, folder), to)
        write(os.path.join(to, "model.safetensors"), content)
