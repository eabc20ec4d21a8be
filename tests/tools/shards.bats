#!/usr/bin/env bats
# scripts/shards: a stream in parts, by hand, side by side, and as a Slurm array; none is done twice.

bats_require_minimum_version 1.5.0

setup_file() {
  export PATH="$PIPEFORMER_BIN:$PATH"
  export DATA="$BATS_FILE_TMPDIR/data"
  "$BATS_TEST_DIRNAME/../../scripts/make-testdata" "$DATA"
}

setup() {
  export SHARDS="$BATS_TEST_DIRNAME/../../scripts/shards"
  cd "$BATS_TEST_TMPDIR"
  slice --records 0-39 "$DATA/text.en.npy" -o in.npy
  decode=(decode -m "$DATA/model.h5" --max-length 6 --sample --seed 3)
  "${decode[@]}" in.npy -o whole.npy
}

@test "by hand, in any number of shards: the bytes of one run" {
  for n in 1 3 7 50; do
    "$SHARDS" -n $n in.npy out.npy "${decode[@]}"
    cmp out.npy whole.npy
    [ "$(find . -name "out.npy.shard-*-of-$n.npy" | wc -l)" -eq $n ]
    rm out.npy*
  done
  "$SHARDS" -n 3 in.npy out.txt classify -m "$DATA/classes.h5" --names
  classify -m "$DATA/classes.h5" --names in.npy | cmp - out.txt
  # Tools that go through records one by one.
  encode -m "$DATA/model.h5" --pool mean in.npy -o vectors.npy
  project --components plane.h5 vectors.npy -o whole.plane.npy
  nearest vectors.npy vectors.npy -k 3 -o whole.near.npy
  /usr/bin/python3 -c '
import numpy as np
with open("images.npy", "wb") as out: [np.save(out, np.random.default_rng(i).integers(0, 255, (4, 6)).astype("u1")) for i in range(40)]'
  patchify --size 2 images.npy -o whole.patches.npy
  for command in "project --onto plane.h5" "nearest vectors.npy -k 3" "slice --columns 0-3" "softmax --temperature 2"; do
    "$SHARDS" -n 7 vectors.npy ${command%% *}.npy $command
  done
  cmp project.npy whole.plane.npy && cmp nearest.npy whole.near.npy
  softmax --temperature 2 vectors.npy | cmp - softmax.npy
  slice --columns 0-3 vectors.npy | cmp - slice.npy
  "$SHARDS" -n 7 images.npy patches.npy patchify --size 2 && cmp patches.npy whole.patches.npy
  # Queries keep their numbers, and find no more of themselves than in one run.
  nearest vectors.npy --exclude-same --pairs >whole.pairs
  { nearest vectors.npy --exclude-same --pairs --take 11; nearest vectors.npy --exclude-same --pairs --skip 11; } | cmp - whole.pairs
  run -1 slice --rows 0 --skip 5 --take 2 "$DATA/text.en.npy"
  [[ $output == *"text.en.npy: record 5: "* ]]
  run -2 slice --records 0 --skip 1 vectors.npy
  [[ $output == *"--skip needs no --records"* ]]
  # Side by side, as GNU parallel does it.
  seq 0 4 | xargs -P 3 -I{} "$SHARDS" -n 5 -i {} in.npy out.npy "${decode[@]}"
  cmp out.npy whole.npy
}

@test "as an array of Slurm, of which a task fails and is run again" {
  task() {  # task ID
    SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$1 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_MAX=13 SLURM_ARRAY_TASK_COUNT=4 PMI_SIZE=4 PMIX_RANK=0 \
      "$BATS_TEST_TMPDIR/spool/slurm_script" in.npy out.npy "${decode[@]}"
  }
  mkdir spool
  cp "$SHARDS" spool/slurm_script  # Slurm runs a copy
  task 12
  task 10
  [ ! -e out.npy ]
  # A tool that fails leaves no shard, and what it says is the error.
  mkdir bin
  printf '#!/bin/sh\necho "decode: the disk is full" >&2\nexit 1\n' > bin/decode
  chmod +x bin/decode
  PATH="$PWD/bin:$PATH" run -1 --separate-stderr task 11
  [ "$stderr" = "decode: the disk is full" ]
  task 13
  [ ! -e out.npy ]
  # Again: only what is missing is done.
  for shard in 0 2 3; do touch -d 2001-01-01 out.npy.shard-$shard-of-4.npy; done
  for id in 10 11 12 13; do task $id; done
  cmp out.npy whole.npy
  [ "$(find . -name 'out.npy.shard-*-of-4.npy' ! -newermt 2002-01-01 | wc -l)" -eq 3 ]
  [ -z "$(find . -name 'out.npy.shard-??????')" ]
  # When all is there, nothing is done.
  touch -d 2001-01-01 out.npy
  task 10
  [ -n "$(find out.npy ! -newermt 2002-01-01)" ]
}

@test "shards of another input or command are not taken for these" {
  "$SHARDS" -n 2 -i 0 in.npy out.npy "${decode[@]}"
  run -1 --separate-stderr "$SHARDS" -n 2 -i 1 in.npy out.npy "${decode[@]}" --seed 4
  [[ $stderr == "shards: out.npy.shards: is of another input or command; rm out.npy.shard*" ]]
  touch -d 2001-01-01 in.npy
  run -1 "$SHARDS" -n 2 -i 1 in.npy out.npy "${decode[@]}"
  rm out.npy.shard*
  "$SHARDS" -n 2 in.npy out.npy "${decode[@]}"
  cmp out.npy whole.npy
  run -2 --separate-stderr "$SHARDS" -n 2 -i 2 in.npy other.npy "${decode[@]}"
  [[ $stderr == "shards: shard 2 of 2: they are numbered from 0" ]]
  run -2 "$SHARDS" -n 2 in.npy other.h5 "${decode[@]}"
  run -1 --separate-stderr "$SHARDS" -n 2 none.npy other.npy "${decode[@]}"
  [[ $stderr == "shards: none.npy: "* ]]
  run -2 "$SHARDS" in.npy other.npy
}

@test "the script is clean shell" {
  command -v shellcheck > /dev/null || skip "no shellcheck"
  shellcheck "$SHARDS"
}

@test "what would be lost or mixed is refused; a number with a leading zero is decimal" {
  decode=(decode -m "$DATA/model.h5" --max-length 4)
  run -2 --separate-stderr "$SHARDS" -n 2 "$DATA/text.en.npy" out.npy "${decode[@]}" --scores s.npy
  [ "$stderr" = "shards: --scores: not in shards, only OUTPUT is joined" ]
  run -2 "$SHARDS" -n 2 "$DATA/text.en.npy" out.npy "${decode[@]}" --tap-file=t.h5
  # Another model under the same name.
  cp "$DATA/model.h5" m.h5
  "$SHARDS" -n 2 -i 0 "$DATA/text.en.npy" mixed.npy decode -m m.h5 --max-length 4
  cp "$DATA/model.h5" m.h5 && touch -d '1 hour ago' m.h5
  run -1 --separate-stderr "$SHARDS" -n 2 -i 1 "$DATA/text.en.npy" mixed.npy decode -m m.h5 --max-length 4
  [[ $stderr == *"is of another input or command"* ]] && [ ! -e mixed.npy ]
  # An output of other shards is not taken for that of these.
  "$SHARDS" -n 2 "$DATA/text.en.npy" out.npy "${decode[@]}"
  rm out.npy.shard*
  run -1 --separate-stderr "$SHARDS" -n 2 "$DATA/text.en.npy" out.npy "${decode[@]}" --beam 2
  [ "$stderr" = "shards: out.npy: is there already, and not of these shards" ]
  rm out.npy*
  "$SHARDS" -n 010 -i 08 "$DATA/text.en.npy" out.npy "${decode[@]}"
  [ -e out.npy.shard-8-of-10.npy ]
}
