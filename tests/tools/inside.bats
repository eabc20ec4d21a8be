#!/usr/bin/env bats
# The recipes that look inside models, on a small translator and an imported language model, against NumPy.

setup_file() {
  export SCRIPTS="$BATS_TEST_DIRNAME/../../scripts" DATA="$BATS_FILE_TMPDIR"
  export PATH="$BATS_TEST_DIRNAME/../../scripts:$PIPEFORMER_BIN:$PATH"
  cd "$DATA" || exit 1
  make-corpus . --train 300 --valid 1 --heldout 6 --tags --alignments
  tokenize -q --train --vocab-size 300 -o tok.model train.src train.ref
  for side in src ref; do for set in train heldout; do tokenize -m tok.model $set.$side -o $set.$side.npy; done; done
  train -q --source train.src.npy --target train.ref.npy --tokenizer tok.model --width 32 --heads 4 --inner 64 --encoder-layers 1 \
    --decoder-layers 2 --learning-rate 0.003 --warmup 10 --steps 40 --batch-tokens 500 -o model.h5
  model import "$BATS_TEST_DIRNAME/../../testdata/checkpoints/gpt2" -o gpt2.h5
  echo 5 6 7 8 | convert --text i4 -o clean.npy
  echo 5 9 7 8 | convert --text i4 -o other.npy
  echo 3 | convert --text i4 -o answer.npy
}

setup() {
  bats_require_minimum_version 1.5.0
  cd "$BATS_TEST_TMPDIR" || exit 1
  ln -s "$DATA"/*.h5 "$DATA"/*.npy "$DATA"/{train,heldout}.{src,ref,align} .
}

@test "logit-lens: the last layer says what the model says" {
  logit-lens model.h5 heldout.src.npy heldout.ref.npy 2 > lens
  [ "$(cut -f 1 lens | uniq | xargs)" = "0 1" ]
  decode -m model.h5 heldout.src.npy --target heldout.ref.npy --give logits | softmax \
    | peek --top 2 --columns-names <(tokenize -m model.h5 --vocabulary | cut -f 2) | cut -f 2 --complement > last
  [ -s last ]
  diff <(grep -P '^1\t' lens | cut -f 2-) last
  run ! diff <(grep -P '^0\t' lens | cut -f 2-) last
  logit-lens gpt2.h5 clean.npy answer.npy > lens
  decode -m gpt2.h5 clean.npy --target answer.npy --give logits | softmax | peek --top 1 | cut -f 2 --complement > last
  diff <(grep -P '^1\t' lens | cut -f 2- | tail -n 2 | cut -f 3-) <(cut -f 3- last)
}

@test "saliency: a gradient for each source piece, of that sentence alone" {
  saliency model.h5 heldout.src.npy heldout.ref.npy > all
  cut -f 4 all | xargs | diff - <(tokenize -m model.h5 --decode --pieces heldout.src.npy | xargs)
  convert --skip 2 --take 1 heldout.src.npy -o one.npy && convert --skip 2 --take 1 heldout.ref.npy -o ref.npy
  diff <(saliency model.h5 one.npy ref.npy | cut -f 2-) <(grep -P '^2\t' all | cut -f 2-)
  awk -F '\t' '!($3 > 0) { exit 1 }' all
  run -1 saliency model.h5 one.npy heldout.ref.npy
  [ "$output" = "saliency: one.npy has 1 records, heldout.ref.npy 6" ]
}

@test "ablate-heads.mk: BLEU without each head" {
  make -s -j 2 -f "$SCRIPTS/ablate-heads.mk" MODEL=model.h5 SRC=heldout.src REF=heldout.ref OUT=heads
  [ "$(wc -l < heads/heads.tsv)" -eq 20 ]
  [ "$(cut -f 1 heads/heads.tsv | sort -u | wc -l)" -eq 5 ]
  all=$(cat heads/all.bleu)
  awk -F'\t' -v all="$all" '{ d = $3 - all - $4; if (d > 1e-9 || d < -1e-9) exit 1 }' heads/heads.tsv
  [ "$(decode -q -m model.h5 heads/source.npy --ablate 'decoder/1/cross_attn/context[;;2]' | tokenize -m model.h5 --decode | score --quiet --reference heldout.ref)" \
    = "$(awk -F'\t' '$1 == "decoder/1/cross_attn" && $2 == 2 { print $3 }' heads/heads.tsv)" ]
  run -2 make -s -f "$SCRIPTS/ablate-heads.mk" MODEL=model.h5
}

@test "patch-activations: from one sentence's likelihood to the other's" {
  patch-activations gpt2.h5 clean.npy other.npy answer.npy > patched
  [ "$(wc -l < patched)" -eq $((2 + 2 * 2 * 4)) ]
  value() { awk -F'\t' -v name="$1" -v t="$2" '$1 == name && $2 == t { print $3 }' patched; }
  # Before position 1 the sentences are the same; the first residual at position 1 undoes nothing that layer 0's attention did elsewhere.
  [ "$(value decoder/0/residual2 0)" = "$(value none -)" ]
  [ "$(value decoder/0/residual2 1)" != "$(value none -)" ]
  [ "$(value all -)" != "$(value none -)" ]
  patch-activations gpt2.h5 clean.npy clean.npy answer.npy | cut -f 3 | sort -u | wc -l | grep -qx 1
}

@test "head-entropy, induction-heads, word-alignment: as NumPy has them" {
  head-entropy model.h5 heldout.src.npy heldout.ref.npy > entropy
  [ "$(wc -l < entropy)" -eq 20 ]
  sort -c -t $'\t' -k 3,3g entropy
  decode -m model.h5 heldout.src.npy --target heldout.ref.npy --tap '*/weights' --tap-file taps.h5 -o /dev/null
  word-alignment model.h5 heldout.src.npy heldout.ref.npy 1 0,2 > aligned
  induction-heads gpt2.h5 8 > induction
  [ "$(wc -l < induction)" -eq 8 ]
  /usr/bin/python3 - <<'PYTHON'
import h5py, numpy as np
def records(group):
    offsets, shapes, data = group["offsets"], group["shapes"], group["data"][()]
    return [data[a:b].reshape(s) for a, b, s in zip(offsets[:-1], offsets[1:], shapes[()])]
weights = records(h5py.File("taps.h5")["decoder/1/cross_attn/weights"])
rows = np.concatenate([(-w[2].astype("f8") * np.log2(np.maximum(w[2], 1e-38))).sum(-1) for w in weights])
bits = {tuple(l.split("\t")[:2]): float(l.split("\t")[2]) for l in open("entropy")}
assert abs(bits["decoder/1/cross_attn", "2"] - rows.mean()) < 1e-3, (bits, rows.mean())
weights_of_self = records(h5py.File("taps.h5")["encoder/0/self_attn/weights"])
far = np.concatenate([(w[1].astype("f8") * np.abs(np.subtract.outer(np.arange(w.shape[1]), np.arange(w.shape[2])))).sum(-1) for w in weights_of_self])
distance = {tuple(l.split("\t")[:2]): float(l.split("\t")[3]) for l in open("entropy")}
assert abs(distance["encoder/0/self_attn", "1"] - far.mean()) < 1e-3, (distance, far.mean())
lines = open("aligned").read().splitlines()
assert len(lines) == len(weights)
for line, w in zip(lines, weights):
    best = w[[0, 2]].astype("f8").mean(0).astype("f4")[:-1].argmax(-1)
    assert line == " ".join(f"{i}-{j}" for j, i in enumerate(best)), line
chance = [float(l.split("\t")[2]) for l in open("induction")]
assert chance == sorted(chance, reverse=True) and all(0 < c < 1 for c in chance)
PYTHON
}

@test "word-scores: the sum of a word's pieces; a stream that does not fit is refused" {
  { head -n 2 heldout.src; echo; tail -n 3 heldout.src; } > text
  tokenize -m model.h5 text | decode -m model.h5 --beam 2 --max-length 20 --token-scores scores.npy -o out.npy
  word-scores model.h5 out.npy scores.npy > words
  paste -d '|' <(tokenize -m model.h5 --decode --pieces out.npy) <(peek --values scores.npy) words > all
  /usr/bin/python3 - <<'PYTHON'
lines, several = open("all").read().splitlines(), 0
assert len(lines) == 6
for line in lines:
    pieces, scores, words = (part.split() for part in line.split("|"))
    expected = []
    for piece, score in zip(pieces, scores):
        if piece.startswith("\u2581") or not expected: expected.append(0.0)
        else: several += 1
        expected[-1] += float(score)
    assert len(words) == len(expected) and all(abs(float(a) - b) < 1e-4 * abs(b) for a, b in zip(words, expected)), line
assert several > 3
PYTHON
  run -1 word-scores model.h5 out.npy heldout.src.npy
  [[ $output == *"word-scores: record 0: "*" ids, "*" scores" ]]
}

@test "layer-similarity: cosines between layers, and of two models; layer-statistics: curves by layer" {
  cat clean.npy other.npy > few.npy
  layer-similarity gpt2.h5 few.npy > similar
  decode -m gpt2.h5 few.npy --max-length 1 --tap-file taps.h5 -o /dev/null
  layer-similarity model.h5 heldout.src.npy model.h5 > encoder
  layer-similarity model.h5 heldout.src.npy | cmp - encoder
  layer-statistics taps.h5 std > table
  peek --curves table --grey -o curves.svg
  peek --curves table --y 'decoder residual1,decoder residual2' --grey | grep -q stroke-dasharray
  /usr/bin/python3 - <<'PYTHON'
import h5py, numpy as np
taps = h5py.File("taps.h5")
names = ["decoder/positions", "decoder/0/residual2", "decoder/1/residual2"]
def texts(stream):  # without the row of the id that was generated
    ends = stream["offsets"][()]
    return np.concatenate([stream["data"][a:b - 1] for a, b in zip(ends, ends[1:])]).astype("f8")
x = [texts(taps[n]) for n in names]
unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in x]
want = np.array([[(a * b).sum(1).mean() for b in unit] for a in unit])
got = np.loadtxt("similar")
assert got.shape == (3, 3) and np.allclose(got, want, atol=2e-5), (got, want)
assert np.allclose(np.diag(np.loadtxt("encoder")), 1, atol=1e-5)
lines = [l.rstrip("\n").split("\t") for l in open("table")]
column = lines[0].index("decoder ffn/hidden")
for layer in (0, 1):
    assert abs(float(lines[1 + layer][column]) - taps[f"decoder/{layer}/ffn/hidden/data"][()].astype("f8").std()) < 1e-5
PYTHON
  run -1 layer-statistics taps.h5 median
  [ "$output" = "layer-statistics: there is no statistic median" ]
}

@test "probe-layers: what was put in is found" {
  # Whether the sentence is negated: a word says so, and every layer still knows.
  awk '{ print (/ not / ? "not" : "so") }' train.src > a.labels
  probe-layers model.h5 train.src.npy a.labels train.src.npy a.labels 1000 > probes
  [ "$(cut -f 1 probes | xargs)" = "encoder/positions encoder/0/norm1 encoder/0/norm2" ]
  often=$(sort a.labels | uniq -c | sort -rn | awk '{ n += $1; if (NR == 1) best = $1 } END { print 100 * best / n }')
  awk -F '\t' -v often="$often" '$2 < often + 3 { print; bad = 1 } END { exit bad }' probes
  # A language model, too: ids that are there or not.
  cat clean.npy other.npy > few.npy && printf 'clean\nother\n' > few.labels
  [ "$(probe-layers gpt2.h5 few.npy few.labels few.npy few.labels 60 | tail -n 1)" = $'decoder/1/residual2\t100.00' ]
}

@test "probe-layers: the stream that layers read, in every kind of model" {
  awk '{ print (NR % 2 ? "odd" : "even") }' heldout.src > a.labels
  probed() { probe-layers "$1" heldout.src.npy a.labels heldout.src.npy a.labels 1 | cut -f 1 | xargs; }
  sizes="--tokenizer $DATA/tok.model --width 16 --heads 2 --inner 16 --encoder-layers 1"
  # shellcheck disable=SC2086
  model make $sizes --norm-position pre --embedding-norm -o pre.h5
  [ "$(probed pre.h5)" = "encoder/embedding_norm encoder/0/residual1 encoder/0/residual2" ]
  # shellcheck disable=SC2086
  model make $sizes --norm-position post --embedding-norm -o post.h5
  [ "$(probed post.h5)" = "encoder/embedding_norm encoder/0/norm1 encoder/0/norm2" ]
}

@test "steer: the vector that is added is the difference of means" {
  convert --take 2 heldout.src.npy -o more.npy && convert --skip 2 --take 2 heldout.src.npy -o less.npy
  steer model.h5 encoder/0/norm2 more.npy less.npy heldout.src.npy 300 --max-length 9 -o steered.npy
  for side in more less; do encode -m model.h5 $side.npy --tap encoder/0/norm2 --tap-file $side.h5 -o /dev/null; done
  /usr/bin/python3 -c "
import h5py, numpy as np
mean = lambda name: h5py.File(name)['encoder/0/norm2/data'][()].astype('f8').mean(0).astype('f4').astype('f8')
np.save('vector.npy', (300 * (mean('more.h5') - mean('less.h5'))).astype('f4'))"
  decode -m model.h5 heldout.src.npy --add encoder/0/norm2=vector.npy --max-length 9 | cmp - steered.npy
  run ! cmp -s steered.npy <(decode -m model.h5 heldout.src.npy --max-length 9)
  steer model.h5 encoder/0/norm2 more.npy more.npy heldout.src.npy 300 --max-length 9 | cmp - <(decode -m model.h5 heldout.src.npy --max-length 9)
}

@test "alignment-error: the links of the corpus, and the rate by hand" {
  # The grammar's own links are right by the lexicon: no German word twice, numbers and names as they are.
  [ "$(tr ' ' '\n' < train.align | wc -l)" -gt 1000 ]
  paste train.src train.ref train.align | awk -F '\t' '{ n = split($1, e, /[ ,.]+/); split($2, d, /[ ,.]+/); m = split($3, link, " ")
    for (i = 1; i <= m; ++i) { split(link[i], at, "-"); print e[at[1] + 1], d[at[2] + 1] } }' | sort -u > pairs
  for pair in "dog Hund" "dogs Hunde" "gave gegeben" "Anna Anna" "three drei" "red rote"; do grep -qx "$pair" pairs; done
  [ "$(cut -d ' ' -f 2 pairs | sort | uniq -d | grep -c '^[A-Z]')" -lt 20 ]
  alignment-error model.h5 heldout.src heldout.ref heldout.align 1 > rate
  word-alignment model.h5 heldout.src.npy heldout.ref.npy 1 > links
  paste <(tokenize -m model.h5 --decode --pieces heldout.src.npy) <(tokenize -m model.h5 --decode --pieces heldout.ref.npy) links heldout.align > all
  /usr/bin/python3 - <<'PYTHON'
right = given = known = 0
for line in open("all"):
    source, target, links, truth = line.rstrip("\n").split("\t")
    words = lambda pieces: [sum(p.startswith("\u2581") or k == 0 for k, p in enumerate(pieces[:i + 1])) - 1 for i in range(len(pieces))]
    of, to = words(source.split()), words(target.split())
    sure = {tuple(map(int, l.split("-"))) for l in truth.split()}
    found = {(of[i], to[j]) for i, j in (map(int, l.split("-")) for l in links.split()) if i < len(of)}
    found = {(i, j) for i, j in found if i in {a for a, _ in sure} or j in {b for _, b in sure}}
    right, given, known = right + len(found & sure), given + len(found), known + len(sure)
rate = open("rate").read().split()
assert [int(n) for n in rate[1:]] == [right, given, known] and abs(float(rate[0]) - (1 - 2 * right / (given + known))) < 1e-4, (rate, right, given, known)
assert known > 15
PYTHON
  head -n 3 heldout.align > short
  run -1 alignment-error model.h5 heldout.src heldout.ref short
  [ "$output" = "alignment-error: short has 3 lines, the texts 6" ]
}
