#!/usr/bin/env bats
# convert, and through it the manners of every output: complete or absent, quiet pipes, failures that count.

setup() {
  bats_require_minimum_version 1.5.0
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

many() { # 4096 records in many.npy
  cp dense.npy many.npy
  for _ in $(seq 12); do cat many.npy many.npy > more.npy && mv more.npy many.npy; done
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
  # A file size limit stands for a full disk, where HDF5 writes by itself, too.
  many
  for out in out.h5 out.npy old.h5:new; do
    convert vectors.npy -o old.h5
    run bash -c 'ulimit -f 16; convert many.npy -o "$1"' - "$out"
    [ "$status" -eq 1 ]
    [ "$output" = "convert: $out: cannot write: File too large" ] ||
      [ "$output" = "convert: ${out%:*}: cannot write: File too large" ]
    [ "$(ls out.* *.tmp.* 2> /dev/null)" = "" ]
  done
  run bash -c 'ulimit -f 16; convert many.npy > out.npy'
  [ "$output" = "convert: (stdout): cannot write: File too large" ]
}

@test "groups of one file: added, replaced, written at the same time" {
  convert vectors.npy -o two.h5:one
  convert dense.npy -o two.h5:two
  convert two.h5:one | cmp - vectors.npy
  convert two.h5:two | cmp - dense.npy
  convert vectors.npy -o two.h5:two
  convert two.h5:two | cmp - vectors.npy
  for i in $(seq 12); do convert dense.npy -o many.h5:part/$i & pids+=($!); done
  for pid in "${pids[@]}"; do wait "$pid"; done
  for i in $(seq 12); do convert many.h5:part/$i | cmp - dense.npy; done
  [ "$(ls -d *.tmp.* 2> /dev/null)" = "" ]
}

@test "a pipe that does not block is waited for" {
  many
  /usr/bin/python3 - << 'END'
import fcntl, os, subprocess, sys, time
whole = open("many.npy", "rb").read()
ours, its = os.pipe()
fcntl.fcntl(its, fcntl.F_SETFL, os.O_NONBLOCK)
tool = subprocess.Popen(["convert", "many.npy"], stdout=its)
os.close(its)
time.sleep(0.2)
got = open(ours, "rb").read()
assert tool.wait() == 0 and got == whole, (tool.returncode, len(got), len(whole))
its, ours = os.pipe()
fcntl.fcntl(its, fcntl.F_SETFL, os.O_NONBLOCK)
tool = subprocess.Popen(["convert"], stdin=its, stdout=open("back.npy", "wb"))
os.close(its)
time.sleep(0.2)
with open(ours, "wb") as out:
    out.write(whole)
assert tool.wait() == 0 and open("back.npy", "rb").read() == whole
END
}

@test "an input that cannot be is named: closed, text, too large" {
  run --separate-stderr bash -c 'convert <&-'
  [ "$stderr" = "convert: (stdin): cannot read: Bad file descriptor" ]
  run --separate-stderr bash -c 'echo hello | convert'
  [ "$stderr" = "convert: (stdin): neither NPY nor HDF5: looks like text: tokenize it first" ]
  ! ldd "$PIPEFORMER_BIN/convert" | grep -qE 'lib(asan|tsan)' || skip "a sanitizer ends the process there"
  header="{'descr': '<f4', 'fortran_order': False, 'shape': (500000000000,), }"
  { cat dense.npy; printf '\223NUMPY\001\0\166\0%-117s\n' "$header"; } > large.npy
  truncate -s 3T large.npy 2> /dev/null || skip "no large files"
  run --separate-stderr bash -c 'convert large.npy > /dev/null'
  [ "$stderr" = "convert: large.npy: record 1: f4 (500000000000,), 2000000000000 bytes, does not fit in memory" ]
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
