#!/usr/bin/env bats
# Every command in every document runs; every path and option that a document names exists.
#
# The commands of a document are its blocks that begin with ```sh. They run in order in one directory that holds what the
# documents speak of: small texts, labels and images, and what scripts/demo leaves. `train`, `tokenize --train` and
# `make-corpus` are made small and short on the way (tests/tools/small). A block after a line <!-- not run: REASON --> is not run; how many there are is checked.

setup_file() {
  export ROOT="$BATS_TEST_DIRNAME/../.."
  export DATA="$BATS_FILE_TMPDIR/data"
  mkdir -p "$DATA"
  export PATH="$BATS_TEST_DIRNAME/small:$PIPEFORMER_BIN:$PATH:$ROOT/scripts"

  cd "$DATA" || exit 1
  cp -r "$ROOT/scripts" .
  cp "$BATS_TEST_DIRNAME/small/make-corpus" scripts/
  scripts/demo . > demo.log  # outside of a source tree it uses the tools of PATH
  head -n 300 train.src > train.en
  head -n 300 train.ref > train.de
  head -n 20 valid.src | tee val.en test.en > new.en
  head -n 20 valid.ref | tee val.de > test.de
  cp train.en train.txt && cp val.en dev.txt && cp val.en valid.txt
  for set in train dev; do awk '{ print length($0) % 3 ? "long" : "short" }' $set.txt > $set.labels; done
  cp -r "$ROOT/testdata/checkpoints/"{gpt2,vit} . && cp -r "$ROOT/testdata/checkpoints/bert_mlm" bert
  { printf '%s\n' '[UNK]' '[CLS]' '[SEP]' '[MASK]' '[PAD]' a table costs ten .; seq 89; } > bert/vocab.txt
  echo '{"tokenizer_class": "BertTokenizer", "mask_token": "[MASK]"}' > bert/tokenizer_config.json
  echo '{"size": {"height": 16, "width": 16}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}' > vit/preprocessor_config.json
  { printf 'P6 16 16 255\n' && head -c 768 /dev/zero; } > cat.ppm
  /usr/bin/python3 -c "
import numpy as np
np.save('prompts.npy', np.array([5, 6, 7], 'i4'))
draw = np.random.default_rng(1)
np.save('train.npy', draw.integers(0, 255, (300, 8, 8)).astype('u1')); np.save('dev.npy', draw.integers(0, 255, (20, 8, 8)).astype('u1'))"
}

setup() {
  cd "$BATS_TEST_TMPDIR" || exit 1
}

documents() {
  (cd "$ROOT" && find . -path ./build -prune -o -path ./.git -prune -o -name '*.md' -print | sort)
}

# blocks DOCUMENT run|left: its commands, each block ended by a NUL.
blocks() {
  awk -v want="$2" '/^<!-- not run: / { left = 1; next }
    /^ *```sh$/ { inside = 1; text = ""; next }
    inside && /^ *```$/ { if ((want == "left") == left) printf "%s%c", text, 0; inside = left = 0; next }
    inside { text = text $0 "\n"; next }
    /[^ ]/ { left = 0 }' "$ROOT/$1"
}

@test "every command in every document runs" {
  failed=0 count=0
  for document in $(documents); do
    rm -rf run && cp -r "$DATA" run
    mapfile -t -d '' commands < <(blocks "$document" run)
    for command in "${commands[@]}"; do
      count=$((count + 1))
      if ! (cd run && timeout 600 bash -o pipefail -exc "$command") > out 2> err < /dev/null; then
        printf '%s: this fails:\n%s%s\n' "$document" "$command" "$(tail -n 8 err)"
        failed=1
      fi
    done
  done
  echo "$count blocks"
  ((failed == 0 && count >= 5))
}

@test "UNFOLDED.md shows what its commands print" {
  mkdir -p run && cd run || exit 1
  # A block of text follows each block of commands: both, ended by a NUL.
  mapfile -t -d '' parts < <(awk '/^```(sh|text)$/ { inside = 1; next } inside && /^```$/ { printf "%c", 0; inside = 0; next } inside' "$ROOT/UNFOLDED.md")
  ((${#parts[@]} >= 14 && ${#parts[@]} % 2 == 0))
  for ((i = 0; i < ${#parts[@]}; i += 2)); do
    # Without the stand-ins that make trainings short: nothing is trained here.
    PATH="$PIPEFORMER_BIN:$PATH" bash -o pipefail -ec "${parts[i]}" > printed
    diff printed - <<< "${parts[i + 1]%$'\n'}" || { printf 'after:\n%s' "${parts[i]}"; false; }
  done
}

@test "what is not run is known" {
  for document in $(documents); do
    mapfile -t -d '' commands < <(blocks "$document" left)
    for command in "${commands[@]}"; do printf '%s: %s' "$document" "$command"; done
  done > left
  cat left
  [ "$(grep -c '' left)" -eq 17 ]
}

@test "code in documents says in what language it is" {
  for document in $(documents); do
    awk -v name="$document" '/^ *```/ { inside = !inside; if (inside && $0 !~ /```(sh|python|c\+\+|make|text)$/) { print name ": line " NR ": " $0; bad = 1 } }
      END { exit bad || inside }' "$ROOT/$document"
  done
}

@test "paths that documents name exist" {
  failed=0
  for document in $(documents); do
    # In backquotes, or the target of a link; capital letters and {} stand for something else.
    for path in $(grep -oE '`(lib|tools|tests|scripts|testdata|man|cmake|\.ci)/[a-z0-9_./*-]+`' "$ROOT/$document" | tr -d '`'); do
      compgen -G "$ROOT/$path" > /dev/null || compgen -G "$ROOT/$path.*" > /dev/null || { echo "$document: no $path" && failed=1; }
    done
    for path in $(grep -oE '\]\([a-zA-Z0-9_./-]+\)' "$ROOT/$document" | sed 's/^](//; s/)$//'); do
      [ -e "$(dirname "$ROOT/$document")/$path" ] || { echo "$document: no $path" && failed=1; }
    done
  done
  ((failed == 0))
}

@test "options that documents name exist" {
  failed=0
  for document in $(documents); do
    while IFS= read -r command; do
      help=$("$PIPEFORMER_BIN/${command%% *}" --help)
      for option in $(grep -oE -- ' --[a-z0-9-]+' <<< "$command"); do
        grep -qE -- "(^|[^a-z-])(${option}|--\[no-\]${option#--})([^a-z0-9-]|\$)" <<< "$help" || { echo "$document: \`$command\`: no $option" && failed=1; }
      done
    done < <(grep -oE '`[^`]+`' "$ROOT/$document" | tr -d '`' | grep -E "^($(cd "$PIPEFORMER_BIN" && echo * | tr ' ' '|')) .*--" | grep -v '|')
  done
  ((failed == 0))
}

@test "the README fits on a few screens, and the demo's picture is small" {
  [ "$(wc -l < "$ROOT/README.md")" -le 150 ]
  [ "$(stat -c %s "$ROOT/testdata/attention.svg")" -le 60000 ]
}

@test "the hand-written man pages are free of warnings, and name every tool" {
  for page in "$ROOT"/man/*; do
    output=$(groff -man -Kutf8 -Tutf8 -ww -z "$page" 2>&1)
    [ -z "$output" ] || { echo "$page: $output"; false; }
  done
  for tool in "$PIPEFORMER_BIN"/*; do
    grep -qF ".BR $(basename "$tool") (1)" "$ROOT/man/pipeformer.7" || { echo "pipeformer(7) does not name $tool"; false; }
  done
}

@test "pipeformer-formats(5) names every hyper-parameter and every parameter" {
  page=$(groff -man -Kutf8 -Tascii -P -cbou "$ROOT/man/pipeformer-formats.5")
  sizes='--width 16 --heads 2 --inner 16 --encoder-layers 1'
  model make --source-vocabulary 9 --target-vocabulary 9 --begin-id 1 --end-id 2 $sizes --decoder-layers 1 --tied none --positions learned --gated \
    --query-key-norm --layer-scale --embedding-norm --final-norm --output-bias --head-dense --head-norm -o m.h5
  model make --kind encoder-only --head classes --classes 3 --source-vocabulary 9 $sizes --positions relative --pooler --token-types 2 \
    --embedding-width 8 -o c.h5
  # "encoder_kv_heads 2" and "encoder/0/norm1/weight (16,)": the words that the page must have.
  for word in $(for file in m.h5 c.h5; do model describe $file; done |
    awk '$1 ~ /^[a-z_0-9]+$/ && NF == 2 && !/ bytes$/ { sub(/^(en|de)coder_/, "", $1); print $1; next } /\// { gsub(/\/[0-9]+\//, "/", $1); gsub(/\//, "\n", $1); print $1 }' | sort -u); do
    grep -q "\b$word\b" <<< "$page" || { echo "no word $word"; false; }
  done
  # "--activation relu|gelu ...": the values of those that are one of several; of weights, they are types of parameters.
  values=$(model make --help | sed -nE '/--weights/d; s/^ +--[a-z-]+ ([a-z0-9-]+(\|[a-z0-9-]+)+).*/\1/p' | tr '|' '\n' | sort -u)
  (($(wc -l <<< "$values") > 30))
  for value in $values; do
    grep -qE -- "(^|[ (])$value([ ,.;)]|\$)" <<< "$page" || { echo "no value $value"; false; }
  done
}
