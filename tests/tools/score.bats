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

@test "summaries: ROUGE" {
  echo 'The quick brown fox jumps over the lazy dog' > r
  echo 'The quick brown dog jumps on the log.' > h
  run -0 score --metric rouge --stemmer --reference r h
  [ "${lines[0]}" = 'ROUGE-1 70.59 (P 75.00, R 66.67)' ]
  [ "${lines[2]}" = 'ROUGE-L 58.82 (P 62.50, R 55.56)' ]
  echo 'w1 w2 w3 w4 w5' > r
  echo 'w1 w2 w6 w7 w8<n>w1 w3 w8 w9 w5' > h
  [ "$(score -q --metric rouge-lsum --reference r h)" = 53.333333 ]
  tr '<n>' '|||' < h | sed 's/|||/|/' > bar
  [ "$(score -q --metric rouge-lsum --sentence-break '|' --reference r bar)" = 53.333333 ]
  [ "$(score -q --metric rouge-l --metric rouge-lsum --sentence-level --reference r bar)" = "$(score -q --metric rouge-l --metric rouge-lsum --reference r bar | paste -s)" ]
}

@test "answers, with no answer where there is none" {
  printf '%s\n' 'the Cat.' '' 'x' > r
  printf '%s\n' 'a cat' '' '' > h
  printf '%s\n' 'dog' '' '' > other
  run -0 score --metric squad --reference other --reference r h
  [ "${lines[0]}" = 'exact match 66.67 (3 questions; 50.00 of 2 with an answer, 100.00 of 1 without)' ]
  [ "${lines[1]}" = 'answer F1 66.67 (3 questions; 50.00 of 2 with an answer, 100.00 of 1 without)' ]
}

@test "labels of words: entities, accuracy, intersection over union; as text and as records" {
  printf '%s\n' 'O O O B-MISC I-MISC I-MISC O' 'B-PER I-PER O' '' > r
  printf '%s\n' 'O O B-MISC I-MISC I-MISC I-MISC O' 'B-PER I-PER O' '' > h
  run -0 score --metric entity --metric token-accuracy --reference r h
  [ "${lines[0]}" = 'entity F1 50.00 (P 50.00, R 50.00; 1 right, 2 found, 2 wanted; label accuracy 80.00 of 10)' ]
  [ "${lines[3]}" = 'token accuracy 80.00 (8 of 10)' ]
  printf '%s\n' 'O O' 'B-PER I-PER' '' > short
  run -1 score --metric entity --reference r short
  [ "$output" = 'score: short: line 1: 2 labels, but the reference has 7' ]
  run -1 score --metric token-accuracy --reference r short
  [ "$output" = 'score: short: line 1: 2 labels, but the reference has 7' ]
  run -1 score --metric entity --reference <(printf 'O\nO PER\n') <(printf 'O\nO O\n')
  [[ $output == "score: /dev/fd/"*": line 2: label 'PER' is neither O nor B-, I-, E- or S- and a type" ]]
  printf '0 0 0\n1 1 0\n' > r
  printf '0 0 1\n0 1 2\n' > h
  convert --text i4 r -o r.npy
  convert --text i4 h -o h.npy
  [ "$(score -q --metric mean-iou --reference r h)" = 24.444444 ]
  cmp <(score --metric mean-iou --reference r h) <(score --metric mean-iou --reference r.npy h.npy)
  printf '0 0 0\n1 1\n' | convert --text i4 -o ragged.npy
  run -1 score --metric mean-iou --reference r.npy ragged.npy
  [ "$output" = 'score: ragged.npy: record 1: 2 labels, but the reference has 3' ]
}

@test "classes: a report, and the confusion matrix as a record" {
  printf '%s\n' cat dog bird bird bird > r
  printf '%s\n' cat cat bird bird dog > h
  run -0 score --metric classification --reference r h --confusion c.npy
  [ "${lines[0]}" = 'classification macro F1 48.89' ]
  [ "${lines[2]}" = 'bird                 100.00   66.67   80.00        3' ]
  [ "${lines[8]}" = 'right \ predicted' ]
  [ "$(peek --values c.npy)" = $'2\t0\t1\n0\t1\t0\n0\t1\t0' ]
  score -q --metric classification --reference r h --confusion c.h5:matrix > /dev/null
  cmp <(peek --values c.h5:matrix) <(peek --values c.npy)
  run -2 score --metric accuracy --reference r h --confusion d.npy
  [ "${lines[0]}" = 'score: --confusion needs --metric classification or mean-iou' ]
  run -2 score --metric classification --sentence-level --reference r h
  run -1 score --metric classification --reference r --reference h h
  [ "$output" = 'score: h: line 1: one reference is wanted, 2 are given' ]
}

@test "calibration of probabilities and of logits" {
  printf '0 2\n0 2\n0 2\n0 2\n' | convert --text f4 -o logits.npy
  printf '1\n1\n0\n1\n' > r
  softmax logits.npy -o p.npy
  [ "$(score -q --metric temperature --logits --reference r logits.npy)" = 1.820478 ]    # 2 / ln 3
  [ "$(score -q --metric temperature --reference r p.npy)" = 1.820478 ]
  cmp <(score --metric calibration --logits --reference r logits.npy | cut -c 1-12) <(score --metric calibration --reference r p.npy | cut -c 1-12)
  run -0 score --metric ece --reference r p.npy
  [ "$output" = 'ECE 13.08 (15 bins, 4 lines)' ]                                         # 1 / (1 + exp -2) = 0.8808
  run -1 score --metric ece --reference r logits.npy
  [ "$output" = 'score: logits.npy: record 0: 2 is no probability: --logits for logits' ]
}

@test "numbers: correlations and errors" {
  printf '%s\n' 1 2 3 4 5 > r
  printf '%s\n' 5 6 7 8 7 > h
  [ "$(score -q --metric spearman --reference r h)" = 0.820783 ]
  [ "$(score -q --metric regression --reference r h | wc -l)" = 5 ]
  convert --text f4 h -o h.npy
  cmp <(score --metric regression --reference r h) <(score --metric regression --reference r h.npy)
  run -1 score --metric mse --reference r <(printf '1\nx\n3\n4\n5\n')
  [[ $output == "score: /dev/fd/"*": line 2: 'x' is no finite number" ]]
}

@test "paired tests: a table, the same for any threads, another for another seed" {
  seq 300 | sed 's/.*/the & cat sat on & mats by & doors/' > r
  sed 's/cat/dog/;3~4s/by/near/' r > base
  sed '2~3s/the/a/' base > worse
  run -0 score --paired-bs --metric bleu --metric chrf --metric ter --reference r base worse base
  [ "${lines[0]}" = $'metric\tsystem\tscore\tmean\tinterval\tp' ]
  [ "${#lines[@]}" = 10 ]
  [[ ${lines[1]} == $'bleu\tbase\t'*$'\t-' ]]
  [[ ${lines[2]} == $'bleu\tworse\t'*$'\t0.000999' ]]
  [ "$(cut -f 3 <<< "${lines[1]}")" = "$(score -q --reference r base)" ]
  cmp <(score --paired-bs --reference r base worse -j 1) <(score --paired-bs --reference r base worse -j 3)
  run ! cmp -s <(score --paired-bs --reference r base worse) <(score --paired-bs --reference r base worse --seed 2)
  run -0 score -q --paired-ar --samples 200 --reference r base worse
  [ "$(cut -f 6 <<< "${lines[1]}")" = 0.004975 ]
  [ "$(cut -f 4,5 <<< "${lines[1]}")" = $'-\t-' ]
  run -2 score --paired-bs --reference r base
  run -2 score --reference r base worse
  run -2 score --paired-bs --paired-ar --reference r base worse
  run -2 score --samples 10 --reference r base
  run -2 score --paired-bs --metric entity --reference r base worse
  [[ ${lines[0]} == 'score: --paired-bs needs a metric of single lines, which entity is not' ]]
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
