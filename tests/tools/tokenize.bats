#!/usr/bin/env bats
# tokenize: lines to ids and back, training, documents.

setup() {
  bats_require_minimum_version 1.5.0
  PATH="$PIPEFORMER_BIN:$PATH"
  cd "$BATS_TEST_TMPDIR" || exit 1
  for i in {1..80}; do
    printf 'the cat number %d sat on the mat\n\nthe dogs ran to the house and back\n' $((i * 7919 % 1000))
  done > text.txt
  printf 'z\303\244h "q"\tx\n' >> text.txt
}

@test "one line in, one line out: every type, empty lines too" {
  for type in bpe unigram char byte; do
    tokenize --quiet --train --type $type --vocab-size 70 -o m.model text.txt
    tokenize -m m.model < text.txt > ids.npy
    tokenize -m m.model --decode < ids.npy > back.txt
    [ "$(wc -l < back.txt)" -eq 241 ]
    [ "$(sed -n 2p back.txt)" = "" ]
    # SentencePiece makes a space of the tab of the last line.
    cmp <(head -240 text.txt) <(head -240 back.txt)
  done
  cmp text.txt back.txt
}

@test "the ids are the same on a pipe, in a file and in HDF5, whatever the threads" {
  tokenize --train --vocab-size 70 -o m.model text.txt
  tokenize -m m.model -j 1 text.txt > one.npy
  tokenize -m m.model -j 4 text.txt -o four.npy
  cmp one.npy four.npy
  tokenize -m m.model text.txt -o ids.h5
  cmp <(tokenize -m m.model --decode ids.h5) <(tokenize -m m.model --decode one.npy)
}

@test "a last line without newline is a line; an empty input is an empty stream" {
  tokenize --train --type byte -o m.model text.txt
  [ "$(printf 'a\n\nb' | tokenize -m m.model | tokenize -m m.model --decode)" = $'a\n\nb' ]
  [ "$(tokenize -m m.model < /dev/null | wc -c)" -eq 0 ]
  [ "$(tokenize -m m.model < /dev/null | tokenize -m m.model --decode | wc -c)" -eq 0 ]
}

@test "--begin and --end put control ids around, which decode to nothing" {
  tokenize --train --type byte -o m.model text.txt
  run -0 tokenize -m m.model --pieces --begin --end <<< 'ab'
  [ "$output" = '<s> a b </s>' ]
  run -0 bash -c "printf 'ab\n\n' | tokenize -m m.model --begin --end | tokenize -m m.model --decode | od -An -c | tr -d ' '"
  [ "$output" = 'ab\n\n' ]
}

@test "--pieces shows what the ids stand for, both ways" {
  tokenize --train --vocab-size 70 -o m.model text.txt
  tokenize -m m.model --pieces text.txt > pieces.txt
  [ "$(wc -l < pieces.txt)" -eq 241 ]
  grep -q '^▁the ' pieces.txt
  tokenize -m m.model text.txt | tokenize -m m.model --decode --pieces | cmp - pieces.txt
  if command -v spm_encode; then cmp <(head -240 pieces.txt) <(head -240 text.txt | spm_encode --model=m.model); fi
}

@test "--document keeps every byte, in one record" {
  printf 'a\n\n b\r\nlast' > odd.txt
  tokenize --train --type char -o char.model odd.txt
  tokenize --train --type byte -o byte.model odd.txt
  for m in char byte; do
    tokenize -m $m.model --document odd.txt > ids.npy
    [ "$(grep -ac NUMPY ids.npy)" -eq 1 ]
    tokenize -m $m.model --decode --document ids.npy | cmp - odd.txt
  done
  head -c 100000 /dev/urandom > random
  tokenize -m byte.model --document random | tokenize -m byte.model --decode --document | cmp - random
  # Without --document that text is not one line.
  run -1 tokenize -m char.model --decode <(tokenize -m char.model --document odd.txt)
  [[ $output == *"record 0: "*newline* ]]
}

@test "options and arguments that do nothing are a usage error" {
  tokenize --train --type byte -o m.model text.txt
  tokenize -m m.model text.txt > ids.npy
  run -2 tokenize -m m.model text.txt text.txt
  [ "${lines[0]}" = "tokenize: unexpected argument 'text.txt': only --train reads several files" ]
  run -2 tokenize -m m.model --decode ids.npy ids.npy
  run -2 tokenize -m m.model --vocab-size 9 text.txt
  [ "${lines[0]}" = "tokenize: --vocab-size needs --train" ]
  run -2 tokenize -m m.model --decode --begin ids.npy
  run -2 tokenize --train --type byte -m m.model -o n.model text.txt
  run -2 tokenize --train --type byte --decode -o n.model text.txt
  [ "${lines[0]}" = "tokenize: --decode needs a trained tokenizer: no --train" ]
  [ ! -e n.model ]
  tokenize -m m.model --decode --no-begin ids.npy | cmp - text.txt
}

@test "--document with bpe or unigram: the end id is a newline" {
  tokenize --train --vocab-size 70 -o m.model text.txt
  tokenize -m m.model text.txt | peek --values | awk '{ print $0, 2 }' | tr -s '\t\n' ' ' > expected
  tokenize -m m.model --document text.txt > ids.npy
  [ "$(grep -ac NUMPY ids.npy)" -eq 1 ]
  [ "$(peek --values ids.npy | tr -s '\t\n' ' ')" = "$(cat expected)" ]
  cmp <(tokenize -m m.model --decode --document ids.npy) <(tokenize -m m.model text.txt | tokenize -m m.model --decode)
  # A prompt that does not end its line, and empty lines.
  tokenize --train --vocab-size 16 -o small.model <(printf 'one two\nthree\n')
  for text in '' 'one' $'one\n' $'\n\none\n\ntwo'; do
    [ "$(printf '%s.' "$text")" = "$(printf '%s' "$text" | tokenize -m small.model --document | tokenize -m small.model --decode --document; echo .)" ]
  done
}

@test "invalid UTF-8: an error that names the line, or a replacement" {
  tokenize --train --vocab-size 70 -o m.model text.txt
  tokenize --train --type byte -o byte.model text.txt
  tokenize --train --type char -o char.model text.txt
  printf 'the cat\nthe \377 dog\n' > bad.txt
  run -1 --separate-stderr tokenize -m m.model bad.txt
  [ "$stderr" = 'tokenize: bad.txt: line 2: invalid UTF-8 at byte 5' ]
  run -1 --separate-stderr tokenize -m char.model --document bad.txt
  [ "$stderr" = 'tokenize: bad.txt: line 2: invalid UTF-8 at byte 5' ]
  run -1 --separate-stderr tokenize --train --vocab-size 70 -o n.model text.txt bad.txt
  [ "$stderr" = 'tokenize: bad.txt: line 2: invalid UTF-8 at byte 5' ]
  [ ! -e n.model ]
  run -0 tokenize -m m.model --invalid-utf8 replace -o ids.npy bad.txt
  # Bytes are bytes.
  tokenize -m byte.model bad.txt | tokenize -m byte.model --decode | cmp - bad.txt
}

@test "errors name the stream, the record and the values" {
  tokenize --train --vocab-size 70 -o m.model text.txt
  tokenize --train --type byte -o byte.model text.txt
  tokenize -m byte.model text.txt > bytes.npy
  run -1 tokenize -m m.model --decode bytes.npy
  [[ $output == "tokenize: bytes.npy: record "*": id "*" is outside the vocabulary of 70" ]]
  run -1 --separate-stderr tokenize -m text.txt text.txt
  [ "$stderr" = 'tokenize: text.txt: not a tokenizer model' ]
  run -1 tokenize -m absent.model text.txt
  [[ $output == *absent.model* ]]
  run -2 tokenize text.txt
  [[ $output == *model* ]]
  head -c 200 bytes.npy > cut.npy
  run -1 tokenize -m byte.model --decode cut.npy
  [[ $output == *"cut.npy: record "*truncated* ]]
}

@test "training: a vocabulary of the wrong size says which is possible" {
  for type in bpe unigram; do
    run -1 tokenize --train --type $type --vocab-size 50000 -o m.model text.txt
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == 'tokenize: vocabulary size 50000 is too large for this corpus, the largest possible is '* ]]
    tokenize --train --type $type --vocab-size "${output##* }" -o m.model text.txt
    run -1 tokenize --train --type $type --vocab-size 10 -o n.model text.txt
    [[ $output == *'vocabulary size 10 is too small'* ]]
    run -1 --separate-stderr tokenize --train --type $type -o n.model /dev/null
    [ "$stderr" = 'tokenize: the corpus is empty' ]
  done
}

@test "training is silent, the same every time, and reads several files or standard input" {
  run -0 --separate-stderr tokenize --quiet --train --vocab-size 70 -o m.model text.txt
  [ -z "$output$stderr" ]
  tokenize --train --vocab-size 70 -j 4 < text.txt > n.model
  cmp m.model n.model
  head -100 text.txt > a.txt
  tail -n +101 text.txt > b.txt
  tokenize --train --vocab-size 70 a.txt b.txt > n.model
  cmp m.model n.model
}

@test "--byte-fallback keeps characters that training has not seen" {
  tokenize --train --vocab-size 340 --byte-fallback -o m.model text.txt
  [ "$(tokenize -m m.model <<< 'the ж cat' | tokenize -m m.model --decode)" = 'the ж cat' ]
}

@test "a closed pipe is quiet, a full disk is an error" {
  tokenize --train --type byte -o m.model text.txt
  for _ in {1..40}; do cat text.txt; done > big.txt
  run --separate-stderr bash -c 'tokenize -m m.model big.txt | head -c 10 > /dev/null'
  [ -z "$stderr" ]
  if [ -e /dev/full ]; then run -1 bash -c 'tokenize -m m.model text.txt > /dev/full'; fi
}

@test "the tokenizer inside a Transformer model file" {
  /usr/bin/python3 -c 'import h5py, numpy' || skip "no h5py"
  tokenize --train --vocab-size 70 -o m.model text.txt
  /usr/bin/python3 - <<'PYTHON'
import h5py, numpy
with h5py.File("model.h5", "w") as f: f["tokenizer"] = numpy.frombuffer(open("m.model", "rb").read(), "u1")
with h5py.File("none.h5", "w") as f: f["other"] = numpy.zeros(3)
PYTHON
  cmp <(tokenize -m model.h5 text.txt) <(tokenize -m m.model text.txt)
  run -1 tokenize -m none.h5 text.txt
  [[ $output == *"none.h5: "*tokenizer* ]]
}

# The pieces of a text, drawn.
sampled() { tokenize -m m.model --pieces "$@"; }

@test "--sample: a seed gives the same segmentations whatever the threads, another seed others, all of the same text" {
  head -240 text.txt > plain.txt
  for type in bpe unigram; do
    tokenize --quiet --train --type $type --vocab-size 70 -o m.model text.txt
    tokenize -m m.model --sample 0.2 -j 1 plain.txt -o one.npy
    tokenize -m m.model --sample 0.2 -j 4 plain.txt -o four.npy
    cmp one.npy four.npy
    tokenize -m m.model --sample 0.2 --seed 2 plain.txt -o other.npy
    for ids in one.npy other.npy; do tokenize -m m.model --decode $ids | cmp - plain.txt; done
    tokenize -m m.model plain.txt -o plain.npy
    run -1 cmp -s one.npy other.npy
    run -1 cmp -s one.npy plain.npy
    # The same words in other lines are cut in another way.
    # (80 lines differ, 80 are alike.)
    (($(sampled --sample 0.1 plain.txt | grep . | sort -u | wc -l) > 90))
  done
  tokenize -m m.model --sample 0.2 --nbest 8 plain.txt | tokenize -m m.model --decode | cmp - plain.txt
  tokenize -m m.model --sample 0.2 --begin --end plain.txt | tokenize -m m.model --decode | cmp - plain.txt
}

@test "--sample: a line's draw does not depend on the lines before it, nor on how they are batched" {
  for i in {1..70}; do cat text.txt; done | head -5000 > short.txt
  awk 'NR <= 1000 { for (i = 0; i < 45; ++i) printf "the dogs and the cat ran "; print "back"; next } 1' short.txt > long.txt
  (($(wc -c < long.txt) > 1 << 20))
  tokenize --train --vocab-size 70 -o m.model text.txt
  sampled --sample 0.1 short.txt | tail -n +1001 > a
  sampled --sample 0.1 long.txt | tail -n +1001 > b
  cmp a b
  run -1 cmp -s a <(sampled --sample 0.1 <(tail -n +1001 short.txt))
}

@test "--sample at its ends: the usual segmentation, single characters" {
  head -240 text.txt > plain.txt
  tokenize --train --vocab-size 70 -o m.model text.txt
  cmp <(sampled --sample 0 plain.txt) <(sampled plain.txt)
  cmp <(sampled --sample 1 plain.txt) <(LC_ALL=C.UTF-8 sed 's/^./ &/; s/ /▁/g; s/./& /g; s/ $//' plain.txt)
  tokenize --train --type unigram --vocab-size 70 -o m.model text.txt
  cmp <(sampled --sample 1000000 plain.txt) <(sampled plain.txt)
  cmp <(sampled --sample 0 --nbest 1 plain.txt) <(sampled plain.txt)
  run -1 cmp -s <(sampled --sample 0 plain.txt) <(sampled plain.txt)
}

@test "--sample: refusals" {
  for type in char byte; do
    tokenize --train --type $type -o m.model text.txt
    run -2 tokenize -m m.model --sample 0.1 text.txt
    [ "${lines[0]}" = "tokenize: --sample needs a bpe or unigram tokenizer" ]
  done
  tokenize --train --vocab-size 70 -o m.model text.txt
  run -2 tokenize -m m.model --sample 0.1 --nbest 5 text.txt
  [ "${lines[0]}" = "tokenize: --nbest needs a unigram tokenizer" ]
  run -2 tokenize -m m.model --sample 1.5 text.txt
  [ "${lines[0]}" = "tokenize: --sample is a probability for a bpe tokenizer, at most 1" ]
  run -2 tokenize -m m.model --nbest 5 text.txt
  [ "${lines[0]}" = "tokenize: --nbest needs --sample" ]
  run -2 tokenize -m m.model --sample 0.1 --decode text.txt
  run -2 tokenize --train --sample 0.1 -o n.model text.txt
  run -2 tokenize -m m.model --sample -0.1 text.txt
  run -2 tokenize -m m.model --sample nan text.txt
}
