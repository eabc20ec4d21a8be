#!/usr/bin/env bats
# train and model: the same bits whatever the threads, exact resumption, refusals.

bats_require_minimum_version 1.5.0

setup_file() {
  export PATH="$PIPEFORMER_BIN:$PATH"
  export DATA="$BATS_FILE_TMPDIR/data"
  "$BATS_TEST_DIRNAME/../../scripts/make-testdata" "$DATA"
  export SMALL="--source $DATA/text.en.npy --target $DATA/text.de.npy --tokenizer $DATA/tok.model --width 32 --heads 4 --inner 64
    --encoder-layers 1 --decoder-layers 1 --dropout 0.2 --attention-dropout 0.1 --activation-dropout 0.1 --clip-norm 1 --learning-rate 0.01 --warmup 20
    --batch-tokens 500 --quiet"
  export VALID="--valid-source $DATA/text.en.npy --valid-target $DATA/text.de.npy"
}

setup() {
  cd "$BATS_TEST_TMPDIR"
}

@test "the loss falls, and the log says so" {
  train $SMALL $VALID --epochs 8 --log log.tsv --log-every 10 -o m.h5
  [ "$(head -n 1 log.tsv)" = "$(printf 'step\tepoch\ttrain_loss\ttrain_ppl\tvalid_loss\tvalid_ppl\tlearning_rate\ttokens_per_second\tseconds\tvalid_accuracy\tvalid_bleu')" ]
  # Validation loss of the last row against the first measured one.
  awk -F'\t' 'NR > 1 && $5 != "" { if (!first) first = $5; last = $5 } END { exit !(last < 0.8 * first) }' log.tsv
  model describe m.h5 | grep -q '^parameters'
}

@test "one and two threads, every instruction set: the same model" {
  train $SMALL --steps 25 -j 1 -o one.h5
  train $SMALL --steps 25 -j 3 -o three.h5
  cmp one.h5 three.h5
  for isa in generic avx2 avx512; do
    PIPEFORMER_ISA=$isa train $SMALL --steps 25 -j 2 -o two.h5
    cmp one.h5 two.h5
    for moment in first second; do
      cmp <(convert one.h5.checkpoint.h5:training/${moment}_moment) <(convert two.h5.checkpoint.h5:training/${moment}_moment)
    done
  done
}

@test "a run in two parts ends in the same file" {
  train $SMALL $VALID --steps 30 --validate-every 7 -o through.h5
  train $SMALL $VALID --steps 14 --validate-every 7 -o parts.h5
  train $SMALL $VALID --steps 30 --validate-every 7 --resume -o parts.h5
  cmp through.h5 parts.h5
}

@test "killed at any moment and resumed: the same file" {
  train $SMALL $VALID --steps 60 --validate-every 5 -o through.h5
  for delay in 0.1 0.3 0.5; do
    rm -f killed.h5*
    for attempt in 1 2 3; do
      timeout -s KILL "$delay" train $SMALL $VALID --steps 60 --validate-every 5 --resume -o killed.h5 || true
    done
    train $SMALL $VALID --steps 60 --validate-every 5 --resume -o killed.h5
    cmp through.h5 killed.h5
  done
}

@test "what a killed run left half-written is cleared away, and nothing else" {
  left=.tmp.pipeformer-0123456789abcdef
  for name in m.h5 m.h5.checkpoint.h5 m.h5.step-3.h5 log.tsv; do : > $name$left; done
  for name in m.h5.tmp.20240101-before-tuning.bak m.h5.tmp.4194305 m.h5.step-x.h5$left m.h5.txt$left other.h5$left; do
    echo mine > $name
  done
  train $SMALL --steps 1 --log log.tsv -o m.h5
  [ "$(echo *.tmp.*)" = "$(printf '%s\n' m.h5.tmp.20240101-before-tuning.bak m.h5.tmp.4194305 m.h5.step-x.h5$left \
    m.h5.txt$left other.h5$left | sort | xargs)" ]
}

@test "a termination, or a closed terminal, finishes the step, writes the checkpoint, and ends with 143, or 129" {
  long="$SMALL $VALID --steps 500 --validate-every 20"
  train $long -o through.h5
  for signal in TERM:143 HUP:129; do
    rm -f stopped.h5*
    train $long -o stopped.h5 &
    pid=$!
    until [ -e stopped.h5.checkpoint.h5 ]; do kill -0 $pid && sleep 0.01; done
    kill -${signal%:*} $pid
    status=0
    wait $pid || status=$?
    [ $status -eq ${signal#*:} ]
    train $long --resume -o stopped.h5
    cmp through.h5 stopped.h5
  done
}

@test "under nohup a closed terminal ends nothing" {
  train $SMALL --steps 300 -o through.h5
  nohup train $SMALL --steps 300 --validate-every 20 -o kept.h5 2> /dev/null &
  pid=$!
  until [ -e kept.h5.checkpoint.h5 ]; do kill -0 $pid && sleep 0.01; done
  kill -HUP $pid
  wait $pid
  cmp through.h5 kept.h5
}

@test "another seed gives another model, a model is a function of its seed" {
  model make --source-vocabulary 9 --target-vocabulary 9 --begin-id 1 --end-id 2 --width 8 --heads 2 --inner 8 --seed 5 -o a.h5
  model make --source-vocabulary 9 --target-vocabulary 9 --begin-id 1 --end-id 2 --width 8 --heads 2 --inner 8 --seed 5 -o b.h5
  model make --source-vocabulary 9 --target-vocabulary 9 --begin-id 1 --end-id 2 --width 8 --heads 2 --inner 8 --seed 6 -o c.h5
  cmp a.h5 b.h5
  ! cmp -s a.h5 c.h5
}

@test "penalties act: L2 makes weights smaller, L1 makes more of them nearly zero" {
  train $SMALL --steps 40 -o plain.h5
  train $SMALL --steps 40 --l2 0.1 -o l2.h5
  train $SMALL --steps 40 --l1 0.01 -o l1.h5
  std() { peek "$1:decoder/0/ffn/linear1/weight" | awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "std") c = i } NR == 2 { print $c }'; }
  awk -v a="$(std l2.h5)" -v b="$(std plain.h5)" 'BEGIN { exit !(a < b) }'
  awk -v a="$(std l1.h5)" -v b="$(std plain.h5)" 'BEGIN { exit !(a < b) }'
}

@test "layer drop leaves out layers, others in each batch; their gradients are zero" {
  deep=${SMALL/--decoder-layers 1/--decoder-layers 8}
  gradient() { peek "gradients.h5:decoder/$1/ffn/linear1/weight" | awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "std") c = i } NR == 2 { print ($c > 0) }'; }
  for step in 1 2; do
    train $deep --layer-drop 0.5 --steps $step --gradients gradients.h5 -o drop.h5
    for layer in 0 1 2 3 4 5 6 7; do gradient $layer; done > used.$step
    grep -q 0 used.$step
    grep -q 1 used.$step
  done
  ! cmp -s used.1 used.2
  # Their taps have empty records: all streams stay in step.
  train $deep --layer-drop 0.5 --steps 1 --tap 'decoder/*' --tap 'gradient/decoder/*' --tap-file taps.h5 -o tapped.h5
  for layer in 0 1 2 3 4 5 6 7; do
    for name in residual3 self_attn/weights cross_attn/key; do
      for gradient in "" gradient/; do
        peek --summary "taps.h5:step-1/${gradient}decoder/$layer/$name" | awk -F'\t' -v used="$(sed -n $((layer + 1))p used.1)" \
          'NR == 2 { exit !($2 > 3 && ($6 > 0) == used) }'
        [ "$(peek --summary "taps.h5:step-1/${gradient}decoder/$layer/$name" | cut -f 2)" = "$(peek --summary taps.h5:step-1/decoder/ids | cut -f 2)" ]
      done
    done
  done
  train $deep --layer-drop 0.5 --steps 2 -j 1 -o one.h5
  cmp drop.h5 one.h5
  train $deep --layer-drop 0.5 --steps 1 -o parts.h5
  train $deep --layer-drop 0.5 --steps 2 --resume -o parts.h5
  cmp drop.h5 parts.h5
  train $deep --steps 1 --gradients gradients.h5 -o all.h5
  for layer in 0 1 2 3 4 5 6 7; do [ "$(gradient $layer)" -eq 1 ]; done
}

@test "early stopping: gradients of the last update, too" {
  run train $(small_without learning-rate) $VALID --steps 1000 --validate-every 1 --patience 2 --learning-rate 0 --log log.tsv --gradients stopped.h5 -o m.h5
  [ "$status" -eq 0 ]
  [ "$(tail -n 1 log.tsv | cut -f 1)" -eq 3 ]
  train $(small_without learning-rate) --steps 3 --learning-rate 0 --gradients three.h5 -o m.h5
  cmp stopped.h5 three.h5
}

# The options of SMALL without some: an option may be given once.
small_without() {
  local words=" $(echo $SMALL) " option
  for option in "$@"; do words=$(sed -E "s/ --$option [^ ]+ / /" <<<"$words"); done
  echo "$words"
}

refused() {  # refused STATUS PATTERN COMMAND...: one line on standard error, nothing under a final name
  local expected=$1 pattern=$2
  shift 2
  run --separate-stderr "$@"
  [ "$status" -eq "$expected" ]
  [[ "${stderr_lines[0]}" == $pattern ]]
  [ "$expected" -eq 2 ] || [ "${#stderr_lines[@]}" -eq 1 ]
  [ ! -e m.h5 ]
}

@test "refusals are one line and leave nothing" {
  refused 2 "train: *--output*" train $SMALL
  refused 2 "train: *--source*" train --tokenizer "$DATA/tok.model" -o m.h5
  refused 2 "train: *heads*" train $(small_without heads) --heads 5 -o m.h5
  refused 2 "train: --width is given by the model*" train $SMALL --from "$DATA/model.h5" -o m.h5
  refused 2 "train: *steps*" train $SMALL --steps -1 -o m.h5
  refused 2 "train: --patience needs --valid-source" train $SMALL --patience 3 -o m.h5
  refused 2 "train: *schedule*" train $SMALL --schedule cosine -o m.h5
  refused 1 "train: none.npy: *" train $SMALL --valid-source none.npy --valid-target none.npy -o m.h5
  head -c 3000 "$DATA/text.de.npy" > cut.npy
  refused 1 "train: cut.npy: record *truncated*" train $SMALL --valid-source "$DATA/text.en.npy" --valid-target cut.npy -o m.h5
  refused 1 "train: *text.en.npy has 300 records*has 5" train $SMALL --valid-source "$DATA/text.en.npy" --valid-target "$DATA/ids.npy" -o m.h5
  refused 1 "train: *record 0: *f4*" train $SMALL --valid-source "$DATA/vectors.npy" --valid-target "$DATA/vectors.npy" -o m.h5
  refused 1 "train: *record *: id * is outside the vocabulary of 20" train $SMALL --source-vocabulary 20 --target-vocabulary 20 -o m.h5
  refused 1 "train: *nowhere*" train $SMALL --steps 1 -o nowhere/m.h5
  # What cannot be written is said before the first step.
  refused 1 "train: nowhere/m.h5: cannot create: *" timeout 20 train $SMALL --steps 1000000 -o nowhere/m.h5
  refused 1 "train: nowhere/g.h5: cannot create: *" timeout 20 train $SMALL --steps 1000000 --gradients nowhere/g.h5 -o m.h5
  refused 1 "train: .: *directory" timeout 20 train $SMALL --steps 1000000 -o .
  refused 2 "train: m.h5 is already the place of another output*" train $SMALL --checkpoint m.h5 -o m.h5
  refused 2 "train: --log needs a file, not standard output" train $SMALL --steps 1 --log - -o m.h5
  # Nothing is written beside a device.
  refused 2 "train: --output /dev/null is no file: --checkpoint is needed" train $SMALL --steps 1 -o /dev/null
  refused 2 "train: --keep-last needs an --output that is a file" train $SMALL --steps 1 --keep-last 1 --checkpoint c.h5 -o /dev/null
  train $SMALL --steps 1 --checkpoint /dev/null -o /dev/null
  [ ! -e /dev/null.checkpoint.h5 ]
  # A device has no rows to keep.
  [ ! -e /dev/full ] || refused 1 "train: /dev/full: cannot write: *" timeout 20 train $SMALL --steps 1 --log /dev/full -o m.h5
  model make --kind decoder-only --target-vocabulary 9 --begin-id 1 --end-id 2 --width 8 --heads 2 --inner 8 --decoder-layers 1 -o lm.h5
  refused 1 "train: lm.h5: translation trains a model of kind encoder-decoder that predicts tokens, not of kind decoder-only *" train --source "$DATA/text.en.npy" \
    --target "$DATA/text.de.npy" --from lm.h5 --steps 3 -o m.h5
  refused 2 "train: --from takes a whole model, not its part encoder" train --source "$DATA/text.en.npy" --target "$DATA/text.de.npy" \
    --from "$DATA/model.h5:encoder" --steps 3 -o m.h5
  tokenize --quiet --train --type char -o char.model "$DATA/text.en"
  refused 1 "train: char.model: has * ids, *model.h5 has 300" train --source "$DATA/text.en.npy" --target "$DATA/text.de.npy" \
    --from "$DATA/model.h5" --tokenizer char.model --steps 3 -o m.h5
  refused 2 "train: only one input can be standard input*" train --source - --target - --steps 3 --tokenizer "$DATA/tok.model" -o m.h5
  refused 2 "model: --width needs 'model make'" model describe lm.h5 --width 5
  # Parameters that are finite, but whose products are not.
  cp "$DATA/model.h5" huge.h5
  /usr/bin/python3 -c "import h5py; f = h5py.File('huge.h5', 'a'); f['decoder/1/norm3/weight'][...] = 3e38"
  refused 1 "train: step 1: the loss is not finite*" train --source "$DATA/text.en.npy" --target "$DATA/text.de.npy" --from huge.h5 --steps 3 -o m.h5
  refused 1 "model: $DATA/tok.model: *" model describe "$DATA/tok.model"
}

@test "--resume goes on with a log of train only, up to the checkpoint" {
  train $SMALL --steps 4 --log-every 1 --log log.tsv -o m.h5
  head -n 5 log.tsv | cut -f 1-6 > expected
  printf '4000\tlater\n99999999999999999999999\n' >> log.tsv
  train $SMALL --steps 5 --log-every 1 --log log.tsv --resume -o m.h5
  head -n 5 log.tsv | cut -f 1-6 | cmp - expected
  [ "$(wc -l < log.tsv)" -eq 6 ]
  echo "my own text" > notes.txt
  run --separate-stderr train $SMALL --steps 6 --log notes.txt --resume -o m.h5
  [ "$status" -eq 1 ]
  [ "$stderr" = "train: notes.txt: is no log of train, to go on with" ]
  [ "$(cat notes.txt)" = "my own text" ]
}

@test "a checkpoint of other data or hyper-parameters is refused" {
  train $SMALL $VALID --steps 4 --validate-every 2 -o m.h5
  run --separate-stderr train $SMALL $VALID --steps 8 --seed 9 --resume -o m.h5
  [ "$status" -eq 1 ] && [[ "$stderr" == *"seed 1"*"9"* ]]
  run --separate-stderr train $(small_without width) $VALID --steps 8 --width 64 --resume -o m.h5
  [ "$status" -eq 1 ]
  run --separate-stderr train $SMALL $VALID --steps 8 --activation gelu --resume -o m.h5
  [ "$status" -eq 1 ]
  # As many pairs, but not the same.
  run --separate-stderr train $(small_without source) --source "$DATA/text.de.npy" $VALID --steps 8 --resume -o m.h5
  [ "$status" -eq 1 ] && [[ "$stderr" == *"m.h5.checkpoint.h5: was made with other training data than this run has" ]]
  run --separate-stderr train $(small_without batch-tokens) $VALID --steps 8 --batch-tokens 77 --resume -o m.h5
  [ "$status" -eq 1 ]
}

@test "a run that begins anew does not remove what an earlier one kept, unless it is told to" {
  train $SMALL $VALID --steps 6 --validate-every 2 --keep-last 2 -o m.h5
  touch m.h5.step-07.h5 m.h5.step-4.h5.bak m.h5.step--3.h5  # not names of ours
  mkdir m.h5.step-9.h5
  before=$(ls m.h5.step*)
  run --separate-stderr train $SMALL $VALID --steps 3 --validate-every 3 --keep-best 1 -o m.h5
  [ "$status" -eq 1 ]
  [ "$stderr" = "train: m.h5.step-4.h5, m.h5.step-6.h5: an earlier run kept these, and this one would remove them: --resume goes on with that run, --overwrite lets them go" ]
  [ "$(ls m.h5.step*)" = "$before" ]
  train $SMALL --steps 1 -o m.h5  # keeps nothing, removes nothing
  [ "$(ls m.h5.step*)" = "$before" ]
  train $SMALL $VALID --steps 3 --validate-every 3 --keep-best 1 --overwrite -o m.h5
  [ "$(echo m.h5.step*)" = "m.h5.step--3.h5 m.h5.step-07.h5 m.h5.step-3.h5 m.h5.step-4.h5.bak m.h5.step-9.h5" ]
  run train $SMALL --steps 1 --overwrite -o m.h5
  [ "$status" -eq 2 ]
}

# damaged EXPRESSION PATTERN: for all_refused, the checkpoint `good` changed by Python.
damaged() { printf '%s\t%s\n' "$1" "$2" >> damages; }

# Each of the damaged checkpoints is refused for what it is.
all_refused() {
  /usr/bin/python3 -c '
import h5py, numpy as np, shutil
for number, line in enumerate(open("damages")):
    shutil.copy("good", f"damaged-{number}")
    with h5py.File(f"damaged-{number}", "r+") as f:
        s = f["training"]; a = s.attrs
        exec(line.split("\t")[0])'
  local number=0
  while IFS=$'\t' read -r expression pattern; do
    mv damaged-$((number++)) m.h5.checkpoint.h5
    run --separate-stderr timeout 60 train $SMALL $VALID --steps 8 --validate-every 3 --keep-last 2 --average-decay 0.9 --resume -o m.h5 < /dev/null
    [ "$status" -eq 1 ] && [ "${#stderr_lines[@]}" -eq 1 ] && [[ "$stderr" == "train: m.h5.checkpoint.h5: "$pattern* ]] ||
      { echo "$expression: $status $stderr"; return 1; }
  done < damages
  [ $number -gt 30 ]
}

@test "a checkpoint with numbers that no run has is refused, naming file and value" {
  train $SMALL $VALID --steps 6 --validate-every 3 --keep-last 2 --average-decay 0.9 -o m.h5
  cp m.h5.checkpoint.h5 good
  for value in -1000000000000 -1 1000000000000; do
    damaged "a['position'] = np.int64($value)" "position is $value"
    for name in step epoch stale best_step window_answers window_tokens; do
      [ "$value" = 1000000000000 ] && [[ $name == step || $name == window* ]] || damaged "a['$name'] = np.int64($value)" "$name is $value"
    done
  done
  damaged "a['step'] = np.int64(10**12)" "step is 1000000000000, which batch"
  damaged "a['step'] = np.int64(2**62)" "step is 4611686018427387904"
  for name in window_loss window_nll window_seconds elapsed; do
    damaged "a['$name'] = -1.0" "$name is -1"
    damaged "a['$name'] = float('nan')" "$name is *nan"
  done
  damaged "a['best_cost'] = float('inf')" "best_cost is inf"
  damaged "s['first_moment'][5] = float('nan')" "first_moment holds *nan at 5"
  damaged "s['second_moment'][7] = -1" "second_moment holds -1 at 7"
  damaged "s['average'][0] = float('inf')" "average holds inf at 0"
  damaged "n = s['first_moment'][:-1]; del s['first_moment']; s['first_moment'] = n" "first_moment has shape"
  damaged "s['kept_steps'][1] = 7" "kept_steps holds 7"
  damaged "s['kept_steps'][0] = 6" "kept_steps holds 6 at 1"
  damaged "s['kept_costs'][0] = float('nan')" "kept_costs holds *nan at 0"
  damaged "f.attrs['format_version'] = np.int64(0)" "format_version is 0"
  all_refused
  # The damage was all that was wrong; and an older file has no sum of seconds.
  cp good m.h5.checkpoint.h5
  /usr/bin/python3 -c "
import h5py
with h5py.File('m.h5.checkpoint.h5', 'r+') as f: del f['training'].attrs['window_seconds']"
  train $SMALL $VALID --steps 8 --validate-every 3 --keep-last 2 --average-decay 0.9 --resume -o m.h5
}

@test "a run says where it stops and where it goes on" {
  loud=${SMALL/--quiet/}
  train $loud $VALID --steps 100000 --validate-every 20 -o m.h5 2> first &
  pid=$!
  until [ -e m.h5.checkpoint.h5 ]; do kill -0 $pid && sleep 0.01; done
  kill -TERM $pid
  wait $pid || true
  step=$(sed -n 's/^train: interrupted at step \([0-9]*\); go on with --resume$/\1/p' first)
  [ "$step" -ge 20 ]
  train $loud $VALID --steps $((step + 1)) --validate-every 20 --resume -o m.h5 2> second
  grep -qx "train: going on at step $step from m.h5.checkpoint.h5" second
}

@test "losses and perplexities of one row are over the same updates, and say what is smoothed" {
  loud=${SMALL/--quiet/}
  train $loud $VALID --steps 4 --log-every 2 --validate-every 4 --label-smoothing 0 --log log.tsv -o m.h5 2> lines
  awk -F'\t' 'NR > 1 { d = exp($3) - $4; if (d < 0) d = -d; if (d > 1e-3 * $4) exit 1 }' log.tsv
  ! grep -q smoothed lines
  train $loud $VALID --steps 4 --log-every 2 --validate-every 4 --label-smoothing 0.2 --log log.tsv -o m.h5 2> lines
  grep -q 'step 2 epoch 1: loss [0-9.]* (smoothed), ppl [0-9.]* (unsmoothed), ' lines
  # One epoch is the steps up to its end, in the rows within it and in the one at its end.
  train $SMALL $VALID --epochs 2 --log-every 1 --log log.tsv -o m.h5
  [ "$(cut -f 2 log.tsv | tail -n +2 | uniq -c | awk '{ print $1, $2 }')" = "$(awk -F'\t' 'NR > 1 { n = $1 } END { print n / 2, 1; print n / 2, 2 }' log.tsv)" ]
}

@test "--minutes ends a run by time, and the schedule with it" {
  train $SMALL --minutes 0.05 --schedule linear --log-every 1 --log log.tsv -o m.h5
  [ -e m.h5 ]
  awk -F'\t' 'END { exit !($9 >= 3 && $9 < 10 && $7 >= 0 && $7 < 0.0005) }' log.tsv
  # What a run has used up is in its checkpoint.
  steps=$(tail -n 1 log.tsv | cut -f 1)
  train $SMALL --minutes 0.05 --schedule linear --log-every 1 --log log.tsv --resume -o m.h5
  [ "$(tail -n 1 log.tsv | cut -f 1)" -eq "$steps" ]
}

@test "adapters: the bits of the merged model, exact resumption, everything else stays" {
  model make --source-vocabulary 64 --target-vocabulary 64 --begin-id 1 --end-id 2 --width 32 --heads 4 --inner 64 --encoder-layers 1 --decoder-layers 2 -o base.h5
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
random = np.random.default_rng(2)
source = [random.integers(3, 64, n).astype("i4") for n in random.integers(1, 12, 60)]
for name, records in [("s.npy", source), ("t.npy", [s[::-1].copy() for s in source])]:
    with open(name, "wb") as out:
        for record in records: np.save(out, record)
PYTHON
  tune="train --quiet --from base.h5 --source s.npy --target t.npy --batch-tokens 200 --warmup 4 --learning-rate 0.01 --adapter 2 --clip-norm 1"
  $tune --steps 30 -j 1 -o a.h5
  model describe a.h5 | grep -qx 'adapters  *rank 2 on 10 weights, scale 1'
  model merge a.h5 -o merged.h5
  decode -m a.h5 s.npy --target t.npy --give logits -o a.npy
  decode -m merged.h5 s.npy --target t.npy --give logits | cmp - a.npy
  decode -m a.h5 s.npy --beam 3 --max-length 8 -o a.npy
  decode -m merged.h5 s.npy --beam 3 --max-length 8 --batch-rows 7 | cmp - a.npy
  for tool in "mhattn -m MODEL:decoder/1/self_attn" "linear -m MODEL:decoder/0/cross_attn/query"; do
    embed -m base.h5 s.npy | ${tool/MODEL/a.h5} -o a.npy
    embed -m base.h5 s.npy | ${tool/MODEL/merged.h5} | cmp - a.npy
  done
  run ! cmp -s merged.h5 base.h5
  # Threads, a stop in between, a moving average; what is frozen keeps its bits.
  $tune --steps 30 -j 3 -o b.h5 && cmp a.h5 b.h5
  $tune --steps 11 -o c.h5 && $tune --steps 30 -o c.h5 --resume && cmp a.h5 c.h5
  $tune --steps 30 --average-decay 0.9 --validate-every 7 --valid-source s.npy --valid-target t.npy -o d.h5
  $tune --steps 15 --average-decay 0.9 --validate-every 7 --valid-source s.npy --valid-target t.npy -o e.h5
  $tune --steps 30 --average-decay 0.9 --validate-every 7 --valid-source s.npy --valid-target t.npy -o e.h5 --resume
  cmp d.h5 e.h5
  /usr/bin/python3 - <<'PYTHON'
import h5py, numpy as np
base = h5py.File("base.h5")
for name in "a.h5", "d.h5":
    tuned, changed = h5py.File(name), []
    def compare(path, item):
        if isinstance(item, h5py.Dataset) and not np.array_equal(item[()], tuned[path][()]): changed.append(path)
    base.visititems(compare)
    assert not changed, changed
    assert tuned.attrs["format_version"] == 5 and np.abs(tuned["encoder/0/self_attn/query/adapter_b"][()]).max() > 0
PYTHON
  # A new head is trained beside them; quantising and averaging take the sums.
  seq 60 | awk '{ print $1 % 3 }' > labels
  model make --source-vocabulary 64 --kind encoder-only --width 32 --heads 4 --inner 64 --encoder-layers 1 -o encoder.h5
  train --task classification --from encoder.h5 --source s.npy --labels labels --adapter 1 --steps 5 --warmup 1 -o classes.h5 2> notes
  grep -qx 'train: trains 227 of [0-9]* parameters (.* %)' notes
  model merge classes.h5 -o m.h5 && classify -m classes.h5 s.npy -o a.npy && classify -m m.h5 s.npy | cmp - a.npy
  model quantize a.h5 --weights int8 -o q.h5 && model quantize merged.h5 --weights int8 | cmp - q.h5
  train --quiet --from a.h5 --source s.npy --target t.npy --steps 1 -o f.h5
  run ! grep -q adapter <(model describe f.h5)
}

@test "adapters: what cannot be is refused" {
  model make --source-vocabulary 64 --target-vocabulary 64 --begin-id 1 --end-id 2 --width 32 --heads 4 --inner 64 --encoder-layers 1 --decoder-layers 1 -o base.h5
  printf '5 6 7\n' | convert --text i4 -o s.npy
  tune="train --quiet --source s.npy --target s.npy --steps 2 -o a.h5"
  refused() {
    run "$@"
    [ "$status" -ne 0 ]
    [[ "$output" == *"$message"* ]] || { echo "$output"; false; }
  }
  message="--adapter needs --from" refused $tune --source-vocabulary 9 --target-vocabulary 9 --begin-id 1 --end-id 2 --adapter 2
  message="--adapter-on needs --adapter" refused $tune --from base.h5 --adapter-on 'x*'
  message="no weight of the model matches 'x*'" refused $tune --from base.h5 --adapter 2 --adapter-on 'x*'
  message="an adapter of rank 32 is no smaller than encoder/0/self_attn/query/weight, (32, 32)" refused $tune --from base.h5 --adapter 32
  message="base.h5: the model has no adapters" refused model merge base.h5 -o m.h5
  $tune --from base.h5 --adapter 2
  message="a.h5: has adapters, which these checkpoints do not know; \`model merge\` adds them to their weights" refused model export a.h5 -o exported
  [ ! -e exported ]
  message="was made with adapters of scale 1, this run has none" refused $tune --from base.h5 --resume
  message="was made with adapters of scale 1, this run has scale 2" refused $tune --from base.h5 --adapter 2 --adapter-alpha 4 --resume
  message="has shape (2, 32), expected (3, 32)" refused $tune --from base.h5 --adapter 3 --resume
  damaged() {
    cp a.h5 bad.h5
    /usr/bin/python3 -c "
import h5py, numpy as np
with h5py.File('bad.h5', 'r+') as f: $1"
    message=$2 refused decode -m bad.h5 s.npy -o none.npy
  }
  damaged "f.attrs['adapter_scale'] = -1.0" "bad.h5: adapter_scale is no number above 0"
  damaged "f.attrs['adapter_scale'] = np.int64(1)" "bad.h5: adapter_scale is no number above 0"
  damaged "del f['encoder/0/self_attn/query/adapter_b']" "bad.h5: the model has no parameter encoder/0/self_attn/query/adapter_b"
  damaged "del f['encoder/0/self_attn/query/adapter_a']; f['encoder/0/self_attn/query/adapter_a'] = np.float32(1)" "adapter_a has shape (), expected (rank, 32)"
  damaged "del f['encoder/0/self_attn/query/adapter_a']; f['encoder/0/self_attn/query/adapter_a'] = np.zeros((3, 32), 'f4')" "adapter_b has shape (32, 2), expected (32, 3)"
  damaged "f['encoder/0/self_attn/query/adapter_a'][0, 0] = np.nan" "adapter_a holds NaN or infinity"
}
