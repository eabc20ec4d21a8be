#!/usr/bin/env bats
# convert, and through it the manners of every output: complete or absent, quiet pipes, failures that count.

setup() {
  export PATH="$PIPEFORMER_BIN:$PATH"
  cd "$BATS_TEST_TMPDIR"
  # Three records by hand: vectors (2, 3), (0, 3) and (1, 3) f4.
  record 2 "\0\0\200\077\0\0\0\100\0\0\100\100\0\0\200\100\0\0\240\100\0\0\300\100" > vectors.npy
  record 0 "" >> vectors.npy
  record 1 "\0\0\340\100\0\0\0\101\0\0\020\101" >> vectors.npy
  record 2 "\0\0\200\077\0\0\0\100\0\0\100\100\0\0\200\100\0\0\240\100\0\0\300\100" > dense.npy
}

record() {
  local text="{'descr': '<f4', 'fortran_order': False, 'shape': ($1, 3), }"
  printf '\223NUMPY\001\0\166\0%-117s\n' "$text"
  printf "$2"
}

@test "copies an NPY stream byte for byte" {
  convert vectors.npy | cmp - vectors.npy
  convert < vectors.npy | cmp - vectors.npy
  convert vectors.npy -o copy.npy
  cmp copy.npy vectors.npy
}

@test "goes to HDF5 and back, by file, by group, by pipe" {
  convert vectors.npy -o a.h5
  convert vectors.npy -o b.h5:x/y
  convert vectors.npy --format h5 > c.h5
  convert a.h5 | cmp - vectors.npy
  convert b.h5:x/y | cmp - vectors.npy
  convert c.h5 | cmp - vectors.npy
  cat a.h5 | convert | cmp - vectors.npy
  cat b.h5 | convert /dev/stdin:x/y | cmp - vectors.npy
  convert <(cat a.h5) | cmp - vectors.npy
}

@test "the examples of the help run" {
  convert vectors.npy -o vectors.h5:train/memory
  convert dense.npy --unstack --dtype f2 > ragged.npy
  convert vectors.h5:train/memory | cmp - vectors.npy
  [ "$(grep -ac "'descr': '<f2', 'fortran_order': False, 'shape': (3,)" ragged.npy)" -gt 0 ]
}

@test "an empty stream stays empty" {
  run convert < /dev/null
  [ "$status" -eq 0 ]
  [ -z "$output" ]
  convert -o e.h5 < /dev/null
  [ "$(convert e.h5 | wc -c)" -eq 0 ]
}

@test "a truncated stream fails and leaves no output" {
  head -c 270 vectors.npy > cut.npy
  run convert cut.npy -o out.npy
  [ "$status" -eq 1 ]
  [ "$output" = "convert: cut.npy: record 1: truncated: the NPY header has 108 of 118 bytes" ]
  [ "$(ls out.npy* 2> /dev/null)" = "" ]
  run convert cut.npy -o out.h5
  [ "$status" -eq 1 ]
  [ "$(ls out.h5* 2> /dev/null)" = "" ]
}

@test "a failed run leaves the old output as it was" {
  head -c 270 vectors.npy > cut.npy
  echo old > out.npy
  run convert cut.npy -o out.npy
  [ "$status" -eq 1 ]
  [ "$(cat out.npy)" = old ]
}

@test "input and output may be the same file" {
  cp vectors.npy same.npy
  convert same.npy -o same.npy
  cmp same.npy vectors.npy
}

@test "an interrupted run removes its temporary file" {
  mkfifo slow
  convert slow -o out.npy & pid=$!
  exec 7> slow
  cat vectors.npy >&7
  for _ in $(seq 50); do compgen -G 'out.npy.tmp.*' > /dev/null && break; sleep 0.1; done
  compgen -G 'out.npy.tmp.*'
  kill -TERM "$pid"
  status=0
  wait "$pid" || status=$?
  exec 7>&-
  [ "$status" -eq 143 ]
  [ "$(ls out.npy* 2> /dev/null)" = "" ]
}

@test "a full disk is a failure" {
  run convert vectors.npy -o /dev/full
  [ "$status" -eq 1 ]
  [ "$output" = "convert: /dev/full: cannot write: No space left on device" ]
  run bash -c 'convert vectors.npy > /dev/full'
  [ "$status" -eq 1 ]
  [ "$output" = "convert: (stdout): cannot write: No space left on device" ]
  # A file size limit stands for a full disk where HDF5 writes by itself.
  for i in $(seq 4000); do cat dense.npy; done > many.npy
  run bash -c 'trap "" XFSZ; ulimit -f 16; convert many.npy -o out.h5'
  [ "$status" -eq 1 ]
  [ "$output" = "convert: out.h5: cannot write: File too large" ]
  [ "$(ls out.h5* 2> /dev/null)" = "" ]
}

@test "a closed pipe is quiet" {
  for i in $(seq 12); do cat vectors.npy vectors.npy > more.npy; mv more.npy vectors.npy; done
  run bash -c 'convert vectors.npy | head -c 1 | wc -c'
  [ "$status" -eq 0 ]
  [ "$output" -eq 1 ]
}

@test "binary is not written to a terminal" {
  script -qec true /dev/null < /dev/null > /dev/null || skip "no pseudo-terminal"
  run script -qec "convert vectors.npy" /dev/null < /dev/null
  [ "$status" -eq 2 ]
  [[ "$output" == *"binary data is not written to a terminal"* ]]
}

@test "wrong names are said" {
  run --separate-stderr convert none.npy
  [ "$status" -eq 1 ]
  [ "$stderr" = "convert: none.npy: cannot open: No such file or directory" ]
  run --separate-stderr convert vectors.npy -o none/x.npy
  [ "$status" -eq 1 ]
  [ "$stderr" = "convert: none/x.npy: cannot create: there is no such directory" ]
  run --separate-stderr convert vectors.npy -o x.txt
  [ "$status" -eq 2 ]
  run --separate-stderr convert --stack --unstack vectors.npy
  [ "$status" -eq 2 ]
}

@test "records of several shapes do not stack" {
  run --separate-stderr convert --stack vectors.npy
  [ "$status" -eq 1 ]
  [ "$stderr" = "convert: vectors.npy: record 1: f4 (0, 3) cannot be stacked on f4 (2, 3)" ]
}

@test "--skip and --take choose records" {
  convert dense.npy --unstack --skip 1 --take 2 -o some.npy
  [ "$(peek some.npy | tail -n +2 | wc -l)" -eq "$(convert dense.npy --unstack | convert --skip 1 | convert --take 2 | peek | tail -n +2 | wc -l)" ]
  convert dense.npy --unstack | convert --skip 1 | convert --take 2 | cmp - some.npy
  cat <(convert dense.npy --unstack --take 2) <(convert dense.npy --unstack --skip 2) | cmp - <(convert dense.npy --unstack)
  run convert dense.npy --stack --skip 1
  [ "$status" -eq 2 ]
}
