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

# tensors PYTHON: changes the header h (name -> entry) of gpt2/model.safetensors; the elements stay.
tensors() {
  /usr/bin/python3 - "$1" << 'PY'
import json, struct, sys
data = open("gpt2/model.safetensors", "rb").read()
n = struct.unpack("<Q", data[:8])[0]
h, rest = json.loads(data[8:8 + n]), data[8 + n:]
exec(sys.argv[1])
text = json.dumps(h).encode()
open("gpt2/model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + rest)
PY
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
  refused "'snake' is none of" gpt2
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
  for type in ntk mrope; do
    edit llama31/config.json "c['rope_scaling'] = {'rope_type': '$type', 'factor': 4.0}"
    refused "config.json: rope_scaling: rope_type $type is none of default, linear, llama3, yarn, dynamic, longrope" llama31
  done
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
}

@test "several models in one file: each by its name" {
  model import "$BATS_TEST_DIRNAME/../../testdata/checkpoints/clip" -o clip.h5
  run --separate-stderr -1 encode -m clip.h5 /dev/null
  [[ $stderr == *"clip.h5: holds several models: image, text; name one, as in clip.h5:image"* ]]
  model describe clip.h5:text | grep -q '^encoder_causal *true'
}

@test "options of other commands" {
  run --separate-stderr -2 model import gpt2 --width 5 -o out.h5
  [[ $stderr == *"--width needs 'model make'"* ]]
  run --separate-stderr -2 model describe gpt2.h5 --widen
}
