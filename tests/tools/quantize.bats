#!/usr/bin/env bats
# model quantize and models of fewer bits: what is in the file, that every tool runs it, the laws by cmp, and what is refused.

bats_require_minimum_version 1.5.0

setup_file() {
  export CHECKPOINTS="$BATS_TEST_DIRNAME/../../testdata/checkpoints"
  export PATH="$BATS_TEST_DIRNAME/../../scripts:$PIPEFORMER_BIN:$PATH" DATA="$BATS_FILE_TMPDIR"
  cd "$DATA" || exit 1
  make-testdata . > /dev/null
  model quantize model.h5 --weights int8 -o int8.h5
  model quantize model.h5 --weights f16 -o f16.h5
  model quantize model.h5 --weights bf16 -o bf16.h5
  model quantize model.h5 --weights int4 -o int4.h5
  for name in gpt2 llama31 t5 marian bert_cls vit clip; do
    model import "$CHECKPOINTS/$name" -o wide.h5
    model quantize wide.h5 --weights int8 -o $name.h5
  done
}

setup() {
  cd "$BATS_TEST_TMPDIR" || exit 1
  cp "$DATA"/{model,int8,int4,f16,bf16}.h5 .
  ln -s "$DATA"/*.npy "$DATA"/text.{en,de} "$DATA"/{gpt2,llama31,t5,marian,bert_cls,vit,clip}.h5 .
}

refused() { # refused MESSAGE COMMAND...: in one line, and nothing is left
  local message=$1
  shift
  run -1 --separate-stderr "$@"
  echo "$stderr"
  [ "$stderr" = "$message" ]
  [ -z "$(compgen -G 'out*')" ]
}

damage() { # damage STATEMENT: changes f, the file bad.h5, made of int8.h5
  cp int8.h5 bad.h5
  /usr/bin/python3 -c "
import h5py, numpy as np
with h5py.File('bad.h5', 'r+') as f:
    name = 'encoder/0/self_attn/query/weight'
    $1"
}

@test "the file holds int8 with a scale for each row, or 16 bits, a tied weight once, and the rest as it was" {
  /usr/bin/python3 - <<'PYTHON'
import h5py, numpy as np
def parameters(path):
    found = {}
    h5py.File(path, "r").visititems(lambda name, item: found.__setitem__(name, item[()]) if isinstance(item, h5py.Dataset) else None)
    return found
wide, int8, f16, bf16 = (parameters(p + ".h5") for p in ("model", "int8", "f16", "bf16"))
weights = {name for name, x in wide.items() if x.ndim == 2}
assert len(weights) > 10 and "embedding/weight" in weights and not any("output/weight" in n and "attn" not in n for n in wide)
assert set(int8) == set(wide) | {name + "_scale" for name in weights} and set(f16) == set(bf16) == set(wide)
for name, x in wide.items():
    if name not in weights:
        assert all(np.array_equal(m[name], x) and m[name].dtype == x.dtype for m in (int8, f16, bf16)), name
        continue
    largest = np.abs(x).max(axis=1)
    factor = (np.float32(127) / largest).astype("f4")
    q = np.rint(x.astype("f8") * factor.astype("f8")[:, None])  # the product of two float32 is exact
    assert int8[name].dtype == np.int8 and np.array_equal(int8[name], q), name
    assert int8[name + "_scale"].dtype == np.float32 and np.array_equal(int8[name + "_scale"], largest / np.float32(127)), name
    assert f16[name].dtype == np.float16 and np.array_equal(f16[name], x.astype("f2")), name
    bits = x.view("u4").astype("u8")
    assert np.array_equal(bf16[name].view("u4"), (bits + 0x7fff + (bits >> 16 & 1) & 0xffff0000).astype("u4")), name
PYTHON
  model describe int8.h5 | grep -Eq '^encoder/0/self_attn/query/weight +\(64, 64\) +int8$'
  model describe int8.h5 | grep -Eq '^encoder/0/norm1/weight +\(64,\) +f32$'
  model describe f16.h5 | grep -Eq '^embedding/weight +\(300, 64\) +f16$'
  model describe bf16.h5 | grep -Eq '^embedding/weight +\(300, 64\) +bf16$'
}

@test "a quantised file is about a quarter as large, its tokenizer apart" {
  model make --source-vocabulary 4000 --target-vocabulary 4000 --begin-id 1 --end-id 2 --width 512 --inner 2048 \
    --encoder-layers 1 --decoder-layers 1 -o large.h5
  model quantize large.h5 --weights int8 -o small.h5
  [ $(($(stat -c %s small.h5) * 100)) -le $(($(stat -c %s large.h5) * 26)) ]
}

@test "--weights gives the bits of the quantised file" {
  for type in int8 int4 f16 bf16; do
    encode -m $type.h5 ids.npy -o whole.npy
    encode -m model.h5 --weights $type ids.npy | cmp - whole.npy
    decode -m $type.h5 text.en.npy --beam 3 --max-length 12 --scores whole-scores.npy -o whole.npy
    decode -m model.h5 --weights $type text.en.npy --beam 3 --max-length 12 --scores scores.npy -o ids.out.npy
    cmp ids.out.npy whole.npy
    cmp scores.npy whole-scores.npy
  done
  model import "$CHECKPOINTS/bert_cls" -o wide.h5
  /usr/bin/python3 -c "import numpy as np; np.save('few.npy', np.arange(3, 90, 7, dtype='<i4'))"
  classify -m bert_cls.h5 few.npy -o whole.npy
  classify -m wide.h5 --weights int8 few.npy | cmp - whole.npy
  run -1 cmp <(encode -m model.h5 ids.npy) <(encode -m int8.h5 ids.npy)
}

@test "results of 8-bit weights depend on neither threads nor batches nor what else is in them" {
  encode -m int8.h5 text.en.npy -j 1 -o whole.npy
  decode -m int8.h5 text.en.npy --beam 3 --max-length 10 --scores whole-scores.npy -j 1 -o whole-ids.npy
  decode -m int8.h5 text.en.npy --sample --max-length 10 --seed 3 -j 1 -o whole-sampled.npy
  for options in '-j 1 --batch-rows 1' '-j 3 --batch-rows 37' '-j 2 --batch-rows 5000'; do
    encode -m int8.h5 text.en.npy $options | cmp - whole.npy
    decode -m int8.h5 text.en.npy --beam 3 --max-length 10 --window 50 --scores scores.npy $options | cmp - whole-ids.npy
    cmp scores.npy whole-scores.npy
    decode -m int8.h5 text.en.npy --sample --max-length 10 --seed 3 --window 9 $options | cmp - whole-sampled.npy
  done
  encode -m int8.h5 text.en.npy --tap-file stages.h5 | cmp - whole.npy
  embed -m int8.h5 text.en.npy | posenc -m int8.h5 | encode -m int8.h5 | cmp - whole.npy
  decode -m int8.h5 whole.npy --beam 3 --max-length 10 | cmp - whole-ids.npy
  tac text.en | tokenize -m model.h5 | encode -m int8.h5 | /usr/bin/python3 -c "
import io, sys
import numpy as np
data, out = io.BytesIO(sys.stdin.buffer.read()), []
while data.tell() < len(data.getbuffer()): out.append(np.load(data))
back = io.BytesIO()  # numpy writes to no pipe
for array in reversed(out): np.save(back, array)
sys.stdout.buffer.write(back.getvalue())" | cmp - whole.npy
}

@test "models of fewer bits have the same bits under every instruction set" {
  for type in int8 int4 f16 bf16; do
    encode -m $type.h5 ids.npy -o whole.npy
    decode -m $type.h5 text.en.npy --beam 3 --max-length 6 --scores whole-scores.npy -o whole-ids.npy
    for isa in generic avx2 avx512; do
      PIPEFORMER_ISA=$isa encode -m $type.h5 ids.npy | cmp - whole.npy
      PIPEFORMER_ISA=$isa decode -m $type.h5 text.en.npy --beam 3 --max-length 6 --scores scores.npy | cmp - whole-ids.npy
      cmp scores.npy whole-scores.npy
    done
  done
}

@test "int4: two elements a byte with a scale for each 32; f32 widens them exactly; the laws; what it cannot do is refused" {
  model quantize int4.h5 --weights f32 -o wide.h5
  /usr/bin/python3 - <<'PYTHON'
import h5py, numpy as np
small, wide, model = (h5py.File(p, "r") for p in ("int4.h5", "wide.h5", "model.h5"))
for name in "embedding/weight", "decoder/1/ffn/linear2/weight", "encoder/0/self_attn/query/weight":
    bytes, scales = small[name][()], small[name + "_scale"][()]
    rows, columns = model[name].shape
    assert bytes.dtype == np.uint8 and bytes.shape == (rows, columns // 2) and scales.dtype == np.float32 and scales.shape == (rows, -(-columns // 32))
    q = np.stack([bytes & 15, bytes >> 4], -1).reshape(rows, columns).astype("f4") - 8
    value = q * np.repeat(scales, 32, axis=1)[:, :columns]
    assert np.array_equal(wide[name][()], value) and name + "_scale" not in wide
    x = model[name][()]
    assert np.abs(value - x).max() < np.abs(x).max() / 5 and np.linalg.norm(value - x) < 0.1 * np.linalg.norm(x)
PYTHON
  model describe int4.h5 | grep -Eq '^encoder/0/self_attn/query/weight +\(64, 64\) +int4$'
  model describe int4.h5 | grep -Eq '^embedding/weight +\(300, 64\) +int4$'
  model quantize int4.h5 --weights int4 -o again.h5
  cmp again.h5 int4.h5
  peek --diff int4.h5 wide.h5
  run -1 peek --diff int4.h5 model.h5
  encode -m int4.h5 text.en.npy -j 1 -o whole.npy
  decode -m int4.h5 text.en.npy --beam 3 --max-length 10 -j 1 -o whole-ids.npy
  for options in '-j 1 --batch-rows 1' '-j 3 --batch-rows 37'; do
    encode -m int4.h5 text.en.npy $options | cmp - whole.npy
    decode -m int4.h5 text.en.npy --beam 3 --max-length 10 --window 50 $options | cmp - whole-ids.npy
  done
  embed -m int4.h5 text.en.npy | posenc -m int4.h5 | encode -m int4.h5 | cmp - whole.npy
  PIPEFORMER_ISA=generic model quantize model.h5 --weights int4 -o generic.h5
  cmp generic.h5 int4.h5
  refused "model: int4.h5: parameter embedding/weight is of int4, which is for running a model; \`model quantize --weights f32\` widens it" model average int4.h5 int4.h5 -o out.h5
  model make --source-vocabulary 20 --target-vocabulary 20 --begin-id 1 --end-id 2 --width 32 --inner 33 --heads 2 --encoder-layers 1 --decoder-layers 1 -o odd.h5
  refused "model: odd.h5: parameter encoder/0/ffn/linear2/weight: rows of 33 are odd, which int4 cannot be: --keep it" model quantize odd.h5 --weights int4 -o out.h5
  model quantize odd.h5 --weights int4 --keep '*/linear2/weight' -o kept.h5
  /usr/bin/python3 -c "
import h5py
with h5py.File('int4.h5', 'r+') as f: del f['embedding/weight_scale']"
  refused "encode: int4.h5: parameter embedding/weight is of int4, but has no scales (embedding/weight_scale)" encode -m int4.h5 ids.npy -o out.npy
}

@test "a product with 8-bit weights has the same bits under every instruction set" {
  for part in encoder/0/self_attn/query encoder/1/ffn/linear1 decoder/0/cross_attn/output; do
    PIPEFORMER_ISA=generic linear -m int8.h5:$part vectors.npy -o generic.npy
    for isa in avx2 avx512 ''; do
      PIPEFORMER_ISA=$isa linear -m int8.h5:$part vectors.npy | cmp - generic.npy
    done
  done
  PIPEFORMER_ISA=generic linear -m int8.h5 --logits vectors.npy -o generic.npy
  linear -m int8.h5 --logits vectors.npy | cmp - generic.npy
  PIPEFORMER_ISA=generic model quantize model.h5 --weights int8 -o generic.h5
  cmp generic.h5 int8.h5
}

@test "models of 8-bit weights unfold: decoders, encoders, encoder-decoders, images, CLIP" {
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
random = np.random.default_rng(11)
def stream(path, arrays):
    with open(path, "wb") as out:
        for array in arrays:
            np.save(out, array.astype("<i4"))
prompts = [random.integers(3, 97, n) for n in [9, 1, 21, 4, 13]]
stream("prompts.npy", prompts)
stream("first.npy", [p[:1] for p in prompts])
stream("rest.npy", [p[1:] for p in prompts])
PYTHON
  for name in gpt2 llama31; do
    decode -m $name.h5 first.npy --target rest.npy --give hidden -o whole.npy
    unfold-decode $name.h5 prompts.npy parts.npy
    cmp whole.npy parts.npy
    decode -m $name.h5 first.npy --target rest.npy --give logits -o whole.npy
    unfold-logits $name.h5 parts.npy logits.npy
    cmp whole.npy logits.npy
  done
  for name in t5 marian bert_cls; do
    encode -m $name.h5 prompts.npy -o whole.npy
    unfold-encode $name.h5 prompts.npy parts.npy
    cmp whole.npy parts.npy
  done
  for model in vit.h5 clip.h5:image; do
    pixels=$CHECKPOINTS/${model%%.h5*}/expect.pixel_values.npy
    encode -m $model "$pixels" -o whole.npy
    unfold-encode $model "$pixels" parts.npy
    cmp whole.npy parts.npy
    encode -m $model "$pixels" --give pooled -o whole.npy
    unfold-pooled $model parts.npy pooled.npy
    cmp whole.npy pooled.npy
  done
}

@test "the small tools run 8-bit parts" {
  mhattn -m int8.h5:encoder/0/self_attn vectors.npy -o whole.npy
  unfold-mhattn int8.h5 encoder/0/self_attn vectors.npy parts.npy
  cmp whole.npy parts.npy
  ffn -m int8.h5:encoder/0/ffn vectors.npy -o whole.npy
  linear -m int8.h5:encoder/0/ffn/linear1 vectors.npy | activate | linear -m int8.h5:encoder/0/ffn/linear2 | cmp - whole.npy
  mhattn -m int8.h5:encoder/0/self_attn vectors.npy -j 1 --batch-rows 2 | cmp - <(mhattn -m int8.h5:encoder/0/self_attn vectors.npy)
  decode -m int8.h5 text.en.npy --target text.de.npy -o scores.npy
}

@test "chunked and compressed int8 gives the bits of a mapped file" {
  /usr/bin/python3 - <<'PYTHON'
import h5py
with h5py.File("int8.h5", "r") as old, h5py.File("packed.h5", "w") as new:
    new.attrs.update(old.attrs)
    def copy(name, item):
        if isinstance(item, h5py.Dataset):
            new.create_dataset(name, data=item[()], **({"compression": "gzip"} if item.ndim == 2 else {}))
    old.visititems(copy)
PYTHON
  encode -m packed.h5 ids.npy | cmp - <(encode -m int8.h5 ids.npy)
  decode -m packed.h5 text.en.npy --max-length 5 | cmp - <(decode -m int8.h5 text.en.npy --max-length 5)
  encode -m <(cat int8.h5) ids.npy | cmp - <(encode -m int8.h5 ids.npy)
}

@test "f32 widens again, exactly; quantising twice changes nothing; --keep keeps" {
  model quantize int8.h5 --weights f32 -o wide.h5
  /usr/bin/python3 - <<'PYTHON'
import h5py, numpy as np
int8, wide = h5py.File("int8.h5", "r"), h5py.File("wide.h5", "r")
name = "decoder/1/ffn/linear1/weight"
assert np.array_equal(wide[name][()], int8[name][()].astype("f4") * int8[name + "_scale"][()][:, None]) and name + "_scale" not in wide
PYTHON
  train --from wide.h5 --source text.en.npy --target text.de.npy --steps 1 -o tuned.h5
  model export wide.h5 -o exported
  model average wide.h5 wide.h5 -o same.h5
  cmp same.h5 wide.h5
  model quantize int8.h5 --weights int8 -o again.h5
  cmp again.h5 int8.h5
  model quantize model.h5 --weights int8 --keep 'decoder/*' --keep embedding/weight -o kept.h5
  [ "$(model describe kept.h5 | grep -c 'int8$')" -eq "$(model describe int8.h5 | grep -c '^encoder.*int8$')" ]
  model quantize kept.h5 --weights f16 --keep 'encoder/*' -o mixed.h5
  [ "$(model describe mixed.h5 | grep -c 'int8$')" -eq "$(model describe kept.h5 | grep -c 'int8$')" ]
  model describe mixed.h5 | grep -Eq '^embedding/weight .* f16$'
  encode -m mixed.h5 ids.npy > /dev/null
}

@test "--keep takes the names that model describe shows, of one model or of a file of several" {
  model import "$CHECKPOINTS/clip" -o clip-wide.h5
  model quantize clip-wide.h5 --weights int8 --keep 'text/*' -o kept.h5
  [ "$(model describe kept.h5 | grep -c '^image/.*int8$')" -gt 5 ]
  run ! bash -c "model describe kept.h5 | grep -q '^text/.*int8$'"
  model quantize clip-wide.h5:text --weights int8 --keep 'encoder/0/*' -o text.h5
  run ! bash -c "model describe text.h5 | grep -q '^encoder/0/.*int8$'"
  model describe text.h5 | grep -q '^encoder/1/.*int8$'
  refused "model: clip-wide.h5: --keep 'encoder/0/*' is no weight of this model" model quantize clip-wide.h5 --weights int8 --keep 'encoder/0/*' -o out.h5
  model describe <(cat int8.h5) | cmp - <(model describe int8.h5)
}

@test "scripts/quantization-quality measures a translator, a language model and a classifier with each type" {
  lines() { # lines FILE COUNT: the types and differences of what was printed, the first of float32
    [ "$(wc -l < "$1")" -eq "$2" ]
    head -n 1 "$1" | grep -Eq '^weights f32   cache f32   [0-9.]+ \+0\.00000$'
    awk '{ off = $5 - base; if (NR == 1) base = $5; else if (off - $6 > 1e-6 || $6 - off > 1e-6) exit 1 }' "$1"
  }
  cp "$DATA"/{tok.model,classes.h5} .
  head -n 20 text.en > few.en
  head -n 20 text.de > few.de
  TYPES='f32/f32 int8/f32 int8/int8' quantization-quality model.h5 few.en few.de --tokenize none > bleu
  lines bleu 3
  model make --kind decoder-only --encoder-layers 0 --tokenizer tok.model --width 32 --heads 2 --inner 32 --decoder-layers 1 -o lm.h5
  quantization-quality lm.h5 text.en > nats
  lines nats 8
  awk '{ if ($5 < 4 || $5 > 8) exit 1 } $2 == "int8" && $6 == 0 { exit 1 }' nats
  tokenize -m classes.h5 few.en | classify -m classes.h5 --names > labels
  quantization-quality classes.h5 few.en labels > right
  tokenize -m tok.model few.en -o few.npy
  awk '{ print NR / 10 }' few.en > values
  train --task regression --source few.npy --target-values values --tokenizer tok.model --encoder-layers 1 --width 32 --heads 2 --inner 32 --steps 3 -q -o values.h5
  quantization-quality values.h5 few.en values > error
  lines error 4
  classify -m values.h5 few.npy -o out.npy
  awk -v want="$(score -q --metric mse --reference values out.npy)" 'NR == 1 { exit !(want > 0 && ($5 - want) ^ 2 < 1e-6 * want ^ 2) }' error
  lines right 4
  [ "$(awk 'NR == 1 { print $5 }' right)" = 100.00 ]
  run -2 quantization-quality model.h5
  run -2 quantization-quality model.h5 few.en
}

@test "what 8-bit weights cannot do is refused with what to do instead" {
  local message="is of int8, which is for running a model; \`model quantize --weights f32\` widens it"
  refused "train: int8.h5: parameter embedding/weight $message" train --from int8.h5 --source text.en.npy --target text.de.npy --steps 1 -o out.h5
  refused "model: int8.h5: parameter embedding/weight $message" model average int8.h5 int8.h5 -o out.h5
  run -1 --separate-stderr model export int8.h5 -o out
  [[ "$stderr" == "model: int8.h5: parameter "*" is of int8, which these checkpoints do not know; \`model quantize --weights f32\` widens it" ]]
  refused "model: model.h5: --keep 'decoder/9/*' is no weight of this model" model quantize model.h5 --weights int8 --keep 'decoder/9/*' -o out.h5
  run -2 --separate-stderr model quantize model.h5 -o out.h5
  [ "${stderr_lines[0]}" = "model: quantize needs --weights" ]
  run -2 model make --weights int8 -o out.h5
  run -1 --separate-stderr model quantize model.h5:encoder --weights int8 -o out.h5
  [ "$stderr" = "model: model.h5: expected a whole model, not its part encoder" ]
}

@test "damaged weights of 8 bits are named" {
  damage "del f[name + '_scale']"
  refused "encode: bad.h5: parameter encoder/0/self_attn/query/weight is of int8, but has no scales (encoder/0/self_attn/query/weight_scale)" \
    encode -m bad.h5 ids.npy -o out.npy
  damage "del f[name + '_scale']; f[name + '_scale'] = np.ones(3, 'f4')"
  refused "encode: bad.h5: parameter encoder/0/self_attn/query/weight_scale has shape (3,), expected (64,)" encode -m bad.h5 ids.npy -o out.npy
  damage "x = f[name][()]; del f[name]; f[name] = x.astype('f4')"
  refused "encode: bad.h5: parameter encoder/0/self_attn/query/weight is not of int8, but has scales (encoder/0/self_attn/query/weight_scale)" \
    encode -m bad.h5 ids.npy -o out.npy
  damage "f[name + '_scale'][3] = np.nan"
  refused "encode: bad.h5: parameter encoder/0/self_attn/query/weight holds NaN or infinity" encode -m bad.h5 ids.npy -o out.npy
  cp model.h5 bad.h5
  /usr/bin/python3 -c "
import h5py
with h5py.File('bad.h5', 'r+') as f: f['encoder/0/ffn/linear1/weight'][1, 2] = 1e30"
  run -1 --separate-stderr model quantize bad.h5 --weights f16 -o out.h5
  [ "$stderr" = "model: bad.h5: parameter encoder/0/ffn/linear1/weight: 1e+30 is too large for f16" ]
  model quantize bad.h5 --weights bf16 -o fits.h5
  /usr/bin/python3 -c "
import h5py
with h5py.File('bad.h5', 'r+') as f: f['encoder/0/ffn/linear1/weight'][1, 2] = float('nan')"
  refused "model: bad.h5: parameter encoder/0/ffn/linear1/weight: holds NaN or infinity" model quantize bad.h5 --weights int8 -o out.h5
  refused "encode: bad.h5: parameter encoder/0/ffn/linear1/weight: holds NaN or infinity" encode -m bad.h5 --weights int8 ids.npy -o out.npy
}

@test "NaN among the inputs is not hidden, and ends as it does with float32 weights: with the name of the record" {
  /usr/bin/python3 -c "
import numpy as np
with open('nan.npy', 'wb') as out:
    for t in (2, 3):
        x = np.ones((t, 64), 'f4')
        x[-1, 5] = np.nan if t == 3 else 1
        np.save(out, x)"
  for model in model int8; do # one row of the last record: all of its own projections, and nothing else
    linear -m $model.h5:encoder/0/self_attn/query nan.npy | /usr/bin/python3 -c "
import io, sys
import numpy as np
data = io.BytesIO(sys.stdin.buffer.read())
first, second = np.load(data), np.load(data)
assert np.isfinite(first).all() and np.isfinite(second[:2]).all() and np.isnan(second[2]).all()"
    refused "decode: nan.npy: record 1: the model's scores are not finite" decode -m $model.h5 nan.npy --max-length 3 -o out.npy
  done
}

@test "peek --diff of one weight: what codes of 8 bits stand for, not the codes" {
  name=encoder/0/self_attn/query/weight
  peek --diff int8.h5:$name model.h5:$name --tolerance 0.01
  run -1 peek --diff int8.h5:$name model.h5:$name
  # The largest difference is at most half a step, of the largest weight of a row over 127.
  /usr/bin/python3 - "$output" <<'PYTHON'
import h5py, sys
import numpy as np
with h5py.File("model.h5") as f, h5py.File("int8.h5") as q:
    name = "encoder/0/self_attn/query/weight"
    exact, codes, scales = f[name][()], q[name][()], q[name + "_scale"][()]
largest = float(sys.argv[1].splitlines()[1].split("\t")[3])
assert abs(largest - np.abs(codes * scales[:, None] - exact).max()) < 1e-6, largest
PYTHON
  peek --diff int8.h5:$name int8.h5:$name
}
