#!/usr/bin/env python3
"""peek against NumPy: statistics to 1e-12, values that read back exactly. PIPEFORMER_BIN is the directory of the tools."""
import os
import subprocess
import sys
import tempfile

import numpy as np

PEEK = os.path.join(os.environ["PIPEFORMER_BIN"], "peek")
failures = 0


def check(name, good):
    global failures
    failures += not good
    print(("ok   " if good else "FAIL ") + name)


def peek(*arguments):
    return subprocess.run([PEEK, *arguments], check=True, capture_output=True, text=True).stdout


def near(text, want, scale):
    got = float(text)
    return (np.isnan(got) and np.isnan(want)) or got == want or abs(got - want) <= 1e-12 * scale


def statistics_agree(cells, array):
    wide = array.astype("f8").ravel()
    numbers = wide[~np.isnan(wide)]
    with np.errstate(invalid="ignore"):
        minimum, maximum, mean, std = (numbers.min(), numbers.max(), numbers.mean(), numbers.std()) if numbers.size else [np.nan] * 4
    scale = abs(mean) + (std if np.isfinite(std) else 0)  # a mean near zero is as exact as its terms
    return (near(cells[0], minimum, 0) and near(cells[1], maximum, 0) and near(cells[2], mean, scale)
            and near(cells[3], std, abs(std)) and int(cells[4]) == np.sum(wide == 0)
            and int(cells[5]) == np.sum(np.isnan(wide)) and int(cells[6]) == np.sum(np.isinf(wide)))


random = np.random.default_rng(7)
normal = random.normal(size=(40, 700))
holes = np.where(random.random(normal.shape) < 0.3, np.nan, normal)
arrays = {
    "f4": normal.astype("f4"),
    "f8 with an offset": normal + 1000,
    "f2": normal.astype("f2"),
    "f4 with NaN": holes.astype("f4"),
    "f8 with infinity": np.where(normal > 3, np.inf, holes),
    "all NaN": np.full((3, 2), np.nan, "f4"),
    "empty": np.zeros((0, 5), "f4"),
    "i4": random.integers(-1000, 1000, (3, 4, 5), dtype="i4"),
    "i8": random.integers(-2**50, 2**50, 9999, dtype="i8"),
    "u1": random.integers(0, 255, (17, 3), dtype="u1"),
    "b1": random.random((5, 5)) < 0.5,
    "scalar": np.array(2.5, "f4"),
    "tiny and huge": np.array([1e-45, 3.4e38, -1e-38, 0.1, 1 / 3], "f4"),
}

with tempfile.TemporaryDirectory() as directory:
    path = os.path.join(directory, "s.npy")
    with open(path, "wb") as stream:
        for array in arrays.values():
            np.save(stream, array)
    rows = [line.split("\t") for line in peek("--digits", "17", path).splitlines()[1:]]
    check("one line for each record", len(rows) == len(arrays))
    for (name, array), row in zip(arrays.items(), rows):
        check(f"statistics: {name}", row[2] == array.dtype.str[1:] and row[3] == str(array.shape) and statistics_agree(row[4:], array))

    for index, (name, array) in enumerate(arrays.items()):
        text = peek("--values", "--record", str(index), path)
        kind = np.dtype("u1") if array.dtype == bool else array.dtype
        got = np.array([kind.type(word) for word in text.split()], kind).reshape(array.shape)
        check(f"values read back: {name}", np.array_equal(got, array.astype(kind), equal_nan=kind.kind == "f"))

    ragged = [random.normal(size=(rows, 6)).astype("f4") for rows in (5, 0, 1, 900)]
    path = os.path.join(directory, "r.npy")
    with open(path, "wb") as stream:
        for array in ragged:
            np.save(stream, array)
    row = peek("--summary", "--digits", "17", path).splitlines()[1].split("\t")
    check("summary: counts", row[1:6] == ["4", "f4", "(0..900, 6)", "906", "5436"])
    check("summary: statistics", statistics_agree(row[6:], np.concatenate(ragged)))

sys.exit(failures != 0)
