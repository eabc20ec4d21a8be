"""The readers of checkpoints against PyTorch, which writes them: state dicts of all forms, and hostile ones."""
import collections
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "common"))
from tools import check, finish, path

torch.manual_seed(5)
random = np.random.RandomState(5)
types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64, "I64": torch.int64,
         "I32": torch.int32, "U8": torch.uint8, "BOOL": torch.bool}


def probe(source, *options):
    return subprocess.run([os.environ["PIPEFORMER_TENSOR_PROBE"], path(source), path("out.safetensors"), *options],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")


def read_safetensors(name):
    """As the format's page describes it."""
    with open(path(name), "rb") as file:
        data = file.read()
    length, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__")
    tensors = {}
    for key, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(bytearray(data[8 + length + begin:8 + length + end]), dtype=types[entry["dtype"]]) if end > begin \
            else torch.empty(0, dtype=types[entry["dtype"]])
        tensors[key] = flat.reshape(entry["shape"])
    return tensors, metadata


def write_safetensors(name, tensors):
    header, data = {}, b""
    for key, tensor in tensors.items():
        raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        header[key] = dict(dtype=next(k for k, v in types.items() if v == tensor.dtype), shape=list(tensor.shape),
                           data_offsets=[len(data), len(data) + len(raw)])
        data += raw
    text = json.dumps(header).encode()
    with open(path(name), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def same(a, b):
    bits = lambda t: t.detach().contiguous().reshape(-1).view(torch.uint8)
    return a.dtype == b.dtype and a.shape == b.shape and (a.numel() == 0 or torch.equal(bits(a), bits(b)))


def compare(name, tensors, source, *options):
    done = probe(source, *options)
    if done.returncode != 0:
        return check(f"{name}: {done.stderr}", False)
    ours, metadata = read_safetensors("out.safetensors")
    wide = {k: t.float() if "--floats" in options and t.is_floating_point() else t for k, t in tensors.items()}
    check(name, metadata == {"format": "pt"} and sorted(ours) == sorted(wide) and all(same(ours[k], wide[k]) for k in wide))


# Every form in which torch.save writes a state dict of every kind of tensor.
x = torch.randn(6, 8)
state = collections.OrderedDict(
    matrix=x, transposed=torch.randn(5, 7).t(), row=x[2], columns=x[:, 1:5:2], permuted=torch.randn(2, 3, 4).permute(2, 0, 1),
    parameter=torch.nn.Parameter(torch.randn(3)), tied=x, scalar=torch.tensor(2.5), empty=torch.empty(0, 3), repeated=torch.ones(1, 4).expand(1, 4),
    position_ids=torch.arange(512).expand((1, -1)), half=torch.randn(9).half(), brain=torch.randn(9).bfloat16(), double=torch.randn(4).double(),
    byte=torch.arange(250, 256, dtype=torch.uint8), integer=torch.tensor([-2**31]), flag=torch.tensor([True, False]), **{"ünï.cödé": torch.ones(2)})
state["integer"] = state["integer"].int()
for name, options in [("zip", {}), ("protocol 4", dict(pickle_protocol=4)), ("before PyTorch 1.6", dict(_use_new_zipfile_serialization=False))]:
    torch.save(state, path("pytorch_model.bin"), **options)
    compare(f"a state dict, {name}", state, "pytorch_model.bin")
    compare(f"the same as floats, {name}", state, "pytorch_model.bin", "--floats")
    torch.save(dict(state), path("pytorch_model.bin"), **options)
    compare(f"a plain dictionary, {name}", state, "pytorch_model.bin")
model = torch.nn.TransformerEncoderLayer(8, 2, 16)
torch.save(model.state_dict(), path("pytorch_model.bin"))
compare("a module's state_dict(), with metadata", model.state_dict(), "pytorch_model.bin")
many = {f"layers.{i}.weight": torch.tensor([i]) for i in range(3000)}
torch.save(many, path("pytorch_model.bin"))
compare("3,000 tensors", many, "pytorch_model.bin")

# Every 16-bit number becomes the float that PyTorch makes of it.
patterns = torch.arange(65536).to(torch.int32).to(torch.int16)
every = {"half": patterns.view(torch.float16), "brain": patterns.view(torch.bfloat16)}
write_safetensors("every.safetensors", every)
done = probe("every.safetensors", "--floats")
ours, _ = read_safetensors("out.safetensors")
for key, tensor in every.items():
    number = ~torch.isnan(tensor)
    check(f"all numbers of type {key}", torch.equal(ours[key][number].view(torch.int32), tensor.float()[number].view(torch.int32))
          and bool(torch.isnan(ours[key][~number]).all()))

# safetensors of another writer, and shards of both formats.
tensors = {k: t.detach() for k, t in state.items()}
write_safetensors("one.safetensors", tensors)
compare("safetensors", tensors, "one.safetensors")
compare("what was written is read again", tensors, "out.safetensors")
for suffix, prefix, write in [("safetensors", "model", write_safetensors), ("bin", "pytorch_model", lambda name, t: torch.save(t, path(name)))]:
    os.makedirs(path(f"shards-{suffix}"), exist_ok=True)
    where = {}
    for i, keys in enumerate([list(tensors)[::2], list(tensors)[1::2]]):
        shard = f"{prefix}-{i + 1:05}-of-00002.{suffix}"
        write(f"shards-{suffix}/{shard}", {k: tensors[k] for k in keys})
        where.update({k: shard for k in keys})
    with open(path(f"shards-{suffix}/{prefix}.{suffix}.index.json"), "w") as file:
        json.dump({"metadata": {"total_size": 1}, "weight_map": where}, file)
    compare(f"shards of {suffix}", tensors, f"shards-{suffix}")


# Files that lie: a message, and never a crash or a function that runs.
def refused(name, source, message):
    done = probe(source)
    check(f"{name}: {done.stderr.strip()}", done.returncode == 1 and message in done.stderr and done.stderr.count("\n") == 1)


class Evil:
    def __reduce__(self):
        return os.system, (f"touch {path('executed')}",)


for name, evil in [("at the top", Evil()), ("in a dictionary", {"weight": torch.ones(2), "x": Evil()})]:
    for form in [True, False]:
        torch.save(evil, path("evil.bin"), _use_new_zipfile_serialization=form)
        refused(f"os.system {name}", "evil.bin", "refused: 'posix.system'")
check("nothing was executed", not os.path.exists(path("executed")))
for name, value, message in [("a module", model, "refused: 'torch.nn.modules"), ("a nested dictionary", {"model": {"w": torch.ones(1)}}, "'model' of the state dict is no tensor"),
                             ("a list", [torch.ones(1)], "no state dict"), ("a sparse tensor", {"w": torch.eye(2).to_sparse()}, "refused: 'torch._utils._rebuild_sparse_tensor'"),
                             ("complex numbers", {"w": torch.ones(2, dtype=torch.complex64)}, "refused: 'torch.ComplexFloatStorage'"),
                             ("int16", {"w": torch.ones(2, dtype=torch.int16)}, "tensor 'w' holds I16, which is not supported")]:
    torch.save(value, path("bad.bin"))
    refused(name, "bad.bin", message)
torch.save(state, path("good.bin"))
with zipfile.ZipFile(path("good.bin")) as good, zipfile.ZipFile(path("packed.bin"), "w", zipfile.ZIP_DEFLATED) as packed:
    for entry in good.namelist():
        packed.writestr(entry, good.read(entry))
refused("a compressed archive", "packed.bin", "is compressed")
with open(path("text.bin"), "w") as file:
    file.write("version https://git-lfs.github.com/spec/v1\n")
refused("a pointer of git-lfs", "text.bin", "a pointer of git-lfs")
with open(path("text.bin"), "w") as file:
    file.write("<html>404</html>")
refused("another file", "text.bin", "neither safetensors nor a file of torch.save")

# Truncated and damaged files: the exit status says whether the process died of a signal.
small = {"a": torch.arange(3.0), "b": torch.arange(6.0).reshape(2, 3).t(), "c": torch.ones(2).half()}
torch.save(small, path("zip.bin"))
torch.save(small, path("old.bin"), _use_new_zipfile_serialization=False)
write_safetensors("small.safetensors", {k: t.contiguous() for k, t in small.items()})
for source in ["zip.bin", "old.bin", "small.safetensors"]:
    with open(path(source), "rb") as file:
        data = file.read()
    clean = True
    for _ in range(150):
        size = random.randint(len(data))
        with open(path("cut"), "wb") as file:
            file.write(data[:size])
        done = probe("cut")
        clean &= done.returncode == 1 and done.stderr.count("\n") == 1
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(random.randint(1, 4)):
            damaged[random.randint(len(data))] = random.randint(256)
        with open(path("cut"), "wb") as file:
            file.write(damaged)
        clean &= probe("cut").returncode in (0, 1)
    check(f"{source}, cut and damaged", clean)
finish()
