#!/usr/bin/env bats
# fill as a user runs it: what it writes equals the softmax of the logits that encode gives; errors.

setup() {
  bats_require_minimum_version 1.5.0
  export PATH="$PIPEFORMER_BIN:$PATH"
  cd "$BATS_TEST_TMPDIR" || exit 1
  imported bert_mlm BertTokenizer
  printf 'he [MASK] tomorrow\n\nthe [MASK] sees a [MASK]\n' > text
}

# imported NAME: a checkpoint of 99 ids with a vocabulary of words.
imported() {
  cp -r "$BATS_TEST_DIRNAME/../../testdata/checkpoints/$1" "$1"
  printf '%s\n' '[UNK]' '[CLS]' '[SEP]' '[MASK]' '[PAD]' he she reads sees the a house tomorrow today dog cat > "$1/vocab.txt"
  seq -f w%.0f 83 >> "$1/vocab.txt"
  echo '{"tokenizer_class": "BertTokenizer", "mask_token": "[MASK]"}' > "$1/tokenizer_config.json"
  model import "$1" -o "$1.h5"
}

fails() {
  local message=$1
  shift
  run -1 --separate-stderr "$@" -o failed.npy
  [ "$stderr" = "fill: $message" ] || { echo "got: $stderr" && false; }
  [ ! -e failed.npy ]
}

@test "the likeliest pieces of each mask, of several families" {
  imported distilbert
  imported roberta
  for name in bert_mlm distilbert roberta; do
    fill -m $name.h5 text --top 4 > filled
    tokenize -m $name.h5 text -o ids.npy
    encode -m $name.h5 ids.npy --give logits -o logits.npy
    /usr/bin/python3 - $name <<'EOF'
import sys, numpy as np
pieces = open(sys.argv[1] + "/vocab.txt").read().split()
lines = [line.rstrip("\n").split("\t") for line in open("filled")]
with open("ids.npy", "rb") as ids, open("logits.npy", "rb") as logits:
    for record in range(3):
        i, x = np.load(ids), np.load(logits).astype(float)
        for position in np.where(i == 3)[0]:
            p = np.exp(x[position] - x[position].max())
            p /= p.sum()
            best = np.argsort(-p, kind="stable")[:4]
            line = lines.pop(0)
            assert line[:2] == [str(record), str(position)], line
            assert line[2::2] == [pieces[b] for b in best], line
            assert np.allclose(np.array(line[3::2], float), p[best], rtol=1e-4), line
assert not lines
EOF
  done
}

@test "without --top: ids with every mask filled; an empty line stays; batches and threads change nothing" {
  fill -m bert_mlm.h5 text > filled.npy
  [ "$(tokenize -m bert_mlm.h5 --decode filled.npy)" = $'he w51 tomorrow\n\nthe w51 sees a w54' ]
  for _ in {1..40}; do cat text; done > long
  fill -m bert_mlm.h5 long > a.npy
  fill -m bert_mlm.h5 long --batch-rows 1 -j 1 | cmp - a.npy
  cmp <(fill -m bert_mlm.h5 long --top 3) <(fill -m bert_mlm.h5 long --top 3 --batch-rows 7 -j 2)
  [ "$(fill -m bert_mlm.h5 text --top 200 | awk -F'\t' '{print NF}' | uniq)" = 200 ]
}

@test "what is no masked language model, and lines without a mask" {
  printf 'he [MASK]\nhe reads\n' > none
  fails 'none: record 1: has no mask ([MASK])' fill -m bert_mlm.h5 none --top 1
  fails 'none: record 1: has no mask ([MASK])' fill -m bert_mlm.h5 none
  printf 'he [MASK]\nhe \xff\n' > bad
  fails 'bad: line 2: invalid UTF-8 at byte 4' fill -m bert_mlm.h5 bad
  imported bert_cls
  fails 'bert_cls.h5: a model that predicts classes, not tokens: classify reads it' fill -m bert_cls.h5 text
  model import "$BATS_TEST_DIRNAME/../../testdata/checkpoints/gpt2" -o gpt2.h5
  fails 'gpt2.h5: a model of kind decoder-only fills no masks: decode reads it' fill -m gpt2.h5 text
  model import "$BATS_TEST_DIRNAME/../../testdata/checkpoints/bert_mlm" -o bare.h5
  fails 'bare.h5: holds no tokenizer, which masks in text need' fill -m bare.h5 text
  tokenize --train --type byte -o byte.model text
  model make --tokenizer byte.model --kind encoder-only --head tokens --width 8 --heads 1 --inner 8 --encoder-layers 1 -o byte.h5
  fails 'byte.h5: its tokenizer has no mask' fill -m byte.h5 text
  { printf '[MASK]'; for _ in {1..100}; do printf ' he'; done; echo; } > long
  run -1 --separate-stderr fill -m bert_mlm.h5 long
  [[ $stderr == 'fill: long: record 0: '* ]] || { echo "$stderr" && false; }
}
