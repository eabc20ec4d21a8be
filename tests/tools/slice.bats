#!/usr/bin/env bats
# slice, softmax, text to numbers, peek --top and --diff: the small verbs around taps, against NumPy.

setup_file() {
  export DATA="$BATS_FILE_TMPDIR" PATH="$PIPEFORMER_BIN:$PATH"
  cd "$DATA" || exit 1
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
random = np.random.default_rng(3)
def stream(path, arrays):
    with open(path, "wb") as out:
        for array in arrays:
            np.save(out, array)
stream("w.npy", [random.random((4, t, t + 1), "f4") for t in (3, 1, 5)])
stream("x.npy", [random.standard_normal((t, 8), "f4") for t in (3, 0, 5)])
stream("y.npy", [random.standard_normal((t, 2), "f4") for t in (3, 0, 5)])
stream("ids.npy", [np.arange(6, dtype="<i4")])
PYTHON
}

setup() {
  bats_require_minimum_version 1.5.0
  cd "$BATS_TEST_TMPDIR" || exit 1
  ln -s "$DATA"/*.npy .
}

# is FILE EXPRESSION: the records of FILE are those of a Python expression over the lists w, x, y.
is() {
  /usr/bin/python3 - "$@" <<'PYTHON'
import sys, numpy as np
def records(path):
    out = []
    with open(path, "rb") as f:
        while f.peek(1): out.append(np.load(f))
    return out
w, x, y = records("w.npy"), records("x.npy"), records("y.npy")
ours, theirs = records(sys.argv[1]), eval(sys.argv[2])
assert len(ours) == len(theirs), (len(ours), len(theirs))
for a, b in zip(ours, theirs):
    assert a.dtype == b.dtype and a.shape == b.shape and (a == b).all(), (a, b)
PYTHON
}

# refuses STATUS MESSAGE COMMAND...
refuses() {
  local status=$1 message=$2
  shift 2
  run "-$status" --separate-stderr "$@"
  # shellcheck disable=SC2154
  [[ $stderr == *"$message"* ]] || { echo "$stderr"; false; }
}

@test "slice: axes by name, joined, split, merged, turned, reshaped" {
  slice --heads 1,3 w.npy -o out.npy && is out.npy '[a[[1, 3]] for a in w]'
  slice --heads 2 --squeeze --queries 0 w.npy --records 0,2 -o out.npy && is out.npy '[w[0][2, 0], w[2][2, 0]]'
  slice --keys 0-1 w.npy -o out.npy && is out.npy '[a[:, :, :2] for a in w]'
  slice --axis 0=0-2 --axis -1=0 w.npy -o out.npy && is out.npy '[a[:3, :, :1] for a in w]'
  slice --join y.npy x.npy -o out.npy && is out.npy '[np.concatenate([a, b], -1) for a, b in zip(x, y)]'
  slice --join x.npy --along rows x.npy -o out.npy && is out.npy '[np.concatenate([a, a], 0) for a in x]'
  slice --split 2 x.npy -o heads.npy && is heads.npy '[a.reshape(-1, 2, 4).transpose(1, 0, 2) for a in x]'
  slice --merge heads.npy | cmp - x.npy
  slice --transpose w.npy -o out.npy && is out.npy '[np.ascontiguousarray(a.transpose(0, 2, 1)) for a in w]'
  slice --order 2,0,1 w.npy -o out.npy && is out.npy '[np.ascontiguousarray(a.transpose(2, 0, 1)) for a in w]'
  slice --reshape 2,-1 ids.npy -o out.npy && is out.npy '[np.arange(6, dtype="i4").reshape(2, 3)]'
  slice --rows 1- x.npy 2> /dev/null && false
  slice --columns 5 ids.npy | slice --squeeze -o out.npy && is out.npy '[np.array(5, "i4")]'
}

@test "slice: means over axes, records and positions" {
  slice --mean heads w.npy -o out.npy && is out.npy '[a.astype("f8").mean(0).astype("f4") for a in w]'
  slice --mean positions x.npy -o out.npy && is out.npy '[np.concatenate(x).astype("f8").mean(0).astype("f4")]'
  slice --records 0 --mean records x.npy -o out.npy && is out.npy '[x[0]]'
  slice --keys 0 --queries 0 --mean records w.npy -o out.npy && is out.npy '[np.stack([a[:, :1, :1] for a in w]).astype("f8").mean(0).astype("f4")]'
}

@test "slice: what cannot be is refused, with record and shape" {
  refuses 1 "x.npy: record 0: shape (3, 8) has no element 8 on its axis 1" slice --columns 8 x.npy -o out.npy
  refuses 1 "x.npy: record 0: shape (3, 8) has no axis -3" slice --heads 0 x.npy -o out.npy
  refuses 1 "x.npy: record 0: shape (3, 8) does not split into 3 heads" slice --split 3 x.npy -o out.npy
  refuses 1 "x.npy: record 0: shape (3, 8) does not become (5, -1)" slice --reshape 5,-1 x.npy -o out.npy
  refuses 1 "x.npy: record 0: f4 (4, 3, 4) cannot be joined to f4 (3, 8)" slice --join w.npy x.npy -o out.npy
  refuses 1 "x.npy: record 0: shape (3, 2) cannot be joined to (3, 8) on axis 0" slice --join y.npy --along rows x.npy -o out.npy
  refuses 1 "ids.npy ended after 1 records, x.npy has more" slice --join ids.npy --along 0 x.npy --records 1 -o out.npy
  slice --records 0-1 x.npy -o two.npy
  refuses 1 "two.npy ended after 2 records, x.npy has more" slice --join x.npy --join two.npy x.npy -o out.npy
  refuses 1 "two.npy ended after 2 records, x.npy has more" slice --join two.npy --join x.npy two.npy -o out.npy
  refuses 2 "only one input can be standard input ('-')" slice --join - -o out.npy
  refuses 2 "only one input can be standard input ('-')" slice --join - --join - x.npy -o out.npy
  refuses 2 "only one input can be standard input ('-')" peek --diff - -
  refuses 1 "x.npy: no record 3, the stream ended after 3" slice --records 3 x.npy -o out.npy
  refuses 1 "the mean of i4 numbers is asked for" slice --mean columns ids.npy -o out.npy
  refuses 1 "cannot be joined to" slice --mean records x.npy -o out.npy
  refuses 2 "'depth' is no axis" slice --mean depth x.npy -o out.npy
  refuses 2 "'2-1' is no selection" slice --rows 2-1 x.npy -o out.npy
  [ ! -e out.npy ]
}

@test "softmax: of biased scores the weights, bit for bit; -inf alone gives zeros" {
  for options in "" "--causal" "--causal --window 2" "--alibi" "--causal --soft-cap 0.5"; do
    # shellcheck disable=SC2086
    attend --heads 2 x.npy $options --give biased | softmax -o out.npy
    # shellcheck disable=SC2086
    attend --heads 2 x.npy $options --give weights | cmp - out.npy
  done
  softmax --temperature 0.5 x.npy -o out.npy
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
with open("x.npy", "rb") as f, open("out.npy", "rb") as g:
    for _ in range(3):
        x, y = np.load(f).astype("f8"), np.load(g)
        e = np.exp(2 * x - 2 * x.max(-1, keepdims=True)) if x.size else x
        assert y.shape == x.shape and (not x.size or abs(e / e.sum(-1, keepdims=True) - y).max() < 1e-6)
PYTHON
  echo -inf -inf | convert --text f4 | softmax -o out.npy && is out.npy '[np.zeros(2, "f4")]'
  refuses 1 "ids.npy: record 0" softmax ids.npy -o none.npy
}

@test "text to numbers and back" {
  printf '1 2.5\t-3e2\n\n+4,5\n' | convert --text f4 -o out.npy
  is out.npy '[np.array(a, "f4") for a in ([1, 2.5, -300], [], [4, 5])]'
  peek --values x.npy | convert --text f4 --matrices -o out.npy && is out.npy '[x[0], x[2]]' # nothing is left of an empty one
  seq 3 | xargs | convert --text i8 -o out.npy && is out.npy '[np.array([1, 2, 3], "i8")]'
  printf '1 2\n3\n' > bad
  refuses 1 "bad: line 2: 1 numbers do not stand in a matrix of 2 columns" convert --text f4 --matrices bad -o none.npy
  for line in 1,,2 ,1 1, ' , '; do refuses 1 "line 1: a field holds no number" convert --text f4 <(echo "$line") -o none.npy; done
  refuses 1 "line 1: '1.5' is no such number" convert --text i4 <(echo 1.5) -o none.npy
  refuses 2 "--matrices needs --text" convert --matrices x.npy -o none.npy
  [ ! -e none.npy ]
}

@test "peek --top: the largest columns by name" {
  printf '0.1 0.7 0.2\n3 nan 3\n' | convert --text f4 --matrices -o t.npy
  diff <(peek --top 2 t.npy) <(printf '0\t-\t0\t1\t0.7\t2\t0.2\n0\t-\t1\t0\t3\t2\t3\n')
  echo 'a b' > rows && echo 'x y z' > columns && printf 'X\nY\nZ\n' > names
  diff <(peek --top 1 --rows-tokens rows --columns-tokens columns t.npy) <(printf '0\t-\ta\ty\t0.7\n0\t-\tb\tx\t3\n')
  diff <(peek --top 1 --columns-names names t.npy) <(printf '0\t-\t0\tY\t0.7\n0\t-\t1\tX\t3\n')
  [ "$(peek --top 1 w.npy | sed -n '4p' | cut -f 1-3)" = "$(printf '0\t1\t0')" ]
  echo 'x y' > columns
  refuses 1 "t.npy: record 0: 2 names for 3 columns" peek --top 1 --columns-tokens columns t.npy
}

@test "peek --values: rows and columns by their tokens" {
  printf '0.5 0.25\n1 2\n' | convert --text f4 --matrices -o t.npy
  echo 'a b' > rows && echo 'x y' > columns
  diff <(peek --values t.npy --rows-tokens rows --columns-tokens columns) <(printf '\tx\ty\na\t0.5\t0.25\nb\t1\t2\n')
  diff <(peek --values t.npy --columns-tokens columns) <(printf 'x\ty\n0.5\t0.25\n1\t2\n')
  diff <(peek --values t.npy --rows-tokens rows) <(printf 'a\t0.5\t0.25\nb\t1\t2\n')
  echo x > columns
  refuses 1 "t.npy: record 0: 1 labels for 2 columns" peek --values --columns-tokens columns t.npy
  refuses 2 "--rows-tokens needs --heatmap, --top or --values" peek --rows-tokens rows t.npy
}

@test "peek --diff: names, sizes, places; the status of diff" {
  peek --diff x.npy x.npy | cmp - /dev/null
  /usr/bin/python3 - <<'PYTHON'
import h5py, numpy as np
with open("x.npy", "rb") as f, open("z.npy", "wb") as out:
    for i in range(3):
        a = np.load(f)
        if i == 2: a[4, 7] += 0.5
        np.save(out, a)
for name, value in (("a.h5", 1.0), ("b.h5", 1.25)):
    with h5py.File(name, "w") as f:
        f["same"], f["nested/w"] = np.ones((2, 3), "f4"), np.array([0, value, np.nan], "f4")
        if name == "b.h5": f["more"] = np.zeros(2, "f4")
PYTHON
  run -1 peek --diff x.npy z.npy
  [ "$(cut -f 2,3,4,7 <<< "${lines[1]}")" = "$(printf '64\t1\t0.5\trecord 2 [4, 7]')" ]
  peek --diff x.npy z.npy --tolerance 0.6
  run -1 peek --diff a.h5 b.h5
  [ "${#lines[@]}" -eq 3 ]
  [[ ${lines[*]} == *"nested/w"*"0.25"*"0.2"*"record 0 [1]"* && ${lines[*]} == *"more"*"only in b.h5"* && ${lines[*]} != *same* ]]
  run -1 peek --diff x.npy y.npy
  [[ $output == *"record 0: (3, 8) and (3, 2)"* ]]
  refuses 2 "peek: none.npy: cannot open" peek --diff x.npy none.npy
  refuses 2 "--diff compares two files" peek --diff x.npy
  echo inf -inf | convert --text f4 -o up.npy && echo 5 inf | convert --text f4 -o down.npy
  run -1 peek --diff up.npy down.npy --tolerance 1e9
  peek --diff up.npy up.npy --tolerance 1e9
  refuses 2 "--tolerance needs --diff" peek --tolerance 1 x.npy
}

@test "peek --diff: integers exactly, weights of 8 bits by what they stand for" {
  echo 9007199254740992 -9223372036854775807 | convert --text i8 -o p.npy
  echo 9007199254740993 9223372036854775807 | convert --text i8 -o q.npy
  run -1 peek --diff p.npy q.npy
  [ "$(cut -f 2,3,4,6,7 <<< "${lines[1]}")" = "$(printf '2\t2\t1.84467e+19\t2\trecord 0 [0]')" ]
  slice --columns 0 p.npy -o p0.npy && slice --columns 0 q.npy -o q0.npy
  run -1 peek --diff p0.npy q0.npy
  [ "$(cut -f 3,4 <<< "${lines[1]}")" = "$(printf '1\t1')" ]
  /usr/bin/python3 - <<'PYTHON'
import h5py, numpy as np
w = np.array([[1.0, -0.5, 0.25], [8, 2, -4]], "f4")
codes = np.array([[127, -64, 32], [127, 32, -64]], "i1")
with h5py.File("f32.h5", "w") as f: f["w"] = w
for name, scales in (("int8.h5", w.max(1) / 127), ("other.h5", w.max(1) / 120)):
    with h5py.File(name, "w") as f: f["w"], f["w_scale"] = codes, scales.astype("f4")
with h5py.File("codes.h5", "w") as f: f["w"] = codes
PYTHON
  peek --diff f32.h5 int8.h5 --tolerance 0.01
  run -1 peek --diff f32.h5 int8.h5
  [[ ${#lines[@]} -eq 2 && ${lines[1]} == "w"*"6"*"0.03"* ]]
  run -1 peek --diff int8.h5 other.h5 --tolerance 0.01
  [[ ${#lines[@]} -eq 2 && ${lines[1]} == "w"* ]]
  run -1 peek --diff int8.h5 codes.h5
  [[ ${#lines[@]} -eq 2 && ${lines[1]} == "w"* ]]
}
