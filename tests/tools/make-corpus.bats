#!/usr/bin/env bats
# make-corpus: the generated translation task.

setup() {
  bats_require_minimum_version 1.5.0
  make_corpus="$BATS_TEST_DIRNAME/../../scripts/make-corpus"
  cd "$BATS_TEST_TMPDIR" || exit 1
}

@test "as many pairs as asked for, none twice, 4 to 18 words" {
  "$make_corpus" data --train 3000 --valid 200 --heldout 300
  for set in train:3000 valid:200 heldout:300; do
    for side in src ref; do [ "$(wc -l < "data/${set%:*}.$side")" -eq "${set#*:}" ]; done
  done
  [ "$(cat data/*.src | sort | uniq -d | wc -l)" -eq 0 ]
  [ "$(awk 'NF < 4 || NF > 18' data/*.src | wc -l)" -eq 0 ]
  # Each sentence begins with a capital and ends with a full stop; nothing is left open or doubled.
  run -1 grep -hvE '^[A-Z][^.]*[a-zäöüß]\.$' data/*.src data/*.ref
  run -1 grep -hE '  |,,|, ?\.|_' data/*.src data/*.ref
}

@test "the same seed gives the same files, another seed others" {
  "$make_corpus" a --train 500 --heldout 50 --seed 7
  "$make_corpus" b --train 500 --heldout 50 --seed 7
  "$make_corpus" c --train 500 --heldout 50 --seed 8
  diff -r a b
  run -1 cmp -s a/train.src c/train.src
}

@test "the training pairs do not depend on the other sets" {
  "$make_corpus" a --train 500 --valid 10 --heldout 10
  "$make_corpus" b --train 500 --valid 99 --heldout 0
  cmp a/train.src b/train.src
  cmp a/train.ref b/train.ref
}

@test "every awk gives the same" {
  "$make_corpus" a --train 500
  mkdir bin
  for awk in mawk gawk original-awk; do
    command -v $awk || continue
    ln -sf "$(command -v $awk)" bin/awk
    PATH="$PWD/bin:$PATH" "$make_corpus" b --train 500
    diff -r a b
  done
}

@test "an English sentence has one German translation, whatever the seed" {
  for seed in 1 2 3; do "$make_corpus" $seed --train 10000 --seed $seed; done
  paste <(cat ?/train.src) <(cat ?/train.ref) | sort -u | cut -f 1 | uniq -d > twice
  [ ! -s twice ]
}

@test "what the grammar promises occurs" {
  "$make_corpus" data --train 20000
  has() { paste -d '|' data/train.src data/train.ref | grep -qE "$1" || { echo "missing: $1"; false; }; }
  has 'thirty-one.*\|.*einunddreißig '
  has '^Yesterday (he|she) .*\|Gestern (hat|ist) (er|sie) '
  has 'because .*\|.*, weil .* (hat|ist|haben|sind)\.$'
  has 'calls .*\|.* ruft .* an\.$'
  has 'because .*\|.*, weil .* anruft\.$'
  has 'does not .*\|.* nicht '
  has 'does not .*\|.* kein(en|e)? '
  has ' with my (friends|children)\b.*\|.* mit meinen (Freunden|Kindern)'
  has 'waits for the \w+\b.*\|.* auf (den|die|das) '
  has 'who .*\|.*, (der|die|das) .*, '
  has ' in the city.*\|.* in der (schönen |alten |neuen |großen |kleinen )?Stadt'
  has 'into the (city|village|park).*\|.* (in die Stadt|ins Dorf|in den Park)'
  has 'the boy .*\|.*Jungen'
}

@test "the words are few enough to learn, and each occurs often" {
  "$make_corpus" data
  for side in src ref; do
    tr -d '.,' < data/train.$side | tr 'A-Z ' 'a-z\n' | sort | uniq -c | sort -n > words
    [ "$(wc -l < words)" -le 460 ]
    [ "$(awk 'NR == 1 { print $1 }' words)" -ge 10 ]
  done
  # Held-out sentences use no word that training lacks.
  for side in src ref; do
    [ -z "$(comm -13 <(tr ' ' '\n' < data/train.$side | sort -u) <(tr ' ' '\n' < data/heldout.$side | sort -u))" ]
  done
}

@test "usage errors" {
  run -2 "$make_corpus"
  run -2 "$make_corpus" data --train many
  [[ $output == *many* ]]
  run -2 "$make_corpus" data --seed 0
  run -2 "$make_corpus" data --what
  run -2 "$make_corpus" data more
  run -0 "$make_corpus" --help
  [[ $output == *--heldout* ]]
}
