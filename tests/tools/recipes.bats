#!/usr/bin/env bats
# The scripts and Makefiles that people paste from the README, in small.

setup_file() {
  export SCRIPTS="$BATS_TEST_DIRNAME/../../scripts"
  export PATH="$PIPEFORMER_BIN:$PATH"
}

setup() {
  bats_require_minimum_version 1.5.0
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
  # New data begin anew; a variable that is forgotten has its name said.
  for side in src ref; do head -n 200 corpus/train.$side > shorter && mv shorter corpus/train.$side; done
  run make_translator
  [ "$status" -eq 0 ]
  run make_translator TGT=
  [[ "$status" -eq 2 && "$output" == *"TGT is not set"* ]]
  [ "$(make_translator -n VALID_SRC=corpus/heldout.src VALID_TGT=corpus/heldout.ref -B | grep -c '^train ')" -eq 1 ]
}

@test "check-resume: killed runs end in the same file" {
  STEPS=40 run "$SCRIPTS/check-resume" 1
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

# The figures of the README come from scripts that train for minutes or hours; here they run for seconds on made data, with a bound.

# bound FILE COLUMN LIMIT: the best value of a column of a training log.
bound() {
  awk -F'\t' -v column="$2" -v limit="$3" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == column) c = i }
    NR > 1 && $c != "" && (best == "" || $c < best) { best = $c } END { print column, best; exit !(best != "" && best < limit) }' "$1"
}

@test "multi30k in short" {
  "$SCRIPTS/make-corpus" data --train 100 --valid 40 --heldout 20
  (cd data && for set in train valid heldout; do mv $set.src $set.en; mv $set.ref $set.de; done && mv valid.en val.en && mv valid.de val.de &&
    mv heldout.en test_2016_flickr.en && mv heldout.de test_2016_flickr.de)
  STEPS=24 WARMUP=12 VOCABULARY=300 EVERY=2 run "$SCRIPTS/multi30k" data out
  [ "$status" -eq 0 ]
  [[ "$output" == *"test_2016_flickr: BLEU "* ]]
  [ "$(ls out/model.h5.step-*.h5 | wc -l)" -eq 5 ]
  bound out/train.tsv valid_loss 5.0
}

@test "clinc150 in short" {
  mkdir data
  for set in train dev; do
    awk -v n=$([ $set = train ] && echo 40 || echo 10) -v s=$([ $set = train ] && echo 1 || echo 2) 'BEGIN { srand(s)
      split("please now kindly today again", extra, " "); split("lights music door heating", thing, " ")
      for (i = 0; i < n; i++) for (t = 1; t <= 4; t++)
        print thing[t] "\t" extra[1 + int(5 * rand())] " turn the " thing[t] " " extra[1 + int(5 * rand())] }' > data/$set.tsv
  done
  STEPS=60 WARMUP=20 VOCABULARY=30 run "$SCRIPTS/clinc150" data out
  [ "$status" -eq 0 ]
  [[ "${lines[-1]}" == "accuracy 100.00 (40 of 40)" ]]
}

@test "optdigits in short, and image-classifier.mk" {
  mkdir data
  /usr/bin/python3 -c "
import numpy as np
draw = np.random.default_rng(3)
labels = draw.integers(0, 2, 240)
images = draw.integers(0, 4, (240, 8, 8))
for image, label in zip(images, labels):  # a bar: upright, or lying
    at = draw.integers(8)
    if label: image[at, :] = 16
    else: image[:, at] = 16
np.save('data/train_images.npy', images.astype('u1')); np.save('data/train_labels.npy', labels.astype('i4'))
np.save('a.npy', images[:200].astype('u1')); np.save('b.npy', images[200:].astype('u1'))
for name, part in ('a.labels', labels[:200]), ('b.labels', labels[200:]):
    open(name, 'w').writelines(['upright\n', 'lying\n'][i] for i in part)"
  TRAIN_IMAGES=200 STEPS=40 WARMUP=10 run "$SCRIPTS/optdigits" data out
  [ "$status" -eq 0 ]
  [[ "${lines[-1]}" =~ ^accuracy\ (9[5-9]|100) ]]
  run make -s -f "$SCRIPTS/image-classifier.mk" IMAGES=a.npy LABELS=a.labels VALID=b.npy VALID_LABELS=b.labels OUT=mk PATCH=2 POSITIONS=17 \
    SCALE=0.0625 TRAIN="--learning-rate 0.002 --warmup 10 --steps 40 --batch-tokens 2000 --dropout 0"
  [ "$status" -eq 0 ]
  [[ "${lines[-1]}" =~ ^accuracy\ (9[5-9]|100) ]]
}

@test "shakespeare in short, and language-model.mk" {
  "$SCRIPTS/make-corpus" data --train 1500 --valid 100 --heldout 20
  STEPS=120 WARMUP=20 run "$SCRIPTS/shakespeare" data/train.src out
  [ "$status" -eq 0 ]
  [[ "$output" == *$'\nvalidation loss '* ]]
  bound out/train.tsv valid_loss 2.3
  run make -s -f "$SCRIPTS/language-model.mk" TEXT=data/train.src VALID=data/valid.src OUT=mk VOCABULARY=300 CONTEXT=32 PROMPT=He \
    MODEL="--width 64 --heads 4 --inner 128 --decoder-layers 2 --positions rotary" \
    TRAIN="--learning-rate 0.003 --warmup 20 --steps 60 --batch-tokens 1000 --dropout 0" SAMPLE="--max-length 10 --temperature 0.5"
  [ "$status" -eq 0 ]
  [[ "$output" == *"perplexity "*$'\n'He* ]]
  bound mk/train.tsv valid_ppl 40
  # Line ends are learned like any other token: a sample has several, and is as long as it was asked to be.
  printf 'He' | tokenize -m mk/model.h5 --document | decode -m mk/model.h5 --max-length 30 --sample --seed 1 --slide -o sample.npy
  [ "$(peek --values sample.npy | wc -w)" -ge 31 ]
  [ "$(tokenize -m mk/model.h5 --decode --document sample.npy | wc -l)" -ge 1 ]
  run make -s -f "$SCRIPTS/language-model.mk" TEXT=data/train.src VALID=data/valid.src OUT=chars TYPE=char CONTEXT=32 PROMPT=He \
    MODEL="--width 64 --heads 4 --inner 128 --decoder-layers 2 --positions rotary" \
    TRAIN="--learning-rate 0.003 --warmup 20 --steps 60 --batch-tokens 1000 --dropout 0" SAMPLE="--max-length 300 --temperature 0.5 --slide"
  [ "$status" -eq 0 ]
  [ "${#lines[@]}" -ge 4 ]
}

@test "classifier.mk: a masked language model, then a classifier from it" {
  for set in train dev; do
    for i in $(seq $([ $set = train ] && echo 40 || echo 10)); do
      for thing in lights music door heating; do echo "please turn the $thing $((i % 7))"; echo "$thing" >> $set.labels; done
    done > $set.txt
  done
  run make -s -f "$SCRIPTS/classifier.mk" TEXT=train.txt LABELS=train.labels VALID=dev.txt VALID_LABELS=dev.labels OUT=mk VOCABULARY=30 \
    MASKED="--learning-rate 0.003 --warmup 20 --steps 60 --batch-tokens 500" TRAIN="--learning-rate 0.002 --warmup 10 --steps 40 --batch-tokens 500"
  [ "$status" -eq 0 ]
  [ "${lines[-1]}" = "accuracy 100.00 (40 of 40)" ]
  bound mk/masked.tsv valid_loss 2.5
  # From a language model, which has its own tokenizer.
  train --task language-model --target mk/train.npy --tokenizer mk/tok.model --width 32 --heads 4 --inner 64 --decoder-layers 1 --steps 20 -q -o lm.h5
  run make -s -f "$SCRIPTS/classifier.mk" TEXT=train.txt LABELS=train.labels VALID=dev.txt VALID_LABELS=dev.labels OUT=from FROM=lm.h5 \
    TRAIN="--learning-rate 0.005 --warmup 10 --steps 80 --batch-tokens 500 --dropout 0"
  [ "$status" -eq 0 ]
  [ "${lines[-1]}" = "accuracy 100.00 (40 of 40)" ]
  [ ! -e from/masked.h5 ] && [ ! -e from/tok.model ]
  model describe from/model.h5 | grep -q '^pooling *last'
}

@test "tagger.mk: roles of the corpus, and what the most frequent tags would get" {
  "$SCRIPTS/make-corpus" corpus --train 1500 --valid 100 --heldout 100 --tags
  "$SCRIPTS/make-corpus" plain --train 1500 --valid 100 --heldout 100
  for set in train valid heldout; do cmp corpus/$set.src plain/$set.src && cmp corpus/$set.ref plain/$set.ref; done
  paste -d '\n' corpus/train.src corpus/train.tags | awk 'NR % 2 { n = NF; next } NF != n || /(^|O )I-/ { exit 1 }'
  make_tagger() {
    make -s -f "$SCRIPTS/tagger.mk" TEXT=corpus/train.src TAGS=corpus/train.tags VALID=corpus/valid.src VALID_TAGS=corpus/valid.tags \
      TEST=corpus/heldout.src TEST_TAGS=corpus/heldout.tags OUT=out VOCABULARY=300 MODEL="--width 48 --heads 4 --inner 96 --encoder-layers 2" \
      TRAIN="--learning-rate 0.005 --warmup 30 --steps 200 --batch-tokens 1500 --dropout 0" "$@"
  }
  MODEL="--width 16 --heads 2 --inner 32 --encoder-layers 1" TRAIN="--steps 5" VOCABULARY=200 run "$SCRIPTS/roles" roles --train 300 --valid 20 --heldout 20
  [ "$status" -eq 0 ]
  [[ "$output" == *"entity F1 "* ]]
  run make_tagger
  [ "$status" -eq 0 ]
  [[ "$output" =~ entity\ F1\ ([5-9][0-9]|100)\. ]]
  [ "$(make_tagger -n | grep -c '^train ')" -eq 0 ]
  # Of the tags themselves, and of some by hand: three entities of which two are found, and one that is none.
  cp corpus/heldout.tags out/test.hyp
  n=$(grep -o B- corpus/heldout.tags | wc -l)
  [[ "$(make_tagger -o out/test.hyp)" == *"entity F1 100.00 (P 100.00, R 100.00; $n right, $n found, $n wanted;"* ]]
  printf 'B-A I-A O B-B\n\nI-A B-A\n' > out/test.hyp
  printf 'B-A I-A O B-B\n\nB-A I-A\n' > by-hand
  [[ "$(make_tagger -o out/test.hyp TEST_TAGS=by-hand)" == *"entity F1 57.14 (P 50.00, R 66.67; 2 right, 4 found, 3 wanted;"* ]]
}

@test "segmenter.mk: shapes in scenes" {
  "$SCRIPTS/make-scenes" scenes --train 200 --valid 20 --heldout 40
  "$SCRIPTS/make-scenes" again --train 200 --valid 20 --heldout 40
  cmp scenes/train.pgm again/train.pgm
  [ "$(awk 'NF == 64' scenes/train.tags | wc -l)" -eq 200 ]
  make_segmenter() {
    make -s -f "$SCRIPTS/segmenter.mk" IMAGES=scenes/train.pgm TAGS=scenes/train.tags VALID=scenes/valid.pgm VALID_TAGS=scenes/valid.tags \
      TEST=scenes/heldout.pgm TEST_TAGS=scenes/heldout.tags OUT=out MODEL="--width 32 --heads 4 --inner 64 --encoder-layers 1" \
      TRAIN="--learning-rate 0.003 --warmup 20 --steps 100 --batch-tokens 1024 --dropout 0" "$@"
  }
  MODEL="--width 16 --heads 2 --inner 32 --encoder-layers 1" TRAIN="--steps 5" run "$SCRIPTS/scenes" short --train 20 --valid 5 --heldout 5
  [ "$status" -eq 0 ]
  [[ "$output" == *"mean IoU "* ]]
  run make_segmenter
  [ "$status" -eq 0 ]
  [[ "$output" =~ mean\ IoU\ [0-9]+\.[0-9]+ ]]
  printf 'a a b\nb c\n' > out/test.hyp  # of a 1 of 2, of b 1 of 3, of c 1 of 2
  printf 'a b b\nc c\n' > by-hand
  [[ "$(make_segmenter -o out/test.hyp TEST_TAGS=by-hand)" == *"mean IoU 44.44"* ]]
}

@test "matcher.mk: captions of scenes" {
  "$SCRIPTS/make-scenes" scenes --captions --train 300 --valid 20 --heldout 40
  "$SCRIPTS/make-scenes" again --captions --train 300 --valid 20 --heldout 40
  cmp scenes/train.ppm again/train.ppm
  cmp scenes/train.captions again/train.captions
  [ -z "$(grep -vxE '(, | and )?(a (small|large) [a-z]+ (disc|square|triangle) (at the (top|bottom)|in the middle|(on|at) the( top| bottom)? (left|right))(, | and |$))+' \
    scenes/train.captions)" ]
  [ ! -e scenes/train.tags ]
  make_matcher() {
    make -s -f "$SCRIPTS/matcher.mk" IMAGES=scenes/train.ppm CAPTIONS=scenes/train.captions VALID=scenes/valid.ppm VALID_CAPTIONS=scenes/valid.captions \
      TEST=scenes/heldout.ppm TEST_CAPTIONS=scenes/heldout.captions VOCABULARY=100 OUT=out MODEL="--width 32 --heads 4 --inner 64 --encoder-layers 1" \
      TRAIN="--learning-rate 0.003 --warmup 20 --steps 40 --batch-tokens 2000 --dropout 0" "$@"
  }
  MODEL="--width 16 --heads 2 --inner 32 --encoder-layers 1" TRAIN="--steps 5" run "$SCRIPTS/pairs" short --train 200 --valid 5 --heldout 5
  [ "$status" -eq 0 ]
  [[ "$output" == *"recall@1 "*" % of 5 captions by their images"* ]]
  run make_matcher
  [ "$status" -eq 0 ]
  [[ "$output" =~ recall@1\ [0-9.]+\ %\ of\ 40\ images ]]
  [ "$(make_matcher -n | grep -c '^train ')" -eq 0 ]
  # Labels as sentences; the tokenizer is in the group of the model that reads text.
  run -1 --separate-stderr tokenize -m out/model.h5 labels
  [ "$stderr" = "tokenize: out/model.h5: this model file holds no tokenizer; out/model.h5:text does" ]
  printf '%s\n' red green > labels
  "$SCRIPTS/zero-shot" out/model.h5 out/test.images.npy labels 'a small {} disc & {}' > found
  printf '%s\n' 'a small red disc & red' 'a small green disc & green' | tokenize -m out/tok.model | encode -m out/model.h5:text --pool model -o labels.npy
  nearest labels.npy out/images.npy --pairs --labels labels | diff - found
  [ "$(wc -l < found)" -eq 40 ]
  # Vectors by hand: the second caption finds the first image.
  /usr/bin/python3 -c 'import numpy as np; np.save("out/images.npy", np.eye(4, dtype="f4")); np.save("out/captions.npy", np.eye(4, dtype="f4")[[0, 0, 2, 3]])'
  [[ "$(make_matcher -o out/images.npy -o out/captions.npy)" == *"recall@1 75.0 % of 4 images"*"recall@1 75.0 % of 4 captions"* ]]
}

@test "reader.mk: questions about small texts" {
  "$SCRIPTS/make-questions" q --train 300 --valid 30 --heldout 40
  "$SCRIPTS/make-questions" again --train 300 --valid 30 --heldout 40
  for set in train valid heldout; do
    for part in question text span answer; do cmp q/$set.$part again/$set.$part; done
    # The span is where the answer stands.
    paste -d '\n' q/$set.text q/$set.span q/$set.answer | awk 'NR % 3 == 1 { text = $0 } NR % 3 == 2 { from = $1; to = $2; n = NF }
      NR % 3 == 0 { if (n ? substr(text, from + 1, to - from) != $0 || $0 == "" : $0 != "") exit 1 }'
  done
  MODEL="--width 16 --heads 2 --inner 32 --encoder-layers 1 --token-types 2" SETTINGS="--steps 5" VOCABULARY=200 run "$SCRIPTS/questions" short --train 100 --valid 5 --heldout 5
  [ "$status" -eq 0 ]
  [[ "${lines[-1]}" == "accuracy "* ]]
  run make -s -f "$SCRIPTS/reader.mk" TRAIN=q/train VALID=q/valid TEST=q/heldout OUT=out VOCABULARY=300 \
    MODEL="--width 32 --heads 4 --inner 64 --encoder-layers 1 --token-types 2" SETTINGS="--learning-rate 0.003 --warmup 20 --steps 40 --batch-tokens 2000"
  [ "$status" -eq 0 ]
  [[ "${lines[-1]}" == "accuracy "*" of 40)" ]]
  [ "$(wc -l < out/test.hyp)" -eq 40 ]
}

@test "summaries: texts whose most active person is told of" {
  "$SCRIPTS/make-summaries" a --train 200 --valid 20 --heldout 30
  "$SCRIPTS/make-summaries" b --train 200 --valid 20 --heldout 30
  diff -r a b
  "$SCRIPTS/make-summaries" c --train 200 --valid 20 --heldout 30 --seed 2
  run ! cmp -s a/train.text c/train.text
  # The person of the summary has more sentences than any other, and each of them is in the summary.
  paste -d '|' a/train.text a/train.summary | awk -F '|' '
    BEGIN { split("Maria,Peter,Anna,Paul,Julia,Thomas,Clara,Martin,the teacher,the doctor,my sister,her brother,our neighbour,the old woman", people, ",") }
    { text = tolower($1); summary = tolower($2); most = 0; several = 0
      for (i in people) { person = tolower(people[i]); n = gsub(person " ", "&", text); if (n > most) { most = n; who = person; several = 0 } else if (n == most) ++several }
      if (several || index(summary, who " ") != 1 || gsub(/ the [a-z]+(,|\.| and )/, "&", summary) != most) { print; exit 1 } }'
  run -2 --separate-stderr "$SCRIPTS/make-summaries" d --seed 0
  [ "${stderr_lines[0]}" = "make-summaries: seed 0 is not between 1 and 2147483646" ]
  mkdir -p out && cp -r a out/data
  MODEL='--width 32 --heads 2 --inner 32 --encoder-layers 1 --decoder-layers 1' TRAIN='--steps 20 --warmup 5 --batch-tokens 2000' VOCABULARY=200 run "$SCRIPTS/summaries" out
  [ "$status" -eq 0 ]
  [ "$(grep -c '^ROUGE-L ' <<< "$output")" -eq 2 ]
}

@test "rater.mk: how much two sentences say the same" {
  "$SCRIPTS/make-similar" similar --train 400 --valid 30 --heldout 60
  "$SCRIPTS/make-similar" again --train 400 --valid 30 --heldout 60
  for name in first second similarity; do cmp similar/train.$name again/train.$name; done
  [ "$(paste similar/{train,valid,heldout}.first similar/{train,valid,heldout}.second | sort | uniq -d | wc -l)" -eq 0 ]
  # Each line of the numbers is one of five, and sentences that differ in nothing but adjectives and form say the same.
  [ "$(sort -u similar/train.similarity | xargs)" = "0 1.25 2.5 3.75 5" ]
  make_rater() {
    make -s -f "$SCRIPTS/rater.mk" TRAIN=similar/train VALID=similar/valid TEST=similar/heldout OUT=out \
      MODEL="--width 32 --heads 4 --inner 64 --encoder-layers 1 --token-types 2" SETTINGS="--learning-rate 0.003 --warmup 10 --steps 40 --batch-tokens 1000" "$@"
  }
  run make_rater
  [ "$status" -eq 0 ]
  [[ "$output" == *"Pearson "*$'\n'"Spearman "*$'\n'"MSE "* ]]
  bound out/train.tsv valid_loss 3
  [ "$(make_rater -n | grep -c '^train ')" -eq 0 ]
  MODEL="--width 16 --heads 2 --inner 32 --encoder-layers 1 --token-types 2" SETTINGS="--steps 5" run --separate-stderr "$SCRIPTS/similarity" short --train 100 --valid 5 --heldout 20
  [ "$status" -eq 0 ]
  [[ "${lines[0]}" == "common words: Pearson "* && "${lines[1]}" == "Pearson "* ]]
}

@test "labeller.mk: which shapes an image shows" {
  MODEL="--width 32 --heads 4 --inner 64 --encoder-layers 1" TRAIN="--learning-rate 0.003 --warmup 10 --steps 40 --batch-tokens 1000" \
    run --separate-stderr "$SCRIPTS/contents" short --train 200 --valid 20 --heldout 40
  [ "$status" -eq 0 ]
  [[ "${lines[0]}" == "every shape: multi-label micro F1 "* && "${lines[1]}" == "multi-label micro F1 "* ]]
  bound short/train.tsv valid_loss 0.6
  # The labels are those that the captions name.
  paste short/data/heldout.captions short/data/heldout.labels | awk -F'\t' '{ n = split($2, labels, " "); if (n < 1) exit 1
    for (i = 1; i <= n; ++i) { split(labels[i], w, "-"); if (index($1, w[1] " " w[2]) == 0) exit 1 } }'
  run "$SCRIPTS/contents" short
  [[ "$status" -eq 0 && "$output" != *train* ]]
}

@test "required-words: all are there, where a model without training has none" {
  "$SCRIPTS/make-corpus" . --train 300 --valid 1 --heldout 20
  tokenize -q --train --vocab-size 300 -o tok.model train.src train.ref
  model make --tokenizer tok.model --width 32 --heads 4 --inner 64 --encoder-layers 1 --decoder-layers 1 -o model.h5
  run -0 "$SCRIPTS/required-words" . 1 2
  [ "${#lines[@]}" -eq 4 ]
  for i in 0 2; do
    [[ ${lines[i]} =~ ", plain: BLEU ".*" of 20 lack a word" ]] && [[ ${lines[i]} != *", 0 of 20 lack"* ]]
    [[ ${lines[i + 1]} == *", required: BLEU "*", 0 of 20 lack a word, "*" ms" ]]
  done
}

@test "bench measures a row" {
  [ "$PIPEFORMER_BIN" = "$(realpath "$SCRIPTS/../build/tests/bin")" ] || skip "it measures build/tests"
  run --separate-stderr "$SCRIPTS/bench" --rounds 1 --threads 1 --part 0.02 start
  [ "$status" -eq 0 ]
  [[ "${lines[-1]}" =~ ^start\ +1\ [0-9,.]+\ .*\ starts ]]
}
