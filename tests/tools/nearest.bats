#!/usr/bin/env bats
# nearest as a user runs it: shapes, ties, same bits, text, errors; against NumPy.

setup() {
  bats_require_minimum_version 1.5.0
  export PATH="$PIPEFORMER_BIN:$PATH"
  cd "$BATS_TEST_TMPDIR" || exit 1
  /usr/bin/python3 - <<'EOF'
import numpy as np
def stream(path, arrays):
    with open(path, "wb") as out:
        for array in arrays:
            np.lib.format.write_array(out, array, version=(1, 0))
f = np.float32
base = np.array([[1, 0], [0, 1], [0, 0], [2, 0], [3, 4]], f)
np.save("base.npy", base), stream("base.stream.npy", list(base))
stream("queries.npy", [np.array(v, f) for v in ([1, 0], [0, 0], [0, 7])])
np.save("dense.npy", np.array([[[1, 0], [0, 0], [0, 7]]], f))
stream("bad.npy", [np.array([1, 0], f), np.array([np.nan, 0], f)])
stream("wide.npy", [np.array([1, 0, 0], f)])
np.save("ids.npy", np.array([1, 2], np.int32)), np.save("huge.npy", np.full((2, 2), 3e38, f))
random = np.random.RandomState(1)
np.save("many.npy", random.randint(-2, 3, (1500, 8)).astype(f))
EOF
  printf 'east\nnorth\nnowhere\nfar east\nnorth-east\n' > labels
}

array() {
  /usr/bin/python3 -c 'import sys, numpy as np
with open(sys.argv[1], "rb") as f:
    try:
        while True: print(np.load(f).tolist())
    except (EOFError, ValueError): pass' "$1"
}

fails() {
  local status=$1 message=$2
  shift 2
  run "-$status" --separate-stderr "$@"
  [ "${stderr_lines[0]}" = "nearest: $message" ] || { echo "got: $stderr" && false; }
  [ ! -e failed.npy ]
}

@test "the best first, of equals the lower id; a vector of zeros is similar to none" {
  nearest base.npy queries.npy -k 3 --scores scores.npy > hits.npy
  [ "$(array hits.npy)" = $'[0, 3, 4]\n[0, 1, 2]\n[1, 4, 0]' ]
  [ "$(array scores.npy)" = $'[1.0, 1.0, 0.6000000238418579]\n[0.0, 0.0, 0.0]\n[1.0, 0.800000011920929, 0.0]' ]
  nearest base.npy queries.npy -k 2 --metric dot | cmp - <(nearest base.stream.npy queries.npy -k 2 --metric dot -j 1)
  nearest base.npy queries.npy -k 2 --metric dot > hits.npy
  [ "$(array hits.npy)" = $'[4, 3]\n[0, 1]\n[4, 1]' ]
  nearest base.npy queries.npy -k 2 --metric euclidean --scores scores.npy > hits.npy
  [ "$(array hits.npy)" = $'[0, 2]\n[2, 0]\n[4, 1]' ]
  [ "$(array scores.npy)" = $'[0.0, 1.0]\n[0.0, 1.0]\n[4.242640495300293, 6.0]' ]
}

@test "leading axes of queries are kept; HDF5 in and out" {
  nearest base.npy dense.npy -k 2 > hits.npy
  [ "$(array hits.npy)" = '[[[0, 3], [0, 1], [1, 4]]]' ]
  convert base.npy -o base.h5:vectors
  nearest base.h5:vectors queries.npy -k 2 -o hits.h5 && convert hits.h5 | cmp - <(nearest base.npy queries.npy -k 2)
}

@test "a file against itself, duplicates, text, labels" {
  [ "$(nearest base.npy base.npy --exclude-same --metric euclidean | { cat > h.npy; array h.npy; })" = '[[2], [2], [0], [0], [3]]' ]
  [ "$(nearest base.npy base.npy -k 5 --within 0.9 --pairs | awk '$2 < $1 {print $1}')" = 3 ]
  [ "$(nearest base.npy queries.npy -k 2 --labels labels)" = $'0\t0\t1\teast\n0\t3\t1\tfar east\n1\t0\t0\teast\n1\t1\t0\tnorth\n2\t1\t1\tnorth\n2\t4\t0.8\tnorth-east' ]
  nearest base.npy queries.npy -k 9 --within 0.7 > hits.npy
  [ "$(array hits.npy)" = $'[0, 3]\n[]\n[1, 4]' ]
  nearest base.npy queries.npy -k 9 --within 1 --metric euclidean > hits.npy
  [ "$(array hits.npy)" = $'[0, 2, 3]\n[2, 0, 1]\n[]' ]
}

@test "the same bits for any number of threads and any cut of the queries; many equals" {
  for metric in cosine dot euclidean; do
    nearest many.npy many.npy -k 20 --metric $metric --scores s1.npy -o i1.npy
    nearest many.npy many.npy -k 20 --metric $metric --scores s2.npy -j 1 -o i2.npy
    convert --unstack many.npy | nearest many.npy -k 20 --metric $metric --scores s3.npy -j 2 -o i3.npy
    cmp i1.npy i2.npy && cmp s1.npy s2.npy
    /usr/bin/python3 - "$metric" <<'EOF'
import sys, numpy as np
def stream(path):
    with open(path, "rb") as f: return np.array([np.load(f) for _ in range(1500)])
i, s = np.load("i1.npy"), np.load("s1.npy")
assert (i == stream("i3.npy")).all() and (s == stream("s3.npy")).all()
# Of equal scores the lower id is first, and whoever is left out is no better than the last.
assert ((np.diff(s, axis=1) != 0) | (np.diff(i, axis=1) > 0)).all()
x = np.load("many.npy").astype(float)
if sys.argv[1] == "euclidean":
    d = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
    assert (i == np.argsort(d, axis=1, kind="stable")[:, :20]).all()
if sys.argv[1] == "dot":
    assert (i == np.argsort(-(x @ x.T), axis=1, kind="stable")[:, :20]).all()
EOF
  done
}

@test "errors name file, record and both sizes" {
  fails 1 'bad.npy: record 1: not finite' nearest base.npy bad.npy -o failed.npy
  fails 1 'bad.npy: record 1: not finite' nearest bad.npy base.npy -o failed.npy
  fails 1 'wide.npy: record 0: width 3 does not match the 2 of base.npy' nearest base.npy wide.npy -o failed.npy
  fails 1 'ids.npy: record 0: expected floating-point numbers, not i4 (2,)' nearest base.npy ids.npy -o failed.npy
  fails 1 'base.npy: has 5 vectors: too few to find 6 (-k)' nearest base.npy queries.npy -k 6 -o failed.npy
  fails 1 'base.npy: has 5 vectors: too few to find 5 others (-k)' nearest base.npy base.npy -k 5 --exclude-same -o failed.npy
  cmp <(nearest base.npy --exclude-same -k 2 --pairs < /dev/null) <(nearest base.npy base.npy --exclude-same -k 2 --pairs)
  : > empty.npy
  fails 1 'empty.npy: 0 vectors are not the 5 of base.npy: --exclude-same is for a file against itself' nearest base.npy empty.npy --exclude-same -o failed.npy
  fails 1 'many.npy: record 0: width 8 does not match the 2 of base.npy' nearest base.npy many.npy --exclude-same -o failed.npy
  fails 1 'queries.npy: 3 vectors are not the 2 of huge.npy: --exclude-same is for a file against itself' \
    nearest huge.npy queries.npy --exclude-same -o failed.npy
  fails 1 'huge.npy: record 0: a score is not finite: numbers too large' nearest huge.npy huge.npy --metric dot -o failed.npy
  fails 1 'dense.npy: record 0: shape (1, 3, 2): --within needs vectors (D,), or --pairs' \
    nearest base.npy dense.npy --within 0 -o failed.npy
  head -4 labels > few
  fails 1 'few: has 4 lines for the 5 vectors of base.npy' nearest base.npy queries.npy --labels few -o failed.npy
  fails 2 'BASE and QUERIES cannot both be standard input' nearest - -o failed.npy
  fails 2 "--scores needs arrays: neither --pairs nor --labels" nearest base.npy queries.npy --pairs --scores failed.npy
  : > empty.npy
  fails 1 'empty.npy: has 0 vectors: too few to find 1 (-k)' nearest empty.npy queries.npy -o failed.npy
  [ -z "$(nearest base.npy empty.npy)" ]
}
