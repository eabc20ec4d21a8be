"""Streams and containers against NumPy and h5py: every dtype, dense and ragged, in both directions, bit for bit."""
import io
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np

convert = os.path.abspath(os.path.join(os.environ["PIPEFORMER_BIN"], "convert"))
dtypes = ["<f2", "<f4", "<f8", "<i4", "<i8", "|u1", "|b1"]
failures = 0


def check(name, good):
    global failures
    failures += not good
    print(("ok      " if good else "FAILED  ") + name)


def run(*arguments, data=b""):
    done = subprocess.run([convert, *arguments], input=data, capture_output=True)
    if done.returncode != 0:
        print(done.stderr.decode(), end="")
    return done.stdout


def fails(*arguments, data=b"", message=""):
    done = subprocess.run([convert, *arguments], input=data, capture_output=True)
    return done.returncode == 1 and message in done.stderr.decode() and done.stderr.count(b"\n") == 1


def pack(arrays, version=None):
    out = io.BytesIO()
    for array in arrays:
        np.lib.format.write_array(out, np.asanyarray(array), version)
    return out.getvalue()


def unpack(data):
    source, arrays = io.BytesIO(data), []
    while source.tell() < len(data):
        arrays.append(np.load(source))
    return arrays


def same(a, b):
    return len(a) == len(b) and all(
        x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in zip(a, b))


rng = np.random.default_rng(7)


def random(dtype, shape):
    """Any bit pattern that the type has, NaN and subnormals too."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    size = int(np.prod(shape)) * dtype.itemsize
    return np.frombuffer(rng.bytes(size), dtype).reshape(shape).copy()


os.chdir(tempfile.mkdtemp())
for dtype in dtypes:
    ragged = [random(dtype, (n, 5)) for n in (3, 0, 1, 17, 0)]
    mixed = [random(dtype, s) for s in [(), (0,), (4,), (2, 3, 4), (3, 0, 2), (1,) * 32]]
    dense = random(dtype, (4, 6, 3))

    check(f"{dtype} NPY: the same bytes as numpy.save", run(data=pack(ragged + mixed)) == pack(ragged + mixed))
    check(f"{dtype} NPY: versions 2 and 3",
          run(data=pack(ragged, (2, 0)) + pack(mixed, (3, 0))) == pack(ragged + mixed))
    check(f"{dtype} NPY: Fortran order",
          same(unpack(run(data=pack([np.asfortranarray(dense), np.asfortranarray(dense[0])]))), [dense, dense[0]]))
    swapped = dense.astype(dense.dtype.newbyteorder(">"))
    check(f"{dtype} NPY: big-endian, both orders",
          same(unpack(run(data=pack([swapped, np.asfortranarray(swapped)]))), [dense, dense]))

    run("-", "-o", "r.h5:a/b", data=pack(ragged))
    with h5py.File("r.h5") as f:
        check(f"{dtype} HDF5: h5py reads a ragged stream",
              same([f["a/b/data"][()]], [np.concatenate(ragged)]) and f["a/b/offsets"][()].tolist() == [0, 3, 3, 4, 21, 21])
    check(f"{dtype} HDF5: and back", run("r.h5:a/b") == pack(ragged))
    check(f"{dtype} HDF5: and back through a pipe", run("/dev/stdin:a/b", data=open("r.h5", "rb").read()) == pack(ragged))
    run("--format", "h5", "-o", "image.h5", data=pack(ragged))
    check(f"{dtype} HDF5: an image on standard output",
          run("-", data=run("--format", "h5", data=pack(ragged))) == pack(ragged))

    with h5py.File("p.h5", "w") as f:
        f["s/data"] = np.concatenate(ragged)
        f["s/offsets"] = np.cumsum([0] + [len(x) for x in ragged])
        f["dense"] = dense
        f["scalar"] = dense[0, 0, 0]
        f.create_dataset("packed", data=dense, chunks=(2, 2, 2), compression="gzip", shuffle=True)
        f.create_dataset("big", data=swapped)
    check(f"{dtype} HDF5: h5py's ragged stream", run("p.h5:s") == pack(ragged))
    for name in ["dense", "packed"] + ([] if dtype == "|b1" else ["big"]):
        check(f"{dtype} HDF5: h5py's dataset, {name}", run("p.h5:" + name) == pack([dense]))
    check(f"{dtype} HDF5: h5py's scalar", run("p.h5:scalar") == pack([dense[0, 0, 0]]))
    run("-", "-o", "s.h5", data=pack([dense[0, 0, 0]]))
    with h5py.File("s.h5") as f:
        check(f"{dtype} HDF5: h5py reads a scalar", same([np.asarray(f["data"][()])], [np.asarray(dense[0, 0, 0])]))

    check(f"{dtype} --stack", run("--stack", data=pack(list(dense))) == pack([dense]))
    check(f"{dtype} --unstack", run("--unstack", data=pack([dense])) == pack(list(dense)))

values = np.concatenate([random("<f4", (100000,)), np.arange(65536, dtype="u2").view("<f2").astype("<f4")])
with np.errstate(all="ignore"):
    values = np.concatenate([values, np.nextafter(values, np.float32(0)), values * np.float32(1.00048828125)])
with np.errstate(all="ignore"):
    for to in ["f2", "f8"]:
        got, expected = unpack(run("--dtype", to, data=pack([values])))[0], values.astype("<" + to)
        check(f"f4 to {to} as NumPy", got.dtype == expected.dtype and np.array_equal(got, expected, equal_nan=True) and
              np.array_equal(np.signbit(got), np.signbit(expected)))
    doubles = np.concatenate([random("<f8", (100000,)), values.astype("<f8") * (1 + 2.0**-40), rng.normal(size=100000)])
    for to in ["f2", "f4"]:
        got, expected = unpack(run("--dtype", to, data=pack([doubles])))[0], doubles.astype("<" + to)
        check(f"f8 to {to} as NumPy", np.array_equal(got, expected, equal_nan=True))

for small, wide in [("i1", "<i4"), ("<i2", "<i4"), (">u2", "<i4"), ("<u4", "<i8"), (">u4", "<i8")]:
    array = random(small, (50, 3))
    check(f"{small} is read as {wide}", same(unpack(run(data=pack([array]))), [array.astype(wide)]))
    with h5py.File("w.h5", "w") as f:
        f["x"] = array
    check(f"{small} in HDF5 is read as {wide}", same(unpack(run("w.h5:x")), [array.astype(wide)]))
for value, good in [(2**63 - 1, True), (2**63, False)]:
    array = np.array([1, value], "<u8")
    with h5py.File("u.h5", "w") as f:
        f["x"] = array
    if good:
        check("u8 within i8", same(unpack(run(data=pack([array]))) + unpack(run("u.h5:x")), [array.astype("<i8")] * 2))
    else:
        check("u8 beyond i8 is refused", fails(data=pack([array]), message="does not fit i8") and
              fails("u.h5:x", message="does not fit i8"))

for array, word in [(np.array([None, 1], object), "pickled object"), (np.array([1j]), "'<c16' (complex"),
                    (np.array(["a"]), "'<U1' (text)"), (np.zeros(2, [("a", "<f4")]), "structured dtype"),
                    (np.zeros(2, "M8[s]"), "(times)"), (np.zeros(2, np.longdouble), "'<f16'")]:
    check(f"NPY of {array.dtype} is refused", fails(data=pack([array]), message=word))
with h5py.File("bad.h5", "w") as f:
    f["text"] = "hello"
    f["complex"] = np.zeros(3, complex)
    f["enum"] = np.zeros(3, h5py.enum_dtype({"A": 0, "B": 1}, "i1"))
    f["empty"] = h5py.Empty("f4")
for name, word in [("text", "strings"), ("complex", "compounds"), ("enum", "enumeration"), ("empty", "no shape")]:
    check(f"HDF5 {name} is refused", fails("bad.h5:" + name, message=word))

# bfloat16, which NumPy lacks: HDF5 describes it by its fields, and h5py reads it as float32.
bfloat16 = h5py.h5t.IEEE_F32LE.copy()
bfloat16.set_fields(15, 7, 8, 0, 7)
bfloat16.set_size(2)
with h5py.File("brain.h5", "w") as f:
    space = h5py.h5s.create_simple((50, 4))
    h5py.h5d.create(f.id, b"x", bfloat16, space).write(h5py.h5s.ALL, h5py.h5s.ALL, rng.normal(size=(50, 4)).astype("<f4"))
with h5py.File("brain.h5") as f:
    check("bfloat16 in HDF5 is read as f4", f["x"].id.get_storage_size() == 400 and same(unpack(run("brain.h5:x")), [f["x"][()]]))

# More than the buffers hold.
long = [random("<f4", (int(n), 64)) for n in rng.integers(0, 900, 300)]
run("-", "-o", "long.h5", data=pack(long))
with h5py.File("long.h5") as f:
    check("a long stream is chunked, about 1 MiB each", f["data"].chunks == (4096, 64) and
          same([f["data"][()]], [np.concatenate(long)]))
check("a long stream comes back", run("long.h5") == pack(long))
first = open("long.h5", "rb").read()
run("-", "-o", "long.h5", data=pack(long))
check("the same stream makes the same file", first == open("long.h5", "rb").read())
check("no temporary file is left", not [x for x in os.listdir(".") if ".tmp." in x])

print(f"{failures} failed" if failures else "all good")
sys.exit(failures != 0)
