#!/usr/bin/env bats
# Looking into a run and reaching into it: names, taps, patches, ablations, in every kind of layer, while generating too.

setup_file() {
  export CHECKPOINTS="$BATS_TEST_DIRNAME/../../testdata/checkpoints" DATA="$BATS_FILE_TMPDIR"
  export PATH="$BATS_TEST_DIRNAME/../../scripts:$PIPEFORMER_BIN:$PATH"
  cd "$DATA" || exit 1
  for name in gpt2 gpt_neox bert_cls t5 llama31 qwen3 mistral gemma vit marian electra; do
    model import "$CHECKPOINTS/$name" -o $name.h5
  done
  model make --source-vocabulary 40 --target-vocabulary 40 --begin-id 1 --end-id 2 --width 32 --heads 4 --inner 48 \
    --encoder-layers 2 --decoder-layers 2 -o demo.h5
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
random = np.random.default_rng(5)
def stream(path, arrays):
    with open(path, "wb") as out:
        for array in arrays:
            np.save(out, array)
text = lambda lengths: [random.integers(3, 40, n).astype("<i4") for n in lengths]
source = text([9, 1, 16, 4])
stream("source.npy", source)
stream("other.npy", text([9, 1, 16, 4]))
stream("target.npy", text([3, 8, 1, 5]))
stream("first.npy", [s[:1] for s in source])
stream("rest.npy", [s[1:] for s in source])
stream("one.npy", [np.ones(32, "<f4")])
PYTHON
}

setup() {
  bats_require_minimum_version 1.5.0
  cd "$BATS_TEST_TMPDIR" || exit 1
  ln -s "$DATA"/*.h5 "$DATA"/*.npy .
}

# refuses STATUS MESSAGE COMMAND...
refuses() {
  local status=$1 message=$2
  shift 2
  run "-$status" --separate-stderr "$@" -o refused.npy
  # shellcheck disable=SC2154
  [[ $stderr == *"$message"* ]] || { echo "$stderr"; false; }
  [ ! -e refused.npy ]
}

# each_patched TOOL ARGUMENTS...: the names that the tool lists are those that it writes; patching each with its own value changes no bit
# of the result, and ablating it changes the result.
each_patched() {
  "$@" --tap-file taps.h5 -o whole.npy
  "$@" -o plain.npy
  cmp plain.npy whole.npy
  "$@" --list-taps | cut -f 1 > names
  [ -s names ]
  h5ls -r taps.h5 | sed -n 's|^/\(.*\)/data .*|\1|p' > written
  grep -vxFf written names && { echo "not written"; return 1; }
  rm -f patched.* ablated.*
  local number=0
  while read -r name; do
    number=$((number + 1))
    "$@" --patch "$name=taps.h5" -o patched.$number.npy
    "$@" --ablate "$name" -o ablated.$number.npy
  done < names
  # The number of a file is the line of its name.
  sha256sum whole.npy patched.*.npy ablated.*.npy | awk 'NR == 1 { whole = $1; next }
    ($2 ~ /^patched/) != ($1 == whole) { print $2 " of these names:"; bad = 1 } { ++files } END { exit bad || files != 2 * n }' n=$number ||
    { cat -n names; return 1; }
}

@test "every intermediate: patched with its own value, the same bits; ablated, another result" {
  for name in gpt2 gpt_neox llama31 qwen3 mistral gemma; do
    echo "$name"
    each_patched decode -m $name.h5 first.npy --target rest.npy --give logits
  done
  for name in t5 marian demo; do
    echo "$name"
    each_patched decode -m $name.h5 source.npy --target target.npy --give logits
  done
  each_patched encode -m electra.h5 source.npy --give logits
  each_patched encode -m electra.h5 source.npy --pool model
  each_patched encode -m demo.h5 source.npy
  each_patched classify -m bert_cls.h5 source.npy --give logits
  each_patched classify -m vit.h5 "$CHECKPOINTS/vit/expect.pixel_values.npy" --give logits
}

@test "ablating a head is a model whose output matrix has zeros in its columns" {
  decode -m demo.h5 source.npy --target target.npy --give logits --ablate 'decoder/1/cross_attn/context[;;2]' -o ablated.npy
  cp demo.h5 zeroed.h5
  /usr/bin/python3 -c "
import h5py
with h5py.File('zeroed.h5', 'r+') as f: f['decoder/1/cross_attn/output/weight'][:, 16:24] = 0"
  decode -m zeroed.h5 source.npy --target target.npy --give logits | cmp - ablated.npy
  decode -m demo.h5 source.npy --target target.npy --give logits --ablate 'decoder/1/cross_attn/weights[;;2]' | cmp - ablated.npy
  run ! cmp -s ablated.npy <(decode -m demo.h5 source.npy --target target.npy --give logits)
  decode -m zeroed.h5 source.npy --beam 3 -o expected.npy
  decode -m demo.h5 source.npy --beam 3 --ablate 'decoder/1/cross_attn/context[;;2]' | cmp - expected.npy
}

@test "patching with another sentence's value is the unfolded pipeline with that value" {
  encode -m demo.h5 other.npy --tap-file other.h5 > /dev/null
  encode -m demo.h5 source.npy --tap-file own.h5 -o plain.npy
  for name in encoder/0/self_attn/context encoder/0/residual1; do
    encode -m demo.h5 source.npy --patch $name=other.h5 -o patched.npy
    x=other.h5:$name
    if [[ $name == *context ]]; then
      linear -m demo.h5:encoder/0/self_attn/output $x | add --to own.h5:encoder/positions -o x.npy
      x=x.npy
    fi
    norm -m demo.h5:encoder/0/norm1 $x -o y.npy
    ffn -m demo.h5:encoder/0/ffn y.npy | add --to y.npy | norm -m demo.h5:encoder/0/norm2 -o z.npy
    unfold-encoder-layer demo.h5 1 z.npy unfolded.npy
    cmp patched.npy unfolded.npy
    run ! cmp -s patched.npy plain.npy
  done
  # Weights: their product with the values, which is a linear layer of one head's values.
  encode -m demo.h5 source.npy --patch 'encoder/0/self_attn/weights[0;;1]=other.h5' --tap encoder/0/self_attn/context --tap-file c.npy -o /dev/null
  /usr/bin/python3 - <<'PYTHON'
import h5py, numpy as np
other, own = h5py.File("other.h5"), h5py.File("own.h5")
weights = other["encoder/0/self_attn/weights/data"][()][81:162].reshape(9, 9)
np.save("w.npy", weights)
np.save("v.npy", np.ascontiguousarray(own["encoder/0/self_attn/value/data"][:9, 8:16].T))
PYTHON
  linear --weight v.npy w.npy -o head.npy
  /usr/bin/python3 - <<'PYTHON'
import h5py, numpy as np
with open("c.npy", "rb") as f: first = np.load(f)
assert (first[:, 8:16] == np.load("head.npy")).all()
own = h5py.File("own.h5")["encoder/0/self_attn/context/data"][:9]
assert (first[:, :8] == own[:, :8]).all() and (first[:, 16:] == own[:, 16:]).all() and (first != own).any()
PYTHON
}

@test "parts: records, positions and heads; one vector everywhere; scale and add" {
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
np.save("cell.npy", np.arange(16, dtype="<f4").reshape(2, 8))
PYTHON
  tap() { encode -m demo.h5 source.npy --tap encoder/0/self_attn/context --tap-file "$@" -o /dev/null; }
  tap plain.npy
  tap patched.npy --patch 'encoder/0/self_attn/context[2;1,4;3]=cell.npy'
  tap scaled.npy --scale 'encoder/0/self_attn/context[0,2-3]=0.5'
  tap added.npy --add encoder/0/self_attn/context=one.npy
  tap mean.npy --ablate 'encoder/0/self_attn/context[0]' --ablate-with mean:plain.npy
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
def records(path):
    with open(path, "rb") as f: return [np.load(f) for _ in range(4)]
plain = records("plain.npy")
expected = [x.copy() for x in plain]
expected[2][[1, 4], 24:] = np.arange(16).reshape(2, 8)
assert all((a == b).all() for a, b in zip(records("patched.npy"), expected))
assert all((a == b * (1 if i == 1 else 0.5)).all() for i, (a, b) in enumerate(zip(records("scaled.npy"), plain)))
assert all((a == b + np.float32(1)).all() for a, b in zip(records("added.npy"), plain))
mean = records("mean.npy")
assert (mean[0] == np.concatenate(plain).mean(0, dtype="f8").astype("f4")).all() and (mean[1] == plain[1]).all()
PYTHON
}

@test "generating: a patch, an ablation, a scale and an added vector are those of forced decoding, for all searches" {
  changes=(--ablate 'decoder/0/self_attn/weights[;;1]' --scale 'decoder/1/ffn/hidden[0,2]=3' --add decoder/0/residual1=one.npy
    --ablate 'decoder/1/cross_attn/scores[1-3;;0]' --scale 'decoder/0/self_attn/key[;0,2;]=-1' --scale 'encoder/1/norm2[1]=2' --scale 'logits[3]=1.5')
  for search in "" "--beam 4 --nbest 2" "--sample --nbest 3 --seed 2"; do
    # shellcheck disable=SC2086
    decode -m demo.h5 source.npy $search "${changes[@]}" -o out.npy --scores scores.npy --max-length 12 --tap-file taps.h5
    # shellcheck disable=SC2086
    decode -m demo.h5 source.npy $search "${changes[@]}" --max-length 12 --batch-rows 1 -j 2 | cmp - out.npy
    # shellcheck disable=SC2086
    run ! cmp -s out.npy <(decode -m demo.h5 source.npy $search --max-length 12)
    /usr/bin/python3 - <<'PYTHON'
import h5py, numpy as np
def records(path):
    out = []
    with open(path, "rb") as f:
        while f.peek(1): out.append(np.load(f))
    return out
out, scores = records("out.npy"), records("scores.npy")
taps = h5py.File("taps.h5")
data, offsets = taps["logits/data"][()].astype("f8"), taps["logits/offsets"][()]
assert len(offsets) == len(out) + 1
for ids, score, a, b in zip(out, scores, offsets, offsets[1:]):
    rows = data[a:b]
    log_p = rows - np.log(np.exp(rows - rows.max(-1, keepdims=True)).sum(-1, keepdims=True)) - rows.max(-1, keepdims=True)
    labels = list(ids) + ([2] if len(ids) < 12 else [])
    assert b - a == len(ids) + 1
    assert abs(sum(log_p[t, i] for t, i in enumerate(labels)) - score[0]) < 1e-4, (ids, score)
PYTHON
  done
  decode -m demo.h5 source.npy --max-length 12 -o plain.npy --tap-file plain.h5
  for name in decoder/0/self_attn/weights decoder/1/cross_attn/scores decoder/0/self_attn/key decoder/1/residual3 logits decoder/positions encoder/0/norm1; do
    decode -m demo.h5 source.npy --max-length 12 --beam 3 --patch "$name=plain.h5" -o patched.npy
    [[ $name == *self_attn/weights || $name == *scores ]] || continue
    decode -m demo.h5 source.npy --max-length 12 --patch "$name=plain.h5" | cmp - plain.npy
  done
  # A language model's rows of logits count from the last id of a prompt, in taps and patches, forced and generated.
  decode -m gpt2.h5 source.npy --target target.npy --give logits -o whole.npy
  decode -m gpt2.h5 source.npy --target target.npy --tap logits --tap-file logits.h5 -o /dev/null
  decode -m gpt2.h5 source.npy --target target.npy --give logits --patch logits=logits.h5 | cmp - whole.npy
  decode -m gpt2.h5 source.npy --target target.npy --give logits --ablate 'logits[;0]' | slice --records 0 -o ablated.npy
  /usr/bin/python3 -c 'import numpy as np; x = np.load("ablated.npy"); assert (x[0] == 0).all() and x[1:].all()'
  decode -m gpt2.h5 source.npy --max-length 6 -o plain.npy --tap logits --tap-file logits.h5
  for options in "" "--batch-rows 1"; do
    # shellcheck disable=SC2086
    decode -m gpt2.h5 source.npy --max-length 6 $options --patch logits=logits.h5 | cmp - plain.npy
    # shellcheck disable=SC2086
    decode -m gpt2.h5 source.npy --max-length 6 $options --ablate 'logits[;2-9]' --patch 'logits[;0,1]=logits.h5' -o two.npy
    slice --records 0 two.npy -o a.npy
    slice --records 0 plain.npy -o b.npy
    /usr/bin/python3 -c 'import numpy as np; a, b = np.load("a.npy"), np.load("b.npy"); n = len(b) - 4; assert (a[:n] == b[:n]).all() and (a != b).any()'
  done
  # A language model: outputs begin with their prompts, which are read once.
  decode -m gpt2.h5 first.npy --max-length 6 -o out.npy --tap-file lm.h5 --scale 'decoder/1/self_attn/context[;;0]=2'
  decode -m gpt2.h5 first.npy --max-length 6 --ablate 'decoder/1/self_attn/weights[;;1]' -o ablated.npy
  /usr/bin/python3 - <<'PYTHON'
import h5py, numpy as np
taps = h5py.File("lm.h5")
with open("out.npy", "rb") as f: out = [np.load(f) for _ in range(4)]
assert (np.diff(taps["decoder/0/norm1/offsets"][()]) == [len(o) for o in out]).all()
assert (np.diff(taps["logits/offsets"][()]) == [len(o) for o in out]).all()
PYTHON
}

@test "what cannot be is refused by name and shape, and leaves nothing" {
  encode -m demo.h5 source.npy --tap-file taps.h5 -o /dev/null
  refuses 2 "encode: --patch 'encoder/0/self_atn/query' is none of the 30 intermediates (did you mean 'encoder/0/self_attn/query'?)" encode -m demo.h5 source.npy --patch encoder/0/self_atn/query=taps.h5
  refuses 1 "taps.h5:encoder/0/ffn/hidden: shape (9, 48) does not match encoder/0/norm1 of record 0, (9, 32)" encode -m demo.h5 source.npy --patch encoder/0/norm1=taps.h5:encoder/0/ffn/hidden
  refuses 1 "source.npy: record 0: expected" encode -m demo.h5 source.npy --patch encoder/0/norm1=source.npy
  refuses 1 "there is no record 4, the run had 4" encode -m demo.h5 source.npy --ablate 'encoder/0/norm1[0,4]'
  refuses 1 "record 1 has 1 positions" encode -m demo.h5 source.npy --ablate 'encoder/0/norm1[;3]'
  convert taps.h5:encoder/0/norm1 --take 3 -o three.npy
  refuses 1 "three.npy: has 3 records, the run took 2 of 4" encode -m demo.h5 source.npy --patch 'encoder/0/norm1[0,1]=three.npy'
  refuses 1 "three.npy: has 3 records, and none for record 3 of the run" encode -m demo.h5 source.npy --patch encoder/0/norm1=three.npy
  refuses 2 "encoder/0/norm1 has no heads" encode -m demo.h5 source.npy --ablate 'encoder/0/norm1[;;1]'
  refuses 2 "no head 4: encoder/0/self_attn/query has 4" encode -m demo.h5 source.npy --ablate 'encoder/0/self_attn/query[;;4]'
  refuses 2 "'3-1' is no selection" encode -m demo.h5 source.npy --ablate 'encoder/0/norm1[3-1]'
  refuses 2 "expected NAME=FILE" encode -m demo.h5 source.npy --patch encoder/0/norm1
  refuses 2 "expected NAME=FILE" encode -m demo.h5 source.npy --add encoder/0/norm1=
  refuses 2 "expected NAME=FILE" encode -m demo.h5 source.npy --patch encoder/0/norm1=
  refuses 2 "standard input only once" encode -m demo.h5 --patch encoder/0/norm1=- source.npy
  refuses 2 "'nan' is no number" encode -m demo.h5 source.npy --scale encoder/0/norm1=nan
  refuses 2 "'x' is no number" encode -m demo.h5 source.npy --scale encoder/0/norm1=x
  refuses 2 "--ablate-with needs --ablate" encode -m demo.h5 source.npy --ablate-with mean:taps.h5
  refuses 2 "--ablate 'pooled' is none of the 30 intermediates" encode -m demo.h5 source.npy --ablate pooled
  refuses 2 "--tap 'logits' is none of" encode -m electra.h5 source.npy --tap logits --tap-file t.h5
  encode -m demo.h5 source.npy -o memory.npy
  for part in "" "--skip 1" "--take 2"; do
    # shellcheck disable=SC2086
    refuses 1 "this run did not compute encoder/0/norm1" decode -m demo.h5 memory.npy --max-length 3 $part --ablate encoder/0/norm1
  done
  refuses 1 "no record of the run has such a position" decode -m gpt2.h5 first.npy --max-length 6 --ablate 'decoder/0/self_attn/context[;500;1]'
  # A change on which nothing depends that is written.
  refuses 2 "--ablate logits: nothing that is written depends on logits" decode -m demo.h5 source.npy --target target.npy --give hidden --ablate logits
  decode -m demo.h5 source.npy --target target.npy --give hidden --ablate logits --tap logits --tap-file t.npy -o /dev/null
  refuses 2 "nothing that is written depends on decoder/0/norm1" decode -m demo.h5 source.npy --max-length 0 --ablate decoder/0/norm1
  rm t.npy
  refuses 1 "one.npy: record 0: shape (32,)" encode -m demo.h5 source.npy --patch encoder/0/self_attn/weights=one.npy
  refuses 1 "no record of the run has such a position" decode -m gpt2.h5 first.npy --max-length 6 --ablate 'decoder/0/norm1[;500]'
  decode -m marian.h5 source.npy --max-length 3 --tap 'decoder/0/cross_attn/*' --tap-file memory.h5 -o /dev/null
  slice memory.h5:decoder/0/cross_attn/key --rows 0 -o one-row.npy
  refuses 1 "does not match decoder/0/cross_attn/key of record" decode -m marian.h5 source.npy --max-length 3 --patch decoder/0/cross_attn/key=one-row.npy
  slice memory.h5:decoder/0/cross_attn/weights --keys 0 -o one-key.npy
  refuses 1 "does not match decoder/0/cross_attn/weights of record" decode -m marian.h5 source.npy --max-length 3 --patch decoder/0/cross_attn/weights=one-key.npy
  refuses 2 "--slide computes positions anew" decode -m gpt2.h5 first.npy --slide --tap-file t.h5
  [ ! -e t.h5 ]
}

@test "a tap of a part of a stream is a patch of the same part, and so is that of the whole" {
  encode -m demo.h5 source.npy --tap-file whole.h5 -o /dev/null
  for part in "--skip 1" "--skip 3" "--skip 1 --take 2" "--take 2" "--skip 2 --take 9" "--skip 1 --take 0"; do
    # shellcheck disable=SC2086
    {
      encode -m demo.h5 source.npy $part --tap encoder/0/norm1 --tap encoder/0/self_attn/weights --tap-file part.h5 -o part.npy
      [[ $part == *"--take 0" ]] && continue
      for name in encoder/0/norm1 encoder/0/self_attn/weights; do
        for file in part whole; do
          encode -m demo.h5 source.npy $part --patch $name=$file.h5 | cmp - part.npy || { echo "$part $name $file"; false; }
          encode -m demo.h5 source.npy $part -j 1 --batch-rows 1 --patch $name=$file.h5 | cmp - part.npy
        done
        [[ $part == "--skip 1" || $part == *9 ]] || encode -m demo.h5 $part --patch $name=part.h5 < source.npy | cmp - part.npy
      done
      decode -m demo.h5 source.npy $part --max-length 5 --tap decoder/1/norm2 --tap-file part.h5 -o part.npy
      decode -m demo.h5 source.npy $part --max-length 5 --patch decoder/1/norm2=part.h5 | cmp - part.npy
    }
  done
  # Another record's values are another result, and records keep their numbers.
  encode -m demo.h5 source.npy --skip 2 --take 2 --tap encoder/0/norm1 --tap-file part.h5 -o part.npy
  encode -m demo.h5 source.npy --skip 2 --patch 'encoder/0/norm1[3]=part.h5' | cmp - part.npy
  run ! cmp -s part.npy <(encode -m demo.h5 source.npy --skip 2 --ablate 'encoder/0/norm1[3]')
  # How many there are is not known of a pipe.
  encode -m demo.h5 source.npy --skip 1 --tap encoder/0/norm1 --tap-file part.h5 -o part.npy
  refuses 1 "encode: part.h5:encoder/0/norm1: " bash -c 'encode -m demo.h5 --skip 1 --patch encoder/0/norm1=part.h5 "$@" < source.npy' encode
  refuses 1 "encode: part.h5:encoder/0/norm1: " encode -m demo.h5 source.npy --skip 2 --patch encoder/0/norm1=part.h5
}

@test "--max-length 0: outputs are what they begin with, and taps those of prompts alone" {
  decode -m gpt2.h5 source.npy --max-length 0 --tap 'decoder/*' --tap-file prompts.h5 | cmp - source.npy
  decode -m gpt2.h5 first.npy --target rest.npy --tap 'decoder/*' --tap-file forced.h5 -o /dev/null
  peek --diff prompts.h5 forced.h5
  decode -m gpt2.h5 source.npy --max-length 0 --sample --nbest 1 --scores scores.npy | cmp - source.npy
  decode -m gpt2.h5 source.npy --max-length 0 --sample --nbest 2 -o twice.npy
  last=$(($(peek twice.npy | tail -n +2 | wc -l) - 1))
  for first in 0 1; do slice --records "$(seq -s , $first 2 $last)" twice.npy | cmp - source.npy; done
  [ "$(peek --values scores.npy | sort -u)" = $'0\t0' ]
  decode -m demo.h5 source.npy --max-length 0 --prefix target.npy --beam 3 | cmp - target.npy
  [ "$(decode -m marian.h5 source.npy --max-length 0 --tap 'decoder/0/norm1' --tap-file begin.h5 | peek | tail -n +2 | cut -f 4 | sort -u)" = "(0,)" ]
  [ "$(peek begin.h5 | grep -c 'norm1')" -eq 1 ]
  # A prompt as long as the model's positions is seen, where no id more has room.
  model make --target-vocabulary 40 --begin-id 1 --end-id 2 --width 8 --heads 2 --inner 8 --decoder-layers 1 --positions learned --max-positions 10 --kind decoder-only -o short.h5
  slice --records 0 source.npy -o nine.npy
  refuses 1 "is longer than the model's 10 learned positions" decode -m short.h5 nine.npy --max-length 1
  decode -m short.h5 nine.npy --max-length 0 | cmp - nine.npy
  refuses 2 "--require needs a --max-length above 0" decode -m demo.h5 source.npy --max-length 0 --require source.npy
  refuses 2 "--min-length 1 is more than --max-length 0" decode -m demo.h5 source.npy --max-length 0 --min-length 1
}

@test "masked scores stay masked, whatever is done to the others" {
  for change in --ablate=decoder/0/self_attn/scores --scale=decoder/0/self_attn/scores=-1 --scale=decoder/0/self_attn/scores=0; do
    decode -m gpt2.h5 first.npy --target rest.npy "$change" --tap decoder/0/self_attn/weights --tap-file w.h5 -o out.npy
    convert w.h5:decoder/0/self_attn/weights -o w.npy
    /usr/bin/python3 -c "
import numpy as np
longest = 0
with open('w.npy', 'rb') as f:
    while f.peek(1):
        w = np.load(f)
        longest = max(longest, w.shape[-1])
        assert np.isfinite(w).all() and not np.triu(w, 1).any(), w
assert longest > 3"
  done
}

@test "taps do not depend on batches and threads" {
  encode -m demo.h5 source.npy --tap-file a.h5 -o /dev/null
  encode -m demo.h5 source.npy --tap-file b.h5 -o /dev/null --batch-rows 1 -j 1
  cmp a.h5 b.h5
  decode -m demo.h5 source.npy --beam 3 --max-length 9 --tap-file a.h5 -o /dev/null
  decode -m demo.h5 source.npy --beam 3 --max-length 9 --tap-file b.h5 -o /dev/null --batch-rows 3 -j 1
  cmp a.h5 b.h5
}

@test "ids stand beside taps; train shows the updates that are asked for" {
  decode -m demo.h5 source.npy --target target.npy --tap '*/embeddings' --tap-file taps.h5 -o /dev/null
  convert taps.h5:encoder/ids | cmp - source.npy
  diff <(model describe demo.h5 --taps) <(decode -m demo.h5 --list-taps)
  options="--source source.npy --target target.npy --source-vocabulary 40 --target-vocabulary 40 --begin-id 1 --end-id 2 --width 16 --heads 2
    --inner 32 --encoder-layers 1 --decoder-layers 1 --steps 4 --batch-tokens 12 --log-every 1"
  # shellcheck disable=SC2086
  {
    train -q $options --dropout 0.2 -o plain.h5
    train -q $options --dropout 0.2 -o tapped.h5 --tap '*/residual*' --tap '*/weights' --tap-file train.h5 --tap-steps 1,3-4
    peek --diff plain.h5 tapped.h5
    train $options --list-taps | grep -q '^decoder/0/cross_attn/weights'
    cp plain.h5 kept.h5
    train $options --list-taps -o kept.h5 | grep -q '^gradient/decoder/0/cross_attn/output'
    cmp plain.h5 kept.h5
    refuses 2 "--tap-steps 9: the run ends at step 4" train -q $options --tap-file none-taps.h5 --tap-steps 9
    refuses 2 "--tap-steps: the first update is number 1" train -q $options --tap-file none-taps.h5 --tap-steps 0
    refuses 2 "--tap-steps needs --tap-file" train -q $options --tap-steps 1
  }
  [ ! -e none-taps.h5 ]
  # Without dropout an update of fresh parameters sees what the fresh model computes.
  # shellcheck disable=SC2086
  train -q $options --dropout 0 --learning-rate 0 -o fresh.h5 --tap-file train.h5 --tap-steps 2
  convert train.h5:step-2/encoder/ids -o s.npy
  encode -m fresh.h5 s.npy | cmp - <(convert train.h5:step-2/encoder/0/norm2)
}

@test "the towers of pairs are tapped each by its name, in an update once" {
  /usr/bin/python3 -c "
import numpy as np
with open('shown.npy', 'wb') as file:
    for _ in range($(peek source.npy | wc -l) - 1): np.save(file, np.random.standard_normal((3, 5)).astype('f4'))"
  options="--task contrastive --source shown.npy --target source.npy --source-vocabulary 40 --width 16 --heads 2 --inner 32 --encoder-layers 1
    --steps 2 --batch-tokens 12 --learning-rate 0 --dropout 0"
  # shellcheck disable=SC2086
  train -q $options -o fresh.h5 --tap-file train.h5 --tap-steps 2
  convert train.h5:step-2/text/encoder/ids -o s.npy
  encode -m fresh.h5:text s.npy | cmp - <(convert train.h5:step-2/text/encoder/0/norm2)
  [ "$(convert train.h5:step-2/image/pooled | peek | wc -l)" -eq "$(peek s.npy | wc -l)" ]
}

@test "attend: the names and values of the layer around it; patches change what follows, each value its own nothing" {
  # What attend does is a part of the layer: its taps are the layer's, bit for bit.
  for layer in demo.h5:encoder/0/self_attn llama31.h5:decoder/0/self_attn gemma.h5:decoder/1/self_attn qwen3.h5:decoder/1/self_attn; do
    model=${layer%%:*} name=${layer#*:}
    if [[ $name == encoder* ]]; then encode -m "$model" source.npy --tap-file layer.h5 -o /dev/null
    else decode -m "$model" first.npy --target rest.npy --tap-file layer.h5 -o /dev/null; fi
    for part in query key value; do convert "layer.h5:$name/$part" -o $part.npy; done
    for part in query key; do  # what the layer normalises before it turns
      if [[ $(model describe "$model" --taps) == *"$name/${part}_norm"* ]]; then convert "layer.h5:$name/${part}_norm" -o $part.npy; fi
    done
    run_attend() { attend -m "$layer" --query query.npy --key key.npy --value value.npy "$@"; }
    run_attend --tap-file own.h5 -o context.npy
    run_attend | cmp - context.npy
    run_attend --list-taps | cut -f 1 > names
    attend -m "$layer" --list-taps < /dev/null | diff - <(run_attend --list-taps | sed 's/S\(, \|)\)/T\1/')
    [ "$(wc -l < names)" -ge 6 ]
    while read -r tap; do
      convert "layer.h5:$tap" | cmp - <(convert "own.h5:$tap") || { echo "other than the layer's: $tap"; false; }
    done < names
    while read -r tap; do
      run_attend --patch "$tap=own.h5" | cmp - context.npy || { echo "patched: $tap"; false; }
      run_attend --ablate "$tap" -o ablated.npy
      run ! cmp -s ablated.npy context.npy
    done < names
  done
  # A name is scaled as elsewhere, beside the scale of the scores, which is a number.
  attend --heads 4 query.npy --scale 'context[;;2]=0.5' --scale 0.25 --tap weights --tap-file t.npy -o y.npy
  attend --heads 4 query.npy --scale 0.25 --weights w.npy -o plain.npy
  cmp w.npy t.npy
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
def records(path):
    with open(path, "rb") as f: return [np.load(f) for _ in range(4)]
for y, plain in zip(records("y.npy"), records("plain.npy")):
    d = y.shape[1] // 4
    plain[:, 2 * d:3 * d] *= np.float32(0.5)
    assert (y == plain).all()
PYTHON
  refuses 2 "attend: option '--scale': 'half' is neither a finite number nor NAME=X" attend query.npy --scale half
  refuses 2 "attend: option '--scale': '1e99' is neither" attend query.npy --scale 1e99
  refuses 2 "attend: --scale: the scores have one scale" attend query.npy --scale 1 --scale 2
  refuses 2 "attend: the model gives --scale" attend -m demo.h5:encoder/0/self_attn query.npy --scale 2
  refuses 2 "--scale weights=x: 'x' is no number" attend query.npy --scale weights=x
  # What is written must depend on what is changed.
  for give in query/key query/context key/value key/query scores/scores scores/context capped/scores biased/weights biased/value weights/value weights/context; do
    refuses 2 "attend: --ablate ${give#*/}: nothing that is written depends on ${give#*/}" attend query.npy --give "${give%/*}" --ablate "${give#*/}"
  done
  for use in "scores query" "scores key" "biased scores" "weights scores" "weights weights" "query query" "key key"; do
    attend query.npy --give "${use%% *}" -o plain.npy
    attend query.npy --give "${use%% *}" --ablate "${use#* }" -o ablated.npy
    run ! cmp -s plain.npy ablated.npy
  done
  attend query.npy --give scores --ablate value --tap context --tap-file t.npy -o /dev/null
  refuses 2 "--ablate value: nothing" attend query.npy --give scores --ablate value --tap weights --tap-file t2.npy
  # A head that looks nowhere gives nothing; --give and --weights show what was changed.
  attend --heads 4 query.npy --ablate 'weights[;;2]' --weights w.npy -o y.npy
  attend --heads 4 query.npy --ablate 'weights[;;2]' --give weights | cmp - w.npy
  attend --heads 4 query.npy --tap weights --tap-file t.npy -o plain.npy
  attend --heads 4 query.npy --scale 0.5 --ablate 'query[2]' --tap weights --tap-file ablated.npy -o /dev/null
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
def records(path):
    with open(path, "rb") as f: return [np.load(f) for _ in range(4)]
for y, plain, w, t in zip(records("y.npy"), records("plain.npy"), records("w.npy"), records("t.npy")):
    d = y.shape[1] // 4
    assert not y[:, 2 * d:3 * d].any() and not w[2].any() and t[2].any()
    assert (np.delete(y, np.s_[2 * d:3 * d], 1) == np.delete(plain, np.s_[2 * d:3 * d], 1)).all() and (np.delete(w, 2, 0) == np.delete(t, 2, 0)).all()
# --scale is that of the scores; a query of zeros looks at all keys alike.
for i, (a, b) in enumerate(zip(records("ablated.npy"), records("t.npy"))):
    assert a.shape[-1] == 1 or ((a == np.float32(1 / a.shape[-1])).all() if i == 2 else (a != b).any())
PYTHON
  attend query.npy --list-taps | diff - <(printf 'query\t(T, %d)\nkey\t(T, %d)\nvalue\t(T, %d)\nscores\t(1, T, T)\nweights\t(1, T, T)\ncontext\t(T, %d)\n' \
    "$(slice --records 0 query.npy | peek | awk -F'[\t,)]' 'NR == 2 { print $6 + 0 }')"{,,,})
  refuses 2 "attend: --tap 'wights' is none of the 6 intermediates (did you mean 'weights'?)" attend query.npy --tap wights --tap-file w.npy
  refuses 1 "has 2 records, and none for record 2 of the run" attend query.npy --patch "key=$(slice --records 0,1 query.npy -o two.npy && echo two.npy)"
}

@test "weights of 2,048 positions are tapped without another T x T in memory" {
  /usr/bin/python3 -c "
import numpy as np
np.save('long.npy', np.random.default_rng(1).integers(3, 40, 2048).astype('i4'))"
  kilobytes() { /usr/bin/python3 -c "
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)" "$@"; }
  without=$(kilobytes encode -m demo.h5 long.npy -o plain.npy)
  with=$(kilobytes encode -m demo.h5 long.npy -o tapped.npy --tap encoder/0/self_attn/weights --tap-file w.h5)
  cmp plain.npy tapped.npy
  [ "$(stat -c %s w.h5)" -gt 67108864 ] # 4 heads of 16 MiB
  echo "$without KB, with the tap $with KB"
  [ "$((with - without))" -lt 49152 ]
  encode -m demo.h5 long.npy --patch 'encoder/0/self_attn/weights[;;1-2]=w.h5' | cmp - plain.npy
}
