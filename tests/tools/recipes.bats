#!/usr/bin/env bats
# The scripts and Makefiles that people paste from the README, in small.

setup_file() {
  export SCRIPTS="$BATS_TEST_DIRNAME/../../scripts"
  export PATH="$PIPEFORMER_BIN:$PATH"
}

setup() {
  cd "$BATS_TEST_TMPDIR"
}

@test "translator.mk: from two text files to a score, and nothing to do the second time" {
  "$SCRIPTS/make-corpus" corpus --train 300 --valid 40 --heldout 20
  make_translator() {
    make -s -f "$SCRIPTS/translator.mk" SRC=corpus/train.src TGT=corpus/train.ref VALID_SRC=corpus/valid.src \
      VALID_TGT=corpus/valid.ref TEST_SRC=corpus/heldout.src TEST_TGT=corpus/heldout.ref OUT=out VOCABULARY=300 BEAM=2 \
      MODEL="--width 32 --heads 4 --inner 64 --encoder-layers 1 --decoder-layers 1" \
      TRAIN="--learning-rate 0.003 --warmup 10 --steps 30 --batch-tokens 500" "$@"
  }
  run make_translator
  [ "$status" -eq 0 ]
  [[ "$output" == *"BLEU "* ]]
  [ "$(wc -l < out/test.hyp)" -eq 20 ]
  [ "$(make_translator -n | grep -c '^train ')" -eq 0 ]
  [ "$(make_translator -n VALID_SRC=corpus/heldout.src VALID_TGT=corpus/heldout.ref -B | grep -c '^train ')" -eq 1 ]
}

@test "check-resume: killed runs end in the same file" {
  run "$SCRIPTS/check-resume" 1
  [ "$status" -eq 0 ]
  [[ "$output" == *"1 of 1 runs that were killed and resumed ended in the same file"* ]]
}

@test "the long and the short form of the pipeline are the same bits, blank lines stay" {
  "$SCRIPTS/make-corpus" corpus --train 300 --valid 1 --heldout 1000
  tokenize -q --train --vocab-size 300 -o tok.model corpus/train.src corpus/train.ref
  model make --tokenizer tok.model --width 32 --heads 4 --inner 64 --encoder-layers 2 --decoder-layers 2 -o m.h5
  sed '1~7s/.*//; $s/.*//' corpus/heldout.src > text
  tokenize -m m.h5 < text | embed -m m.h5 | posenc -m m.h5 | encode -m m.h5 | decode -q -m m.h5 --beam 2 | tokenize -m m.h5 --decode > long
  tokenize -m m.h5 < text | decode -q -m m.h5 --beam 2 | tokenize -m m.h5 --decode > short
  cmp long short
  [ "$(wc -l < long)" -eq 1000 ]
  # Blank lines are exactly where they were, unless the random model had nothing to say there.
  awk 'NR == FNR { if ($0 == "") blank[FNR] = 1; next } blank[FNR] && $0 != "" { bad = 1 } END { exit bad }' text long
}
