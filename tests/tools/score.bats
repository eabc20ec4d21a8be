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
  [ "${lines[0]}" = 50.0000 ]
  [[ ${lines[1]} == 54.63* ]]
  run -0 score --reference ref.txt --metric all --quiet ref.txt
  [ "$output" = $'100.0000\n100.0000\n100.0000' ]
}

@test "--tokenize none splits at spaces only; --lowercase forgets case" {
  printf 'A B C D!\n' > r
  printf 'A B C D !\n' > h
  [ "$(score --quiet --reference r h)" = 100.0000 ]
  [ "$(score --quiet --tokenize none --reference r h)" != 100.0000 ]
  printf 'ÄB c d e f\n' > r
  printf 'äb C D E F\n' > h
  [ "$(score --quiet --metric accuracy --reference r h)" = 0.0000 ]
  [ "$(score --quiet --metric accuracy --lowercase --reference r h)" = 100.0000 ]
  [ "$(score --quiet --lowercase --reference r h)" = 100.0000 ]
}

@test "different numbers of lines: an error with both" {
  head -3 hyp.txt > short.txt
  run -1 score --reference ref.txt short.txt
  [ "$output" = 'score: short.txt has 3 lines, ref.txt has 4' ]
  run -1 score --reference short.txt ref.txt
  [ "$output" = 'score: ref.txt has 4 lines, short.txt has 3' ]
}

@test "usage errors" {
  run -2 score hyp.txt
  run -2 score --reference ref.txt --metric rouge hyp.txt
  [[ $output == *rouge* ]]
  run -2 score --reference ref.txt --tokenize zh hyp.txt
  run -2 score --reference - -
}

@test "labels" {
  printf '%s\n' greeting refund refund > r
  printf '%s\n' greeting refund greeting > h
  run -0 score --metric accuracy --reference r h
  [ "$output" = 'accuracy 66.67 (2 of 3)' ]
}
