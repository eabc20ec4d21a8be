#!/usr/bin/env bats
# embed, posenc, linear, norm, add, ffn, attend, mhattn, encode as a user runs them: laws 1 to 4, shapes, errors.

setup_file() {
  export PATH="$BATS_TEST_DIRNAME/../../scripts:$PIPEFORMER_BIN:$PATH"
  export DATA="$BATS_FILE_TMPDIR/data"
  mkdir "$DATA" && cd "$DATA" || exit 1
  small --norm-position post -o model.h5
  small --norm-position pre --norm-kind rms --gated --activation silu --positions rotary --kv-heads 2 --no-bias -o modern.h5
  small --positions learned --max-positions 40 --tied none --activation gelu -o learned.h5
  model make --kind decoder-only --target-vocabulary 50 --begin-id 1 --end-id 2 --width 16 --heads 2 --inner 16 --decoder-layers 1 \
    -o decoder.h5
  model make --kind encoder-only --source-vocabulary 50 --width 32 --heads 4 --inner 16 --encoder-layers 1 -o encoder.h5
  /usr/bin/python3 - <<'EOF'
import numpy as np
random = np.random.RandomState(1)
def stream(path, arrays):
    with open(path, "wb") as out:
        for array in arrays:
            np.lib.format.write_array(out, array, version=(1, 0))
lengths = [3, 0, 7, 1, 30] * 30
ids = [random.randint(3, 50, n).astype("<i4") for n in lengths]
vectors = [random.standard_normal((n, 32)).astype("<f4") for n in lengths]
stream("ids.npy", ids), stream("x.npy", vectors)
stream("ids1.npy", ids[:71]), stream("ids2.npy", ids[71:])
stream("x1.npy", vectors[:71]), stream("x2.npy", vectors[71:])
stream("memory.npy", [random.standard_normal((n % 11, 32)).astype("<f4") for n in range(150)])
stream("long.npy", [random.randint(3, 50, n).astype("<i4") for n in [900, 5, 600, 257]])
targets = [random.randint(3, 50, n % 9).astype("<i4") for n in range(20)]
stream("target.npy", targets), stream("begun.npy", [np.append(np.int32(1), t).astype("<i4") for t in targets])
stream("source.npy", [random.randint(3, 50, 1 + n % 7).astype("<i4") for n in range(20)])
bad = [i.copy() for i in ids[:6]]; bad[4][2] = 50
stream("bad.npy", bad)
np.save("dense.npy", random.standard_normal((2, 3, 5, 32)).astype("<f4"))
np.save("lengths.npy", random.randint(0, 6, (2, 3)))
np.save("mask.npy", random.rand(5, 5) < 0.5)
np.save("w5.npy", random.standard_normal((7, 5)).astype("<f4"))
np.save("w32.npy", random.standard_normal((7, 32)).astype("<f4"))
np.save("float-mask.npy", np.ones((5, 5), "<f4"))
np.save("nan.npy", np.full((7, 32), np.nan, "<f4"))
np.save("ones.npy", np.ones(32, "<f4"))
np.save("number.npy", np.float32(1))
np.save("dense16.npy", random.standard_normal((2, 5, 16)).astype("<f4"))
stream("zeros.npy", [np.zeros(n, "<i4") for n in lengths])
stream("narrow.npy", [random.standard_normal((n, 5)).astype("<f4") for n in lengths])
EOF
}

small() {
  model make --source-vocabulary 50 --target-vocabulary 50 --begin-id 1 --end-id 2 --width 32 --heads 4 --inner 48 \
    --encoder-layers 2 --decoder-layers 2 "$@"
}

setup() {
  bats_require_minimum_version 1.5.0
  cd "$BATS_TEST_TMPDIR" || exit 1
  ln -s "$DATA"/* .
}

# fails STATUS MESSAGE COMMAND...: one line on standard error (after a usage error a second one points to the help), no file.
fails() {
  local status=$1 message=$2
  shift 2
  run "-$status" --separate-stderr "$@" -o failed.npy
  # shellcheck disable=SC2154
  [[ ${stderr_lines[0]} == "$message" && ${#stderr_lines[@]} -eq $status ]] || { echo "$stderr"; false; }
  [ ! -e failed.npy ]
}

@test "law 3: mhattn, a layer and encode unfold into the small tools, bit for bit" {
  for model in model modern learned; do
    encode -m $model.h5 ids.npy -o encode.npy --tap-file stages.h5
    embed -m $model.h5 ids.npy | posenc -m $model.h5 -o vectors.npy
    encode -m $model.h5 vectors.npy | cmp - encode.npy
    unfold-encode $model.h5 ids.npy unfolded.npy
    cmp unfolded.npy encode.npy
    unfold-encoder-layer $model.h5 0 vectors.npy layer.npy
    stage=$([[ $model == modern ]] && echo residual2 || echo norm2)
    convert stages.h5:encoder/0/$stage | cmp - layer.npy
    mhattn -m $model.h5:encoder/1/self_attn x.npy --tap '*/weights' --tap-file w.npy -o mhattn.npy
    unfold-mhattn $model.h5 encoder/1/self_attn x.npy unfolded.npy x.npy --weights v.npy
    cmp unfolded.npy mhattn.npy && cmp v.npy w.npy
    mhattn -m $model.h5:decoder/1/self_attn --causal x.npy -o mhattn.npy
    unfold-mhattn $model.h5 decoder/1/self_attn x.npy unfolded.npy x.npy --causal
    cmp unfolded.npy mhattn.npy
    mhattn -m $model.h5:decoder/0/cross_attn --memory memory.npy x.npy -o mhattn.npy
    unfold-mhattn $model.h5 decoder/0/cross_attn x.npy unfolded.npy memory.npy
    cmp unfolded.npy mhattn.npy
  done
}

@test "law 3: decode --target unfolds into the small tools, bit for bit" {
  for model in model modern learned; do
    encode -m $model.h5 source.npy -o memory2.npy
    decode -m $model.h5 memory2.npy --target target.npy --give hidden -o hidden.npy
    unfold-decode $model.h5 memory2.npy begun.npy unfolded.npy
    cmp unfolded.npy hidden.npy
  done
}

# Prints the checksum of everything that encode writes for ids, and that the other tools write for vectors.
results() {
  local part=0
  rm -f part.*
  into() { part=$((part + 1)) && "$@" > part.$part.npy; }
  for model in model modern learned; do
    into encode -m $model.h5 "$@" ids.npy --tap encoder/1/self_attn/weights --tap-file w.npy
    into cat w.npy
  done
  into encode -m model.h5 "$@" long.npy
  into mhattn -m model.h5:encoder/0/self_attn "$@" --causal x.npy
  into attend --heads 2 --key memory.npy --dropout 0.2 "$@" x.npy
  into linear -m model.h5:encoder/0/ffn/linear1 "$@" x.npy
  into ffn -m modern.h5:encoder/0/ffn "$@" x.npy
  into norm -m model.h5:encoder/0/norm1 "$@" x.npy
  into norm --give rstd --heads 2 "$@" x.npy
  for give in scores capped biased; do into attend --heads 2 --causal --soft-cap 2 --give $give "$@" x.npy; done
  into embed -m model.h5 "$@" ids.npy
  into posenc "$@" x.npy
  into add --to memory.npy "$@" memory.npy
  attend "$@" --weights w.npy x.npy > /dev/null
  into cat w.npy
  for give in hidden logits log-probabilities; do
    into decode -m model.h5 "$@" source.npy --target target.npy --give $give
  done
  sha256sum part.*
}

@test "law 4: the same bits for every batch size and number of threads" {
  results > expected
  [ "$(cut -d ' ' -f 1 expected | sort -u | wc -l)" -eq "$(wc -l < expected)" ]  # each a result, none the sum of nothing
  [ "$(wc -l < expected)" -eq 23 ]
  for rows in 1 7 64 4096; do
    for threads in 1 2 3; do
      results --batch-rows $rows --threads $threads | diff - expected
    done
  done
}

@test "HDF5 in and HDF5 out on several threads" {
  convert ids.npy -o ids.h5
  encode -m model.h5 ids.npy -o expected.npy
  for threads in 1 2 4; do
    encode -m model.h5 --threads $threads --batch-rows 5 ids.h5 -o out.h5
    convert out.h5 | cmp - expected.npy
  done
}

@test "an error is told when the records before it are written, by a tool that still waits for its input" {
  for threads in 1 2 4; do
    # Batches of one record each; the pipe stays open for longer than the tool may take.
    run -1 --separate-stderr bash -c "timeout 10 embed -m model.h5 --threads $threads --batch-rows 1 > out.npy" \
      < <(cat bad.npy && exec sleep 20 3>&-)
    [ "$stderr" = "embed: (stdin): record 4: id 50 is outside the vocabulary of 50" ]
    embed -m model.h5 ids.npy | head -c "$(stat -c %s out.npy)" | cmp - out.npy
    [ "$(peek out.npy | tail -n +2 | wc -l)" -eq 4 ]
  done
}

@test "law 4: the same bits when the input is cut in two files" {
  cat <(encode -m model.h5 ids1.npy) <(encode -m model.h5 ids2.npy) | cmp - <(encode -m model.h5 ids.npy)
  cat <(encode -m modern.h5 x1.npy) <(encode -m modern.h5 x2.npy) | cmp - <(encode -m modern.h5 x.npy)
  cat ids1.npy ids2.npy | encode -m model.h5 | cmp - <(encode -m model.h5 ids.npy)
}

@test "law 4: the same bits whatever OpenBLAS does, and with every instruction set" {
  results > expected
  for core in Haswell SkylakeX; do OPENBLAS_CORETYPE=$core results | diff - expected; done
  for isa in generic avx2 avx512 neon; do
    export PIPEFORMER_ISA=$isa
    results | diff - expected
    results --batch-rows 7 --threads 2 | diff - expected
    results --batch-rows 1 --threads 1 | diff - expected
  done
}

@test "law 4: NaN is one NaN, whatever it came from and with every instruction set" {
  /usr/bin/python3 -c "
import numpy as np
x = np.random.default_rng(2).normal(size=(6, 32)).astype('f4')
bits = x.view('u4')
bits[0, 3], bits[1, 4], bits[2, 5] = 0x7fc00001, 0xffc00000, 0xff812345
x[3, :2] = np.inf, -np.inf
np.save('nan.npy', x)"
  of_nan() {
    linear -m model.h5:encoder/0/self_attn/value nan.npy
    norm -m model.h5:encoder/0/norm1 nan.npy
    ffn -m model.h5:encoder/0/ffn nan.npy
    ffn -m modern.h5:encoder/0/ffn nan.npy
    add --to nan.npy nan.npy
    attend --heads 2 nan.npy --weights weights.npy
    cat weights.npy
    softmax nan.npy
    mhattn -m model.h5:encoder/0/self_attn nan.npy --tap '*/query' --tap-file tap.npy > /dev/null
    cat tap.npy
  }
  of_nan > expected
  for isa in generic avx2 avx512 neon; do PIPEFORMER_ISA=$isa of_nan | cmp - expected; done
  /usr/bin/python3 -c "
import io, numpy as np
data, seen = io.BytesIO(open('expected', 'rb').read()), 0
while data.tell() < len(data.getbuffer()):
    x = np.load(data)
    assert set(x.view('u4')[np.isnan(x)]) == {0x7fc00000}, data.tell()
    seen += 1
assert seen == 9"
}

@test "law 1: one record out for each record in, empty ones too, through the whole pipeline" {
  embed -m model.h5 ids.npy | posenc | linear -m model.h5:encoder/0/self_attn/value | norm -m model.h5:encoder/0/norm1 |
    add --to x.npy | ffn -m model.h5:encoder/0/ffn | attend --heads 4 | mhattn -m model.h5:encoder/0/self_attn |
    encode -m model.h5 -o out.npy
  [ "$(peek out.npy | cut -f 4)" = "$(peek x.npy | cut -f 4)" ]
  : > empty.npy
  for tool in "embed -m model.h5" posenc "linear -m model.h5:encoder/0/ffn/linear1" "norm -m model.h5:encoder/0/norm1" \
    "add --to empty.npy" "ffn -m model.h5:encoder/0/ffn" attend "mhattn -m model.h5:encoder/0/self_attn" "encode -m model.h5"; do
    # shellcheck disable=SC2086
    [ "$($tool empty.npy | wc -c)" -eq 0 ]
  done
}

@test "dense batches keep their leading axes" {
  shape() { peek "$1" | sed 1d | cut -f 4; }
  encode -m model.h5 dense.npy --tap 'encoder/1/self_attn/weights' --tap-file w.npy -o out.npy
  [ "$(shape out.npy)" = "(2, 3, 5, 32)" ]
  [ "$(shape w.npy | uniq -c | xargs)" = "6 (4, 5, 5)" ] # a tap has a record for each sequence
  attend --lengths lengths.npy --mask mask.npy --weights w.npy dense.npy -o out.npy
  [ "$(shape out.npy)" = "(2, 3, 5, 32)" ]
  [ "$(shape w.npy)" = "(2, 3, 5, 5)" ]
  linear --weight w32.npy dense.npy -o out.npy
  [ "$(shape out.npy)" = "(2, 3, 5, 7)" ]
}

@test "attention weights of any length stand in an HDF5 file and come back" {
  encode -m model.h5 ids.npy --tap encoder/1/self_attn/weights --tap-file w.h5 > /dev/null
  encode -m model.h5 ids.npy --tap encoder/1/self_attn/weights --tap-file w.npy > /dev/null
  convert w.h5:encoder/1/self_attn/weights | cmp - w.npy
  attend x.npy --weights a.h5 | cmp - <(attend x.npy --weights a.npy)
  convert a.h5 | cmp - a.npy
}

@test "mhattn shows its stages" {
  layer=decoder/0/cross_attn
  mhattn -m model.h5:$layer --memory memory.npy x.npy -o out.npy --tap-file taps.h5
  linear -m model.h5:$layer/query x.npy -o q.npy
  linear -m model.h5:$layer/key memory.npy -o k.npy
  linear -m model.h5:$layer/value memory.npy -o v.npy
  attend --heads 4 --query q.npy --key k.npy --value v.npy --weights weights.npy -o context.npy
  linear -m model.h5:$layer/output context.npy | cmp - out.npy
  for name in query=q key=k value=v weights context output=out; do
    convert taps.h5:$layer/${name%=*} | cmp - "${name#*=}.npy"
  done
  diff <(mhattn -m model.h5:$layer --memory memory.npy --list-taps) - <<END
$layer/query	(T, 32)
$layer/key	(S, 32)
$layer/value	(S, 32)
$layer/scores	(4, T, S)
$layer/weights	(4, T, S)
$layer/context	(T, 32)
$layer/output	(T, 32)
END
}

@test "encode --tap: patterns select, an unknown one is an error and leaves nothing" {
  encode -m model.h5 ids.npy --tap-file d.h5 --tap 'encoder/*/weights' --tap encoder/embeddings > /dev/null
  [ "$(h5ls -r d.h5 | grep -c /data)" -eq 4 ]
  convert d.h5:encoder/ids | cmp - ids.npy
  convert d.h5:encoder/embeddings | cmp - <(embed -m model.h5 ids.npy)
  encode -m model.h5 ids.npy --tap-file again.h5 --tap 'encoder/*/weights' --tap encoder/embeddings --batch-rows 1 > /dev/null
  cmp again.h5 d.h5
  run -2 encode -m model.h5 ids.npy --tap-file none.h5 --tap 'encoder/9/*' -o out.npy
  [[ $output == "encode: --tap 'encoder/9/*' is none of the "*" intermediates"*"; --list-taps shows them"* ]]
  run -2 encode -m model.h5 ids.npy --tap-file none.h5 --tap encoder/0/self_atn/weights -o out.npy
  [[ $output == *"(did you mean 'encoder/0/self_attn/weights'?)"* ]]
  run -1 encode -m model.h5 x.npy --tap-file none.h5 --tap encoder/embeddings -o out.npy
  [[ $output == "encode: --tap 'encoder/embeddings': this run did not compute it" ]]
  [ ! -e none.h5 ] && [ ! -e out.npy ]
}

@test "sides of a model: embed and posenc take the encoder's or the decoder's" {
  embed -m learned.h5 ids.npy | cmp - <(embed -m learned.h5:encoder ids.npy)
  run ! cmp <(embed -m learned.h5 ids.npy) <(embed -m learned.h5:decoder ids.npy)
  embed -m learned.h5 ids.npy | cmp - <(embed --table learned.h5:encoder/embedding/weight --scale 5.656854 ids.npy)
  posenc --table -m learned.h5:decoder --length 40 | cmp - <(convert learned.h5:decoder/positions/weight)
  posenc -m modern.h5 x.npy | cmp - x.npy
  embed -m decoder.h5 ids.npy | cmp - <(embed -m decoder.h5:decoder ids.npy)
}

@test "errors name file, record and both sizes" {
  fails 1 "embed: bad.npy: record 4: id 50 is outside the vocabulary of 50" embed -m model.h5 bad.npy
  fails 1 "embed: bad.npy: record 4: id 50 is outside the vocabulary of 50" embed -m model.h5 --batch-rows 1 bad.npy
  fails 1 "encode: bad.npy: record 4: id 50 is outside the vocabulary of 50" encode -m model.h5 bad.npy
  fails 1 "encode: long.npy: record 0: position 899 is beyond the model's 40 learned positions" encode -m learned.h5 long.npy
  fails 1 "posenc: x.npy: record 4: position 40 is beyond the model's 40 learned positions" posenc -m learned.h5 --first 11 x.npy
  fails 1 "posenc: x.npy: record 0: position 134217730 is beyond the model's 134217728 sinusoidal positions" posenc --first 134217728 x.npy
  fails 1 "posenc: narrow.npy: record 0: width 5 does not match the model's width 32" posenc -m model.h5 narrow.npy
  fails 1 "posenc: sinusoidal positions need an even width, not 5" posenc narrow.npy
  fails 1 "linear: x.npy: record 0: width 32 does not match the layer's width 5" linear --weight w5.npy x.npy
  fails 1 "linear: ones.npy: parameter layer/bias has shape (32,), expected (7,)" linear --weight w32.npy --bias ones.npy x.npy
  fails 1 "linear: nan.npy: holds NaN or infinity" linear --weight nan.npy x.npy
  fails 1 "linear: model.h5: encoder/0 is no linear layer (it has no weight)" linear -m model.h5:encoder/0 x.npy
  fails 1 "linear: model.h5: the whole model is no linear layer (it has no weight)" linear -m model.h5 x.npy
  fails 1 "ffn: model.h5: encoder/0/norm1 is no feed-forward layer (it has no linear1/weight)" ffn -m model.h5:encoder/0/norm1 x.npy
  fails 1 "norm: model.h5: the model has no group encoder/7/norm1 (did you mean 'encoder/0/norm1'?)" norm -m model.h5:encoder/7/norm1 x.npy
  convert x.npy -o x.h5
  fails 1 "encode: x.h5: is not a model (it has no attribute format = 'pipeformer model')" encode -m x.h5 ids.npy
  fails 1 "encode: decoder.h5: a model of kind decoder-only has no encoder: decode reads it" encode -m decoder.h5 ids.npy
  fails 1 "embed: decoder.h5: the model has no group encoder (did you mean 'decoder'?)" embed -m decoder.h5:encoder ids.npy
  fails 1 "embed: model.h5: 'encoder/0' is no part with embeddings of this encoder-decoder model" embed -m model.h5:encoder/0 ids.npy
  fails 1 "encode: narrow.npy: record 0: width 5 does not match the model's width 32" encode -m model.h5 narrow.npy
  fails 1 "embed: x.npy: record 0: expected ids (integers), not f4 (3, 32)" embed -m model.h5 x.npy
  fails 1 "attend: ids.npy: record 0: expected floating-point numbers, not i4 (3,)" attend ids.npy
  fails 1 "attend: ones.npy: record 0: expected vectors (..., T, D), not shape (32,)" attend ones.npy
}

@test "a shape of very many empty sequences is refused before they are counted" {
  /usr/bin/python3 -c 'import numpy as np
np.save("vectors.npy", np.zeros((10**12, 0, 32), "<f4")), np.save("many.npy", np.zeros((10**12, 0), "<i4"))
np.save("none.npy", np.zeros((0, 10**9, 32), "<f4"))'
  fails 1 "posenc: vectors.npy: record 0: shape (1000000000000, 0, 32) has more than 16777216 empty parts" timeout 20 posenc vectors.npy
  fails 1 "embed: many.npy: record 0: shape (1000000000000, 0) has more than 16777216 empty parts" timeout 20 embed -m model.h5 many.npy
  fails 1 "convert: many.npy: record 0: shape (1000000000000, 0) has more than 16777216 empty parts" timeout 20 convert --unstack many.npy
  convert none.npy | cmp - none.npy
}

@test "errors of paired streams" {
  fails 1 "attend: memory.npy: record 0: leading axes () do not match (2, 3) of dense.npy" attend --key memory.npy dense.npy
  fails 1 "attend: x1.npy ended after 71 records, x.npy has more" attend --key x1.npy x.npy
  fails 1 "attend: x1.npy ended after 71 records, memory.npy has more" attend --key memory.npy x1.npy
  fails 1 "attend: narrow.npy: record 0: key width 5 does not match query width 32 of x.npy" attend --key narrow.npy x.npy
  fails 1 "attend: memory.npy: record 0: 0 values do not match 3 keys of x.npy" attend --value memory.npy x.npy
  fails 1 "attend: x.npy: record 0: width 32 is not a multiple of 5 heads" attend --heads 5 x.npy
  fails 1 "attend: narrow.npy: record 0: width 5 is not a multiple of 4 heads" attend -m model.h5:encoder/0/self_attn narrow.npy
  fails 1 "attend: dense16.npy: record 0: width 16 does not match the model's 4 heads of 8" attend -m model.h5:encoder/0/self_attn dense16.npy
  fails 1 "attend: model.h5: encoder/0/ffn is no multi-head attention (it has no query/weight)" attend -m model.h5:encoder/0/ffn x.npy
  fails 1 "attend: x.npy: record 0: a head has 8 columns, not 10 to turn" attend --heads 4 --rotary --rotary-width 10 x.npy
  fails 1 "attend: x.npy: record 0: rotary positions need an even head width, not 3" attend --heads 4 --rotary --rotary-width 3 x.npy
  fails 1 "attend: w32.npy: parameter relative/weight has shape (7, 32), expected (7, 4)" attend --heads 4 --relative w32.npy x.npy
  fails 1 "norm: x.npy: record 0: width 32 does not match the layer's width 64" norm --kind rms --heads 2 --weight ones.npy x.npy
  fails 1 "linear: narrow.npy: record 0: width 5 does not match the layer's width 32" linear --weight ones.npy narrow.npy
  fails 1 "linear: modern.h5: parameter encoder/0/norm1/weight has shape (32,), expected 2 axes" linear -m modern.h5:encoder/0/norm1 x.npy
  fails 1 "linear: number.npy: record 0: expected vectors (..., D), not shape ()" linear --weight w32.npy number.npy
  fails 1 "attend: ones.npy: record 0: expected vectors (..., T, D), not shape (32,)" attend ones.npy
  fails 1 "pool: x.npy: record 0: width 32 does not match the model's width 16" pool -m decoder.h5 x.npy
  fails 1 "linear: encoder.h5: the model makes no logits" linear --logits -m encoder.h5 x.npy
  fails 1 "embed: ids.npy: record 0: type 0 is none of the model's 0 types of tokens" embed -m model.h5 --types zeros.npy ids.npy
  fails 1 "embed: x1.npy: record 0: expected ids (integers), not f4 (3, 32)" embed -m model.h5 --types x1.npy ids.npy
  fails 1 "add: memory.npy: record 0: shape (0, 32) does not match shape (3, 32) of x.npy" add --to memory.npy x.npy
  fails 1 "attend: mask.npy: record 0: shape (5, 5) does not fit scores of shape (3, 3) of x.npy: record 0" attend --mask mask.npy x.npy
  fails 1 "attend: float-mask.npy: record 0: expected booleans (1 = may attend), not f4 (5, 5)" attend --mask float-mask.npy dense.npy
  fails 1 "attend: lengths.npy: record 0: shape (2, 3) does not match the leading axes () of x.npy: record 0" attend --lengths lengths.npy x.npy
  cat dense.npy dense.npy > two.npy
  cat mask.npy mask.npy mask.npy > three.npy
  fails 1 "attend: two.npy ended after 2 records, three.npy has more" attend --mask three.npy two.npy
  cat two.npy dense.npy dense.npy > four.npy
  fails 1 "attend: three.npy ended after 3 records, four.npy has more" attend --mask three.npy four.npy
}

@test "usage errors" {
  fails 2 "attend: --query and FILE are the same input: give one" attend --query x.npy x.npy
  fails 2 "attend: only one input can be standard input ('-')" attend --key - --value - x.npy
  fails 2 "add: only one input can be standard input ('-')" add --to -
  fails 2 "attend: --kv-heads does not divide --heads" attend --heads 4 --kv-heads 3 x.npy
  fails 2 "linear: --model FILE:GROUP or --weight FILE is needed" linear x.npy
  fails 2 "linear: --model and --weight exclude each other" linear -m model.h5:encoder/0/ffn/linear1 --weight w32.npy x.npy
  fails 2 "attend: --window needs --causal" attend --window 3 x.npy
  fails 2 "attend: --rotary-base needs --rotary" attend --rotary-base 500 x.npy
  /usr/bin/python3 -c "import numpy as np; x = np.zeros((7, 4), 'f4'); x[3, 2] = np.nan; np.save('nan.npy', x)"
  fails 1 "attend: nan.npy: holds NaN or infinity" attend --heads 4 --relative nan.npy x.npy
  fails 2 "attend: --relative-distance needs --relative" attend --relative-distance 9 x.npy
  fails 2 "attend: --alibi and --relative exclude each other" attend --alibi --relative w32.npy x.npy
  fails 2 "attend: the model gives --heads" attend -m model.h5:encoder/0/self_attn --heads 4 x.npy
  fails 2 "attend: the model gives --rotary-width" attend -m modern.h5:encoder/0/self_attn --rotary-width 4 x.npy
  fails 2 "norm: the model gives --heads" norm -m model.h5:encoder/0/norm1 --heads 2 x.npy
  fails 2 "linear: --logits takes the whole model, not its part encoder/0" linear --logits -m model.h5:encoder/0 x.npy
  fails 2 "linear: --logits needs --model" linear --logits --weight w32.npy x.npy
  fails 2 "linear: a weight (D,) takes no --bias" linear --weight ones.npy --bias ones.npy x.npy
  fails 2 "norm: --kind unit takes no --weight" norm --kind unit --weight ones.npy x.npy
  fails 2 "norm: --kind unit takes no --give" norm --kind unit --give rstd x.npy
  fails 2 "norm: --give mean takes no --weight" norm --give mean --weight ones.npy x.npy
  fails 2 "norm: rms takes no mean: --give rstd is what there is" norm --kind rms --give mean x.npy
  fails 1 "norm: x.npy: record 0: width 32 is not a multiple of 3 heads" norm --give rstd --heads 3 x.npy
  fails 2 "pool: the model gives --kind" pool -m encoder.h5 --kind mean x.npy
  fails 2 "pool: --ids needs a model that pools by its end id" pool --ids ids.npy x.npy
  fails 2 "norm: --bias FILE is needed" norm --weight ones.npy x.npy
  fails 2 "norm: the model gives --kind" norm -m model.h5:encoder/0/norm1 --kind rms x.npy
  fails 2 "mhattn: the model gives --heads" mhattn -m model.h5:encoder/0/self_attn --heads 2 x.npy
  fails 2 "posenc: --length belongs to --table" posenc --length 3 x.npy
  fails 2 "posenc: option '--width' is required" posenc --table --length 3
  fails 2 "encode: --tap needs --tap-file" encode -m model.h5 --tap '*' x.npy
  fails 2 "encode: --model takes the whole model, not its part encoder" encode -m model.h5:encoder x.npy
}

@test "a model that is cut short while it is in use ends the run in one line and leaves nothing" {
  mkfifo ids
  for _ in {1..8}; do  # two threads may find it at once
    cp model.h5 short.h5
    embed -m short.h5 ids -o out.npy 2> err & pid=$!
    exec 7> ids
    head -c 200 ids.npy >&7
    for _ in $(seq 50); do compgen -G 'out.npy.tmp.*' > /dev/null && break; sleep 0.1; done
    truncate -s 4096 short.h5
    tail -c +201 ids.npy >&7 2> /dev/null || true
    exec 7>&-
    status=0
    wait "$pid" || status=$?
    [ "$status" -eq 1 ]
    [[ $(cat err) == "embed: short.h5: cannot be read any more: it was cut short while in use"* ]]
    [ "$(wc -l < err)" -eq 1 ]
    run ! compgen -G 'out.npy*'
  done
  # In a pipeline the later stages fail with it.
  cp model.h5 short.h5
  embed -m short.h5 ids 2> /dev/null | convert -o out.npy 2> err & pid=$!
  exec 7> ids
  head -c 200 ids.npy >&7
  for _ in $(seq 50); do compgen -G 'out.npy.tmp.*' > /dev/null && break; sleep 0.1; done
  sleep 0.3
  truncate -s 4096 short.h5
  tail -c +201 ids.npy >&7 2> /dev/null || true
  exec 7>&-
  status=0
  wait "$pid" || status=$?
  [ "$status" -eq 1 ]
  [[ $(cat err) == "convert: embed: short.h5: cannot be read any more"* ]]
  run ! compgen -G 'out.npy*'
}

@test "several outputs in groups of one file" {
  encode -m model.h5 x.npy --tap-file stages.h5 -o y.npy
  encode -m model.h5 x.npy --tap-file all.h5:stages -o all.h5:memory
  convert all.h5:memory | cmp - y.npy
  convert all.h5:stages/encoder/0/residual1 | cmp - <(convert stages.h5:encoder/0/residual1)
}

@test "two outputs in one place are a usage error" {
  fails 2 "attend: ./failed.npy is already the place of another output: give each its own" attend --weights ./failed.npy x.npy
  for weights in both.h5 both.h5:y both.h5:y/inside; do run -2 attend x.npy -o both.h5:y --weights $weights; done
  [ ! -e both.h5 ]
  run -2 attend x.npy --weights -
  attend x.npy -o /dev/null --weights /dev/null
  fails 2 "encode: --tap-file stages.npy: 30 intermediates need an HDF5 file: end the name in .h5" encode -m model.h5 --tap-file stages.npy x.npy
}

@test "--verbose counts records and positions" {
  run -0 --separate-stderr bash -c "encode -v -m model.h5 ids.npy > /dev/null"
  [[ $stderr =~ ^"encode: 150 records, 1230 positions, "[0-9.e-]+" s"$ ]]
}

@test "streams that come from one source by way of tee do not wait for each other" {
  mkfifo keys
  cat x.npy x.npy x.npy x.npy x.npy x.npy > many.npy
  timeout 60 bash -c "tee >(linear -m model.h5:encoder/0/self_attn/key > keys) < many.npy |
    linear -m model.h5:encoder/0/self_attn/query | attend --key keys -o out.npy"
  [ "$(peek out.npy | wc -l)" -eq 901 ]
}

@test "an instruction set that there is not is an error that lists those there are" {
  run --separate-stderr env PIPEFORMER_ISA=axv2 encode -m model.h5 x.npy -o y.npy
  [ "$status" -eq 1 ]
  [ "$stderr" = "encode: PIPEFORMER_ISA is 'axv2', which is none of avx512, avx2, neon, generic" ]
  [ ! -e y.npy ]
}
