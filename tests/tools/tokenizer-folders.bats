#!/usr/bin/env bats
# tokenize -m DIRECTORY: tokenizer.json with its neighbours, and the older layouts.

setup() {
  bats_require_minimum_version 1.5.0
  PATH="$PIPEFORMER_BIN:$PATH"
  cd "$BATS_TEST_TMPDIR" || exit 1
  for i in {1..60}; do
    printf 'the cat number %d sat on the mat\nthe dogs ran to the house and back\n' $((i * 7919 % 1000))
  done > text.txt
  mkdir d
}

@test "BERT: vocab.txt, with what tokenizer_config.json says" {
  printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' the cat '##s' The > d/vocab.txt
  run -0 tokenize -m d --pieces <<< 'The cats [MASK] dog'
  [ "$output" = '[CLS] the cat ##s [MASK] [UNK] [SEP]' ]
  echo '{"do_lower_case": false}' > d/tokenizer_config.json
  run -0 tokenize -m d --pieces <<< 'The cats'
  [ "$output" = '[CLS] The cat ##s [SEP]' ]
  tokenize -m d <<< 'The cats' > ids.npy
  run -0 tokenize -m d --decode ids.npy
  [ "$output" = 'The cats' ]
  echo '{"cls_token": "<cls>"}' > d/tokenizer_config.json
  run -1 tokenize -m d <<< 'The cats'
  [[ $output == *"vocab.txt: has no '<cls>', which is the cls_token" ]]
}

@test "GPT-2, RoBERTa and CLIP: vocab.json and merges.txt" {
  printf '#version: 0.2\nĠ c\na t\nĠc at\n' > d/merges.txt
  echo '{"Ġ": 0, "c": 1, "a": 2, "t": 3, "Ġc": 4, "at": 5, "Ġcat": 6, "<|endoftext|>": 7}' > d/vocab.json
  run -0 tokenize -m d --pieces <<< 'cat cat<|endoftext|>'
  [ "$output" = 'c at Ġcat <|endoftext|>' ]
  echo '{"add_bos_token": true}' > d/tokenizer_config.json
  run -0 tokenize -m d --pieces <<< 'cat'
  [ "$output" = '<|endoftext|> c at' ]
  rm d/tokenizer_config.json
  echo '{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "Ġ": 4, "c": 5, "a": 6, "t": 7, "Ġc": 8, "at": 9, "Ġcat": 10, "<mask>": 11}' > d/vocab.json
  run -0 tokenize -m d --pieces <<< 'cat cat <mask>'
  [ "$output" = '<s> c at Ġcat <mask> </s>' ]
  printf '#version: 0.2\na t</w>\nc at</w>\n' > d/merges.txt
  echo '{"c": 0, "a": 1, "t</w>": 2, "at</w>": 3, "cat</w>": 4, "<|startoftext|>": 5, "<|endoftext|>": 6}' > d/vocab.json
  run -0 tokenize -m d --pieces <<< ' Cat  CAT'
  [ "$output" = '<|startoftext|> cat</w> cat</w> <|endoftext|>' ]
}

@test "T5, Llama and XLM-R: a SentencePiece model, renumbered" {
  tokenize --quiet --train --type unigram --vocab-size 60 -o d/spiece.model text.txt
  run -0 tokenize -m d --pieces <<< 'the cat <extra_id_0> sat'
  [[ $output == *' <extra_id_0> '*' </s>' ]]
  [ "$(tokenize -m d --vocabulary | tail -1)" = $'159\t<extra_id_0>\t0' ]
  tokenize -m d --no-special text.txt | cmp - <(tokenize -m d/spiece.model text.txt)
  tokenize -m d text.txt | tokenize -m d --decode | cmp - text.txt
  mv d/spiece.model d/sentencepiece.bpe.model
  run -0 tokenize -m d --pieces <<< 'the'
  [[ $output == '<s> ▁t'*' </s>' ]]
  tokenize -m d --no-special --pieces text.txt | cmp - <(tokenize -m d/sentencepiece.bpe.model --pieces text.txt)
  rm d/sentencepiece.bpe.model
  tokenize --quiet --train --type bpe --byte-fallback --vocab-size 320 -o d/tokenizer.model text.txt
  tokenize -m d text.txt | cmp - <(tokenize -m d/tokenizer.model --begin text.txt)
  [ "$(tokenize -m d <<< 'the ж' | tokenize -m d --decode)" = 'the ж' ]
  echo '{"add_bos_token": false, "add_eos_token": true}' > d/tokenizer_config.json
  tokenize -m d text.txt | cmp - <(tokenize -m d/tokenizer.model --end text.txt)
}

@test "Marian: two models and one vocabulary" {
  tokenize --quiet --train --type unigram --vocab-size 60 -o d/source.spm text.txt
  tr a-m n-z < text.txt > target.txt
  tokenize --quiet --train --type unigram --vocab-size 50 -o d/target.spm target.txt
  /usr/bin/python3 - << 'END'
import json, subprocess
pieces = ["</s>", "<unk>"]
for side in "source", "target":
    table = subprocess.run(["tokenize", "-m", f"d/{side}.spm", "--vocabulary"], stdout=subprocess.PIPE, check=True).stdout.decode()
    for line in table.rstrip("\n").split("\n"):
        piece = line.split("\t")[1]
        if piece not in pieces and piece != "<s>": pieces.append(piece)
json.dump({p: i for i, p in enumerate(pieces + [">>de<<", "<pad>"])}, open("full.json", "w"))
END
  mv d/target.spm target.spm
  cp full.json d/vocab.json
  mv target.spm d/target.spm
  tokenize -m d --no-special --pieces text.txt | cmp - <(cp d/source.spm s.model && tokenize -m s.model --pieces text.txt)
  tokenize -m d/target.spm --no-special --pieces target.txt | cmp - <(cp d/target.spm t.model && tokenize -m t.model --pieces target.txt)
  run -0 tokenize -m d --pieces <<< '>>de<< the'
  [[ $output == '>>de<< ▁t'*' </s>' ]]
  tokenize -m d/target.spm target.txt | tokenize -m d --decode | cmp - target.txt
  # A piece of the target alone has an id here, but no tokenizer.json can say that the source is never cut into it.
  model make --kind decoder-only --tokenizer d --width 16 --heads 2 --inner 24 --decoder-layers 1 --norm-position pre --positions learned --no-embedding-scale -o m.h5
  tokenize -m m.h5 text.txt | cmp - <(tokenize -m d text.txt)
  run -1 model export m.h5 -o out
  [[ $output == "model: m.h5: the pieces of vocab.json that text is never cut into, such as '"*"', have no place in a tokenizer.json; the files that were imported still fit (--without-tokenizer leaves it out)" ]]
  model export m.h5 --without-tokenizer -o out
}

@test "exported: every score of a tokenizer.json is a number" {
  tokenize --quiet --train --type unigram --vocab-size 60 -o d/source.spm text.txt
  cp d/source.spm d/target.spm
  /usr/bin/python3 - << 'END'
import json, subprocess
table = subprocess.run(["tokenize", "-m", "d/source.spm", "--vocabulary"], stdout=subprocess.PIPE, check=True).stdout.decode()
pieces = [line.split("\t")[1] for line in table.rstrip("\n").split("\n")]
json.dump({p: i for i, p in enumerate(["</s>", "<unk>"] + [p for p in pieces if p not in ("<unk>", "<s>", "</s>")] + [">>de<<", "<pad>"])}, open("d/vocab.json", "w"))
END
  model make --kind decoder-only --tokenizer d --width 16 --heads 2 --inner 24 --decoder-layers 1 --norm-position pre --positions learned --no-embedding-scale -o m.h5
  model export m.h5 -o out
  /usr/bin/python3 -c "
import json
model = json.load(open('out/tokenizer.json'))['model']
assert set(model) == {'type', 'unk_id', 'byte_fallback', 'vocab'} and all(isinstance(score, (int, float)) for _, score in model['vocab'])"
  tokenize -m out text.txt | cmp - <(tokenize -m m.h5 text.txt)
}

@test "a directory without a tokenizer says what it could have" {
  run -1 tokenize -m d <<< x
  [[ $output == *'d: this directory has no tokenizer: neither tokenizer.json nor vocab.txt'* ]]
}

# ids_of CLASS SETTINGS...: d/ as a tokenizer of this class gives the ids that fairseq's rule (on standard input: Python that makes `rows` of `pieces`,
# the SentencePiece ids of each line) gives.
ids_of() {
  echo "{\"tokenizer_class\": \"$1\"$2}" > d/tokenizer_config.json
  tokenize -m d text.txt > ours.npy
  cat > rule.py
  /usr/bin/python3 - << 'END'
import io, json, numpy as np, sentencepiece
model = sentencepiece.SentencePieceProcessor(model_file="d/sentencepiece.bpe.model")
size = model.get_piece_size()
pieces = [model.encode(line.rstrip("\n")) for line in open("text.txt")]
exec(open("rule.py").read())
data = open("ours.npy", "rb").read()
source, ours = io.BytesIO(data), []
while source.tell() < len(data): ours.append(np.load(source).tolist())
assert ours == rows, (ours[0], rows[0])
END
}

@test "mBART, mBART-50 and NLLB: languages after the pieces, that of the text around it" {
  tokenize --quiet --train --type unigram --vocab-size 60 -o d/sentencepiece.bpe.model text.txt
  echo 'the ж cat' >> text.txt
  ids_of MBartTokenizer "" <<< 'rows = [[i + 1 if i else 3 for i in p] + [2, size + 1 + 3] for p in pieces]'  # en_XX is the fourth
  ids_of MBartTokenizer ', "src_lang": "zh_CN"' <<< 'rows = [[i + 1 if i else 3 for i in p] + [2, size + 1 + 24] for p in pieces]'
  [ "$(tokenize -m d --vocabulary | tail -1 | cut -f 2)" = '<mask>' ]
  ids_of MBart50Tokenizer ', "src_lang": "sl_SI"' <<< 'rows = [[size + 1 + 51] + [i + 1 if i else 3 for i in p] + [2] for p in pieces]'
  run -1 ids_of NllbTokenizer "" <<< ''
  [[ $output == *"d: the tokenizer's files name no languages (additional_special_tokens)"* ]]
  languages=', "additional_special_tokens": ["deu_Latn", {"content": "eng_Latn"}]'
  ids_of NllbTokenizerFast "$languages" <<< 'rows = [[size + 2] + [i + 1 if i else 3 for i in p] + [2] for p in pieces]'
  ids_of NllbTokenizer "$languages, \"legacy_behaviour\": true" <<< 'rows = [[i + 1 if i else 3 for i in p] + [2, size + 2] for p in pieces]'
  run -1 ids_of MBartTokenizer ', "src_lang": "xx_YY"' <<< ''
  [[ $output == *"d: has no piece 'xx_YY'"* ]]
  run -1 ids_of BigBirdTokenizer "" <<< ''
  [[ $output == *"the layout of BigBirdTokenizer is not understood without its tokenizer.json"* ]]
}

@test "M2M100: a SentencePiece model, ids in vocab.json, languages after them" {
  tokenize --quiet --train --type unigram --vocab-size 60 -o d/sentencepiece.bpe.model text.txt
  /usr/bin/python3 - << 'END'
import json, sentencepiece
model = sentencepiece.SentencePieceProcessor(model_file="d/sentencepiece.bpe.model")
pieces = [model.id_to_piece(i) for i in range(3, model.get_piece_size())]
json.dump({p: i for i, p in enumerate(["<s>", "<pad>", "</s>", "<unk>"] + pieces[::-1])}, open("d/vocab.json", "w"))
END
  rule='ids = json.load(open("d/vocab.json")); rows = [[len(ids) + N] + [ids.get(model.id_to_piece(i), 3) for i in p] + [2] for p in pieces]'
  ids_of M2M100Tokenizer "" <<< "${rule/N/18}"  # en is the nineteenth of a hundred
  ids_of M2M100Tokenizer ', "src_lang": "zu"' <<< "${rule/N/99}"
  [ "$(tokenize -m d --decode ours.npy | head -1)" = "$(head -1 text.txt)" ]
}
