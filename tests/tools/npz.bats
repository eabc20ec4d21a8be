#!/usr/bin/env bats
# NPZ archives in and out, against numpy.load, numpy.savez and numpy.savez_compressed.

setup() {
  bats_require_minimum_version 1.5.0
  export PATH="$PIPEFORMER_BIN:$PATH"
  cd "$BATS_TEST_TMPDIR" || exit 1
  /usr/bin/python3 - <<'PYTHON'
import numpy as np, zipfile
random = np.random.RandomState(4)
arrays = {"words": random.standard_normal((3, 5)).astype("f4"), "layer/0/ids": np.arange(7, dtype="i4"), "ä": np.float64(2.5),
          "none": np.zeros((0, 3), "f4"),
          "fortran": np.asfortranarray(random.standard_normal((4, 2)).astype("f4")), "large": np.array([2**60 + 1], "i8"),
          "flags": np.array([True, False])}
np.savez("a.npz", **arrays), np.savez_compressed("packed.npz", **arrays), np.savez("empty.npz")
np.savez("paths.npz", **{"a/../b": np.ones(2)})
with zipfile.ZipFile("other.npz", "w") as f: f.writestr("readme.txt", "hello"), f.writestr("cut.npy", "\x93NUMPY")
with open("x.npy", "wb") as f:
    for t in (3, 0, 1): np.save(f, random.standard_normal((t, 4)).astype("f4"))
PYTHON
}

# same A B: two files of arrays, .npz or HDF5, have the same names and elements.
same() {
  /usr/bin/python3 - "$@" <<'PYTHON'
import sys, h5py, numpy as np
def load(path):
    if path.endswith(".npz"): return dict(np.load(path))
    found = {}
    with h5py.File(path) as f: f.visititems(lambda name, x: found.update({name: x[()]}) if isinstance(x, h5py.Dataset) else None)
    return found
a, b = load(sys.argv[1]), load(sys.argv[2])
assert a.keys() == b.keys(), (a.keys(), b.keys())
for name in a: assert a[name].dtype == b[name].dtype and a[name].shape == b[name].shape and (a[name] == b[name]).all(), name
PYTHON
}

@test "an archive is a stream of its arrays, and each has an address" {
  [ "$(peek a.npz | awk 'NR > 1' | wc -l)" -eq 7 ]
  [ "$(peek a.npz | cut -f 1,2 | head -n 4)" = $'name\trecord\na.npz:words\t0\na.npz:layer/0/ids\t1\na.npz:ä\t2' ]
  [ "$(peek - < a.npz | cut -f 1,3 | tail -n 1)" = $'(stdin):flags\tb1' ]
  /usr/bin/python3 -c 'import numpy as np; np.savez("colons.npz", **{"a:b:c": np.arange(3), "c": np.zeros(1)})'
  [ "$(peek --values colons.npz:a:b:c)" = $'0\t1\t2' ]
  convert a.npz | cmp - <(convert packed.npz)
  tail -c +1 packed.npz | convert | cmp - <(convert a.npz)
  [ "$(peek --values a.npz:layer/0/ids)" = $'0\t1\t2\t3\t4\t5\t6' ]
  [ "$(peek --values packed.npz:large)" = 1152921504606846977 ]
  tail -c +1 a.npz | convert /dev/stdin:words | cmp - <(convert a.npz:words)
  linear --weight a.npz:words a.npz:words | peek > /dev/null
  convert empty.npz -o none.npy && [ ! -s none.npy ]
}

@test "a stream is written as arr_0, arr_1, ...; numpy.load reads it; always the same bytes" {
  convert x.npy -o x.npz
  convert x.npz | cmp - x.npy
  convert x.npy --compress -o packed-x.npz
  convert packed-x.npz | cmp - x.npy
  same x.npz packed-x.npz
  /usr/bin/python3 -c 'import numpy as np; f = np.load("x.npz"); print(*f, *(f[k].shape for k in f))' > names
  [ "$(cat names)" = "arr_0 arr_1 arr_2 (3, 4) (0, 4) (1, 4)" ]
  sleep 2.1 # the step of a zip archive's times
  convert x.npy -o again.npz && cmp again.npz x.npz
  convert x.npy --compress --format npz | cmp - packed-x.npz
  softmax x.npy -o y.npz && convert y.npz | cmp - <(softmax x.npy)
  convert -o none.npz < /dev/null && [ "$(convert none.npz | wc -c)" -eq 0 ]
  /usr/bin/python3 -c 'import numpy as np, zipfile; assert zipfile.ZipFile("x.npz").testzip() is None and not list(np.load("none.npz"))'
  convert --dtype f2 x.npy -o half.npz && [ "$(peek half.npz | cut -f 3 | paste -s -d ' ')" = "dtype f2 f2 f2" ]
}

@test "peek shows the arrays beside one that it cannot read, which it names" {
  /usr/bin/python3 -c 'import numpy as np; np.savez("texts.npz", words=np.array(["a", "bc"]), x=np.ones(3), more=np.array(["d"]), y=np.zeros(1))'
  run -1 --separate-stderr peek texts.npz
  [ "$(cut -f 1 <<< "$output" | paste -s -d ' ')" = "name texts.npz:x texts.npz:y" ]
  # shellcheck disable=SC2154
  [ "$stderr" = "peek: texts.npz: entry 'words.npy' of the archive: dtype '<U2' (text) is not supported" ]
}

@test "names are kept between archives and HDF5 files" {
  for archive in a packed; do
    convert $archive.npz -o $archive.h5
    same $archive.npz $archive.h5
    convert $archive.h5 -o back.npz
    same $archive.npz back.npz
  done
  tail -c +1 a.npz | convert -o piped.h5 && cmp piped.h5 a.h5
  convert a.npz -o part.h5:below/here && [ "$(convert part.h5:below/here/layer/0/ids | cmp - <(convert a.npz:layer/0/ids); echo $?)" = 0 ]
  convert x.npy -o streams.h5:one && convert x.npy -o streams.h5:two && convert streams.h5 -o streams.npz
  same streams.h5 streams.npz
  convert streams.npz -o streams2.h5 && convert streams2.h5:two | cmp - x.npy
  convert streams.h5:one -o one.npz && convert one.npz | cmp - x.npy
  convert x.npy -o x.h5 && convert x.h5 -o of-stream.npz && convert of-stream.npz | cmp - x.npy
}

@test "names are kept from archive to archive, and of one array" {
  convert a.npz -o copy.npz && same a.npz copy.npz
  convert --compress a.npz -o deflated.npz && same a.npz deflated.npz
  convert copy.npz -o copy.npz && same a.npz copy.npz
  tail -c +1 packed.npz | convert --format npz | cmp - copy.npz
  convert empty.npz -o none.npz && same empty.npz none.npz
  convert a.npz --skip 1 --take 2 -o two.npz && convert a.npz --skip 1 --take 2 -o two.h5 && same two.npz two.h5
  [ "$(peek two.npz | cut -f 1 | paste -s -d ' ')" = "name two.npz:layer/0/ids two.npz:ä" ]
  convert a.npz --skip 9 -o none.npz && same empty.npz none.npz
  convert a.npz:layer/0/ids -o part.npz && convert a.npz:layer/0/ids -o part.h5
  [ "$(/usr/bin/python3 -c 'import numpy as np; f = np.load("part.npz"); print(*f, *f["layer/0/ids"])')" = "layer/0/ids 0 1 2 3 4 5 6" ]
  same part.npz part.h5
  convert --dtype f2 a.npz -o half.npz
  [ "$(/usr/bin/python3 -c 'import numpy as np; f = np.load("half.npz"); print(*(f[k].dtype for k in ("words", "large", "none")))')" = "float16 int64 float16" ]
}

@test "many entries are ZIP64" {
  /usr/bin/python3 -c 'import numpy as np
with open("many.npy", "wb") as f: f.write(b"".join([open("x.npy", "rb").read()[:176]] * 66000))'
  convert many.npy -o many.npz && convert many.npz | cmp - many.npy
  [ "$(/usr/bin/python3 -c 'import numpy as np; print(len(np.load("many.npz").files))')" = 66000 ]
}

# shellcheck disable=SC2154 # bats sets them
fails() {
  local status=$1 message=$2
  shift 2
  run "-$status" --separate-stderr "$@"
  [ "${stderr_lines[0]}" = "convert: $message" ] || { echo "got: $stderr" && false; }
}

@test "what cannot be is refused" {
  fails 1 "a.npz:word: no array 'word' (did you mean 'words'?)" convert a.npz:word
  fails 1 "other.npz: record 0: entry 'readme.txt' of the archive: not an NPY array: the bytes do not begin with \\x93NUMPY" convert other.npz
  fails 1 "paths.npz: array 'a/../b': the name cannot be a path in HDF5" convert paths.npz -o paths.h5
  fails 2 "--compress needs NPZ output" convert --compress x.npy -o y.npy
  fails 1 "other.npz: entry 'readme.txt' of the archive: not an NPY array: the bytes do not begin with \\x93NUMPY" convert other.npz -o other.h5
  # Of a file whose datasets cannot all be arrays nothing is left out in silence.
  /usr/bin/python3 -c 'import h5py, numpy as np
for depth in 100, 101:
    with h5py.File(f"deep{depth}.h5", "w") as f: f["g/" * depth + "x"] = np.ones(2); f["y"] = np.ones(2)
with h5py.File("words.h5", "w") as f: f["word"] = "text"; f["y"] = np.ones(2)'
  convert deep100.h5 -o deep.npz && same deep100.h5 deep.npz
  fails 1 "not all of it can be converted: deep101.h5: groups more than 100 deep are not listed" convert deep101.h5 -o refused.npz
  run -1 convert words.h5 -o refused.npz
  [[ "$output" = "convert: not all of it can be converted: "*"word"* ]]
  [ ! -e refused.npz ]
  head -c 500 a.npz > cut.npz
  fails 1 "cut.npz: truncated: the archive has no directory at its end" convert cut.npz
  /usr/bin/python3 -c 'data = bytearray(open("a.npz", "rb").read()); data[data.index(b"words.npy") + 200] ^= 1; open("damaged.npz", "wb").write(data)'
  fails 1 "damaged.npz: record 0: entry 'words.npy' of the archive: it is damaged: its checksum is another" convert damaged.npz
  [ ! -e paths.h5 ] && [ ! -e y.npy ]
}

@test "archives are compared by name" {
  /usr/bin/python3 -c 'import numpy as np
x, y = np.arange(3.0), np.ones(3)
np.savez("ab.npz", x=x, y=y), np.savez("ba.npz", y=y, x=x), np.savez("ac.npz", x=x, z=y), np.savez("swapped.npz", y=x, x=y)
np.savez("shape.npz", x=x, y=np.ones(2)), np.savez("more.npz", x=x, y=y, z=y)'
  peek --diff ab.npz ba.npz
  peek --diff ab.npz - < ba.npz
  run -1 peek --diff ab.npz ac.npz
  [ "$(tail -n +2 <<< "$output")" = $'y\t0\t0\t0\t0\t0\tonly in ab.npz\nz\t0\t0\t0\t0\t0\tonly in ac.npz' ]
  run -1 peek --diff ab.npz more.npz
  [ "${lines[1]}" = $'z\t0\t0\t0\t0\t0\tonly in more.npz' ]
  run -1 peek --diff ab.npz swapped.npz
  [ "$(tail -n +2 <<< "$output" | cut -f 1-3,7 | paste -s -d ,)" = $'x\t3\t2\trecord 0 [0],y\t3\t2\trecord 0 [0]' ]
  run -1 peek --diff ab.npz shape.npz
  [ "${lines[1]}" = $'y\t0\t0\t0\t0\t0\trecord 0: (3,) and (2,)' ]
  peek --diff ab.npz:x swapped.npz:y
  peek --diff ab.npz <(convert ab.npz)
  convert ab.npz -o ab.h5
  run -2 peek --diff ab.npz ab.h5
  [ "$output" = "peek: ab.npz and ab.h5: an NPZ archive and an HDF5 file of several names are not compared: convert one of them first" ]
  run -2 peek --diff other.npz other.npz
  [[ "$output" = "peek: other.npz: entry 'readme.txt' of the archive: not an NPY array"* ]]
}
