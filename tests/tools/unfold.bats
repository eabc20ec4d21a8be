#!/usr/bin/env bats
# Law 3 on other people's models: every checkpoint of testdata/checkpoints, unfolded into the small tools by scripts/unfold-*, gives the
# bits of the whole, and of every intermediate that --tap names. Sequences of several lengths in a stream, longer than a sliding window, and an empty one.

setup_file() {
  export CHECKPOINTS="$BATS_TEST_DIRNAME/../../testdata/checkpoints"
  export PATH="$BATS_TEST_DIRNAME/../../scripts:$PIPEFORMER_BIN:$PATH" DATA="$BATS_FILE_TMPDIR"
  cd "$DATA" || exit 1
  for folder in "$CHECKPOINTS"/*/; do
    model import "$folder" -o "$(basename "$folder").h5"
  done
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
random = np.random.default_rng(11)
def stream(path, arrays):
    with open(path, "wb") as out:
        for array in arrays:
            np.save(out, array.astype("<i4"))
text = lambda lengths: [random.integers(3, 97, n) for n in lengths]
stream("source.npy", text([9, 1, 0, 16, 4, 13]))
stream("target.npy", text([3, 0, 8, 1, 15, 2]))
prompts = text([9, 1, 21, 4, 13])
stream("prompts.npy", prompts)
stream("first.npy", [p[:1] for p in prompts])
stream("rest.npy", [p[1:] for p in prompts])
stream("ended.npy", [np.append(t, 98) for t in text([9, 1, 4, 13])])
stream("types.npy", [random.integers(0, 2, n) for n in [9, 1, 0, 16, 4, 13]])
PYTHON
}

setup() {
  bats_require_minimum_version 1.5.0
  cd "$BATS_TEST_TMPDIR" || exit 1
  ln -s "$DATA"/*.h5 "$DATA"/*.npy .
}

# same_parts DIR...: what --tap-file wrote in DIR.h5 and what the scripts left in DIR have the same names and the same bits.
same_parts() {
  /usr/bin/python3 - "$@" <<'PYTHON'
import io, pathlib, re, sys
import h5py, numpy as np
def payload(path):
    data, out = io.BytesIO(path.read_bytes()), b""
    while data.tell() < len(data.getbuffer()):
        out += np.load(data).tobytes()
    return out
for directory in map(pathlib.Path, sys.argv[1:]):
    stages, tapped = h5py.File(f"{directory}.h5"), set()
    stages.visititems(lambda name, item: tapped.add(name[:-5]) if name.endswith("/data") else None)
    kept = {str(p.relative_to(directory))[:-4] for p in directory.rglob("*.npy")}
    kept -= {name for name in kept if re.fullmatch(r"..coder/\d+", name)}  # what a layer gives: its last residual or norm
    tapped -= {name for name in tapped if re.fullmatch("..coder/ids|logits|projection|pooled|pooler/.*|..coder/head/.*", name)}  # not of the stack
    assert kept and kept == tapped, (directory, kept ^ tapped)
    for name in sorted(kept):
        assert payload(directory / (name + ".npy")) == stages[name]["data"][()].tobytes(), (directory, name)
PYTHON
}

setting() { model describe "$1" | awk -v name="$2" '$1 == name { print $2; exit }'; }

@test "the checkpoints are those that the tests below name" {
  local -a named=(gpt2 gpt_neox opt llama31 llama_gqa llama_ropescale mistral qwen2 qwen3 gemma
    bert_cls bert_mlm roberta distilbert electra t5 t5_v11 bart marian mbart_m2m vit deit dinov2 clip)
  diff <(printf '%s\n' "${named[@]}" | sort) <(basename -a "$CHECKPOINTS"/*/ | sort)
}

# encoder_unfolds MODEL SOURCE PARTS: whole.npy is what encode gives, parts.npy the same from the small tools; the steps are for same_parts.
encoder_unfolds() {
  encode -m "$1" "$2" -o whole.npy --tap-file "$3.h5"
  UNFOLD_PARTS=$3 unfold-encode "$1" "$2" parts.npy
  cmp whole.npy parts.npy
}

@test "decoder-only models: hidden states and logits" {
  for name in gpt2 gpt_neox opt llama31 llama_gqa llama_ropescale mistral qwen2 qwen3 gemma; do
    echo "$name"
    decode -m $name.h5 first.npy --target rest.npy --give hidden -o whole.npy --tap-file parts-$name.h5
    UNFOLD_PARTS=parts-$name unfold-decode $name.h5 prompts.npy parts.npy
    cmp whole.npy parts.npy
    decode -m $name.h5 first.npy --target rest.npy --give logits -o whole.npy
    unfold-logits $name.h5 parts.npy logits.npy
    cmp whole.npy logits.npy
  done
  same_parts parts-*/
}

@test "encoder-only models: hidden states, with types of tokens, and logits" {
  for name in bert_cls bert_mlm roberta distilbert electra; do
    echo "$name"
    encoder_unfolds $name.h5 source.npy parts-$name
    encode -m $name.h5 source.npy --give logits -o whole.npy
    unfold-logits $name.h5 parts.npy logits.npy
    cmp whole.npy logits.npy
  done
  same_parts parts-*/
  encode -m electra.h5 source.npy --types types.npy -o whole.npy
  embed -m electra.h5 source.npy --types types.npy | posenc -m electra.h5 -o x.npy
  unfold-stack electra.h5 encoder x.npy parts.npy
  cmp whole.npy parts.npy
  run -1 cmp whole.npy <(encode -m electra.h5 source.npy)
}

@test "encoder-decoders: memory, hidden states and logits" {
  for name in t5 t5_v11 bart marian mbart_m2m; do
    echo "$name"
    encoder_unfolds $name.h5 source.npy parts-$name
    mv whole.npy memory.npy
    /usr/bin/python3 - "$(setting $name.h5 begin_id)" <<'PYTHON'
import sys
import numpy as np
with open("target.npy", "rb") as source, open("begun.npy", "wb") as out:
    for _ in range(6):
        np.save(out, np.insert(np.load(source), 0, int(sys.argv[-1])).astype("<i4"))
PYTHON
    decode -m $name.h5 memory.npy --target target.npy --give hidden -o whole.npy --tap-file parts-decoder-$name.h5
    UNFOLD_PARTS=parts-decoder-$name unfold-decode $name.h5 memory.npy begun.npy parts.npy
    cmp whole.npy parts.npy
    decode -m $name.h5 memory.npy --target target.npy --give logits -o whole.npy
    unfold-logits $name.h5 parts.npy logits.npy
    cmp whole.npy logits.npy
  done
  same_parts parts-*/
}

@test "models of images and CLIP's two towers: hidden states, pooled vectors and logits" {
  for model in vit.h5 deit.h5 dinov2.h5 clip.h5:image; do
    echo "$model"
    pixels=$CHECKPOINTS/${model%%.h5*}/expect.pixel_values.npy
    encoder_unfolds $model "$pixels" "parts-${model%%.h5*}" # (2, 3, H, W): one record
    encode -m $model "$pixels" --give pooled -o whole.npy
    unfold-pooled $model parts.npy pooled.npy
    cmp whole.npy pooled.npy
    case $model in vit* | deit*)
      classify -m $model "$pixels" --give logits -o whole.npy
      unfold-logits $model parts.npy logits.npy
      cmp whole.npy logits.npy ;;
    esac
  done
  same_parts parts-*/
  encode -m clip.h5:text ended.npy -o whole.npy
  unfold-encode clip.h5:text ended.npy parts.npy
  cmp whole.npy parts.npy
  encode -m clip.h5:text ended.npy --pool model -o whole.npy
  unfold-pooled clip.h5:text parts.npy pooled.npy ended.npy
  cmp whole.npy pooled.npy
}

@test "NaN in the one class of a model is told by name" {
  cp electra.h5 bad.h5
  /usr/bin/python3 -c "
import h5py
with h5py.File('bad.h5', 'r+') as f: f['classifier/weight'][0, 1] = float('nan')"
  encode -m electra.h5 source.npy -o hidden.npy
  run -1 --separate-stderr linear -m bad.h5 --logits hidden.npy -o logits.npy
  [ "$stderr" = "linear: bad.h5: parameter classifier/weight holds NaN or infinity" ]
  [ ! -e logits.npy ]
}

@test "NaN in the biases by distance of a model is told by name, by attend and by the whole" {
  embed -m t5.h5 source.npy -o x.npy
  cp --remove-destination "$DATA/t5.h5" bad.h5
  /usr/bin/python3 -c "
import h5py
with h5py.File('bad.h5', 'r+') as f: f['encoder/relative_positions/weight'][0, 1] = float('nan')"
  layer=t5.h5:encoder/1/self_attn
  for part in query key value; do linear -m $layer/$part x.npy -o $part.npy; done
  run -1 --separate-stderr attend -m bad.h5:encoder/1/self_attn --query query.npy --key key.npy --value value.npy -o y.npy
  [[ $stderr == "attend: bad.h5"*"encoder/relative_positions/weight holds NaN or infinity" ]] || { echo "$stderr"; false; }
  run -1 --separate-stderr encode -m bad.h5 source.npy -o y.npy
  [[ $stderr == *"encoder/relative_positions/weight holds NaN or infinity" ]] || { echo "$stderr"; false; }
  [ ! -e y.npy ]
}

@test "attend takes by options what a model says" {
  description=$(model describe llama31.h5)
  value() { awk -v name="decoder_$1" '$1 == name { print $2 }' <<< "$description"; }
  layer=llama31.h5:decoder/1/self_attn
  embed -m llama31.h5 prompts.npy -o x.npy
  for part in query key value; do linear -m $layer/$part x.npy -o $part.npy; done
  qkv="--query query.npy --key key.npy --value value.npy"
  attend -m $layer $qkv -o model.npy
  attend $qkv --heads "$(value heads)" --kv-heads "$(value kv_heads)" --causal --rotary --rotary-base "$(value rotary_base)" \
    --rotary-scaling llama3 --rotary-factor "$(value rotary_factor)" --rotary-context "$(value rotary_context)" | cmp - model.npy
  attend -m $layer $qkv --no-causal -o free.npy
  run -1 cmp model.npy free.npy

  embed -m t5.h5 source.npy -o x.npy
  layer=t5.h5:encoder/1/self_attn
  for part in query key value; do linear -m $layer/$part x.npy -o $part.npy; done
  attend -m $layer $qkv -o model.npy
  attend $qkv --heads "$(setting t5.h5 encoder_heads)" --scale 1 --relative t5.h5:encoder/relative_positions/weight \
    --relative-distance "$(setting t5.h5 encoder_relative_distance)" | cmp - model.npy

  embed -m mistral.h5 prompts.npy -o x.npy
  layer=mistral.h5:decoder/0/self_attn
  for part in query key value; do linear -m $layer/$part x.npy -o $part.npy; done
  heads="--heads $(setting mistral.h5 decoder_heads) --kv-heads $(setting mistral.h5 decoder_kv_heads)"
  attend -m $layer $qkv -o model.npy
  attend $qkv $heads --causal --window 4 --rotary --rotary-base "$(setting mistral.h5 decoder_rotary_base)" | cmp - model.npy

  cp "$BATS_TEST_DIRNAME/../../testdata/model/windows-v4.h5" windows.h5
  embed -m windows.h5 <(tokenize -m windows.h5 <<< $'the cat sees the dog\na dog') -o x.npy
  for number in 0 1; do # with a window, and without
    layer=windows.h5:decoder/$number/self_attn
    for part in query key value; do linear -m $layer/$part x.npy -o $part.npy; done
    attend -m $layer $qkv -o model.npy
    attend $qkv --heads 2 --causal --window $((number == 0 ? 3 : 0)) --soft-cap 0.5 --rotary --rotary-scaling yarn --rotary-factor 4 \
      --rotary-context 16 --rotary-high-frequency 32 --rotary-attention-factor 1.125 | cmp - model.npy
  done
  run -1 --separate-stderr attend $qkv --heads 2 --rotary --rotary-scaling longrope --rotary-short-factors 1 --rotary-long-factors 1,2 -o y.npy
  [ "$stderr" = "attend: query.npy: record 0: a head that turns 4 columns needs 2 short and long factors, not 1" ]
  run -2 --separate-stderr attend $qkv --heads 2 --rotary --rotary-scaling longrope --rotary-short-factors 1,x -o y.npy
  [[ "$stderr" == *"'x' is no number"* ]]
}
