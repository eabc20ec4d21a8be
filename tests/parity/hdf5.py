"""HDF5 files of every form that h5py writes, read without the HDF5 library: the same elements, bit for bit, and the same names."""
import io
import itertools
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np

tools = os.path.abspath(os.environ["PIPEFORMER_BIN"])
failures = 0
rng = np.random.default_rng(11)


def check(name, good):
    global failures
    failures += not good
    if not good:
        print("FAILED  " + name)


def tool(*arguments):
    return subprocess.run([os.path.join(tools, arguments[0]), *arguments[1:]], capture_output=True)


def read(address):
    done = tool("convert", address)
    if done.returncode != 0:
        print(done.stderr.decode(), end="")
        return None
    return np.load(io.BytesIO(done.stdout))


def same(found, expected):
    return (found is not None and found.shape == expected.shape and
            found.tobytes() == expected.astype(found.dtype).tobytes())


def create(name, **options):
    return h5py.File(name, "w", **options)


def shapes(file):
    """Datasets of every layout and index of chunks; the name says which is meant."""
    def put(name, array, **options):
        file.create_dataset(name, data=array, **options)

    whole = rng.normal(size=(37, 11)).astype("f4")
    put("contiguous", whole)
    put("scalar", np.float64(2.5))
    put("single", whole, chunks=(37, 11))
    put("single_deflated", whole, chunks=(37, 11), compression="gzip", shuffle=True)
    put("fixed", whole, chunks=(5, 4))
    put("fixed_deflated", whole, chunks=(5, 4), compression="gzip", fletcher32=True)
    put("fixed_paged", rng.integers(-9, 9, (3000,)).astype("i8"), chunks=(1,))
    put("fixed_larger", whole, chunks=(5, 4), maxshape=(90, 50))
    put("extensible", whole, chunks=(5, 4), maxshape=(None, 11))
    put("extensible_second", whole, chunks=(5, 4), maxshape=(40, None), compression="gzip", shuffle=True)
    put("extensible_third", rng.normal(size=(3, 4, 50)), chunks=(2, 3, 2), maxshape=(7, 4, None))
    put("extensible_long", np.arange(9000, dtype="i4"), chunks=(1,), maxshape=(None,))
    put("records", whole, chunks=(5, 4), maxshape=(None, None))
    put("records_deflated", whole, chunks=(2, 2), maxshape=(None, None), compression="gzip", shuffle=True, fletcher32=True)
    put("records_deep", np.arange(3600, dtype="u1").reshape(60, 60), chunks=(1, 1), maxshape=(None, None))
    put("four_axes", rng.integers(0, 255, (3, 5, 4, 7)).astype("u1"), chunks=(2, 2, 4, 7))
    put("inner_whole", rng.normal(size=(9, 6, 5)).astype("f4"), chunks=(2, 4, 5))
    put("none", np.zeros((0, 3), "f4"))
    put("none_chunked", np.zeros((0, 3), "f4"), chunks=(4, 3), maxshape=(None, 3))

    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_chunk((5, 4))
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    implicit = h5py.h5d.create(file.id, b"implicit", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((37, 11)), early)
    implicit.write(h5py.h5s.ALL, h5py.h5s.ALL, whole)
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    small = h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((37, 11)), compact)
    small.write(h5py.h5s.ALL, h5py.h5s.ALL, whole)

    for name, options in {"sparse": {}, "sparse_deflated": {"compression": "gzip"}}.items():
        part = file.create_dataset(name, (50, 9), "i4", chunks=(4, 4), fillvalue=-7, **options)
        part[13:15, 2:6] = 5
    file.create_dataset("unwritten", (4, 3), "f8", fillvalue=0.5)
    file.create_dataset("shrunk", data=whole, chunks=(5, 4), maxshape=(None, None)).resize((20, 6))
    file.create_dataset("grown", data=whole, chunks=(5, 4), maxshape=(None, 11)).resize((60, 11))
    masked = file.create_dataset("masked", (8,), "f4", chunks=(4,), compression="gzip", shuffle=True)
    masked[:] = 1
    masked.id.write_direct_chunk((4,), np.arange(4, dtype="f4").tobytes(), filter_mask=3)


def types(file):
    for width, order, sign in itertools.product("1248", "<>", "iu"):
        low, high = (0, 100) if sign == "u" else (-100, 100)
        file[f"{sign}{width}{'l' if order == '<' else 'b'}"] = rng.integers(low, high, 21).astype(order + sign + width)
    for width, order in itertools.product("248", "<>"):
        file[f"f{width}{'l' if order == '<' else 'b'}"] = np.array(
            [0, -0.0, 1, -1.5, 1e-40, 3.25, np.inf, -np.inf, np.nan], order + "f" + width)
    file["bool"] = np.array([True, False, True])
    file["named"] = np.dtype("f4")
    file.create_dataset("of_named", data=np.arange(5, dtype="f4"), dtype=file["named"])
    odd = h5py.h5t.STD_I32LE.copy()
    odd.set_precision(13)
    odd.set_offset(5)
    h5py.h5d.create(file.id, b"odd_integer", odd, h5py.h5s.create_simple((5,))).write(
        h5py.h5s.ALL, h5py.h5s.ALL, np.array([1, -1, 4095, -4096, 0], "i4"))
    tiny = h5py.h5t.IEEE_F32LE.copy()
    tiny.set_fields(19, 14, 5, 4, 10)
    tiny.set_precision(20)
    tiny.set_ebias(9)
    h5py.h5d.create(file.id, b"odd_float", tiny, h5py.h5s.create_simple((5,))).write(
        h5py.h5s.ALL, h5py.h5s.ALL, np.array([1, -1.5, 0.25, 0, 100], "f4"))


def names(file):
    """Groups and attributes, few and many, and links of every kind."""
    for i in range(300):
        file.create_dataset(f"many/größe {i:03}", data=np.full(2, i, "i4"))
    for i in range(200):
        file.attrs[f"attribute {i:03}"] = i
    long = file.create_dataset("long name " + "x" * 5000, data=np.ones(1, "f4"))
    long.attrs["y" * 3000] = "z" * 4000
    file["soft"], file["away"] = h5py.SoftLink("/many/größe 007"), h5py.ExternalLink("no.h5", "/x")
    file["dangling"], file["many/relative"] = h5py.SoftLink("/nothing"), h5py.SoftLink("größe 008")
    file["hard"] = file["many/größe 009"]
    group = file.create_group("ordered", track_order=True)
    for name in "zyx":
        group[name] = np.ones(2, "f4")
    for i in range(20):
        group.attrs[f"{i}"] = i


def attributes(file):
    file.attrs["text"], file.attrs["fixed"], file.attrs["empty"] = "vary", np.bytes_(b"fix"), ""
    file.attrs["real"], file.attrs["whole"], file.attrs["flag"] = 0.1, -5, True
    file.attrs["big"], file.attrs["list"], file.attrs["words"] = np.uint64(2**63 + 5), np.arange(4), ["der", "Hund"]
    file.attrs["half"], file.attrs["swapped"] = np.float16(0.5), np.array(77, ">i4")
    file["type"] = np.dtype("i4")
    file.attrs.create("named", 9, dtype=file["type"])
    file.attrs["numbers"] = np.arange(100)


def check_file(name, where):
    with h5py.File(name) as file:
        def visit(path, item):
            if isinstance(item, h5py.Dataset):
                check(f"{where}: {path[:40]}", same(read(f"{name}:{path}"), np.asarray(item[()])))
        file.visititems(visit)


with tempfile.TemporaryDirectory() as directory:
    os.chdir(directory)
    forms = [("earliest", {"libver": "earliest"}), ("latest", {"libver": "latest"}), ("v108", {"libver": ("v108", "v108")}),
             ("ordered", {"track_order": True})]
    for form, options in forms:
        with create("shapes.h5", **options) as file:
            shapes(file)
        check_file("shapes.h5", form)
        with create("types.h5", **options) as file:
            types(file)
        check_file("types.h5", form)
        with create("names.h5", **options) as file:
            names(file)
        check_file("names.h5", form)
        for path, value in [("soft", 7), ("many/relative", 8), ("hard", 9)]:
            check(f"{form}: {path}", same(read("names.h5:" + path), np.full(2, value, "i4")))
        listing = tool("peek", "names.h5").stdout.decode()
        check(f"{form}: all attributes are listed", all(f"# attribute {i:03} = {i}\n" in listing for i in range(200)))
        check(f"{form}: all datasets are listed", all(f"names.h5:many/größe {i:03}\t" in listing for i in range(300)))
        check(f"{form}: links that are not followed", "'away' is a link to another file" in listing and
              "'dangling' is a link to nothing" in listing)
        with create("attributes.h5", **options) as file:
            attributes(file)
        lines = tool("peek", "attributes.h5").stdout.decode().splitlines()
        for line in ["text = vary", "fixed = fix", "empty = ", "real = 0.1", "whole = -5", "flag = true", f"big = {2**63 + 5}",
                     "list = [0, 1, 2, 3]", "words = [der, Hund]", "half = 0.5", "swapped = 77", "named = 9",
                     "numbers = [0, 1, 2, 3, 4, 5, 6, 7, ... 100 values]"]:
            check(f"{form}: attribute {line}", "# " + line in lines)
    # A changed byte is noticed where the file has checksums.
    with create("sum.h5", libver="latest") as file:
        file.create_dataset("x", data=np.arange(100, dtype="f4"), fletcher32=True, chunks=(100,))
    data = bytearray(open("sum.h5", "rb").read())
    data[data.index(np.arange(8, dtype="f4").tobytes()) + 5] ^= 1
    open("sum.h5", "wb").write(data)
    done = tool("convert", "sum.h5:x")
    check("a wrong checksum is an error", done.returncode == 1 and b"a chunk's checksum is wrong" in done.stderr)

print(f"{failures} failures")
sys.exit(failures > 0)
