#!/usr/bin/env bats
# Training by several ranks: the loss of one, the same bits each time, errors said once, and going on after a death.

bats_require_minimum_version 1.5.0

setup_file() {
  export PATH="$PIPEFORMER_BIN:$PATH"
  export DATA="$BATS_FILE_TMPDIR/data"
  "$BATS_TEST_DIRNAME/../../scripts/make-testdata" "$DATA"
  export SMALL="--source $DATA/text.en.npy --target $DATA/text.de.npy --tokenizer $DATA/tok.model --width 32 --heads 4 --inner 64
    --encoder-layers 1 --decoder-layers 1 --clip-norm 1 --warmup 20 --batch-tokens 500 --quiet --threads 1"
  export VALID="--valid-source $DATA/text.en.npy --valid-target $DATA/text.de.npy --validate-every 10"
  export DROPOUT="--attention-dropout 0.1 --activation-dropout 0.1"
  # Open MPI in a container or on a small machine: by root, more ranks than cores (which then must not spin), no ssh, no
  # process that reads another one's memory.
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
  export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_plm=isolated
  export OMPI_MCA_btl_vader_single_copy_mechanism=none
}

setup() {
  [ -e "$PIPEFORMER_BIN/../lib/libpipeformer_mpi.so" ] || skip "built without MPI"
  command -v mpirun > /dev/null || skip "no mpirun"
  ! ldd "$PIPEFORMER_BIN/train" | grep -qE 'lib(asan|tsan)' || skip "the sanitizers report what Open MPI itself never frees"
  cd "$BATS_TEST_TMPDIR"
}

ranks() {  # ranks N COMMAND...
  timeout 60 mpirun -n "$@"
}

same_curve() {  # same_curve A.tsv B.tsv: training and validation losses of all rows
  [ "$(wc -l < "$1")" -gt 3 ]
  paste "$1" "$2" | awk -F'\t' 'function far(a, b) { return (a == "") != (b == "") || (a - b) ^ 2 > (1e-4 * b) ^ 2 }
    NR > 1 && (n = NF / 2) && ($1 != $(n + 1) || far($3, $(n + 3)) || far($5, $(n + 5))) { print "row " NR ": " $0; bad = 1 } END { exit bad }'
}

rank_of() {  # rank_of PID: the process id of a rank that this mpirun started
  cat /proc/"$1"/task/*/children | tr ' ' '\n' | grep -m 1 .
}

wait_for() {  # wait_for FILE
  for _ in $(seq 2000); do
    [ ! -e "$1" ] || return 0
    sleep 0.01
  done
  return 1
}

@test "one rank has the bits of none" {
  train $SMALL $DROPOUT --steps 12 -o alone.h5
  ranks 1 train $SMALL $DROPOUT --steps 12 -o one.h5
  cmp alone.h5 one.h5
}

@test "two and three ranks: the curve of one, with and without dropout; twice the same file" {
  for dropout in "--dropout 0" "--dropout 0.2 $DROPOUT"; do
    train $SMALL $VALID $dropout --steps 40 --log-every 5 --log 1.tsv -o 1.h5
    ranks 2 train $SMALL $VALID $dropout --steps 40 --log-every 5 --log 2.tsv -o 2.h5
    same_curve 1.tsv 2.tsv
    ranks 3 train $SMALL $VALID $dropout --steps 40 --log-every 5 --log 3.tsv -o 3.h5
    same_curve 1.tsv 3.tsv
  done
  ranks 2 train $SMALL $VALID $dropout --steps 40 --log-every 5 -o again.h5
  cmp 2.h5 again.h5
}

@test "tags and spans, of which some records have no answers: the curve of one" {
  /usr/bin/python3 -c '
import numpy as np
random = np.random.default_rng(2)
with open("s.npy", "wb") as s, open("l.npy", "wb") as l, open("p.npy", "wb") as p:
    for i in range(200):
        n = 0 if i == 7 else random.integers(1, 20)
        np.save(s, random.integers(4, 24, n).astype("<i4")), np.save(l, random.integers(-1, 3, n).astype("<i4"))
        np.save(p, np.sort(random.integers(0, max(n, 1), 2)).astype("<i4"))'
  for task in "tagging --labels l.npy --valid-labels l.npy" "spans --labels p.npy --valid-labels p.npy"; do
    words="--task $task --source s.npy --valid-source s.npy --validate-every 10 --source-vocabulary 24 --width 32 --heads 4 --inner 64 --encoder-layers 1
      --warmup 20 --batch-tokens 500 --quiet --threads 1 --steps 40 --log-every 5 --dropout 0.1"
    rm -f -- *.tsv
    train $words --log 1.tsv -o 1.h5
    ranks 2 train $words --log 2.tsv -o 2.h5
    same_curve 1.tsv 2.tsv
    ranks 3 train $words --log 3.tsv -o 3.h5
    same_curve 1.tsv 3.tsv
  done
}

@test "pairs: every rank sees all vectors of a batch" {
  /usr/bin/python3 -c '
import numpy as np
random = np.random.default_rng(2)
with open("s.npy", "wb") as s, open("t.npy", "wb") as t, open("v.npy", "wb") as v:
    for i in range(200):
        letters = random.permutation(20)[:random.integers(1, 9)]
        np.save(s, (4 + letters).astype("<i4")), np.save(t, (4 + random.permutation(letters)).astype("<i4"))
        np.save(v, np.eye(20)[letters].astype("<f4"))'
  for source in s.npy v.npy; do
    words="--task contrastive --source $source --target t.npy --valid-source $source --valid-target t.npy --validate-every 10 --source-vocabulary 24 --width 32
      --heads 4 --inner 64 --encoder-layers 1 --warmup 20 --batch-tokens 500 --accumulate 2 --quiet --threads 1 --steps 40 --log-every 5 --dropout 0.1"
    rm -f -- *.tsv
    train $words --log 1.tsv -o 1.h5
    ranks 2 train $words --log 2.tsv -o 2.h5
    same_curve 1.tsv 2.tsv
    ranks 3 train $words --log 3.tsv -o 3.h5
    same_curve 1.tsv 3.tsv
  done
}

@test "values, and weighted classes: the curve of one" {
  /usr/bin/python3 -c '
import numpy as np
random = np.random.default_rng(2)
with open("s.npy", "wb") as s, open("l.npy", "wb") as l, open("h.npy", "wb") as h, open("v.npy", "wb") as v:
    for i in range(200):
        x = random.integers(4, 24, random.integers(1, 20)).astype("<i4")
        np.save(s, x), np.save(h, np.array([(x == k).any() for k in (4, 5, 6)])), np.save(v, np.array([x.mean() / 20, x[0] == 7], "<f4"))
        np.save(l, x[:1] // 8)'
  for task in "multi-label --labels h.npy --valid-labels h.npy --pos-weights balanced" "regression --target-values v.npy --valid-target-values v.npy" \
    "classification --labels l.npy --valid-labels l.npy --class-weights 0=3 --class-weights 2=0.5 --checkpoint-activations"; do
    words="--task $task --source s.npy --valid-source s.npy --validate-every 10 --source-vocabulary 24 --width 32 --heads 4 --inner 64 --encoder-layers 1
      --warmup 20 --batch-tokens 500 --accumulate 2 --quiet --threads 1 --steps 40 --log-every 5 --dropout 0.1"
    rm -f -- *.tsv
    train $words --log 1.tsv -o 1.h5
    for n in 2 3; do
      ranks $n train $words --log $n.tsv -o $n.h5
      same_curve 1.tsv $n.tsv
    done
  done
}

@test "accumulated batches, and batches of one sentence, which leave a rank without work" {
  for batches in "--accumulate 3" "--accumulate 2 --average-decay 0.9" ""; do
    small=$SMALL
    [ -n "$batches" ] || small=${SMALL/--batch-tokens 500/--batch-tokens 1}
    train $small $VALID $batches --steps 20 --log-every 5 --log 1.tsv -o 1.h5
    ranks 2 train $small $VALID $batches --steps 20 --log-every 5 --log 2.tsv -o 2.h5
    same_curve 1.tsv 2.tsv
  done
}

@test "every task" {
  small="--tokenizer $DATA/tok.model --width 32 --heads 4 --inner 64 --warmup 20 --batch-tokens 500 --quiet --steps 20 --log-every 5 --threads 1"
  seq 5 > names.txt
  for task in "language-model --target $DATA/text.de.npy --context 40 --decoder-layers 1" \
    "masked-language-model --source $DATA/text.de.npy --mask-id 3 --encoder-layers 1" \
    "classification --source $DATA/vectors.npy --labels names.txt --class-token --encoder-layers 1"; do
    [[ $task == classification* ]] && own=${small/--tokenizer $DATA\/tok.model/} || own=$small
    train --task $task $own --log 1.tsv -o 1.h5
    ranks 2 train --task $task $own --log 2.tsv -o 2.h5
    same_curve 1.tsv 2.tsv
  done
}

@test "early stopping and the metric BLEU are decided alike on all ranks" {
  train $SMALL $VALID --metric bleu --valid-references "$DATA/text.de" --patience 2 --steps 60 --log 1.tsv -o 1.h5
  ranks 2 train $SMALL $VALID --metric bleu --valid-references "$DATA/text.de" --patience 2 --steps 60 --log 2.tsv -o 2.h5
  same_curve 1.tsv 2.tsv
  [ "$(cut -f 11 1.tsv)" = "$(cut -f 11 2.tsv)" ]
}

@test "a run goes on with another number of ranks" {
  train $SMALL $VALID --steps 40 --log 1.tsv -o 1.h5
  ranks 3 train $SMALL $VALID --steps 20 --log 2.tsv -o 2.h5
  ranks 2 train $SMALL $VALID --steps 30 --log 2.tsv --resume -o 2.h5
  train $SMALL $VALID --steps 40 --log 2.tsv --resume -o 2.h5
  same_curve 1.tsv 2.tsv
}

@test "a killed rank ends the run with an error, a terminated one with a checkpoint; resumed: the same file" {
  long="$SMALL ${VALID/every 10/every 30} $DROPOUT --steps 300"
  ranks 2 train $long -o through.h5
  for signal in KILL TERM; do
    mpirun -n 2 train $long -o $signal.h5 &
    pid=$!
    wait_for $signal.h5.checkpoint.h5
    kill -$signal "$(rank_of $pid)"
    status=0
    wait $pid || status=$?
    [ $status -ne 0 ]
    ranks 2 train $long --resume -o $signal.h5
    cmp through.h5 $signal.h5
  done
}

said_once() {  # said_once PATTERN COMMAND...: fails, with one line of its own
  local pattern=$1
  shift
  run --separate-stderr ranks 2 "$@"
  [ "$status" -ne 0 ]
  [ "$(grep -c '^train: ' <<< "$stderr")" -eq 1 ]
  grep -q "^train: $pattern" <<< "$stderr"
  [ ! -e m.h5 ]
}

@test "an error is said once" {
  said_once "option '--heads': 'x'" train --heads x -o m.h5
  said_once "none.npy: " train $SMALL --valid-source none.npy --valid-target none.npy -o m.h5
  said_once "nowhere/m.h5: cannot create" train $SMALL --steps 9 -o nowhere/m.h5
  cp "$DATA/model.h5" huge.h5  # parameters that are finite, but whose products are not
  /usr/bin/python3 -c "import h5py; f = h5py.File('huge.h5', 'a'); f['decoder/1/norm3/weight'][...] = 3e38"
  said_once "step 1: the loss is not finite" train --source "$DATA/text.en.npy" --target "$DATA/text.de.npy" --from huge.h5 --steps 3 -o m.h5
  # Ranks that see different files, as on two machines that do not share their disks.
  mkdir 0 1
  cp "$DATA/text.en.npy" 0/s.npy
  cp "$DATA/text.de.npy" 1/s.npy
  apart="exec train $(echo ${SMALL/$DATA\/text.en.npy/\$OMPI_COMM_WORLD_RANK/s.npy}) --steps 3 -o m.h5"
  said_once "the ranks do not all have the same" bash -c "$apart"
  # What goes wrong on one rank alone ends the others.
  rm 1/s.npy
  said_once "1/s.npy: cannot open" bash -c "$apart"
}

@test "help is given once, without a complaint" {
  run --separate-stderr ranks 2 train --help
  [ "$status" -eq 0 ]
  [ "$(grep -c '^Usage: train' <<< "$output")" -eq 1 ]
  [ -z "$stderr" ]
}

@test "gradients in bfloat16: rounded, added up in the order of the ranks, rounded again" {
  /usr/bin/python3 -c '
import numpy as np
random = np.random.default_rng(1)
with open("in.npy", "wb") as f:
    for r in range(3): np.save(f, (random.standard_normal(2500001) * 10.0 ** random.integers(-30, 30, 2500001)).astype("<f4"))'
  for n in 1 2 3; do
    ranks $n "$PIPEFORMER_REDUCE_PROBE" in.npy out.npy
    /usr/bin/python3 - $n <<'PY'
import sys
import numpy as np
import torch
n = int(sys.argv[1])
records = lambda path, k: [np.load(f) for f in [open(path, "rb")] for _ in range(k)]
parts, outs = records("in.npy", n), records("out.npy", n)
total = torch.zeros(len(parts[0]))
for r, part in enumerate(parts):
    rounded = torch.from_numpy(part).bfloat16().float()
    total = rounded if r == 0 else total + rounded
expected = total.bfloat16().float().numpy() if n > 1 else parts[0]
for out in outs: assert (out == expected).all()
assert n == 1 or not (out == sum(parts)).all()
PY
  done
}

@test "training with bf16 sums: near the curve of float32, the same file twice and when resumed; one rank has the bits of none" {
  train $SMALL $VALID --steps 40 --log-every 5 --log 1.tsv -o 1.h5
  train $SMALL $VALID --steps 40 --reduce bf16 -o one.h5
  cmp 1.h5 one.h5
  for n in 2 3; do
    ranks $n train $SMALL $VALID --steps 40 --log-every 5 --log 2.tsv --reduce bf16 -o 2.h5
    paste 1.tsv 2.tsv | awk -F'\t' 'NR > 1 && ($3 - $14) ^ 2 > (5e-3 * $3) ^ 2 { print "row " NR ": " $0; bad = 1 } END { exit bad || NR < 5 }'
    run ! cmp -s 1.h5 2.h5
    ranks $n train $SMALL $VALID --steps 40 --reduce bf16 -o again.h5
    cmp 2.h5 again.h5
    ranks $n train $SMALL $VALID --steps 20 --reduce bf16 -o part.h5
    ranks $n train $SMALL $VALID --steps 40 --reduce bf16 --resume -o part.h5
    cmp 2.h5 part.h5
    rm -f 2.tsv part.h5*
  done
}
