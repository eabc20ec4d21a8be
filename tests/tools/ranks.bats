#!/usr/bin/env bats
# Records dealt to several ranks, and parts of a stream: the bytes of one process.

bats_require_minimum_version 1.5.0

setup_file() {
  export PATH="$PIPEFORMER_BIN:$PATH"
  export DATA="$BATS_FILE_TMPDIR/data"
  "$BATS_TEST_DIRNAME/../../scripts/make-testdata" "$DATA"
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
  export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_plm=isolated
  export OMPI_MCA_btl_vader_single_copy_mechanism=none
  cd "$DATA" || exit 1
  embed -m model.h5 text.en.npy -o vectors.en.npy
  tokenize -m tok.model --phrases <(cut -d ' ' -f 2 text.de) -o words.npy
  tokenize -m tok.model --phrases <(echo Haus) -o word.npy
  tokenize -m tok.model --words en.words.npy text.en -o /dev/null
  tokenize -m spans.h5 --pair text.de --types types.npy --offsets offsets.npy text.en -o pairs.npy
  sed 's/[^ ]*$/[MASK]./' text.en > masked.txt
}

setup() {
  cd "$BATS_TEST_TMPDIR"
}

need_mpi() {
  [ -e "$PIPEFORMER_BIN/../lib/libpipeformer_mpi.so" ] || skip "built without MPI"
  command -v mpirun > /dev/null || skip "no mpirun"
  ! ldd "$PIPEFORMER_BIN/train" | grep -qE 'lib(asan|tsan)' || skip "the sanitizers report what Open MPI itself never frees"
}

ranks() {  # ranks N COMMAND...
  timeout 100 mpirun -n "$@"
}

# Commands that write only to standard output, in small batches so that there are many to deal.
commands() {
  cat <<END
encode -m $DATA/model.h5 --batch-rows 100 $DATA/text.en.npy
encode -m $DATA/model.h5 --pool mean --dtype f8 --batch-rows 50 $DATA/text.en.npy
decode -m $DATA/model.h5 --batch-rows 20 --max-length 8 --beam 3 --nbest 2 $DATA/text.en.npy
decode -m $DATA/model.h5 --batch-rows 20 --max-length 8 --sample --seed 5 $DATA/text.en.npy
decode -m $DATA/model.h5 --batch-rows 20 --max-length 8 --require $DATA/words.npy --ban $DATA/word.npy --prefix $DATA/text.de.npy $DATA/text.en.npy
decode -m $DATA/model.h5 --batch-rows 100 --target $DATA/text.de.npy $DATA/text.en.npy
decode -m $DATA/model.h5 --batch-rows 100 --ablate decoder/1/self_attn/output[250;;] --max-length 5 $DATA/text.en.npy
classify -m $DATA/classes.h5 --batch-rows 30 $DATA/text.en.npy
classify -m $DATA/classes.h5 --top 2 --batch-rows 30 $DATA/text.en.npy
tag -m $DATA/tags.h5 --names --words $DATA/en.words.npy --batch-rows 30 $DATA/text.en.npy
answer -m $DATA/spans.h5 --types $DATA/types.npy --offsets $DATA/offsets.npy --texts $DATA/text.de --nbest 2 --batch-rows 40 $DATA/pairs.npy
fill -m $DATA/masked.h5 --top 3 --batch-rows 40 $DATA/masked.txt
posenc -m $DATA/model.h5 --batch-rows 64 $DATA/vectors.en.npy
mhattn -m $DATA/model.h5:encoder/0/self_attn --batch-rows 64 $DATA/vectors.en.npy
attend --heads 4 --give weights --batch-rows 64 $DATA/vectors.en.npy
norm -m $DATA/model.h5:encoder/0/norm1 --batch-rows 64 $DATA/vectors.en.npy
add --batch-rows 64 --to $DATA/vectors.en.npy $DATA/vectors.en.npy
END
}

@test "one to four ranks write the bytes of one process" {
  need_mpi
  count=0
  while read -r command; do
    [ -n "$command" ] || continue
    $command > one
    [ -s one ]
    for n in 1 2 3 4; do
      ranks $n $command < /dev/null > several
      cmp one several || { echo "$n ranks: $command"; false; }
    done
    count=$((count + 1))
  done < <(commands)
  [ $count -eq 17 ]
}

@test "pipes in and out, files of every format, and what is written beside" {
  need_mpi
  encode -m "$DATA/model.h5" --batch-rows 100 "$DATA/text.en.npy" > one
  ranks 3 encode -m "$DATA/model.h5" --batch-rows 100 < "$DATA/text.en.npy" | cmp - one
  cat "$DATA/text.en.npy" | ranks 3 encode -m "$DATA/model.h5" --batch-rows 100 -j 2 | cmp - one
  for format in npy h5 npz; do
    encode -m "$DATA/model.h5" --batch-rows 100 "$DATA/text.en.npy" -o one.$format
    ranks 3 encode -m "$DATA/model.h5" --batch-rows 100 "$DATA/text.en.npy" -o several.$format
    cmp one.$format several.$format
  done
  beside() {
    decode=(decode -m "$DATA/model.h5" --batch-rows 20 --max-length 8 --beam 2 "$DATA/text.en.npy")
    "${@:2}" "${decode[@]}" --scores "$1.s.npy" --token-scores "$1.t.npy" --alignment "$1.a.npy" --alternatives "$1.k.npy" \
      --alternatives-scores "$1.l.npy" -o "$1.o.npy"
  }
  beside one
  beside several ranks 3
  for what in s t a k l o; do cmp one.$what.npy several.$what.npy; done
  # -v counts what all ranks did.
  run -0 --separate-stderr ranks 3 decode -v -m "$DATA/model.h5" --batch-rows 20 --max-length 8 "$DATA/text.en.npy" -o out.npy
  tokens=$(/usr/bin/python3 -c '
import numpy as np
total = 0
with open("out.npy", "rb") as f:
    while f.peek(1): total += len(np.load(f))
print(total)')
  [[ $stderr == *"300 sentences, $tokens tokens,"* ]]
  # Two tools of a pipeline cannot both be a rank of one mpirun.
  ranks 2 bash -c "PIPEFORMER_MPI=off encode -m $DATA/model.h5 $DATA/text.en.npy > \$OMPI_COMM_WORLD_RANK.npy"
  encode -m "$DATA/model.h5" "$DATA/text.en.npy" | cmp - 0.npy
  cmp 0.npy 1.npy
}

said_once() {  # said_once N PATTERN COMMAND...: fails, with one line of its own, and leaves nothing
  local n=$1 pattern=$2
  shift 2
  run --separate-stderr ranks "$n" "$@"
  [ "$status" -ne 0 ]
  [ "$(grep -cE '^(encode|decode): ' <<< "$stderr")" -eq 1 ] || { echo "$stderr"; false; }
  grep -qE "^(encode|decode): $pattern" <<< "$stderr" || { echo "$stderr"; false; }
  [ ! -e out.npy ]
}

@test "what goes wrong on any rank is said once, and nothing is left" {
  need_mpi
  said_once 3 "option '--batch-rows': 'x'" encode -m "$DATA/model.h5" --batch-rows x "$DATA/text.en.npy" -o out.npy
  said_once 3 "none.npy: cannot open" encode -m "$DATA/model.h5" none.npy -o out.npy
  # An id that no vocabulary has, in the middle: the same line as one process writes.
  { cat "$DATA/text.en.npy"; /usr/bin/python3 -c 'import numpy as np, sys; np.save(sys.stdout.buffer, np.array([999999], "<i4"))'; cat "$DATA/text.en.npy"; } > bad.npy
  run ! --separate-stderr encode -m "$DATA/model.h5" --batch-rows 40 bad.npy -o out.npy
  said_once 3 "bad.npy: record 300: id 999999 is outside" encode -m "$DATA/model.h5" --batch-rows 40 bad.npy -o out.npy
  [[ $stderr == *"bad.npy: record 300: id 999999 is outside"* ]]
  # A model that the second rank has not, as on a machine of its own.
  mkdir 0
  cp "$DATA/model.h5" 0/
  said_once 2 "1/model.h5: cannot open" bash -c "exec encode -m \$OMPI_COMM_WORLD_RANK/model.h5 $DATA/text.en.npy -o out.npy"
  said_once 4 "[123]/model.h5: cannot open" bash -c "exec encode -m \$OMPI_COMM_WORLD_RANK/model.h5 $DATA/text.en.npy -o out.npy"
  # Parameters that only the second rank has spoilt: found when it computes.
  cp -r 0 1
  /usr/bin/python3 -c "import h5py; f = h5py.File('1/model.h5', 'a'); f['encoder/1/ffn/linear1/weight'][3, 4] = float('nan')"
  said_once 2 "1/model.h5: parameter encoder/1/ffn/linear1/weight holds NaN" \
    bash -c "exec encode -m \$OMPI_COMM_WORLD_RANK/model.h5 --batch-rows 40 $DATA/text.en.npy -o out.npy"
  # What has an order is one process's.
  said_once 2 "what is written or read beside the batches" encode -m "$DATA/model.h5" "$DATA/text.en.npy" --tap encoder/0/norm1 --tap-file t.npy -o out.npy
  run -0 --separate-stderr ranks 2 encode --help
  [ "$(grep -c '^Usage: encode' <<< "$output")" -eq 1 ]
}

@test "a rank that is killed ends the run" {
  need_mpi
  for _ in $(seq 40); do cat "$DATA/text.en.npy"; done > long.npy
  for rank in 1 2; do  # the first and the second
    mpirun -n 2 decode -m "$DATA/model.h5" --beam 4 long.npy -o out.npy 2> err &
    pid=$!
    for _ in $(seq 500); do
      children=$(cat /proc/$pid/task/*/children 2> /dev/null | tr ' ' '\n' | grep -c . || true)
      [ "$children" -lt 2 ] || break
      sleep 0.01
    done
    sleep 0.5
    kill -KILL "$(cat /proc/$pid/task/*/children | tr ' ' '\n' | grep . | sed -n ${rank}p)"
    status=0
    wait $pid || status=$?
    [ $status -ne 0 ]
    [ ! -e out.npy ]
  done
}

@test "memory does not grow with the stream" {
  need_mpi
  peak() {  # the largest resident set of the ranks, in KiB
    ranks 2 /usr/bin/python3 -c '
import resource, subprocess, sys, os
env = dict(os.environ)
status = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=open("peak." + env["OMPI_COMM_WORLD_RANK"], "w"))
sys.exit(status)' "$@"
    sort -n peak.0 peak.1 | tail -n 1
  }
  for _ in $(seq 4); do cat "$DATA/vectors.en.npy"; done > short.npy
  for _ in $(seq 20); do cat short.npy; done > long.npy
  short=$(peak encode -m "$DATA/model.h5" --batch-rows 256 short.npy -o out.npy)
  long=$(peak encode -m "$DATA/model.h5" --batch-rows 256 long.npy -o out.npy)
  echo "$short KiB for $(stat -c %s short.npy) bytes, $long for $(stat -c %s long.npy)"
  ((long < short + 12000))
}

@test "--skip and --take: parts that make up the whole, with their records' numbers" {
  count=0
  while read -r command; do
    [ -n "$command" ] || continue
    case $command in *--texts*) continue ;; esac
    $command > whole
    $command --take 0 > part
    for skip in 0 100 200; do $command --skip $skip --take 100; done >> part
    $command --skip 300 >> part
    cmp whole part || { echo "$command"; false; }
    count=$((count + 1))
  done < <(commands)
  [ $count -eq 16 ]
  # A pipe, and a vector stream of sequences inside of records.
  tail -c +1 "$DATA/text.en.npy" | encode -m "$DATA/model.h5" --skip 290 | cmp - <(encode -m "$DATA/model.h5" --skip 290 "$DATA/text.en.npy")
  run -1 --separate-stderr encode -m "$DATA/model.h5" --skip 5 <(cat "$DATA/ids.npy"; echo x) -o out.npy
  /usr/bin/python3 -c 'import numpy as np; np.save("bad.npy", np.array([4, 999999], "<i4"))'
  cat "$DATA/text.en.npy" bad.npy > two.npy
  run -1 --separate-stderr encode -m "$DATA/model.h5" --skip 295 two.npy -o out.npy
  [[ $stderr == "encode: two.npy: record 300: id 999999 is outside"* ]]
  encode -m "$DATA/model.h5" --skip 295 --take 5 two.npy -o out.npy
  # Streams of masks are not skipped with the others.
  /usr/bin/python3 -c 'import numpy as np; np.save("x.npy", np.ones((3, 8), "<f4")); np.save("mask.npy", np.ones((3, 3), "?"))'
  run -2 --separate-stderr attend --heads 4 x.npy --mask mask.npy --skip 1 -o no.npy
  [[ $stderr == "attend: --skip needs no streams of masks"* ]]
}

@test "a tool that works in one process refuses to be several" {
  need_mpi
  run -2 ranks 2 softmax "$DATA/vectors.en.npy" -o out.npy
  [[ $output == *"softmax: mpirun has started several processes, and this tool works in one (PIPEFORMER_MPI=off: in each)"* ]]
  [ ! -e out.npy ]
  PIPEFORMER_MPI=off ranks 1 softmax "$DATA/vectors.en.npy" -o out.npy
}
