#!/usr/bin/env bats
# model import: what it refuses, each in one line that says why and leaves no file.

setup() {
  bats_require_minimum_version 1.5.0
  PATH="$PIPEFORMER_BIN:$PATH"
  cd "$BATS_TEST_TMPDIR" || exit 1
  cp -r "$BATS_TEST_DIRNAME/../../testdata/checkpoints/gpt2" gpt2
  cp -r "$BATS_TEST_DIRNAME/../../testdata/checkpoints/bert_cls" bert
}

# refused TEXT DIR [OPTION...]: exit status 1, one line that holds TEXT, no file.
refused() {
  local text=$1
  shift
  run --separate-stderr -1 model import "$@" -o out.h5
  [[ $stderr == model:*"$text"* ]] || { echo "$stderr"; false; }
  [ "$(wc -l <<< "$stderr")" -eq 1 ]
  [ ! -e out.h5 ]
  [ -z "$(find . -name 'out.h5*')" ]
}

# edit FILE PYTHON: changes the JSON object c of a file.
edit() { /usr/bin/python3 -c "import json; c = json.load(open('$1')); $2; json.dump(c, open('$1', 'w'))"; }

# tensors PYTHON [DIR]: changes the header h (name -> entry) or the elements rest of DIR/model.safetensors, gpt2's if none is named.
tensors() {
  /usr/bin/python3 - "$1" "${2:-gpt2}/model.safetensors" << 'PY'
import json, struct, sys
data = open(sys.argv[2], "rb").read()
n = struct.unpack("<Q", data[:8])[0]
h, rest = json.loads(data[8:8 + n]), bytearray(data[8 + n:])
exec(sys.argv[1])
text = json.dumps(h).encode()
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + rest)
PY
}

# fresh NAME...: checkpoints of testdata as they were.
fresh() {
  local name
  rm -rf "$@"
  for name in "$@"; do cp -r "$BATS_TEST_DIRNAME/../../testdata/checkpoints/$name" .; done
}

@test "a checkpoint becomes one file, the same bytes each time" {
  model import gpt2 -o a.h5
  model import gpt2/ -o b.h5
  cmp a.h5 b.h5
  model describe a.h5 | grep -q '^kind *decoder-only'
  model describe a.h5 | grep -q '^decoder_activation *gelu-tanh'
}

@test "an unknown family, architecture or directory: those that are known are listed" {
  refused "is no directory" nowhere
  edit gpt2/config.json "c['model_type'] = 'mamba'"
  refused 'config.json: model_type is "mamba", which is no family that is known: gpt2, gpt_neox' gpt2
  edit bert/config.json "c['architectures'] = ['BertForMultipleChoice']"
  refused "architecture BertForMultipleChoice is none of those that are known of bert: BertModel, BertForMaskedLM" bert
  rm gpt2/config.json
  refused "config.json" gpt2
}

@test "a configuration key that is not understood, or a value that we do not compute" {
  edit gpt2/config.json "c['mystery_gate'] = 3"
  refused "config.json: keys that are not understood: mystery_gate" gpt2
  edit gpt2/config.json "c.pop('mystery_gate'); c['scale_attn_by_inverse_layer_idx'] = True"
  refused "scale_attn_by_inverse_layer_idx" gpt2
  edit gpt2/config.json "c['scale_attn_by_inverse_layer_idx'] = False; c['activation_function'] = 'snake'"
  refused 'config.json: activation_function is "snake", none of relu, gelu, gelu_python, gelu_new' gpt2
  edit gpt2/config.json "c['activation_function'] = 'gelu_new'; c['n_head'] = 5"
  refused "width 32 is not a multiple of heads 5" gpt2
  edit gpt2/config.json "c['n_head'] = 'four'"
  refused 'n_head is "four", not a whole number' gpt2
}

@test "nothing is dropped and nothing is made up" {
  tensors "h['transformer.extra.weight'] = h.pop('transformer.wpe.weight')"
  refused "transformer.wpe.weight" gpt2
  cp "$BATS_TEST_DIRNAME/../../testdata/checkpoints/gpt2/model.safetensors" gpt2/
  edit gpt2/config.json "c['n_layer'] = 1"
  refused "tensors that are not understood (--drop PATTERN leaves them out): transformer.h.1." gpt2
  model import gpt2 --drop 'transformer.h.1.*' -o one.h5
  model describe one.h5 | grep -q '^decoder_layers *1'
  edit gpt2/config.json "c['n_layer'] = 3"
  refused "tensors that the model needs and that are missing: transformer.h.2." gpt2
  edit gpt2/config.json "c['n_layer'] = 2; c['vocab_size'] = 100"
  refused "which does not make decoder/embedding/weight of shape (100, 32)" gpt2
}

@test "a copy that is none, NaN, a type that is no parameter's" {
  tensors "h['lm_head.weight'] = dict(h['transformer.wte.weight'])"
  refused "" gpt2  # two tensors in one place: the reader refuses them
  cp "$BATS_TEST_DIRNAME/../../testdata/checkpoints/gpt2/model.safetensors" gpt2/
  /usr/bin/python3 - << 'PY'
import struct, json
path = "gpt2/model.safetensors"
data = bytearray(open(path, "rb").read())
n = struct.unpack("<Q", data[:8])[0]
begin = json.loads(data[8:8 + n])["transformer.wpe.weight"]["data_offsets"][0]
data[8 + n + begin:8 + n + begin + 4] = struct.pack("<f", float("nan"))
open(path, "wb").write(data)
PY
  refused "transformer.wpe.weight': holds NaN or infinity" gpt2
  cp "$BATS_TEST_DIRNAME/../../testdata/checkpoints/gpt2/model.safetensors" gpt2/
  tensors "h['transformer.wpe.weight']['dtype'] = 'I32'"
  refused "has type I32, which is no type of a parameter" gpt2
}

@test "a truncated file, a missing shard" {
  truncate -s 1000 gpt2/model.safetensors
  refused "model.safetensors" gpt2
  rm gpt2/model.safetensors
  refused "gpt2" gpt2
  echo '{"weight_map": {"transformer.wte.weight": "model-00001-of-00002.safetensors"}}' > gpt2/model.safetensors.index.json
  refused "model-00001-of-00002.safetensors" gpt2
}

@test "kinds of attention that we do not compute are refused by their keys" {
  cp -r "$BATS_TEST_DIRNAME/../../testdata/checkpoints/"{qwen2,llama31} .
  edit qwen2/config.json "c['use_sliding_window'] = True; c['max_window_layers'] = 1"
  model import qwen2 -o some.h5
  model describe some.h5 | grep -q '^decoder_window_pattern *fw$'
  edit qwen2/config.json "c['max_window_layers'] = 2"  # in none
  model import qwen2 -o none.h5
  model describe none.h5 | grep -q '^decoder_window *0'
  edit qwen2/config.json "c.update(max_window_layers=0, sliding_window=8, layer_types=['sliding_attention', 'linear_attention'])"
  refused 'layer_types[1] is "linear_attention", which is no kind of layer that is known' qwen2
  edit qwen2/config.json "c['layer_types'] = ['sliding_attention', 'full_attention']"
  model import qwen2 -o some.h5
  model describe some.h5 | grep -q '^decoder_window_pattern *wf$'
  edit qwen2/config.json "c['layer_types'] = ['sliding_attention'] * 2"
  model import qwen2 -o all.h5
  model describe all.h5 | grep -q '^decoder_window *8'
  cp -r "$BATS_TEST_DIRNAME/../../testdata/checkpoints/gpt_neox" .
  for share in 1.5 -0.25 1e300; do
    edit gpt_neox/config.json "c['rotary_pct'] = $share"
    refused "is no share of a head that rotary positions turn" gpt_neox
  done
  edit gpt_neox/config.json "c['rotary_pct'] = 0.01"
  refused "config.json: 0.01 of a head of 8 leaves nothing that rotary positions turn" gpt_neox
  for type in ntk mrope none; do
    edit llama31/config.json "c['rope_scaling'] = {'rope_type': '$type', 'factor': 4.0}"
    refused "config.json: rope_scaling: rope_type $type is none of default, linear, llama3, yarn, dynamic, longrope" llama31
  done
}

@test "sizes that no checkpoint has: one line, soon" {
  cp -r "$BATS_TEST_DIRNAME/../../testdata/checkpoints/vit" .
  edit gpt2/config.json "c['n_layer'] = 10**9"
  edit bert/config.json "c['num_hidden_layers'] = 10**9"
  for name in gpt2 bert; do
    run --separate-stderr -1 bash -c "ulimit -v 1000000; model import $name -o out.h5"
    [ "$stderr" = "model: config.json: has layers for more than 200000 tensors" ]
  done
  for size in 0 -4 1000000000; do
    edit vit/config.json "c['patch_size'] = $size"
    refused "config.json: patch_size is $size, outside 1 to 65536" vit
  done
  edit vit/config.json "c.update(patch_size=4, num_channels=-3)"
  refused "config.json: num_channels is -3, outside 1 to 65536" vit
}

@test "values of a list are the library's, not ours" {
  cp -r "$BATS_TEST_DIRNAME/../../testdata/checkpoints/"{t5,clip} .
  for name in gelu-tanh gelu_tanh quick-gelu identity; do  # our names of them
    edit gpt2/config.json "c['activation_function'] = '$name'"
    refused "activation_function is \"$name\", none of relu" gpt2
  done
  for name in gelu_pytorch_tanh gelu_fast gelu_accurate gelu_python_tanh gelu_new; do
    edit gpt2/config.json "c['activation_function'] = '$name'"
    model import gpt2 -o "$name.h5"
    cmp "$name.h5" gelu_pytorch_tanh.h5
  done
  edit t5/config.json "c['feed_forward_proj'] = 'gated-snake'"
  refused 'config.json: feed_forward_proj is "gated-snake", none of relu' t5
  edit t5/config.json "c.update(feed_forward_proj='relu', dense_act_fn='silu')"
  refused 'dense_act_fn is "silu", which is not what feed_forward_proj says' t5
  edit t5/config.json "c.update(dense_act_fn='relu', is_gated_act=True)"
  refused 'is_gated_act is true, which is not supported' t5
  edit clip/config.json "c['text_config']['model_type'] = 'siglip_text_model'"
  refused 'text_config.model_type is "siglip_text_model", which is not supported: only clip_text_model is' clip
  edit bert/config.json "c['position_embedding_type'] = 'relative_key'"
  refused 'position_embedding_type is "relative_key"' bert
}

# same_as_before DIR PYTHON: the configuration with these keys imports to the same model as without.
same_as_before() {
  rm -f before.h5 after.h5
  model import "$1" -o before.h5
  edit "$1/config.json" "$2"
  model import "$1" -o after.h5
  cmp before.h5 after.h5
}

@test "keys of published configurations that change nothing; another value of them is refused" {
  cp -r "$BATS_TEST_DIRNAME/../../testdata/checkpoints/"{marian,bart,distilbert,llama31,qwen2,clip,vit} .
  library="{'_num_labels': 3, 'pruned_heads': {}, 'tie_word_embeddings': True, 'tie_encoder_decoder': False, 'is_decoder': False, 'add_cross_attention': False,
    'xla_device': None, 'output_past': True, 'auto_map': {'AutoConfig': 'x.Y'}, 'transformers.js_config': {'dtype': 'fp16'}}"
  for name in bert distilbert marian clip vit; do same_as_before "$name" "c.update($library)"; done
  same_as_before clip "c['text_config'].update($library); c['vision_config'].update($library)"
  same_as_before bert "c.update(directionality='bidi', pooler_fc_size=768, pooler_num_attention_heads=12, pooler_num_fc_layers=3, pooler_size_per_head=128, pooler_type='first_token_transform')"
  same_as_before distilbert "c['tie_weights_'] = True"
  same_as_before llama31 "c.update(is_llama_config=True, rope_interleaved=False)"
  same_as_before qwen2 "c['use_mrope'] = False"
  while read -r name python message; do
    cp "$name/config.json" kept
    edit "$name/config.json" "c$python"
    refused "$message" "$name"
    cp kept "$name/config.json"
  done << 'END'
bert ['pruned_heads']={'0':[1]} pruned_heads is an object, which is not supported
bert ['is_decoder']=True is_decoder is true, which is not supported
clip ['text_config']['add_cross_attention']=True add_cross_attention is true, which is not supported
bert ['pooler_type']='mean' pooler_type is "mean"
distilbert ['tie_weights_']=False tie_weights_ is false
llama31 ['rope_interleaved']=True rope_interleaved is true
qwen2 ['use_mrope']=True use_mrope is true
END
  # Older BART: the first id is forced by another key.
  edit bart/config.json "c.update(bos_token_id=0, force_bos_token_to_be_generated=True, forced_bos_token_id=None)"
  rm -f bart/generation_config.json
  model import bart -o bart.h5
  model describe bart.h5 | grep -q '^forced_id *0$'
}

@test "a masked BERT without its other half, and one of both" {
  cp -r "$BATS_TEST_DIRNAME/../../testdata/checkpoints/bert_mlm" mlm
  model import mlm -o plain.h5
  /usr/bin/python3 - << 'PY'
import json, struct
path = "mlm/model.safetensors"
data = open(path, "rb").read()
n = struct.unpack("<Q", data[:8])[0]
h, rest = json.loads(data[8:8 + n]), data[8 + n:]
for name, shape in ("weight", [2, 32]), ("bias", [2]):
    size = 4 * (64 if name == "weight" else 2)
    h["cls.seq_relationship." + name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(rest), len(rest) + size]}
    rest += bytes(size)
text = json.dumps(h).encode()
open(path, "wb").write(struct.pack("<Q", len(text)) + text + rest)
PY
  model import mlm -o both.h5
  cmp plain.h5 both.h5
  edit mlm/config.json "c['architectures'] = ['BertForPreTraining']"
  refused "tensors that are not understood (--drop PATTERN leaves them out): cls.seq_relationship.bias, cls.seq_relationship.weight" mlm
  model import mlm --drop 'cls.seq_relationship.*' -o dropped.h5
  cmp plain.h5 dropped.h5
}

@test "sentence-transformers: a module, or an order of modules, that is not understood" {
  mkdir bert/1_Pooling bert/2_Dense
  edit bert/config.json "c['architectures'] = ['BertModel']"
  module() { printf '{"idx": 0, "name": "0", "path": "%s", "type": "sentence_transformers.models.%s"}' "$1" "$2"; }
  echo '{"pooling_mode_mean_tokens": true}' > bert/1_Pooling/config.json
  echo "[$(module '' Transformer), $(module 1_Pooling Pooling), $(module 2_LSTM LSTM)]" > bert/modules.json
  refused 'modules.json: [2].type is "sentence_transformers.models.LSTM", a module that is not supported' bert
  echo "[$(module '' Transformer), $(module '' Normalize), $(module 1_Pooling Pooling)]" > bert/modules.json
  refused 'in another order than Transformer, Pooling, Dense, Normalize' bert
  echo "[$(module '' Transformer), $(module ../1_Pooling Pooling)]" > bert/modules.json
  refused 'no name of a folder' bert
  echo "[$(module '' Transformer), $(module 1_Pooling Pooling), $(module 2_Dense Dense)]" > bert/modules.json
  echo '{"in_features": 32, "out_features": 16, "bias": true, "activation_function": "torch.nn.modules.activation.Tanh"}' > bert/2_Dense/config.json
  echo '{"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true}' > bert/1_Pooling/config.json
  refused 'a second way of pooling' bert
  echo '{"pooling_mode_weightedmean_tokens": true}' > bert/1_Pooling/config.json
  refused 'a way of pooling that is not supported' bert
  echo '{"pooling_mode_mean_tokens": true}' > bert/1_Pooling/config.json
  echo '{"max_seq_length": 256, "do_lower_case": true}' > bert/sentence_bert_config.json
  refused 'sentence_bert_config.json: do_lower_case is true' bert
  rm bert/sentence_bert_config.json
  echo '{"prompts": {"query": "query: "}, "default_prompt_name": "query", "similarity_fn_name": "cosine"}' > bert/config_sentence_transformers.json
  refused 'config_sentence_transformers.json: default_prompt_name is "query", which is not supported: what stands before every text is for tokenize --prompt-template' bert
}

@test "CLIP: a tower that the configuration says twice, in other words" {
  fresh clip
  same_as_before clip "c.update(text_config_dict=None, vision_config_dict=None)"
  same_as_before clip "c.update(text_config_dict=dict(hidden_size=32, bos_token_id=None), vision_config_dict=dict(c['vision_config'], patch_size=4.0))"
  edit clip/config.json "c['text_config_dict']['hidden_size'] = 64"
  refused 'config.json: text_config_dict.hidden_size is 64, which is not what text_config says' clip
  edit clip/config.json "c.update(text_config_dict={}, vision_config_dict={'layer_norm_eps': 1e-6})"
  refused 'config.json: vision_config_dict.layer_norm_eps is 1e-06, which is not what vision_config says' clip
  edit clip/config.json "c['vision_config_dict'] = {'hidden_size': None}"
  refused 'config.json: vision_config_dict.hidden_size is null, which is not what vision_config says' clip
}

@test "CLIP: both towers have a projection, of the width that the configuration says" {
  for name in text_projection visual_projection; do
    fresh clip
    tensors "h['extra'] = h.pop('$name.weight')" clip
    refused "$name.weight" clip --drop extra
    fresh clip
    tensors "h['$name.weight']['shape'] = [8, 64]" clip
    refused "config.json: projection_dim is 16, but $name.weight has 8 rows" clip
  done
  tensors "h['text_projection.weight']['shape'] = [8, 64]" clip
  refused "config.json: projection_dim is 16, but text_projection.weight has 8 rows" clip
  fresh clip
  edit clip/config.json "c.pop('projection_dim')"
  refused "config.json: projection_dim is 512, but text_projection.weight has 16 rows" clip
}

@test "CLIP: logit_scale is one finite number" {
  fresh clip
  tensors "h['extra'] = h.pop('logit_scale')" clip
  refused "clip: has no tensor logit_scale" clip --drop extra
  fresh clip
  tensors "h['logit_scale']['shape'] = [1]" clip
  refused "logit_scale': has shape (1,), expected one number" clip
  for value in nan inf; do
    fresh clip
    tensors "b = h['logit_scale']['data_offsets']; rest[b[0]:b[1]] = struct.pack('<f', float('$value'))" clip
    refused "logit_scale': holds NaN or infinity" clip
  done
}

@test "images: as many positions as patches of the image and tokens" {
  for name in vit deit dinov2 clip; do
    fresh "$name"
    at=c
    [ "$name" != clip ] || at="c['vision_config']"
    same_as_before "$name" "${at}['image_size'] = [8, 32]"
    edit "$name/config.json" "${at}['image_size'] = 17"  # the library's convolution leaves the last column out
    model import "$name" -o out.h5 && cmp out.h5 after.h5 && rm out.h5
    tokens=1
    [ "$name" != deit ] || tokens=2
    edit "$name/config.json" "${at}['image_size'] = 32"
    refused "has $((16 + tokens)) positions, but images of 32 x 32 in patches of 4 x 4 have 64, and $tokens before them" "$name"
    edit "$name/config.json" "${at}['image_size'] = [16, 12]"
    refused "images of 16 x 12 in patches of 4 x 4 have 12" "$name"
    edit "$name/config.json" "${at}.pop('image_size')"
    refused "images of 224 x 224" "$name"
    for size in 0 -16 10**12 '[16]' '[16, 16, 16]' '[16, -16]'; do
      edit "$name/config.json" "${at}['image_size'] = $size"
      refused "image_size" "$name"
    done
  done
}

@test "DINOv2: mlp_ratio says the width that the tensors have" {
  fresh dinov2
  edit dinov2/config.json "c['mlp_ratio'] = 4"
  refused "config.json: mlp_ratio is 4, which makes 128 columns of width 32, but encoder.layer.0.mlp.fc2.weight has 64" dinov2
  edit dinov2/config.json "c.pop('mlp_ratio')"
  refused "config.json: mlp_ratio is 4," dinov2
  for ratio in -2 0 1e+300; do
    edit dinov2/config.json "c['mlp_ratio'] = $ratio"
    refused "config.json: mlp_ratio is $ratio, which is no ratio of widths" dinov2
  done
}

@test "as many names as classes; two logits of an answer" {
  fresh vit bert_mlm
  edit vit/config.json "c['id2label'].pop('4')"
  refused "config.json: id2label is an object, which names 4 classes of 5" vit
  edit vit/config.json "c.update(id2label={}, label2id={})"
  refused "which names 0 classes of 5" vit
  edit bert/config.json "c['id2label']['3'] = 'D'"
  refused "config.json: id2label is an object, which names 4 classes of 3" bert
  edit bert/config.json "c.update(architectures=['BertForQuestionAnswering'])"
  tensors "h['qa_outputs.weight'] = h.pop('classifier.weight'); h['qa_outputs.bias'] = h.pop('classifier.bias')" bert
  refused "qa_outputs.weight has 3 rows, not one for the start and one for the end of an answer" bert --drop 'bert.pooler.*'
}

@test "CLIP: ids that end and begin a text are of the vocabulary" {
  fresh clip
  for id in 99 -1; do
    edit clip/config.json "c['text_config']['eos_token_id'] = $id"
    refused "config.json: text_config: eos_token_id is $id, which is no id of a vocabulary of 99" clip
  done
  edit clip/config.json "c['text_config'].pop('eos_token_id')"
  refused "eos_token_id is 49407, which is no id of a vocabulary of 99" clip
  edit clip/config.json "c['text_config'].update(eos_token_id=98, bos_token_id=99)"
  refused "bos_token_id is 99, which is no id of a vocabulary of 99" clip
  edit clip/config.json "c['text_config']['bos_token_id'] = 98"
  model import clip -o out.h5
}

@test "several models in one file: each by its name" {
  model import "$BATS_TEST_DIRNAME/../../testdata/checkpoints/clip" -o clip.h5
  run --separate-stderr -1 encode -m clip.h5 /dev/null
  [[ $stderr == *"clip.h5: holds several models: image, text; name one, as in clip.h5:image"* ]]
  model describe clip.h5:text | grep -q '^encoder_causal *true'
  model describe clip.h5 | grep -q '^text/encoder_causal *true'
  diff <(model describe clip.h5 | sed -n 's,^text/\([a-z]*/.*\),\1,p' | tr -s ' ') <(model describe clip.h5:text | grep '^[a-z]*/' | tr -s ' ')
  run --separate-stderr -1 model describe clip.h5 --taps
  [[ $stderr == *"holds several models"* ]]
}

@test "options of other commands" {
  run --separate-stderr -2 model import gpt2 --width 5 -o out.h5
  [[ $stderr == *"--width needs 'model make'"* ]]
  run --separate-stderr -2 model describe gpt2.h5 --widen
}
