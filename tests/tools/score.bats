#!/usr/bin/env bats
# score: metrics of lines against a reference.

setup() {
  bats_require_minimum_version 1.5.0
  PATH="$PIPEFORMER_BIN:$PATH"
  cd "$BATS_TEST_TMPDIR" || exit 1
  printf '%s\n' 'the cat sat on the mat' 'a dog' '' 'hello, world!' > ref.txt
  printf '%s\n' 'the cat sat by the mat' 'a dog' '' 'hello , world !' > hyp.txt
}

@test "BLEU with its parts" {
  run -0 score --reference ref.txt hyp.txt
  # Words 12 of 12, 11 right; bigrams 9, 7 right; trigrams 6, 3 right; four-grams 4, 1 right.
  [ "$output" = 'BLEU 54.64 (91.7/77.8/50.0/25.0, BP 1.000, ratio 1.000, hyp 12, ref 12)' ] || { echo "$output"; false; }
}

@test "every metric, in the order asked for; bare numbers with --quiet" {
  run -0 score --reference ref.txt --metric all < hyp.txt
  [[ ${lines[0]} == BLEU* && ${lines[1]} == chrF* && ${lines[2]} == 'accuracy 50.00 (2 of 4)' ]]
  run -0 score --reference ref.txt --metric accuracy --metric bleu --quiet hyp.txt
  [ "${lines[0]}" = 50.000000 ]
  [[ ${lines[1]} == 54.63* ]]
  run -0 score --reference ref.txt --metric all --quiet ref.txt
  [ "$output" = $'100.000000\n100.000000\n100.000000' ]
}

@test "--tokenize none splits at spaces only; --lowercase forgets case" {
  printf 'A B C D!\n' > r
  printf 'A B C D !\n' > h
  [ "$(score --quiet --reference r h)" = 100.000000 ]
  [ "$(score --quiet --tokenize none --reference r h)" != 100.000000 ]
  printf 'ÄB c d e f\n' > r
  printf 'äb C D E F\n' > h
  [ "$(score --quiet --metric accuracy --reference r h)" = 0.000000 ]
  [ "$(score --quiet --metric accuracy --lowercase --reference r h)" = 100.000000 ]
  [ "$(score --quiet --lowercase --reference r h)" = 100.000000 ]
}

@test "different numbers of lines: an error with both" {
  head -3 hyp.txt > short.txt
  run -1 score --reference ref.txt short.txt
  [ "$output" = 'score: short.txt has 3 lines, ref.txt has 4' ]
  run -1 score --reference short.txt ref.txt
  [ "$output" = 'score: ref.txt has 4 lines, short.txt has 3' ]
}

@test "several references: an empty line is none where another is not" {
  printf '%s\n' 'a b c d' 'e f g h' > one
  printf '%s\n' '' 'e f g x' > two
  printf '%s\n' 'a b c d' 'e f g x' > h
  [ "$(score -q --reference one --reference two h)" = 100.000000 ]
  [ "$(score -q --metric ter --reference one --reference two h)" = 0.000000 ]
  [ "$(score -q --metric accuracy --reference one --reference two h)" = 100.000000 ]
  head -1 two > short
  run -1 score --reference one --reference short h
  [ "$output" = 'score: h has 2 lines, short has 1' ]
  run -1 score --reference short --reference one h
  [ "$output" = 'score: h has 2 lines, short has 1' ]
}

@test "--sentence-level: one line of scores for each line" {
  run -0 score --sentence-level --metric bleu --metric ter --reference ref.txt hyp.txt
  [ "${#lines[@]}" = 4 ]
  [ "${lines[0]}" = $'37.991784\t16.666667' ]
  [ "${lines[1]}" = $'100.000000\t0.000000' ]                   # two words: effective order
  [ "$(score --sentence-level --no-effective-order --reference ref.txt hyp.txt | sed -n 2p)" = 0.000000 ]
  seq 9000 | sed 's/$/ is a number/' > many
  [ "$(score --sentence-level --reference many many -j 2 | sort | uniq -c | tr -s ' ')" = ' 9000 100.000000' ]
  cmp <(score --metric chrf --sentence-level --reference many <(rev many) -j 1) <(score --metric chrf --sentence-level --reference many <(rev many) -j 3)
}

@test "lengths that differ far into the files" {
  seq 9000 > a
  seq 9001 > b
  run -1 score --reference a b
  [ "$output" = 'score: b has 9001 lines, a has 9000' ]
  run -1 score --reference b a
  [ "$output" = 'score: a has 9000 lines, b has 9001' ]
  seq 4096 > c
  seq 8192 > d
  run -1 score --reference c d
  [ "$output" = 'score: d has 8192 lines, c has 4096' ]
}

@test "records are lines of their values" {
  printf '1 2 3\n\n4\n' > r
  convert --text i4 r -o r.npy
  [ "$(score -q --metric accuracy --reference r r.npy)" = 100.000000 ]
  [ "$(score -q --metric accuracy --reference r.npy < r)" = 100.000000 ]
}

@test "usage errors" {
  run -2 score hyp.txt
  run -2 score --reference ref.txt --metric blue hyp.txt
  [[ $output == *"unknown metric 'blue': one of bleu, chrf"* ]]
  run -2 score --reference ref.txt --tokenize ja hyp.txt
  run -2 score --reference - -
  [ "${lines[0]}" = "score: only one input can be standard input ('-')" ]
  run -2 score --reference - --reference - hyp.txt
  run -2 score --reference ref.txt --smooth-value 1 hyp.txt
  run -2 score --reference ref.txt --asian-support hyp.txt
}

@test "labels" {
  printf '%s\n' greeting refund refund > r
  printf '%s\n' greeting refund greeting > h
  run -0 score --metric accuracy --reference r h
  [ "$output" = 'accuracy 66.67 (2 of 3)' ]
}
