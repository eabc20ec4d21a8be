"""`model average` against numpy.mean in float64, bit for bit: parameters, attributes, byte datasets, and what is left out."""
import os
import shutil
import sys

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "common"))
from tools import check, finish, path, run, save

shape = ["--width", 16, "--heads", 2, "--inner", 24, "--encoder-layers", 1, "--decoder-layers", 2, "--source-vocabulary", 30,
         "--target-vocabulary", 30, "--begin-id", 1, "--end-id", 2]


def contents(name):
    """{name: array} of all datasets, and the attributes."""
    found = {}
    with h5py.File(path(name)) as file:
        file.visititems(lambda n, d: found.update({n: d[()]}) if isinstance(d, h5py.Dataset) else None)
        return found, dict(file.attrs), set(file)


def mean(names):
    models = [contents(name)[0] for name in names]
    return {n: np.mean(np.stack([m[n] for m in models]).astype(np.float64), axis=0).astype("<f4")
            for n, v in models[0].items() if v.dtype == np.float32 and not n.startswith("training")}


def compare(what, names):
    run("model", "average", *map(path, names), "-o", path("average.h5"))
    ours, attributes, groups = contents("average.h5")
    first, first_attributes, _ = contents(names[0])
    expected = mean(names)
    expected.update({n: v for n, v in first.items() if v.dtype == np.uint8})
    check(f"{what}: the same datasets", ours.keys() == expected.keys())
    check(f"{what}: the same bits", all(
        ours[n].dtype == expected[n].dtype and ours[n].shape == expected[n].shape and ours[n].tobytes() == expected[n].tobytes() for n in expected))
    check(f"{what}: the first model's attributes", attributes == first_attributes)
    check(f"{what}: nothing of the training", "training" not in groups)
    return ours


for seed in range(1, 8):
    run("model", "make", *shape, "--seed", seed, "-o", path(f"{seed}.h5"))
names = [f"{seed}.h5" for seed in range(1, 8)]

# Terms that cancel, so that the sum depends on its order even in float64; and the smallest number there is.
for name, term in zip(names, [3e38, -3e38, 1.0, 1e-30, 7.0, 2.0, 3.0]):
    with h5py.File(path(name), "a") as file:
        file["encoder/0/norm1/weight"][::2] = np.float32(term)
        file["decoder/1/norm2/bias"][...] = np.float32(1e-45)
with h5py.File(path("1.h5"), "a") as file:
    file["tokenizer"] = np.frombuffer(b"pipeformer tokenizer 1 byte\n", "u1")
    file["labels"] = np.arange(7, dtype="u1")
    file["notes"] = np.arange(7, dtype="<i4")  # neither a parameter nor bytes

order = compare("seven models", names)
compare("two models", names[:2])
other = compare("another order", names[1:] + names[:1])
check("the order counts", not np.array_equal(order["encoder/0/norm1/weight"], other["encoder/0/norm1/weight"]))
compare("one model", names[:1])
compare("the same model twice", ["2.h5", "2.h5"])

# Parameters that cannot be mapped: float64, chunked, compressed.
shutil.copy(path("3.h5"), path("wide.h5"))
with h5py.File(path("wide.h5"), "a") as file:
    for name in ["embedding/weight", "encoder/0/ffn/linear1/weight"]:
        values = file[name][()]
        del file[name]
        file.create_dataset(name, data=values.astype("<f8" if "ffn" in name else "<f4"), chunks=values.shape, compression="gzip")
run("model", "average", path("1.h5"), path("3.h5"), "-o", path("mapped.h5"))
run("model", "average", path("1.h5"), path("wide.h5"), "-o", path("read.h5"))
check("mapped and read: the same file", open(path("mapped.h5"), "rb").read() == open(path("read.h5"), "rb").read())

# Checkpoints of train; and the model itself may be the output.
random = np.random.RandomState(5)
pairs = [save(f"{side}.npy", [random.randint(3, 30, random.randint(1, 9)).astype("<i4") for _ in range(20)]) for side in ["source", "target"]]
for steps in [2, 4]:
    run("train", "-q", *shape, "--source", pairs[0], "--target", pairs[1], "--steps", steps, "-o", path(f"run{steps}.h5"))
    check("a checkpoint holds its training", "training" in contents(f"run{steps}.h5.checkpoint.h5")[2])
compare("checkpoints", ["run2.h5.checkpoint.h5", "run4.h5.checkpoint.h5"])
checkpoint = path("run4.h5.checkpoint.h5")
run("model", "average", checkpoint, "-o", checkpoint)
check("a checkpoint averaged alone and onto itself is the model", open(checkpoint, "rb").read() == open(path("run4.h5"), "rb").read())
finish()
