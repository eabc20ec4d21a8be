#!/usr/bin/env bats
# model export: families, what has no place in them, and that a directory is there whole or not at all.

setup() {
  bats_require_minimum_version 1.5.0
  PATH="$PIPEFORMER_BIN:$PATH"
  CHECKPOINTS="$BATS_TEST_DIRNAME/../../testdata/checkpoints"
  cd "$BATS_TEST_TMPDIR" || exit 1
}

# refused TEXT OPTION...: exit status 1, one line that holds TEXT, no directory.
refused() {
  local text=$1
  shift
  run --separate-stderr -1 model export "$@" -o out
  [[ $stderr == model:*"$text"* ]] || { echo "$stderr"; false; }
  [ "$(wc -l <<< "$stderr")" -eq 1 ]
  [ -z "$(find . -name 'out*')" ]
}

# A language model of the shape of GPT-2, and one of Llama's.
gpt2_shaped() {
  # shellcheck disable=SC2086 # two words
  model make --kind decoder-only --target-vocabulary 40 --begin-id 1 --end-id 2 --width 16 --heads 2 --inner 24 --decoder-layers 2 \
    --norm-position pre --positions ${positions:-learned --max-positions 20} --activation gelu-tanh --no-embedding-scale --seed 5 "$@" -o lm.h5
}
llama_shaped() {
  model make --kind decoder-only --target-vocabulary 40 --begin-id 1 --end-id 2 --width 16 --heads 4 --kv-heads 2 --inner 24 --decoder-layers 2 \
    --norm-position pre --norm-kind rms --positions rotary --activation silu --gated --no-attention-bias --no-attention-output-bias --no-ffn-bias \
    --no-embedding-scale --tied none --seed 5 "$@" -o lm.h5
}

same_logits() { # A.h5 B.h5
  /usr/bin/python3 -c "import numpy as np; np.save('first.npy', np.array([1], '<i4')); np.save('rest.npy', np.arange(3, 12, dtype='<i4'))"
  cmp <(decode -m "$1" first.npy --target rest.npy --give logits | cat) <(decode -m "$2" first.npy --target rest.npy --give logits | cat)
}

@test "a language model goes to the first family that has a place for it" {
  gpt2_shaped
  model export lm.h5 -o gpt2
  grep -q '"model_type": "gpt2"' gpt2/config.json
  model import gpt2 -o again.h5
  diff <(model describe lm.h5) <(model describe again.h5)
  same_logits lm.h5 again.h5
  llama_shaped
  model export lm.h5 -o llama
  grep -q '"architectures": \["LlamaForCausalLM"\]' llama/config.json
  model import llama -o again.h5
  diff <(model describe lm.h5) <(model describe again.h5)
  same_logits lm.h5 again.h5
}

@test "settings of use that a family has no key for are kept" {
  gpt2_shaped
  model export lm.h5 -o gpt2
  grep -A 2 '"pipeformer": {' gpt2/config.json | grep -q '"begin_id": 1'
  model import gpt2 -o again.h5
  model describe again.h5 | grep -q '^begin_id *1'
  sed -i 's/"begin_id": 1/"width": 1/' gpt2/config.json
  run --separate-stderr -1 model import gpt2 -o again.h5
  [[ $stderr == *"pipeformer.width is 1, which is no setting of use"* ]]
}

@test "hyper-parameters that have no place in a family are listed" {
  positions=alibi gpt2_shaped --output-bias
  refused "is a model of no family that is known; of the nearest, gpt2, these differ: output_bias true (not false), decoder_positions alibi (not learned)" lm.h5
  gpt2_shaped --window 4
  refused "is no gpt2; what has no place there: decoder_window 4 (not 0)" lm.h5 --family gpt2
  gpt2_shaped
  refused "is no bert; what has no place there: kind decoder-only (not encoder-only)" lm.h5 --family bert
  refused "is no clip; what has no place there: 1 model (not 2)" lm.h5 --family clip
  refused "is no family that is known: gpt2, gpt_neox" lm.h5 --family mamba
}

@test "what trains by default is written with tables: sinusoids, and embeddings that are scaled already" {
  /usr/bin/python3 -c "import numpy as np; np.random.seed(1); [np.save(f, np.random.randint(3, 40, 30).astype('<i4')) for f in ('a.npy', 'b.npy')]"
  train -q --task language-model --target a.npy --context 16 --target-vocabulary 40 --begin-id 1 --end-id 2 --width 16 --heads 2 --inner 24 \
    --decoder-layers 2 --steps 2 --warmup 1 -o lm.h5
  model export lm.h5 -o opt
  grep -q '"model_type": "opt"' opt/config.json
  grep -q '"max_position_embeddings": 16' opt/config.json
  model import opt -o again.h5
  model describe again.h5 | grep -q '^decoder_positions *learned'
  same_logits lm.h5 again.h5
  model export again.h5 -o twice
  cmp opt/model.safetensors twice/model.safetensors
  model export lm.h5 --positions-table 12 -o short
  grep -q '"max_position_embeddings": 12' short/config.json

  model make --source-vocabulary 40 --target-vocabulary 40 --begin-id 1 --end-id 2 --width 16 --heads 2 --inner 24 --encoder-layers 1 \
    --decoder-layers 2 --embedding-norm -o translator.h5
  model export translator.h5 -o bart --family bart --positions-table 20
  model import bart -o again.h5
  cmp <(decode -m translator.h5 first.npy --target rest.npy --give logits | cat) <(decode -m again.h5 first.npy --target rest.npy --give logits | cat)

  model make --kind encoder-only --head classes --classes 3 --source-vocabulary 40 --width 16 --heads 2 --inner 24 --encoder-layers 1 -o classes.h5
  refused "encoder_embedding_norm false (not true), encoder_token_types 0 (not 1); train and model make with --pooling first --pooler --embedding-norm --token-types 1 make one that is" classes.h5 --family bert
  model make --kind encoder-only --head classes --classes 3 --source-vocabulary 40 --width 16 --heads 2 --inner 24 --encoder-layers 1 \
    --pooling first --pooler --embedding-norm --token-types 1 -o classes.h5
  model export classes.h5 -o bert
  grep -q '"model_type": "bert"' bert/config.json
  model import bert -o again.h5
  cmp <(classify -m classes.h5 rest.npy --give logits | cat) <(classify -m again.h5 rest.npy --give logits | cat)
}

@test "a translator as Marian, one with learned positions as BART" {
  model make --source-vocabulary 40 --target-vocabulary 40 --begin-id 1 --end-id 2 --width 16 --heads 2 --inner 24 --encoder-layers 1 \
    --decoder-layers 2 --positions sinusoidal-halved --output-bias -o marian.h5
  model export marian.h5 -o marian
  grep -q '"model_type": "marian"' marian/config.json
  grep -q '"decoder_start_token_id": 1' marian/generation_config.json
  grep -q '"pad_token_id": 1' marian/config.json  # the library's default is beyond this vocabulary
  model import marian -o again.h5
  diff <(model describe marian.h5) <(model describe again.h5)
  model make --source-vocabulary 40 --target-vocabulary 40 --begin-id 1 --end-id 2 --width 16 --heads 2 --inner 24 --encoder-layers 1 \
    --decoder-layers 2 --positions learned --max-positions 30 --embedding-norm --activation gelu --no-embedding-scale -o bart.h5
  model export bart.h5 -o bart
  grep -q '"model_type": "bart"' bart/config.json
  model import bart -o again.h5
  diff <(model describe bart.h5 | grep -v '^pooling') <(model describe again.h5 | grep -v '^pooling')
  h5diff bart.h5 again.h5 /embedding /embedding
  h5diff bart.h5 again.h5 /decoder /decoder
}

@test "classifiers: one of texts as BERT, one of images as ViT, with the names of their classes" {
  shape="--kind encoder-only --head classes --classes 3 --width 16 --heads 2 --inner 24 --encoder-layers 2 --positions learned --activation gelu
    --norm-epsilon 1e-12 --no-embedding-scale"
  # shellcheck disable=SC2086
  model make $shape --source-vocabulary 40 --max-positions 20 --embedding-norm --token-types 2 --pooler --pooling first -o bert.h5
  /usr/bin/python3 -c "import h5py, numpy as np; h5py.File('bert.h5', 'a')['labels'] = np.frombuffer(b'yes\nno\nperhaps\n', 'u1')"
  model export bert.h5 -o bert
  grep -q '"architectures": \["BertForSequenceClassification"\]' bert/config.json
  model import bert -o again.h5
  /usr/bin/python3 -c "import numpy as np; np.save('ids.npy', np.arange(3, 12, dtype='<i4')); np.save('patches.npy', np.random.default_rng(2).normal(size=(9, 12)).astype('<f4'))"
  classify -m again.h5 ids.npy --top 3 | grep -q perhaps
  cmp <(classify -m bert.h5 ids.npy --give logits | cat) <(classify -m again.h5 ids.npy --give logits | cat)
  # shellcheck disable=SC2086
  model make $shape --source-vocabulary 40 --max-positions 20 --embedding-norm --pooling mean -o mean.h5
  refused "mean.h5: is no bert; what has no place there: pooling mean (not first), pooler false (not true), encoder_token_types 0 (not 1)" mean.h5 --family bert
  # shellcheck disable=SC2086
  model make $shape --norm-position pre --input-width 12 --class-token --pooling first --max-positions 10 -o vit.h5
  model export vit.h5 -o vit
  grep -q '"architectures": \["ViTForImageClassification"\]' vit/config.json
  grep -q '"image_size": 6' vit/config.json
  model import vit -o again.h5
  cmp <(classify -m vit.h5 patches.npy --give logits | cat) <(classify -m again.h5 patches.npy --give logits | cat)
}

@test "the paper's model as Marian: its sinusoids in the order of that family, its logits within rounding" {
  model make --source-vocabulary 40 --target-vocabulary 40 --begin-id 1 --end-id 2 --width 16 --heads 2 --inner 24 --encoder-layers 2 \
    --decoder-layers 2 -o paper.h5
  /usr/bin/python3 - << 'PY'
import h5py
import numpy as np
def fill(name, x):
    if isinstance(x, h5py.Dataset) and x.ndim == 1:  # biases and norms, which begin at 0 and 1
        x[:] += np.random.default_rng(len(name)).normal(0, 0.3, x.shape).astype("<f4")
with h5py.File("paper.h5", "a") as file:
    file.visititems(fill)
ids = np.random.default_rng(1).integers(3, 40, (2, 9)).astype("<i4")
np.save("source.npy", ids[0]), np.save("target.npy", ids[1])
PY
  model export paper.h5 -o marian
  model import marian -o again.h5
  model describe again.h5 | grep -q '^decoder_positions *sinusoidal-halved'
  for m in paper again; do decode -m $m.h5 source.npy --target target.npy --give logits -o $m.npy; done
  run ! cmp -s paper.npy again.npy
  /usr/bin/python3 -c "
import numpy as np
a, b = np.load('paper.npy'), np.load('again.npy')
assert a.shape == (10, 40) and np.max(np.abs(a)) > 0.5 and np.max(np.abs(a - b)) < 1e-5, np.max(np.abs(a - b))"
}

@test "what makes a translator no Marian is named as the model has it" {
  model make --source-vocabulary 40 --target-vocabulary 40 --begin-id 1 --end-id 2 --width 16 --heads 2 --inner 24 --encoder-layers 1 \
    --decoder-layers 1 --norm-position pre -o pre.h5
  refused "of the nearest, mbart, these differ: encoder_embedding_norm false (not true), decoder_embedding_norm false (not true); train and model make with --embedding-norm make one that is" pre.h5
  refused "is no marian; what has no place there: encoder_norm_position pre (not post), decoder_norm_position pre (not post), encoder_final_norm true (not false)" pre.h5 --family marian
}

@test "an existing directory is not touched, an empty one is taken, nothing is left of a failure" {
  model import "$CHECKPOINTS/gpt2" -o gpt2.h5
  mkdir full empty
  echo mine > full/note
  run --separate-stderr -1 model export gpt2.h5 -o full
  [[ $stderr == "model: full: is there already, and is no empty directory: nothing is replaced" ]]
  [ "$(ls full)" = note ]
  run --separate-stderr -1 model export gpt2.h5 -o full/note
  [[ $stderr == "model: full/note: is there already"* ]]
  model export gpt2.h5 -o empty/
  [ -e empty/config.json ]
  run --separate-stderr -1 model export gpt2.h5 -o nowhere/out
  [[ $stderr == "model: nowhere/out: cannot create: No such file or directory" ]]
  run --separate-stderr -2 model export gpt2.h5
  [[ $stderr == *"-o DIR names it"* ]]
  run --separate-stderr -2 model export gpt2.h5 --width 3 -o out
  [[ $stderr == *"--width needs 'model make'"* ]]
  run --separate-stderr -2 model import "$CHECKPOINTS/gpt2" --family bert -o x.h5
  [[ $stderr == *"--family needs 'model export'"* ]]
  [ "$(find . -name '*.tmp.*' | wc -l)" -eq 0 ]
}

@test "a full disk or a damaged parameter leaves no directory" {
  model import "$CHECKPOINTS/gpt2" -o gpt2.h5
  /usr/bin/python3 -c "import h5py; f = h5py.File('gpt2.h5', 'a'); del f['decoder/1/norm2/bias']"
  refused "parameter decoder/1/norm2/bias is missing" gpt2.h5
  model import "$CHECKPOINTS/gpt2" -o gpt2.h5
  run -1 bash -c "ulimit -f 50; model export gpt2.h5 -o out"
  [ -z "$(find . -name 'out*')" ]
}

@test "a signal leaves nothing" {
  model make --kind decoder-only --target-vocabulary 60000 --begin-id 1 --end-id 2 --width 512 --heads 8 --inner 512 --decoder-layers 1 \
    --norm-position pre --positions learned --no-embedding-scale -o large.h5
  for signal in TERM INT; do
    bash -c 'trap - INT; exec model export large.h5 -o out' &
    for _ in {1..2000}; do
      compgen -G 'out.tmp.*/model.safetensors*' > /dev/null && break
      sleep 0.002
    done
    kill -"$signal" $!
    wait $! && [ -e out/model.safetensors ]  # it may have been quicker
    [ -z "$(find . -name 'out.tmp*')" ]
    [ ! -e out ] || [ -e out/model.safetensors ]
    rm -rf out
  done
}

@test "a tokenizer goes along as tokenizer.json and comes back with the same ids" {
  printf 'the cat sat on the mat\nthe dog sat on the log\n' > text
  while read -r type size; do
    rm -rf lm.h5 out again.h5
    tokenize --train --type "$type" --vocab-size "$size" -o tokenizer text
    model make --kind decoder-only --tokenizer tokenizer --width 16 --heads 2 --inner 24 --decoder-layers 1 --norm-position pre \
      --positions learned --no-embedding-scale -o lm.h5
    model export lm.h5 -o out
    run ! grep -q pipeformer out/tokenizer.json
    model import out -o again.h5
    cmp <(tokenize -m lm.h5 text | cat) <(tokenize -m again.h5 text | cat)
    model describe again.h5 | grep -q '^begin_id *1'
  done <<< $'wordpiece 24\nbyte-bpe 268\nbpe 24'
  tokenize --train --type char -o tokenizer text
  model make --kind decoder-only --tokenizer tokenizer --width 16 --heads 2 --inner 24 --decoder-layers 1 --norm-position pre \
    --positions learned --no-embedding-scale -o lm.h5
  rm -rf out again.h5
  refused "lm.h5: char and byte tokenizers cannot be written as tokenizer.json (--without-tokenizer leaves it out)" lm.h5
  model export lm.h5 --without-tokenizer -o out
  [ ! -e out/tokenizer.json ]
}

@test "one tower of several is a checkpoint of its own, of the family of that tower" {
  model import "$CHECKPOINTS/clip" -o clip.h5
  while read -r name type architecture input; do
    model export "clip.h5:$name" -o "$name"
    /usr/bin/python3 -c "import json; c = json.load(open('$name/config.json')); assert (c['model_type'], c['architectures']) == ('$type', ['$architecture']), c"
    model import "$name" -o "$name.h5"
    diff <(model describe "$name.h5" | grep -v '^file') <(model describe "clip.h5:$name" | grep -v '^file')
    cmp <(encode -m "$name.h5" "$CHECKPOINTS/clip/expect.$input.npy" --pool model | cat) <(encode -m "clip.h5:$name" "$CHECKPOINTS/clip/expect.$input.npy" --pool model | cat)
    model export "$name.h5" -o "$name-again"
    diff -r "$name" "$name-again"
    model export "clip.h5:$name" -o "$name-named" --family "$type"
    diff -r "$name" "$name-named"
  done << 'END'
text clip_text_model CLIPTextModelWithProjection input_ids
image clip_vision_model CLIPVisionModelWithProjection pixel_values
END
  run --separate-stderr -1 model export clip.h5:text -o both --family clip
  [[ $stderr == "model: clip.h5: is no clip; what has no place there: 1 model (not 2)" ]]
}
