"""The files of testdata/: all load, with the expected values, whatever their format version; scripts/make-golden makes today's again."""
import filecmp
import glob
import os
import shutil
import subprocess
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "common"))
from tools import bin_directory, check, error, finish, path, run, unpack

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
data = os.path.join(root, "testdata")


def at(name):
    return os.path.join(data, name)


def stored(name):
    with open(at(name), "rb") as file:
        return unpack(file.read())


def same(ours, expected):
    return len(ours) == len(expected) and all(
        a.shape == np.shape(b) and np.array_equal(a, b) for a, b in zip(ours, expected))


floats = [1, -2, 10]
npy = {"f4": floats, "f4-big-endian": floats, "f2": floats, "f8": [1], "i8": 7, "i2": [1, -1], "i1": [1, -1], "u1": [1, 255], "u2": [1, 65535],
       "u4": [1, 4294967295], "b1": [True, False], "i4-fortran": [[1, 2, 3], [4, 5, 6]]}
for name, value in npy.items():
    check(f"npy/{name}.npy", same(run("convert", at(f"npy/{name}.npy")), [value]))
check("npy/stream.npy: three records", same(run("convert", at("npy/stream.npy")), [floats] * 3))

ids = run("convert", at("npy/ids.npy"))
check("npy/ids.npy", [len(record) for record in ids] == [20, 14, 16])
check("hdf5/ragged.h5 holds the same records", same(run("convert", at("hdf5/ragged.h5")), ids))
check("hdf5/dense.h5:table", same(run("convert", at("hdf5/dense.h5") + ":table"), [npy["i4-fortran"]]))
weights = run("convert", at("hdf5/any-shape.h5") + ":encoder/0/self_attn/weights")
check("hdf5/any-shape.h5: attention weights (H, T, T), rows that add up to 1",
      [w.shape for w in weights] == [(2, n, n) for n in (20, 14, 16)] and all(np.allclose(w.sum(-1), 1) for w in weights))

text = ["the cat sees the dog", "the dog sleeps", "a dog sees a cat"]
done = subprocess.run([os.path.join(bin_directory, "tokenize"), "-m", at("tokenizer/char.model"), "--decode", at("npy/ids.npy")], capture_output=True)
check("tokenizer/char.model: the text of npy/ids.npy", done.stdout.decode().splitlines() == text)
done = subprocess.run([os.path.join(bin_directory, "tokenize"), "-m", at("tokenizer/byte.model")], input=b"ab\n", capture_output=True)
check("tokenizer/byte.model: two bytes, two ids", len(unpack(done.stdout)[0]) == 2)

score = ["--target", at("npy/ids.npy"), "--give", "log-probabilities"]
for model in sorted(glob.glob(at("model/*.h5"))):
    name = os.path.basename(model)[:-len(".h5")]
    kind = name.rpartition("-")[0]
    ours = {"translator": lambda: run("decode", "-m", model, at("npy/ids.npy"), *score),
            "language-model": lambda: run("decode", "-m", model, at("npy/ids.npy"), *score),
            "windows": lambda: run("decode", "-m", model, at("npy/ids.npy"), *score),
            "adapters": lambda: run("decode", "-m", model, at("npy/ids.npy"), *score),
            "masked": lambda: run("encode", "-m", model, at("npy/ids.npy")),
            "classes": lambda: run("classify", "-m", model, at("npy/i4-ids.npy")),
            "patches": lambda: run("classify", "-m", model, at("npy/f4-patches.npy"))}[kind]()
    expected = stored(f"model/expected/{name}.npy")
    # Written with the generic kernels; others round differently.
    check(f"model/{name}.h5", len(ours) == len(expected) and error(ours, expected) < 1e-5)

for checkpoint in sorted(glob.glob(at("checkpoint/*.h5"))):
    name = os.path.basename(checkpoint)[:-len(".h5")]
    shutil.copy(checkpoint, path("m.h5.checkpoint.h5"))
    training = ["--quiet", "--source", at("npy/ids.npy"), "--target", at("npy/ids.npy"), "--from", at(f"model/{name}.h5"), "--steps", "3",
                "--warmup", "2", "--resume", "-o", path("m.h5"), "--log", path("log.tsv")]
    if name.endswith("-v1"):
        done = subprocess.run([os.path.join(bin_directory, "train"), *training], capture_output=True)
        check(f"checkpoint/{name}.h5 is refused: it does not say how batches were sorted",
              done.returncode == 1 and b"m.h5.checkpoint.h5: has no sort_window" in done.stderr)
        continue
    run("train", *training)
    with open(path("log.tsv")) as log:
        check(f"checkpoint/{name}.h5 of step 2 goes on to step 3", log.read().splitlines()[-1].split("\t")[0] == "3")
    for left in glob.glob(path("m.h5*")) + [path("log.tsv")]:
        os.remove(left)

made = path("made")
subprocess.run([os.path.join(root, "scripts/make-golden"), made], check=True, env=dict(os.environ, PATH=f"{bin_directory}:{os.environ['PATH']}"))
for folder, _, files in os.walk(made):
    for file in files:
        new = os.path.join(folder, file)
        name = os.path.relpath(new, made)
        # A checkpoint holds how long the training took.
        if not name.startswith("checkpoint/"):
            check(f"scripts/make-golden makes {name} again", os.path.exists(at(name)) and filecmp.cmp(new, at(name), shallow=False))
check("the format version that is written today is among the models",
      {os.path.basename(f) for f in glob.glob(os.path.join(made, "model/*.h5"))} <= {os.path.basename(f) for f in glob.glob(at("model/*.h5"))})

finish()
