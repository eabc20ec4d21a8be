#!/usr/bin/env bats
# decode as a user runs it: laws 1 and 4, what its options write, and how it refuses.

bats_require_minimum_version 1.5.0

setup_file() {
  export PATH="$PIPEFORMER_BIN:$PATH"
  export DATA="$BATS_FILE_TMPDIR"
  cd "$DATA" || exit 1
  /usr/bin/python3 - <<'PY'
import numpy as np
rng = np.random.default_rng(3)
def stream(path, records):
    with open(path, "wb") as out:
        for record in records:
            np.save(out, record)
lengths = [5, 0, 9, 1, 13, 5, 7, 0, 3, 11, 2, 6]
stream("src.npy", [rng.integers(3, 40, n).astype(np.int32) for n in lengths])
stream("trg.npy", [rng.integers(3, 40, n).astype(np.int32) for n in lengths[::-1]])
stream("first.npy", [rng.integers(3, 40, n % 3).astype(np.int32) for n in lengths])
stream("short.npy", [rng.integers(3, 40, 4).astype(np.int32) for n in lengths[:-1]])
stream("outside.npy", [np.array([4, 5], np.int32), np.array([], np.int32), np.array([4, 40], np.int32)])
stream("negative.npy", [np.array([4, -1], np.int32)])
np.save("dense.npy", rng.integers(3, 40, (4, 5)).astype(np.int32))
np.save("dense_trg.npy", rng.integers(3, 40, (4, 7)).astype(np.int32))
np.save("narrow.npy", np.zeros((3, 31), np.float32))
bad = np.zeros((3, 32), np.float32)
bad[1, 2] = np.nan
stream("vectors.npy", [rng.normal(size=(3, 32)).astype(np.float32)])
stream("nan.npy", [np.zeros((3, 32), np.float32), bad])
stream("empty.npy", [])
PY
  : > nothing.npy
  local small="--target-vocabulary 40 --width 32 --heads 4 --inner 48 --begin-id 1 --end-id 2 --decoder-layers 2"
  model make $small --source-vocabulary 40 --encoder-layers 2 --tied none --seed 5 -o m.h5
  model make $small --kind decoder-only --encoder-layers 0 --positions rotary --tied target -o lm.h5
  model make --source-vocabulary 40 --width 32 --heads 4 --inner 48 --encoder-layers 1 --decoder-layers 0 --kind encoder-only --tied none -o enc.h5
  model make $small --source-vocabulary 40 --encoder-layers 1 --positions learned --max-positions 16 -o learned.h5
  # Logits further apart, so that outputs differ.
  /usr/bin/python3 - <<'PY'
import h5py
with h5py.File("m.h5", "r+") as f:
    f["decoder/output/weight"][...] *= 4
PY
}

setup() {
  cd "$BATS_TEST_TMPDIR" || exit 1
}

# Runs Python with `records(path)` at hand.
python() {
  /usr/bin/python3 -c "
import sys, numpy as np
def records(path):
    found = []
    with open(path, 'rb') as file:
        end = file.seek(0, 2)
        file.seek(0)
        while file.tell() < end: found.append(np.load(file))
    return found
$1"
}

@test "one record in, one record out, in order; empty stays empty" {
  for options in "" "--beam 4" "--sample"; do
    decode -m "$DATA/m.h5" $options "$DATA/src.npy" -o out.npy
    python "
src, out = records('$DATA/src.npy'), records('out.npy')
assert len(src) == len(out)
for s, o in zip(src, out):
    assert o.dtype == np.int32 and o.ndim == 1
    assert (len(s) == 0) <= (len(o) == 0) and len(o) <= 2 * len(s) + 50
    assert not np.isin(o, [1, 2]).any()
assert len({tuple(o) for o in out}) > 6"
  done
  decode -m "$DATA/m.h5" "$DATA/nothing.npy" -o out.npy
  [ ! -s out.npy ]
}

@test "the same bits for every batch size, window, number of threads and cut" {
  for options in "--beam 3 --nbest 2" "--beam 1" "--target $DATA/trg.npy" "--target $DATA/trg.npy --give hidden" "--target $DATA/trg.npy --give logits"; do
    decode -m "$DATA/m.h5" $options "$DATA/src.npy" -o whole.npy
    for rows in 1 7 64; do
      for threads in 1 2; do
        decode -m "$DATA/m.h5" $options --batch-rows $rows -j $threads "$DATA/src.npy" | cmp - whole.npy
      done
    done
    encode -m "$DATA/m.h5" "$DATA/src.npy" | decode -m "$DATA/m.h5" $options | cmp - whole.npy
  done
  for options in "--beam 3" "--sample --nbest 3 --top-p 0.9"; do
    decode -m "$DATA/m.h5" $options "$DATA/src.npy" -o whole.npy
    for window in 1 20; do decode -m "$DATA/m.h5" $options --window $window "$DATA/src.npy" | cmp - whole.npy; done
    decode -m "$DATA/m.h5" $options --batch-rows 1 -j 1 "$DATA/src.npy" | cmp - whole.npy
  done
  for isa in generic avx2 avx512; do
    for options in "--beam 3" "--sample --nbest 3 --top-p 0.9"; do
      decode -m "$DATA/m.h5" $options "$DATA/src.npy" -o whole.npy
      PIPEFORMER_ISA=$isa decode -m "$DATA/m.h5" $options --batch-rows 1 -j 1 "$DATA/src.npy" | cmp - whole.npy
    done
  done
  python "
r = records('$DATA/src.npy')
for name, part in ('a.npy', r[:5]), ('b.npy', r[5:]):
    with open(name, 'wb') as out: [np.save(out, x) for x in part]"
  decode -m "$DATA/m.h5" --beam 3 "$DATA/src.npy" -o whole.npy
  { decode -m "$DATA/m.h5" --beam 3 a.npy; decode -m "$DATA/m.h5" --beam 3 b.npy; } | cmp - whole.npy
}

@test "--cache: a decoder that keeps keys and values in fewer bits has one result for every batch, window, thread, cut and set" {
  for type in f16 bf16 int8; do
    for options in "--beam 3 --nbest 2" "--beam 6" "--beam 1" "--sample --nbest 3" "--target $DATA/trg.npy --give hidden"; do
      decode -m "$DATA/m.h5" $options --cache $type "$DATA/src.npy" -o whole.npy
      for rows in 1 7; do decode -m "$DATA/m.h5" $options --cache $type --batch-rows $rows -j 2 "$DATA/src.npy" | cmp - whole.npy; done
      encode -m "$DATA/m.h5" "$DATA/src.npy" | decode -m "$DATA/m.h5" $options --cache $type | cmp - whole.npy
      for isa in generic avx2 avx512; do PIPEFORMER_ISA=$isa decode -m "$DATA/m.h5" $options --cache $type "$DATA/src.npy" | cmp - whole.npy; done
    done
    decode -m "$DATA/m.h5" --beam 3 --cache $type --window 1 "$DATA/src.npy" -o narrow.npy
    decode -m "$DATA/m.h5" --beam 3 --cache $type "$DATA/src.npy" | cmp - narrow.npy
    # It does something, and what --target and taps see is what was generated.
    decode -m "$DATA/m.h5" --target "$DATA/trg.npy" --cache $type "$DATA/src.npy" -o kept.npy
    run ! cmp kept.npy <(decode -m "$DATA/m.h5" --target "$DATA/trg.npy" "$DATA/src.npy")
    decode -m "$DATA/m.h5" --cache $type --max-length 12 --token-scores scores.npy --tap logits --tap-file logits.h5 "$DATA/src.npy" -o out.npy
    decode -m "$DATA/m.h5" --cache $type --target out.npy "$DATA/src.npy" -o target.npy
    decode -m "$DATA/m.h5" --cache $type --target out.npy --give logits "$DATA/src.npy" | cmp - <(convert logits.h5:logits)
    python "
source = records('$DATA/src.npy')
for s, scores, target in zip(source, records('scores.npy'), records('target.npy')):
    if len(s): assert len(scores) and (scores == target[:len(scores)]).all()"
    # A prompt that was generated goes on as it did.
    decode -m "$DATA/lm.h5" --cache $type --max-length 12 --min-length 12 "$DATA/src.npy" -o whole.npy
    decode -m "$DATA/lm.h5" --cache $type --max-length 5 --min-length 5 "$DATA/src.npy" | decode -m "$DATA/lm.h5" --cache $type --max-length 7 --min-length 7 | cmp - whole.npy
  done
  decode -m "$DATA/m.h5" --beam 3 --cache f32 "$DATA/src.npy" | cmp - <(decode -m "$DATA/m.h5" --beam 3 "$DATA/src.npy")
  # A key that 16 bits do not hold would be an infinite one, which may be passed over in silence.
  python "
import h5py, shutil
for name, factor in ('large', 1e6), ('nan', np.nan):
    shutil.copy('$DATA/m.h5', name + '.h5')
    with h5py.File(name + '.h5', 'a') as f: f['decoder/0/self_attn/key/weight'][...] *= factor"
  for type in f32 bf16; do decode -m large.h5 --cache $type "$DATA/src.npy" | cmp - <(decode -m large.h5 --cache $type --batch-rows 1 "$DATA/src.npy"); done
  refuses 1 " large, beyond the 65504 of a cache of type f16; one of type bf16 or f32 holds it" decode -m large.h5 --cache f16 "$DATA/src.npy"
  refuses 1 "nan.h5: parameter decoder/0/self_attn/key/weight holds NaN or infinity" decode -m nan.h5 --cache f16 "$DATA/src.npy"
}

@test "n-best: N records each, best first, with scores that --target confirms" {
  decode -m "$DATA/m.h5" --beam 4 --nbest 3 --length-penalty 0.7 --scores scores.npy --max-length 12 "$DATA/src.npy" -o nbest.npy
  decode -m "$DATA/m.h5" --beam 4 --length-penalty 0.7 --max-length 12 "$DATA/src.npy" -o best.npy
  python "
src, out, best, scores = records('$DATA/src.npy'), records('nbest.npy'), records('best.npy'), records('scores.npy')
assert len(out) == len(scores) == 3 * len(src)
with open('src3.npy', 'wb') as f: [np.save(f, s) for s in src for _ in range(3)]
for i, s in enumerate(src):
    assert (out[3 * i] == best[i]).all()
    assert scores[3 * i][1] >= scores[3 * i + 1][1] >= scores[3 * i + 2][1]
    assert len(s) == 0 or len({tuple(o) for o in out[3 * i : 3 * i + 3]}) == 3"
  decode -m "$DATA/m.h5" src3.npy --target nbest.npy -o logp.npy
  python "
for s, o, p, c in zip(records('src3.npy'), records('nbest.npy'), records('logp.npy'), records('scores.npy')):
    assert p.shape == (len(o) + 1,)
    if len(s) == 0: continue
    ended = len(o) < 12
    total, length = p.astype(float).sum() if ended else p[:-1].astype(float).sum(), len(o) + ended
    assert abs(total - c[0]) < 1e-4 * abs(total), (total, c)
    assert abs(total / length ** 0.7 - c[1]) < 1e-4 * abs(c[1])"
}

@test "limits of length, forced beginnings" {
  decode -m "$DATA/m.h5" --max-length 3 --beam 2 "$DATA/src.npy" -o three.npy
  decode -m "$DATA/m.h5" --max-length 9 --min-length 9 --beam 2 "$DATA/src.npy" -o nine.npy
  decode -m "$DATA/m.h5" --prefix "$DATA/first.npy" --beam 2 "$DATA/src.npy" -o forced.npy
  python "
src, first = records('$DATA/src.npy'), records('$DATA/first.npy')
for s, f, a, b, c in zip(src, first, records('three.npy'), records('nine.npy'), records('forced.npy')):
    if len(s) == 0: continue
    assert len(a) <= 3 and len(b) == 9 and (c[:len(f)] == f).all()"
}

@test "samples: the seed, the number of the record and nothing else" {
  decode -m "$DATA/m.h5" --sample --nbest 4 --seed 7 "$DATA/src.npy" -o a.npy
  decode -m "$DATA/m.h5" --sample --nbest 2 --seed 7 "$DATA/src.npy" -o b.npy
  decode -m "$DATA/m.h5" --sample --nbest 4 --seed 8 "$DATA/src.npy" -o c.npy
  decode -m "$DATA/m.h5" --sample --top-k 1 "$DATA/src.npy" -o greedy.npy
  decode -m "$DATA/m.h5" "$DATA/src.npy" | cmp - greedy.npy
  run ! cmp -s a.npy c.npy
  python "
a, b = records('a.npy'), records('b.npy')
assert all((b[2 * i + j] == a[4 * i + j]).all() for i in range(12) for j in range(2))"
}

@test "cross-attention weights of targets and of outputs" {
  weights="--tap decoder/1/cross_attn/weights --tap-file"
  # shellcheck disable=SC2086
  {
    decode -m "$DATA/m.h5" "$DATA/src.npy" --beam 3 -o out.npy $weights w.npy
    decode -m "$DATA/m.h5" "$DATA/src.npy" --target out.npy $weights v.npy -o logp.npy
    decode -m "$DATA/m.h5" "$DATA/src.npy" --beam 3 --nbest 2 -o out2.npy $weights w2.npy
  }
  cmp w.npy v.npy
  decode -m "$DATA/m.h5" "$DATA/src.npy" --target out.npy --tap-file taps.h5 | cmp - logp.npy
  python "
import h5py
src, out, w = records('$DATA/src.npy'), records('out.npy'), records('w.npy')
for s, o, x in zip(src, out, w):
    assert x.shape == (4, len(o) + 1, len(s))
    if len(s): assert abs(x.sum(-1) - 1).max() < 1e-5
w2 = records('w2.npy')
assert len(w2) == 24 and all((a == b).all() for a, b in zip(w, w2[::2]))
with h5py.File('taps.h5') as taps:
    assert (taps['decoder/1/cross_attn/weights/data'][()] == np.concatenate([x.ravel() for x in w])).all()
    assert not (taps['decoder/0/cross_attn/weights/data'][()] == np.concatenate([x.ravel() for x in w])).all()"
}

@test "a model without an end id gives the end no probability" {
  model make --kind decoder-only --encoder-layers 0 --target-vocabulary 40 --width 32 --heads 4 --inner 48 --begin-id 1 --end-id -1 --decoder-layers 1 -o endless.h5
  decode -m endless.h5 "$DATA/src.npy" --target "$DATA/trg.npy" -o p.npy
  decode -m endless.h5 "$DATA/src.npy" --target "$DATA/trg.npy" --give logits -o logits.npy
  python "
for p, x, ids in zip(records('p.npy'), records('logits.npy'), records('$DATA/trg.npy')):
    assert p[-1] == -np.inf
    expected = x.astype('f8') - np.log(np.exp(x.astype('f8')).sum(-1, keepdims=True))
    assert np.allclose(p[:-1], expected[np.arange(len(ids)), ids], atol=1e-5)"
}

@test "a dense batch of targets gives a dense batch" {
  decode -m "$DATA/m.h5" "$DATA/dense.npy" --target "$DATA/dense_trg.npy" -o p.npy
  decode -m "$DATA/m.h5" "$DATA/dense.npy" --target "$DATA/dense_trg.npy" --give hidden -o h.npy
  decode -m "$DATA/m.h5" "$DATA/dense.npy" --target "$DATA/dense_trg.npy" --give logits -o l.npy
  python "
assert [records(n)[0].shape for n in ('p.npy', 'h.npy', 'l.npy')] == [(4, 8), (4, 8, 32), (4, 8, 40)]"
}

@test "a language model goes on where the prompt ends" {
  decode -m "$DATA/lm.h5" "$DATA/src.npy" --beam 2 --max-length 8 -o out.npy
  decode -m "$DATA/lm.h5" "$DATA/src.npy" --beam 2 --max-length 8 --batch-rows 1 -j 1 | cmp - out.npy
  decode -m "$DATA/lm.h5" "$DATA/src.npy" --target "$DATA/trg.npy" -o p.npy
  python "
src, out, trg = records('$DATA/src.npy'), records('out.npy'), records('$DATA/trg.npy')
for s, o in zip(src, out):
    assert (o[:len(s)] == s).all() and len(o) <= len(s) + 8 and (len(s) > 0 or len(o) == 0)
assert [len(p) for p in records('p.npy')] == [len(t) + 1 for t in trg]
with open('joined.npy', 'wb') as f: [np.save(f, np.concatenate([s, t])) for s, t in zip(src, trg)]
with open('none.npy', 'wb') as f: [np.save(f, np.zeros(0, np.int32)) for s in src]"
  decode -m "$DATA/lm.h5" none.npy --target joined.npy -o whole.npy
  python "
for s, p, w in zip(records('$DATA/src.npy'), records('p.npy'), records('whole.npy')): assert (p == w[len(s):]).all()"
}

@test "-v counts what is generated, not what is given" {
  run -0 --separate-stderr decode -v -m "$DATA/lm.h5" "$DATA/src.npy" --max-length 8 -o out.npy
  python "print(sum(len(o) - len(s) for s, o in zip(records('$DATA/src.npy'), records('out.npy'))))" > count
  [[ $stderr == *"sentences, $(cat count) tokens,"* ]]
  run -0 --separate-stderr decode -v -m "$DATA/m.h5" "$DATA/src.npy" --prefix "$DATA/first.npy" --max-length 8 -o out.npy
  python "print(sum(max(0, len(o) - len(f)) for f, o in zip(records('$DATA/first.npy'), records('out.npy'))))" > count
  [[ $stderr == *"sentences, $(cat count) tokens,"* ]]
}

# refuses STATUS TEXT COMMAND...: exit status, one line that has the text, no output file.
refuses() {
  local status=$1 text=$2
  shift 2
  run -"$status" "$@" -o refused.npy
  [[ ${lines[0]} == "$1: "*"$text"* ]] || { echo "expected '$text' in: $output"; false; }
  [ "$status" = 2 ] || [ "${#lines[@]}" = 1 ]
  [ ! -e refused.npy ]
}

@test "refusals name the file, the record and both values" {
  refuses 1 "outside.npy: record 2: id 40 is outside the vocabulary of 40" decode -m "$DATA/m.h5" "$DATA/outside.npy"
  refuses 1 "negative.npy: record 0: id -1 is outside" decode -m "$DATA/m.h5" "$DATA/negative.npy"
  refuses 1 "outside.npy: record 2: id 40" decode -m "$DATA/m.h5" "$DATA/outside.npy" --target "$DATA/outside.npy"
  refuses 1 "short.npy ended after 11 records, $DATA/src.npy has more" decode -m "$DATA/m.h5" "$DATA/src.npy" --target "$DATA/short.npy"
  refuses 1 "short.npy ended after 11 records, $DATA/src.npy has more" decode -m "$DATA/m.h5" "$DATA/src.npy" --prefix "$DATA/short.npy"
  refuses 1 "narrow.npy: record 0: width 31 does not match the model's width 32" decode -m "$DATA/m.h5" "$DATA/narrow.npy"
  refuses 1 "nan.npy: record 1: the model's scores are not finite" decode -m "$DATA/m.h5" "$DATA/nan.npy"
  refuses 1 "nan.npy: record 0: expected ids" decode -m "$DATA/lm.h5" "$DATA/nan.npy"
  refuses 1 "dense.npy: record 0: shape (4, 5) holds several sentences" decode -m "$DATA/m.h5" "$DATA/dense.npy"
  refuses 1 "a model of kind encoder-only has no decoder: encode reads it" decode -m "$DATA/enc.h5" "$DATA/src.npy"
  refuses 2 "'decoder/2/*' is none of the " decode -m "$DATA/m.h5" "$DATA/src.npy" --tap 'decoder/2/*' --tap-file w.h5
  refuses 1 "src.npy: cannot open as HDF5" decode -m "$DATA/src.npy" "$DATA/src.npy"
  [ ! -e w.h5 ]
}

@test "learned positions end somewhere, and it is said where" {
  python "
with open('long.npy', 'wb') as f: [np.save(f, np.full(n, 5, np.int32)) for n in (16, 17)]
with open('fits.npy', 'wb') as f: [np.save(f, np.full(n, 5, np.int32)) for n in (16, 3)]"
  refuses 1 "long.npy: record 1: a sequence of 17 ids" decode -m "$DATA/learned.h5" long.npy
  refuses 1 "fits.npy: record 0: a sequence of 16 ids, and 1 more" decode -m "$DATA/learned.h5" fits.npy --target fits.npy
  decode -m "$DATA/learned.h5" fits.npy --min-length 100 --tap-file w.h5 -o out.npy
  python "assert [len(r) for r in records('out.npy')] == [15, 15]"
}

@test "NaN in parameters, a parameter that is missing" {
  cp "$DATA/m.h5" bad.h5
  python "
import h5py
with h5py.File('bad.h5', 'r+') as f: f['decoder/1/ffn/linear1/weight'][3, 4] = float('nan')"
  local said="bad.h5: parameter decoder/1/ffn/linear1/weight holds NaN or infinity"
  refuses 1 "$said" decode -m bad.h5 "$DATA/src.npy"
  refuses 1 "$said" decode -m bad.h5 "$DATA/src.npy" --beam 3
  refuses 1 "$said" decode -m bad.h5 "$DATA/src.npy" --target "$DATA/trg.npy"
  refuses 1 "$said" decode -m bad.h5 "$DATA/src.npy" --target "$DATA/trg.npy" --give hidden
  refuses 1 "$said" ffn -m bad.h5:decoder/1/ffn "$DATA/vectors.npy"
  run -1 --separate-stderr model average "$DATA/m.h5" bad.h5 -o mean.h5
  [[ $stderr == "model: $said" ]]
  [ ! -e mean.h5 ]
  # A parameter that a run does not use is not its business: a model is not read whole to be opened.
  encode -m bad.h5 "$DATA/src.npy" | cmp - <(encode -m "$DATA/m.h5" "$DATA/src.npy")
  cp "$DATA/m.h5" bad.h5
  python "
import h5py
with h5py.File('bad.h5', 'r+') as f: del f['decoder/1/norm3/weight']"
  refuses 1 "bad.h5: the model has no parameter decoder/1/norm3/weight" decode -m bad.h5 "$DATA/src.npy"
}

@test "options that contradict each other are a usage error" {
  refuses 2 "--nbest 3 is more than --beam 2" decode -m "$DATA/m.h5" "$DATA/src.npy" --beam 2 --nbest 3
  refuses 2 "--temperature needs --sample" decode -m "$DATA/m.h5" "$DATA/src.npy" --temperature 2
  refuses 2 "--beam needs" decode -m "$DATA/m.h5" "$DATA/src.npy" --sample --beam 2
  refuses 2 "--beam needs" decode -m "$DATA/m.h5" "$DATA/src.npy" --target "$DATA/trg.npy" --beam 2
  refuses 2 "--min-length 5 is more than --max-length 3" decode -m "$DATA/m.h5" "$DATA/src.npy" --min-length 5 --max-length 3
  refuses 2 "--give needs --target" decode -m "$DATA/m.h5" "$DATA/src.npy" --give hidden
  refuses 2 "only one input can be standard input" decode -m "$DATA/m.h5" - --target -
  refuses 2 "whole model" decode -m "$DATA/m.h5:decoder" "$DATA/src.npy"
  refuses 2 "--beam" decode -m "$DATA/m.h5" "$DATA/src.npy" --beam 0
}

@test "a closed pipe is quiet, -v says how fast" {
  run -0 bash -o pipefail -c "decode -m '$DATA/m.h5' '$DATA/src.npy' -v | head -c 1 > /dev/null || [ \$? = 141 ]"
  run -0 --separate-stderr decode -m "$DATA/m.h5" "$DATA/src.npy" -v -o out.npy
  [[ $stderr =~ ^"decode: 12 sentences, "[0-9]+" tokens, ".*" sentences/s, "[0-9]+" tokens/s"$ ]]
}

@test "law 3: decode --target unfolds into the small tools, bit for bit" {
  local scripts="$BATS_TEST_DIRNAME/../../scripts"
  local small="--source-vocabulary 40 --target-vocabulary 40 --width 32 --heads 4 --inner 48 --begin-id 1 --end-id 2 --encoder-layers 2 --decoder-layers 2"
  model make $small --norm-position pre --norm-kind rms --gated --activation silu --positions rotary --kv-heads 2 --no-bias -o modern.h5
  python "
with open('begun.npy', 'wb') as out: [np.save(out, np.insert(t, 0, 1).astype(np.int32)) for t in records('$DATA/trg.npy')]"
  for model in "$DATA/m.h5" modern.h5; do
    decode -m "$model" "$DATA/src.npy" --target "$DATA/trg.npy" --give hidden -o whole.npy
    encode -m "$model" "$DATA/src.npy" -o memory.npy
    "$scripts/unfold-decode" "$model" memory.npy begun.npy parts.npy
    cmp whole.npy parts.npy
  done
}

@test "beyond the context that a language model was trained on: refused, slid, or gone on with, as one says" {
  # Learned positions for 17 rows, begin and 16 ids; the same model, sinusoidal, trained on windows of 16 ids.
  python "
rng = np.random.default_rng(7)
np.save('text.npy', rng.integers(3, 12, 600).astype(np.int32))
with open('prompts.npy', 'wb') as f: [np.save(f, rng.integers(3, 12, n).astype(np.int32)) for n in (5, 1, 3)]
np.save('full.npy', rng.integers(3, 12, 16).astype(np.int32))
np.save('long.npy', rng.integers(3, 12, 40).astype(np.int32))"
  local task="--task language-model --target text.npy --target-vocabulary 12 --begin-id 1 --end-id 2 --width 16 --heads 2 --inner 16 --decoder-layers 1
    --steps 5 --warmup 2 --quiet --context 16"
  train $task -o sines.h5
  train $task --positions learned --max-positions 17 -o learned.h5
  model describe sines.h5 | grep -q '^context *16$'
  for m in sines learned; do
    refuses 1 "prompts.npy: record 0: 5 ids and 12 more (--max-length) are beyond the 16 that the model was trained on; --slide" \
      decode -m $m.h5 prompts.npy --max-length 12
    refuses 1 "long.npy: record 0: a sequence of 40 ids" decode -m $m.h5 long.npy
    # Not asked for a length, it ends with the context.
    decode -m $m.h5 prompts.npy --min-length 300 -o short.npy
    decode -m $m.h5 prompts.npy --min-length 40 --slide --max-length 40 -o slid.npy
    decode -m $m.h5 prompts.npy --min-length 40 --slide --max-length 40 --batch-rows 1 -j 1 | cmp - slid.npy
    for type in f16 int8; do
      decode -m $m.h5 prompts.npy --min-length 40 --slide --max-length 40 --cache $type --scores kept-scores.npy -o kept.npy
      decode -m $m.h5 prompts.npy --min-length 40 --slide --max-length 40 --cache $type --batch-rows 1 -j 1 --scores scores.npy | cmp - kept.npy
      cmp scores.npy kept-scores.npy
    done
    decode -m $m.h5 long.npy --slide --min-length 9 --max-length 9 -o tail.npy
    python "
prompts, short, slid = records('prompts.npy'), records('short.npy'), records('slid.npy')
assert [len(s) for s in short] == [16, 16, 16]
assert [len(s) for s in slid] == [len(p) + 40 for p in prompts]
for a, b in zip(short, slid): assert (a == b[:16]).all()
assert len(records('tail.npy')[0]) == 49
# The second window: the last 8 of the first one, then 8 more; the third begins with those.
with open('second.npy', 'wb') as f: [np.save(f, s[8:16]) for s in slid]
with open('third.npy', 'wb') as f: [np.save(f, s[16:24]) for s in slid]"
    for n in 2:8 3:16; do
      decode -m $m.h5 $([ $n = 2:8 ] && echo second || echo third).npy --min-length 300 -o again.npy
      python "for a, b in zip(records('again.npy'), records('slid.npy')): assert (a == b[${n#*:}:${n#*:} + 16]).all()"
    done
    # Samples draw by the place in the whole output: without a window they would be the same to its end.
    decode -m $m.h5 prompts.npy --slide --sample --seed 4 --min-length 40 --max-length 40 -o drawn.npy
    decode -m $m.h5 prompts.npy --sample --seed 4 --min-length 300 -o first.npy
    python "
drawn = records('drawn.npy')
for a, b in zip(records('first.npy'), drawn): assert (a == b[:len(a)]).all()
assert any((d[-8:] != d[-16:-8]).any() for d in drawn)"
    # The scores are those of all that was drawn, and --target stays within the context, too.
    decode -m $m.h5 prompts.npy --slide --max-length 8 --min-length 8 --scores a.npy -o a.ids.npy
    decode -m $m.h5 prompts.npy --max-length 8 --min-length 8 --scores b.npy -o b.ids.npy
    cmp a.npy b.npy && cmp a.ids.npy b.ids.npy
  done
  refuses 1 "long.npy: record 0: a sequence of 40 ids is beyond the 16 that the model was trained on; --beyond-context leaves them" \
    decode -m sines.h5 full.npy --target long.npy
  decode -m sines.h5 full.npy --target full.npy -o p.npy
  decode -m sines.h5 full.npy --target long.npy --beyond-context -o p.npy
  decode -m sines.h5 long.npy --beyond-context --min-length 20 --max-length 20 -o on.npy
  python "assert len(records('on.npy')[0]) == 60"
  # Learned positions end all the same.
  refuses 1 "prompts.npy: record 0: 5 ids and 12 more (--max-length) are beyond the 16 that its learned positions allow; --slide moves the window on" \
    decode -m learned.h5 prompts.npy --max-length 12 --beyond-context
  refuses 2 "--slide and --beyond-context exclude each other" decode -m sines.h5 prompts.npy --slide --beyond-context
  refuses 2 "--slide follows one output" decode -m sines.h5 prompts.npy --slide --beam 2
  refuses 2 "--slide needs a language model" decode -m "$DATA/m.h5" "$DATA/src.npy" --slide
  refuses 2 "--slide: the model does not say" decode -m "$DATA/lm.h5" "$DATA/src.npy" --slide
  refuses 2 "--slide needs generation" decode -m sines.h5 full.npy --target full.npy --slide
}

@test "rules: the same bits for every batch size, window, number of threads and cut, and outputs that keep them" {
  python "
rng = np.random.default_rng(4)
rows = lambda n: [np.array([int(rng.integers(3, 40)), -1, int(rng.integers(3, 40)), int(rng.integers(3, 40))], np.int32) for _ in range(n)]
with open('ban.npy', 'wb') as f: [np.save(f, r) for r in rows(12)]
with open('one.npy', 'wb') as f: [np.save(f, r) for r in rows(1)]
with open('short.npy', 'wb') as f: [np.save(f, r) for r in rows(11)]
np.save('negative.npy', np.array([3, -2], np.int32))
with open('long.npy', 'wb') as f: [np.save(f, r) for r in rows(13)]"
  local rules="--repetition-penalty 1.2 --no-repeat-ngram 2 --suppress 4-6,9"
  for options in "--beam 3 --ban ban.npy" "--ban one.npy --keep-end" "--sample --nbest 2 --ban ban.npy"; do
    decode -m "$DATA/m.h5" $options $rules "$DATA/src.npy" --max-length 16 -o whole.npy
    for other in "--batch-rows 1 -j 1" "--batch-rows 7 --window 1" "--window 20 -j 2"; do
      decode -m "$DATA/m.h5" $options $rules $other --max-length 16 "$DATA/src.npy" | cmp - whole.npy
    done
    encode -m "$DATA/m.h5" "$DATA/src.npy" | decode -m "$DATA/m.h5" $options $rules --max-length 16 | cmp - whole.npy
    ban=$(grep -o '[a-z]*.npy' <<< "$options") python "
import os
out, bans = records('whole.npy'), records(os.environ['ban'])
each = len(out) // 12
assert len(out) == 12 * each and sum(map(len, out)) > 50
for i, o in enumerate(out):
    o, ban = o.tolist(), bans[i // each if len(bans) > 1 else 0].tolist()
    pairs = list(zip(o, o[1:]))
    assert len(set(pairs)) == len(pairs) and not {4, 5, 6, 9} & set(o)
    assert ban[0] not in o and tuple(ban[2:]) not in pairs"
  done
  refuses 1 "short.npy ended after 11 records, $DATA/src.npy has more" decode -m "$DATA/m.h5" "$DATA/src.npy" --ban short.npy
  refuses 1 "$DATA/src.npy ended after 12 records, long.npy has more" decode -m "$DATA/m.h5" "$DATA/src.npy" --ban long.npy
  refuses 1 "negative.npy: record 0: id -2 is outside the vocabulary of 40" decode -m "$DATA/m.h5" "$DATA/src.npy" --ban negative.npy
  refuses 1 "dense.npy: record 0: shape (4, 5) is not (n,)" decode -m "$DATA/m.h5" "$DATA/src.npy" --ban "$DATA/dense.npy"
  refuses 2 "--suppress: id 40 is outside the vocabulary of 40" decode -m "$DATA/m.h5" "$DATA/src.npy" --suppress 3,40
  refuses 2 "--ban needs generation: no --target" decode -m "$DATA/m.h5" "$DATA/src.npy" --target "$DATA/trg.npy" --ban one.npy
  # An empty input has nothing to ban anything from; rules that are off change nothing.
  decode -m "$DATA/m.h5" "$DATA/nothing.npy" --ban one.npy -o none.npy
  [ ! -s none.npy ]
  python "np.save('none.npy', np.zeros(0, np.int32))"
  decode -m "$DATA/m.h5" "$DATA/src.npy" -o plain.npy
  decode -m "$DATA/m.h5" "$DATA/src.npy" --no-repeat-ngram 0 --repetition-penalty 1 --ban none.npy | cmp - plain.npy
}

@test "rules that leave nothing stop the run; the end token is kept when asked for" {
  for options in "" "--beam 3" "--sample"; do
    refuses 1 ": the rules allow no token after 0 generated ones" decode -m "$DATA/m.h5" "$DATA/src.npy" $options --suppress 0-39
    refuses 1 "the rules allow no token after 38 generated ones" decode -m "$DATA/m.h5" "$DATA/src.npy" $options --no-repeat-ngram 1 --suppress 2 --max-length 60
  done
  for options in "--prefix $DATA/first.npy --max-length 9" "--beam 3" "--sample --temperature 3 --nbest 2"; do
    decode -m "$DATA/m.h5" "$DATA/src.npy" $options -o out.npy --tap 'decoder/0/norm1' --tap-file tap.npy
    decode -m "$DATA/m.h5" "$DATA/src.npy" $options --keep-end -o kept.npy --tap 'decoder/0/norm1' --tap-file kept.tap.npy
    cmp tap.npy kept.tap.npy
    python "
for o, k in zip(records('out.npy'), records('kept.npy')): assert (k == o).all() if len(k) == len(o) else (k[:-1] == o).all() and k[-1] == 2"
  done
  python "
assert {len(k) - len(o) for o, k in zip(records('out.npy'), records('kept.npy'))} == {0, 1}"
}

@test "the rules of a window that slides see what came before it" {
  python "
rng = np.random.default_rng(7)
np.save('text.npy', rng.integers(3, 12, 600).astype(np.int32))
with open('prompts.npy', 'wb') as f: [np.save(f, rng.integers(3, 12, n).astype(np.int32)) for n in (5, 1, 3)]"
  train --task language-model --target text.npy --target-vocabulary 12 --begin-id 1 --end-id 2 --width 16 --heads 2 --inner 16 --decoder-layers 1 \
    --steps 5 --warmup 2 --quiet --context 16 -o lm.h5
  decode -m lm.h5 prompts.npy --slide --min-length 60 --max-length 60 --no-repeat-ngram 2 -o out.npy
  python "
for o in records('out.npy'):
    pairs = list(zip(o.tolist(), o.tolist()[1:]))
    assert len(o) > 60 and len(set(pairs)) == len(pairs)"
}

@test "required phrases are there with any beam, and with the same bits for every batch size, window and number of threads" {
  python "
rng = np.random.default_rng(4)
def record(i):
    phrases = [rng.integers(3, 40, rng.integers(1, 4)).tolist() for _ in range(i % 4)]
    return np.array(sum([[-1] + p for p in phrases], [])[1:], np.int32)
with open('want.npy', 'wb') as f: [np.save(f, record(i)) for i in range(12)]
np.save('many.npy', np.arange(3, 33, dtype=np.int32))
np.save('one.npy', np.array([7], np.int32))"
  for options in "--beam 1" "--beam 2" "--beam 5 --nbest 2" "--beam 3 --max-length 16 --no-repeat-ngram 3 --prefix $DATA/first.npy"; do
    decode -m "$DATA/m.h5" "$DATA/src.npy" --require want.npy $options -o whole.npy
    for other in "--batch-rows 1 -j 1" "--batch-rows 7 --window 1" "--window 20 -j 2"; do
      decode -m "$DATA/m.h5" $options --require want.npy $other "$DATA/src.npy" | cmp - whole.npy
    done
    python "
out, src = records('whole.npy'), records('$DATA/src.npy')
each, found = len(out) // 12, 0
for i, w in enumerate(records('want.npy')):
    phrases = [p for p in ' '.join(map(str, w)).split(' -1 ') if p]
    for o in out[each * i : each * (i + 1)]:
        assert len(src[i]) or len(o) == 0
        if len(o) or len(src[i]) and phrases:
            for p in phrases:
                assert f' {p} ' in f' {\" \".join(map(str, o))} ', (i, p, o)
                found += 1
assert found >= 14 * each, found"
  done
  # Who requires nothing gets what he gets without.
  decode -m "$DATA/m.h5" "$DATA/src.npy" --beam 3 -o plain.npy
  decode -m "$DATA/m.h5" "$DATA/src.npy" --beam 3 --require want.npy -o whole.npy
  python "
for i in (0, 4, 8): assert (records('plain.npy')[i] == records('whole.npy')[i]).all()"
  refuses 1 ": room for 8 ids, and 30 are needed for what is required" decode -m "$DATA/m.h5" "$DATA/src.npy" --require many.npy --max-length 8
  # What can never come is told before the search.
  refuses 1 "src.npy: record 0: id 7 is required, but is suppressed" decode -m "$DATA/m.h5" "$DATA/src.npy" --require one.npy --suppress 7
  refuses 1 "src.npy: record 0: a phrase that is required holds one that is banned, of 1 ids from 7 on" \
    decode -m "$DATA/m.h5" "$DATA/src.npy" --require one.npy --ban one.npy
  python "
import numpy as np
np.save('end.npy', np.array([5, 2], '<i4'))"
  refuses 1 "src.npy: record 0: id 2 is required, but ends what is generated" decode -m "$DATA/m.h5" "$DATA/src.npy" --require end.npy
  refuses 2 "--require needs beam search: no --sample" decode -m "$DATA/m.h5" "$DATA/src.npy" --sample --require one.npy
  refuses 2 "--require needs one window: no --slide" decode -m "$DATA/lm.h5" "$DATA/src.npy" --slide --require one.npy
}

@test "beside the outputs: scores of ids, alignments, alternatives, as --target and taps show them" {
  beside() { decode -m "$DATA/m.h5" "$DATA/src.npy" --token-scores $1s.npy --alignment $1a.npy --alternatives $1k.npy --alternatives-scores $1l.npy -o $1o.npy "${@:2}"; }
  for options in "--max-length 9" "--beam 3 --nbest 2" "--sample --temperature 2 --nbest 2 --alternatives-count 40" "--beam 2 --max-length 9 --prefix $DATA/first.npy --no-repeat-ngram 2"; do
    beside whole. $options --scores whole.scores.npy
    for other in "--batch-rows 1 -j 1" "--batch-rows 7 --window 1"; do
      beside part. $options $other
      for what in s a k l o; do cmp whole.$what.npy part.$what.npy; done
    done
    decode -m "$DATA/m.h5" "$DATA/src.npy" ${options%--alt*} --tap "decoder/0/cross_attn/weights" --tap-file w.npy -o o.npy && cmp o.npy whole.o.npy
    beside end. $options --keep-end --tap 'decoder/0/cross_attn/weights' --tap-file v.npy
    cmp w.npy v.npy
    python "
src, out = records('$DATA/src.npy'), records('whole.o.npy')
each = len(out) // len(src)
with open('src.each.npy', 'wb') as f: [np.save(f, s) for s in src for _ in range(each)]"
    decode -m "$DATA/m.h5" src.each.npy --target whole.o.npy --give logits -o logits.npy
    decode -m "$DATA/m.h5" src.each.npy --target whole.o.npy -o logp.npy
    options="$options" python "
import os
rules = 'prefix' in os.environ['options']
names = 'src.each whole.o end.o whole.s end.s whole.scores whole.a end.a whole.k whole.l w logits logp'.split()
first = records('$DATA/first.npy') if rules else None
ended = 0
for i, (src, o, oe, s, se, total, a, ae, k, l, w, logits, logp) in enumerate(zip(*(records(n + '.npy') for n in names))):
    assert s.shape == a.shape == o.shape and se.shape == ae.shape == oe.shape
    K = k.shape[1]
    assert k.dtype == np.int32 and k.shape == l.shape == ((len(o) + 1 if len(src) else 0), K)
    if len(src) == 0: continue
    given = len(first[i]) if rules else 0
    assert (s[:given] == 0).all() and abs(s[given:] - logp[given:len(s)]).max(initial=0) < 1e-5
    assert abs(se.astype(float).sum() - total[0]) < 1e-4
    if len(oe) > len(o): ended += 1; assert abs(se[-1] - logp[-1]) < 1e-5
    mean = w.mean(0)
    assert w.shape[1] == len(o) + 1 and (mean[np.arange(len(oe)), ae] == mean[:len(oe)].max(1)).all() and (a == ae[:len(a)]).all()
    full = logits.astype(float) - np.log(np.exp(logits.astype(float)).sum(1, keepdims=True))
    order = np.argsort(-logits, axis=1, kind='stable')[:, :K]
    assert (order == k).all() and abs(np.take_along_axis(full, order, 1) - l).max() < 1e-5
assert ended > 0 or '--sample' not in os.environ['options']"
  done
  # A patch changes all of it alike.
  beside patched. --ablate decoder/1/self_attn/output --max-length 9
  run ! cmp -s patched.l.npy whole.l.npy
  decode -m "$DATA/lm.h5" "$DATA/src.npy" --max-length 4 --alternatives k.npy -o out.npy
  python "
for s, o, k in zip(records('$DATA/src.npy'), records('out.npy'), records('k.npy')): assert k.shape == ((len(o) - len(s) + 1 if len(s) else 0), 5)"
  refuses 2 "--alignment needs an encoder" decode -m "$DATA/lm.h5" "$DATA/src.npy" --alignment a.npy
  refuses 2 "--alignment-layer 2: the last layer is 1" decode -m "$DATA/m.h5" "$DATA/src.npy" --alignment a.npy --alignment-layer 2
  refuses 2 "--alternatives-count 41 is more than the vocabulary of 40" decode -m "$DATA/m.h5" "$DATA/src.npy" --alternatives a.npy --alternatives-count 41
  refuses 2 "--alternatives-scores needs --alternatives" decode -m "$DATA/m.h5" "$DATA/src.npy" --alternatives-scores a.npy
}

@test "an ensemble: the mean of what its models say, in every search; what is none is refused" {
  small="--source-vocabulary 40 --target-vocabulary 40 --begin-id 1 --end-id 2 --heads 4 --inner 48 --tied none"
  model make $small --seed 6 --width 48 --encoder-layers 1 --decoder-layers 1 -o other.h5
  model make $small --seed 7 --width 32 --encoder-layers 2 --decoder-layers 3 --norm-position pre -o third.h5
  for mean in probabilities logs; do
    decode -m "$DATA/m.h5" -m other.h5 -m third.h5 --ensemble $mean "$DATA/src.npy" --max-length 9 --token-scores scores.npy -o out.npy
    for name in "$DATA/m" other third; do
      decode -m $name.h5 "$DATA/src.npy" --target out.npy --give logits -o "$(basename $name).npy"
    done
    # Each id is the likeliest of the mean, whose logarithm its score is.
    MEAN=$mean /usr/bin/python3 - <<'PY'
import os
import numpy as np
def records(path):
    out = []
    with open(path, "rb") as file:
        while file.peek(1): out.append(np.load(file))
    return out
def logs(x):
    x = x.astype("f8") - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))
checked = 0
for ids, scores, *models in zip(*map(records, ["out.npy", "scores.npy", "m.npy", "other.npy", "third.npy"])):
    if not len(ids): continue
    models = [logs(m) for m in models]
    mean = sum(models) / 3 if os.environ["MEAN"] == "logs" else np.log(sum(np.exp(m) for m in models) / 3)
    mean[:, 1] = -np.inf
    for t, id in enumerate(ids):
        assert mean[t].argmax() == id and abs(mean[t, id] - scores[t]) < 1e-5
        checked += 1
assert checked > 50
PY
  done
  decode -m "$DATA/m.h5" "$DATA/src.npy" --beam 3 --max-length 9 -o alone.npy
  decode -m "$DATA/m.h5" -m "$DATA/m.h5" "$DATA/src.npy" --beam 3 --max-length 9 | cmp - alone.npy
  for options in "--beam 4 --nbest 2" "--sample --nbest 3 --seed 3" "--no-repeat-ngram 2"; do
    decode -m "$DATA/m.h5" -m other.h5 "$DATA/src.npy" $options --max-length 9 --scores a.npy -o whole.npy
    decode -m "$DATA/m.h5" -m other.h5 "$DATA/src.npy" $options --max-length 9 --batch-rows 1 --window 3 -j 2 --scores b.npy | cmp - whole.npy
    cmp a.npy b.npy
  done
  decode -m "$DATA/lm.h5" -m "$DATA/lm.h5" "$DATA/src.npy" --max-length 4 | cmp - <(decode -m "$DATA/lm.h5" "$DATA/src.npy" --max-length 4)
  refused() {
    run "$@" -o refused.npy
    [ "$status" -ne 0 ]
    [[ "$output" == *"$message"* ]] || { echo "$output"; false; }
    [ ! -e refused.npy ]
  }
  message="lm.h5: kind is decoder-only, that of $DATA/m.h5 is encoder-decoder: they are no ensemble" refused decode -m "$DATA/m.h5" -m "$DATA/lm.h5" "$DATA/src.npy"
  model make ${small/--end-id 2/--end-id 3} --width 32 --encoder-layers 1 --decoder-layers 1 -o end.h5
  message="end.h5: end_id is 3, that of $DATA/m.h5 is 2" refused decode -m "$DATA/m.h5" -m end.h5 "$DATA/src.npy"
  message="vectors.npy: record 0: vectors are the memory of one model" refused decode -m "$DATA/m.h5" -m other.h5 "$DATA/vectors.npy"
  message="--target needs one model" refused decode -m "$DATA/m.h5" -m other.h5 "$DATA/src.npy" --target "$DATA/trg.npy"
  message="--ensemble needs several models" refused decode -m "$DATA/m.h5" "$DATA/src.npy" --ensemble logs
}

# Models with tokenizers, for what is about text: made once.
language_models() {
  if [ ! -e "$DATA/language" ]; then
    mkdir making
    cd making
    for _ in $(seq 40); do echo "日本語のテキストを少しずつ書く。 Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich."; done > text
    tokenize --quiet --train --type byte -o byte.model text
    tokenize --quiet --train --type byte-bpe --vocab-size 300 -o bpe.json text
    for _ in $(seq 40); do echo "Boxer jagen Viktor quer durch den Deich. Sylter schreiben. Kampf."; done > ascii
    tokenize --quiet --train --type unigram --vocab-size 290 --byte-fallback -o unigram.model ascii
    tokenize --quiet --train --type bpe --vocab-size 90 -o bpe.model text
    for tokenizer in byte.model bpe.json unigram.model bpe.model; do
      tokenize -m $tokenizer text -o text.npy
      train --task language-model --target text.npy --tokenizer $tokenizer --width 32 --heads 2 --inner 64 --decoder-layers 1 --context 400 --steps 200 \
        --batch-tokens 1000 --warmup 20 --learning-rate 0.02 --dropout 0 --quiet -o $tokenizer.h5
    done
    cd ..
    mv making "$DATA/language"
  fi
  ln -s "$DATA"/language/*.h5 .
}

@test "--stop ends an output with the token that completes the text, in every search" {
  language_models
  local runs=0
  { echo Zwölf; echo 日本; echo; echo Vik; } > prompts
  for model in byte.model.h5 bpe.json.h5 bpe.model.h5; do
    tokenize -m $model prompts -o prompts.npy
    cp prompts.npy prompts-$model.npy
    for options in "" "--beam 3 --nbest 2" "--sample --seed 2 --nbest 2 --temperature 2" "--no-repeat-ngram 3"; do
      decode -m $model $options prompts.npy --max-length 60 -o plain.npy
      for stop in "er" "ト" "jagen Vik"; do
        decode -m $model $options prompts.npy --max-length 60 --stop nowhere --stop "$stop" -o stopped.npy
        decode -m $model $options prompts.npy --max-length 60 --stop nowhere --stop "$stop" --batch-rows 1 -j 1 --window 1 | cmp - stopped.npy
        run=run$((++runs))
        cp plain.npy $run.plain.npy
        mv stopped.npy $run.npy
        printf '%s\t' $run $model "$stop" "$([[ $options == *beam* ]] || echo greedy)" >> runs
        echo >> runs
      done
    done
  done
  # The text of each beginning of what was generated, one after another.
  python '
import subprocess
ended = 0
for line in open("runs"):
    run, model, stop, greedy, _ = line.split("\t")
    prompts, plain, stopped = records("prompts-" + model + ".npy"), records(run + ".plain.npy"), records(run + ".npy")
    each, all_generated = len(plain) // len(prompts), []
    assert len(plain) == len(stopped) == each * len(prompts) > 0
    for i, (p, s) in enumerate(zip(plain, stopped)):
        if greedy: assert (p[: len(s)] == s).all()  # the same until it ends
        all_generated.append(s[len(prompts[i // each]):])
    with open("beginnings.npy", "wb") as f:
        for generated in all_generated: np.save(f, generated[:-1]), np.save(f, generated)
    texts = subprocess.run(["tokenize", "-m", model, "--decode", "beginnings.npy"], capture_output=True, check=True).stdout.split(b"\n")
    assert len(texts) == 2 * len(stopped) + 1
    for p, s, generated, before, text in zip(plain, stopped, all_generated, texts[::2], texts[1::2]):
        assert stop.encode() not in before, (run, s)
        if stop.encode() in text: ended += 1
        elif greedy: assert len(s) == len(p)
assert ended'
  # A window that moves on looks at all that was generated.
  decode -m byte.model.h5 prompts.npy --slide --max-length 700 --min-length 700 --sample --seed 1 --stop "nowhere" -o long.npy
  tail=$(tokenize -m byte.model.h5 --decode long.npy | head -n 1 | tail -c 20)
  decode -m byte.model.h5 prompts.npy --slide --max-length 700 --min-length 700 --sample --seed 1 --stop "$tail" -o same.npy
  python 'a, b = records("long.npy"), records("same.npy"); assert len(a[0]) == len(b[0]) and (a[0] == b[0]).all()'
  refuses 2 "option '--stop' needs a value" decode -m byte.model.h5 prompts.npy --stop ""
  refuses 2 "--require needs no --stop" decode -m bpe.model.h5 prompts.npy --stop a --require prompts.npy
  refuses 1 "holds no tokenizer, which --stop needs" decode -m "$DATA/lm.h5" "$DATA/src.npy" --stop a
}

@test "--stream writes the text of the ids, token by token in whole characters" {
  language_models
  { echo Zwölf; echo 日本; echo; echo Vik; } > prompts
  for model in byte.model.h5 bpe.json.h5 unigram.model.h5 bpe.model.h5; do
    tokenize -m $model prompts -o prompts.npy
    for options in "" "--sample --seed 5 --top-k 3" "--stop er --no-repeat-ngram 4" "--slide --max-length 420"; do
      words="--max-length 90 $options"
      [[ $options != *max-length* ]] || words=$options
      decode -m $model $words prompts.npy -o ids.npy
      tokenize -m $model --decode ids.npy > expected
      decode -m $model $words --stream prompts.npy | cmp - expected
      decode -m $model $words --stream prompts.npy -o streamed.txt
      cmp streamed.txt expected
    done
  done
  # Each write is a packet of its own here.
  tokenize -m byte.model.h5 <(echo 日本) -o prompt.npy
  decode -m byte.model.h5 --max-length 60 prompt.npy | tokenize -m byte.model.h5 --decode > expected
  python '
import socket, subprocess
ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
process = subprocess.Popen(["decode", "-m", "byte.model.h5", "--max-length", "60", "--stream", "prompt.npy"], stdout=its)
its.close()
packets = []
while packet := ours.recv(1 << 16): packets.append(packet)
assert process.wait() == 0
whole = b"".join(packets)
assert whole == open("expected", "rb").read()
assert whole.decode()  # so that a piece that is none was cut
for packet in packets: packet.decode()
assert len(packets) > 15, packets'
  # A prompt is answered before the next one is there.
  mkfifo ask
  decode -m byte.model.h5 --max-length 5 --stream ask > answers &
  exec 5> ask
  cat prompt.npy >&5
  for _ in $(seq 500); do [ "$(wc -l < answers)" -lt 1 ] || break; sleep 0.01; done
  [ "$(wc -l < answers)" -eq 1 ]
  cat prompt.npy >&5
  exec 5>&-
  wait $!
  [ "$(wc -l < answers)" -eq 2 ]
  for other in "--beam 2" "--sample --nbest 2" "--scores s.npy" "--format npy" "--keep-end"; do
    run -2 --separate-stderr decode -m byte.model.h5 prompt.npy --stream $other
    [[ $stderr == *"needs records: no --stream"* ]]
  done
  refuses 1 "holds no tokenizer, which --stream needs" decode -m "$DATA/lm.h5" "$DATA/src.npy" --stream
}

@test "--replace-unknown: positions in the place of unknown ids, and their words in the text" {
  for _ in 1 2 3 4 5 6; do printf '%s\n' "a man, a plan, a canal" "the man has the plan" "a canal is planned"; done > text
  tokenize --quiet --train --type char -o char.model text
  model make --tokenizer char.model --width 32 --heads 4 --inner 48 --encoder-layers 1 --decoder-layers 2 --seed 3 -o t.h5
  python '
import h5py
with h5py.File("t.h5", "r+") as f:
    for name in f: print(name)
    f["decoder/1/norm3/weight"][...] *= 3' > /dev/null
  printf '%s\n' "the XÜZ, man" "" "a plan" > source
  tokenize -m t.h5 source -o source.npy
  for options in "--max-length 30" "--beam 3 --nbest 2 --max-length 30" "--sample --temperature 3 --max-length 30 --seed 4" "--prefix prefix.npy --max-length 9"; do
    python '
with open("prefix.npy", "wb") as f: [np.save(f, np.array(p, np.int32)) for p in ([0, 4], [], [5, 0])]'
    decode -m t.h5 $options source.npy --alignment a.npy -o o.npy
    decode -m t.h5 $options source.npy --replace-unknown -o c.npy
    options="$options" python '
import os
each = len(records("o.npy")) // 3
for i, (o, a, c) in enumerate(zip(*map(records, ("o.npy", "a.npy", "c.npy")))):
    given = (2, 0, 2)[i // each] if "prefix" in os.environ["options"] else 0
    expected = np.where((o == 0) & (np.arange(len(o)) >= given), -1 - a, o)
    assert (c == expected).all()
    open("unknown", "a").write("y" * int((c < 0).sum()))'
  done
  grep -q y unknown
  # Their words: position 4 and on of "the XÜZ, man" are unknown letters.
  python '
def ids(text, start=0):
    import subprocess
    return np.load(__import__("io").BytesIO(subprocess.run(["tokenize", "-m", "t.h5"], input=text.encode(), capture_output=True, check=True).stdout))
plan = ids("a XÜZ, the plan")
with open("copied.npy", "wb") as f:
    np.save(f, np.where(plan == 0, -1 - 5, plan).astype("<i4")), np.save(f, np.zeros(0, "<i4")), np.save(f, np.array([-1 - 3], "<i4"))'
  tokenize -m t.h5 --decode --replace-unknown source copied.npy > text.out
  printf '%s\n' "a XÜZ, the plan" "" "plan" | cmp - text.out
  tokenize -m t.h5 --decode --replace-unknown source < copied.npy | cmp - text.out
  tokenize -m t.h5 source | decode -m t.h5 --max-length 30 --replace-unknown | tokenize -m t.h5 --decode --replace-unknown source > piped
  [ "$(wc -l < piped)" -eq 3 ]
  run -1 --separate-stderr tokenize -m t.h5 --decode copied.npy
  [[ $stderr == *"copied.npy: record 0: "*"-6"* ]] || { echo "$stderr"; false; }
  run -1 --separate-stderr tokenize -m t.h5 --decode --replace-unknown <(head -n 2 source) copied.npy
  [[ $stderr == *" ended after 2 lines, copied.npy has more" ]]
  run -1 --separate-stderr tokenize -m t.h5 --decode --replace-unknown <(cat source source) copied.npy
  [[ $stderr == *"copied.npy ended after 3 records, "*" has more lines" ]]
  run -1 --separate-stderr tokenize -m t.h5 --decode --replace-unknown <(printf 'a\n\na plan\n') copied.npy
  [[ $stderr == "tokenize: copied.npy: record 0: source position 5, its line has 1 tokens" ]]
  refuses 1 "holds no tokenizer, which --replace-unknown needs" decode -m "$DATA/m.h5" "$DATA/src.npy" --replace-unknown
  refuses 2 "--replace-unknown needs an encoder" decode -m "$DATA/lm.h5" "$DATA/src.npy" --replace-unknown
}

@test "--replace-unknown: positions count control ids as the source was tokenized, and whole words are copied" {
  for _ in 1 2 3 4 5 6; do printf '%s\n' "a man, a plan, a canal" "the man has the plan" "a canal is planned by her"; done > text
  tokenize --quiet --train --vocab-size 300 --byte-fallback -o bpe.model text
  printf '%s' "Say: {prompt}!" > frame
  # Records of one id each, one for every position of the source, tokenized with the options.
  copied() {
    tokenize -m bpe.model source "$@" -o source.npy
    python '
with open("copied.npy", "wb") as f: [np.save(f, np.array([-1 - p], "<i4")) for p in range(len(records("source.npy")[0]))]
open("lines", "w").write(open("source").read() * len(records("source.npy")[0]))'
    tokenize -m bpe.model --decode --replace-unknown lines "$@" copied.npy | uniq > words.out
  }
  unknown=" $(printf '\342\201\207') "  # as the tokenizer writes its unknown id
  for source in "Yesterday, (eleven) foo." "Über  all"; do
    printf '%s\n' "$source" > source
    printf '%s\n' "$source" | tr -s ' ' '\n' | tr -d '(),.' > words
    copied
    cmp words words.out
    copied --end
    { cat words && echo "$unknown"; } | cmp - words.out
    copied --begin --end
    { echo "$unknown" && cat words && echo "$unknown"; } | cmp - words.out
    copied --begin --max-tokens 4 --overflow truncate
    { echo "$unknown" && head -n 1 words; } | cmp - words.out
    copied --prompt-template frame --end
    { echo Say && cat words && echo "$unknown"; } | cmp - words.out
  done
  # Control ids that the tokenizer puts there itself: positions 0 and 1 are [CLS] and the first word.
  tokenize --quiet --train --type wordpiece --vocab-size 38 -o wordpiece.json text
  printf '%s\n' "man plan" "man plan" > lines
  python '
with open("two.npy", "wb") as f: [np.save(f, np.array([-1 - p], "<i4")) for p in (0, 1)]'
  [ "$(tokenize -m wordpiece.json --special lines --pieces | head -n 1 | cut -d ' ' -f 1)" != man ]
  tokenize -m wordpiece.json --decode --replace-unknown lines two.npy > with
  tokenize -m wordpiece.json --decode --replace-unknown lines --no-special two.npy > without
  [ "$(tail -n 1 with)" = man ] && [ "$(head -n 1 without)" = man ]
  run -2 --separate-stderr tokenize -m bpe.model --decode --begin source.npy
  [[ $stderr == *"--begin"*"text to encode: no --decode, or --replace-unknown"* ]] || { echo "$stderr"; false; }
  run -2 --separate-stderr tokenize -m bpe.model --decode --replace-unknown lines --max-tokens 4 --overflow split copied.npy
  [[ $stderr == *"--replace-unknown needs a record for each line: no --overflow split"* ]] || { echo "$stderr"; false; }
}
