#!/usr/bin/env bats
# model average: what it refuses, in one line and without leaving anything (tests/parity/average.py has the numbers).

bats_require_minimum_version 1.5.0

setup() {
  export PATH="$PIPEFORMER_BIN:$PATH"
  cd "$BATS_TEST_TMPDIR"
  make a.h5
}

make() { # make FILE [OPTION...]: a small model
  local file=$1
  shift
  model make --source-vocabulary 9 --target-vocabulary 9 --begin-id 1 --end-id 2 --width 8 --heads 2 --inner 8 \
    --encoder-layers 1 "$@" -o "$file"
}

refused() { # refused STATUS MESSAGE FILE...
  local status_expected=$1 message=$2
  shift 2
  run --separate-stderr model average "$@" -o out.h5
  [ "$status" -eq "$status_expected" ]
  [ "${stderr_lines[0]}" = "model: $message" ]
  [ "$status" -eq 2 ] || [ "${#stderr_lines[@]}" -eq 1 ]
  [ -z "$(compgen -G 'out.h5*')" ]
}

@test "the mean of a model with itself is that model, whatever the threads" {
  make b.h5 --seed 2
  model average a.h5 a.h5 a.h5 -o same.h5
  cmp a.h5 same.h5
  model average a.h5 b.h5 -j 1 -o one.h5
  model average a.h5 b.h5 -j 4 -o four.h5
  [ "$(model describe one.h5)" = "$(model describe a.h5)" ]
  cmp one.h5 four.h5
  run -1 cmp one.h5 a.h5
}

@test "other models are refused by the first value that differs" {
  make post.h5
  make pre.h5 --norm-position pre
  make layers.h5 --decoder-layers 2
  refused 1 "pre.h5: is another kind of model than a.h5: encoder_norm_position is pre, not post" a.h5 post.h5 pre.h5 layers.h5
  refused 1 "layers.h5: is another kind of model than a.h5: decoder_layers is 2, not 6" a.h5 layers.h5 pre.h5
  /usr/bin/python3 -c "import h5py; h5py.File('post.h5', 'a').attrs['encoder_norm_epsilon'] = 1.0000001e-5"
  refused 1 "post.h5: is another kind of model than a.h5: encoder_norm_epsilon is 1.0000001e-05, not 1.0000000000000001e-05" a.h5 post.h5
}

@test "what is no whole and finite model is refused" {
  refused 1 "a.h5:encoder/0: expected a whole model, not a part of one" a.h5 a.h5:encoder/0
  refused 1 "none.h5: cannot open: No such file or directory" a.h5 none.h5
  refused 2 "expected 'import DIR', 'export FILE', 'make', 'average FILE...', 'merge FILE', 'quantize FILE' or 'describe FILE'"
  refused 2 "--width needs 'model make'" a.h5 --width 8
  cp a.h5 nan.h5
  cp a.h5 less.h5
  /usr/bin/python3 - <<'PYTHON'
import h5py
h5py.File("nan.h5", "a")["encoder/0/norm1/bias"][3] = float("nan")
del h5py.File("less.h5", "a")["encoder/0/norm1/bias"]
PYTHON
  refused 1 "less.h5: the model has no parameter encoder/0/norm1/bias" a.h5 less.h5
  run model average a.h5 nan.h5 -o out.h5
  [ "$status" -eq 1 ]
  [[ "$output" == "model: nan.h5: parameter encoder/0/norm1/bias "* ]]
  [ ! -e out.h5 ]
}
