#!/usr/bin/env bats
# tokenize with tokenizer.json files: control ids, pairs, limits, decoding.

setup() {
  bats_require_minimum_version 1.5.0
  PATH="$PIPEFORMER_BIN:$PATH"
  cd "$BATS_TEST_TMPDIR" || exit 1
  cat > t.json << 'END'
{
  "version": "1.0", "truncation": null, "padding": null,
  "added_tokens": [
    {"id": 1, "content": "[CLS]", "special": true, "normalized": false},
    {"id": 2, "content": "[SEP]", "special": true, "normalized": false}
  ],
  "normalizer": {"type": "BertNormalizer"},
  "pre_tokenizer": {"type": "BertPreTokenizer"},
  "post_processor": {"type": "BertProcessing", "cls": ["[CLS]", 1], "sep": ["[SEP]", 2]},
  "decoder": {"type": "WordPiece"},
  "model": {
    "type": "WordPiece", "unk_token": "[UNK]",
    "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "the": 3, "cat": 4, "##s": 5, "sat": 6, ".": 7, "a\nb": 8}
  }
}
END
}

@test "control ids around a text, on request not; decoding leaves them out, on request not" {
  run -0 tokenize -m t.json --pieces <<< 'The cats SAT.'
  [ "$output" = '[CLS] the cat ##s sat . [SEP]' ]
  run -0 tokenize -m t.json --pieces --no-special <<< 'The cats [SEP] dog'
  [ "$output" = 'the cat ##s [SEP] [UNK]' ]
  tokenize -m t.json <<< 'the cats sat.' > ids.npy
  run -0 tokenize -m t.json --decode ids.npy
  [ "$output" = 'the cats sat.' ]
  run -0 tokenize -m t.json --decode --keep-special ids.npy
  [ "$output" = '[CLS] the cats sat. [SEP]' ]
}

@test "an empty line is a record of control ids, or an empty one" {
  run -0 bash -c "printf 'the\n\ncat\n' | tokenize -m t.json --pieces"
  [ "$output" = $'[CLS] the [SEP]\n[CLS] [SEP]\n[CLS] cat [SEP]' ]
  run -0 bash -c "printf 'the\n\ncat\n' | tokenize -m t.json --no-special | tokenize -m t.json --decode"
  [ "$output" = $'the\n\ncat' ]
}

@test "pairs and token types" {
  printf 'the cat\nsat\n' > a.txt
  printf 'sat\n\n' > b.txt
  run -0 tokenize -m t.json --pieces --pair b.txt --types types.npy a.txt
  [ "$output" = $'[CLS] the cat [SEP] sat [SEP]\n[CLS] sat [SEP] [SEP]' ]
  run -0 /usr/bin/python3 -c "
import numpy as np
with open('types.npy', 'rb') as f: print(np.load(f).tolist(), np.load(f).tolist())"
  [ "$output" = '[0, 0, 0, 0, 1, 1] [0, 0, 0, 1]' ]
  echo more >> b.txt
  run -1 tokenize -m t.json --pieces --pair b.txt a.txt
  [[ $output == *'a.txt has 2 lines, b.txt has 3'* ]]
}

@test "--max-tokens: an error that names the line, an end that is left out, or several records" {
  printf 'the\nthe cat sat the cat sat\n' > a.txt
  run -1 tokenize -m t.json --max-tokens 6 --pieces a.txt
  [[ $output == *'a.txt: line 2: 8 tokens, more than 6' ]]
  run -0 tokenize -m t.json --max-tokens 6 --overflow truncate --pieces a.txt
  [ "$output" = $'[CLS] the [SEP]\n[CLS] the cat sat the [SEP]' ]
  run -0 tokenize -m t.json --max-tokens 6 --overflow split --pieces a.txt
  [ "$output" = $'[CLS] the [SEP]\n[CLS] the cat sat the [SEP]\n[CLS] cat sat [SEP]' ]
  printf 'cat\ncat\n' > q.txt
  run -0 tokenize -m t.json --max-tokens 7 --overflow split --pair a.txt --pieces q.txt
  [ "${lines[2]}" = '[CLS] cat [SEP] the cat sat [SEP]' ]
  run -0 tokenize -m t.json --max-tokens 7 --overflow truncate --pair a.txt --pieces q.txt
  [ "${lines[1]}" = '[CLS] cat [SEP] the cat sat [SEP]' ]
  run -1 tokenize -m t.json --max-tokens 1 a.txt
  [[ $output == *'of which 2 are control ids'* ]]
}

@test "--vocabulary lists ids, pieces and scores" {
  run -0 tokenize -m t.json --vocabulary
  [ "${lines[5]}" = $'5\t##s\t0' ]
  [ "${lines[8]}" = $'8\ta\\nb\t0' ]
  printf 'the cat sat on the mat\n' > text.txt
  tokenize --quiet --train --type unigram --vocab-size 14 -o u.model text.txt
  [ "$(tokenize -m u.model --vocabulary | wc -l)" -eq 14 ]
  tokenize -m u.model --vocabulary | grep -q $'\t-[0-9.]*$'
}

@test "text with a newline is refused among other records, and shown when it is the only one" {
  run -0 bash -c "tokenize -m t.json --no-special --pieces <<< 'cat'"
  /usr/bin/python3 -c "
import numpy as np
np.save('one.npy', np.array([8], np.int32))
with open('two.npy', 'wb') as f: np.save(f, np.array([8], np.int32)); np.save(f, np.array([3], np.int32))"
  run -0 tokenize -m t.json --decode one.npy
  [ "$output" = $'a\nb' ]
  run -1 tokenize -m t.json --decode two.npy
  [[ $output == *'two.npy: record 0: the text holds a newline'* ]]
  run -0 tokenize -m t.json --decode --document two.npy
  [ "$output" = $'a\nbthe' ]
}

@test "the result of a line depends on no other line, on no thread" {
  for i in {1..3000}; do echo "the cats $i sat. the cat"; done > text.txt
  tokenize -m t.json -j 1 text.txt > one.npy
  tokenize -m t.json -j 4 text.txt | cmp - one.npy
  tac text.txt | tokenize -m t.json --pieces | tac | cmp - <(tokenize -m t.json --pieces text.txt)
}

@test "byte-bpe and wordpiece are trained, the same each time, and give every text back" {
  for i in {1..60}; do
    printf 'the cat number %d sat on the mat\n\nthe dogs ran to the house and back\n' $((i * 7919 % 1000))
  done > text.txt
  tokenize --quiet --train --type byte-bpe --vocab-size 300 -o b.json text.txt
  tokenize --quiet --train --type byte-bpe --vocab-size 300 -o again.json text.txt
  cmp b.json again.json
  [ "$(tokenize -m b.json --vocabulary | wc -l)" -eq 300 ]
  run -0 tokenize -m b.json --pieces <<< 'the cat'
  [ "$output" = 'the Ġcat' ]
  tokenize -m b.json text.txt | tokenize -m b.json --decode | cmp - text.txt
  printf 'z\303\244h \360\237\230\200  "q"\tx\n' > odd.txt
  tokenize -m b.json --begin odd.txt | tokenize -m b.json --decode | cmp - odd.txt
  tokenize --quiet --train --type wordpiece --vocab-size 80 -o w.json text.txt
  [ "$(tokenize -m w.json --vocabulary | wc -l)" -eq 80 ]
  run -0 tokenize -m w.json --pieces <<< 'the cat'
  [[ $output == '[CLS] the '*' [SEP]' ]]
  tokenize -m w.json text.txt | tokenize -m w.json --decode | cmp - text.txt
  run -1 tokenize --quiet --train --type byte-bpe --vocab-size 100 -o b.json text.txt
  [[ $output == *'vocabulary size 100 is too small for this corpus, the smallest possible is 259' ]]
  run -1 tokenize --quiet --train --type wordpiece --vocab-size 9000 -o w.json text.txt
  largest=${output##* }
  tokenize --quiet --train --type wordpiece --vocab-size "$largest" -o w.json text.txt
  run -1 tokenize --quiet --train --type wordpiece -o w.json /dev/null
  [[ $output == *'the corpus is empty' ]]
}

@test "what is not understood is one line that names it" {
  sed 's/"BertNormalizer"/"Rot13"/' t.json > bad.json
  run --separate-stderr -1 tokenize -m bad.json <<< x
  [ "$stderr" = 'tokenize: bad.json: normalizer.type is "Rot13", which is not understood' ]
  head -c 300 t.json > cut.json
  run --separate-stderr -1 tokenize -m cut.json <<< x
  [ "${#stderr_lines[@]}" -eq 1 ]
}

@test "--prompt-template: the text around each line, whose control tokens become ids; no others are added" {
  /usr/bin/python3 - <<'EOF'
import json
pieces = ["<unk>", "<|user|>", "<|end|>", "<s>", "hello", "there", "\u0120"]
template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}}}
json.dump({"version": "1.0", "added_tokens": [{"id": i, "content": pieces[i], "single_word": False, "lstrip": False, "rstrip": False,
           "normalized": False, "special": True} for i in range(1, 4)], "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"},
           "post_processor": template, "decoder": None,
           "model": {"type": "WordLevel", "vocab": {p: i for i, p in enumerate(pieces)}, "unk_token": "<unk>"}}, open("chat.json", "w"))
EOF
  printf '<|user|>{prompt}<|end|>\n<s>\n' > frame
  printf 'hello there\n\nhello\n' > lines
  [ "$(tokenize -m chat.json --pieces --prompt-template frame lines)" = $'<|user|> hello there <|end|> <s>\n<|user|> <|end|> <s>\n<|user|> hello <|end|> <s>' ]
  [ "$(tokenize -m chat.json --pieces --special --prompt-template frame lines | head -1)" = '<s> <|user|> hello there <|end|> <s>' ]
  [ "$(tokenize -m chat.json --pieces lines | head -1)" = '<s> hello there' ]
  echo 'hello' > none
  run -1 --separate-stderr tokenize -m chat.json --prompt-template none lines -o failed.npy
  [ "$stderr" = 'tokenize: none: has no {prompt}, which stands for the prompt' ]
  [ ! -e failed.npy ]
  run -2 --separate-stderr decode -m chat.json --prompt-template=frame lines -o failed.npy
  [ "${stderr_lines[0]}" = "decode: option '--prompt-template' is not of decode but of tokenize" ]
}

@test "--words and --offsets: where ids stand, of a pair, in windows" {
  printf 'the cat\n\nthe  cat, sat\n' > a.txt
  printf 'sat\ncat\n the\n' > b.txt
  tokenize -m t.json --words words.npy --offsets offsets.npy a.txt -o ids.npy
  tokenize -m t.json a.txt | cmp - ids.npy
  run -0 /usr/bin/python3 -c "
import numpy as np
with open('words.npy', 'rb') as f, open('offsets.npy', 'rb') as g:
    for line in open('a.txt').read().splitlines():
        words, offsets = np.load(f), np.load(g)
        assert offsets.shape == (len(words), 3) and offsets.dtype == words.dtype == np.int32
        print(*words, '|', *[line[a:b] if t == 0 else t for t, a, b in offsets], sep=' ')"
  [ "$output" = $'-1 0 1 -1 | -1 the cat -1\n-1 -1 | -1 -1\n-1 0 1 1 2 -1 | -1 the cat , sat -1' ] ||
    [ "$output" = $'-1 0 1 -1 | -1 the cat -1\n-1 -1 | -1 -1\n-1 0 1 2 -1 | -1 the cat, sat -1' ]
  tokenize -m t.json --pair b.txt --words words.npy --offsets offsets.npy a.txt -o ids.npy
  run -0 /usr/bin/python3 -c "
import numpy as np
with open('words.npy', 'rb') as f, open('offsets.npy', 'rb') as g: print(np.load(f).tolist(), np.load(g).tolist())"
  [ "$output" = '[-1, 0, 1, -1, 2, -1] [[-1, -1, -1], [0, 0, 3], [0, 4, 7], [-1, -1, -1], [1, 0, 3], [-1, -1, -1]]' ]
  # Windows that overlap.
  printf 'cat\n' > q.txt
  printf 'the cat sat the cat\n' > long.txt
  run -0 tokenize -m t.json --max-tokens 7 --overflow split --stride 2 --pair long.txt --offsets offsets.npy --pieces q.txt
  [ "$output" = $'[CLS] cat [SEP] the cat sat [SEP]\n[CLS] cat [SEP] cat sat the [SEP]\n[CLS] cat [SEP] sat the cat [SEP]' ]
  run -0 /usr/bin/python3 -c "
import numpy as np
with open('offsets.npy', 'rb') as f: print(*[np.load(f)[3:6, 1:].ravel().tolist() for _ in range(3)])"
  [ "$output" = '[0, 3, 4, 7, 8, 11] [4, 7, 8, 11, 12, 15] [8, 11, 12, 15, 16, 19]' ]
  run -1 tokenize -m t.json --max-tokens 7 --overflow split --stride 3 --pair long.txt q.txt
  [[ $output == *'line 1: windows of 3 ids cannot overlap by 3' ]]
  run -2 tokenize -m t.json --stride 3 q.txt
  run -2 tokenize -m t.json --words w.npy --decode q.txt
  run -2 tokenize -m t.json --words w.npy --document q.txt
}
