#!/usr/bin/env bats
# Every task of train as a user meets it: it learns, what it learned can be used, the same bits whatever the threads and
# interruptions, refusals. Numbers are compared with PyTorch in tests/parity/tasks.py; translation is in train.bats.

bats_require_minimum_version 1.5.0

setup_file() {
  export PATH="$PIPEFORMER_BIN:$PATH" OMP_WAIT_POLICY=passive
  export DATA="$BATS_FILE_TMPDIR/data"
  "$BATS_TEST_DIRNAME/../../scripts/make-testdata" "$DATA"
  cd "$DATA"
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
random = np.random.default_rng(5)

def stream(name, records, dtype="<i4"):
    with open(name + ".npy", "wb") as out:
        for record in records:
            np.save(out, np.asarray(record, dtype))

# Ids 0 to 3 are unknown, begin, end and mask; 4 to 23 are 20 letters in a circle.
letters = lambda start, step, n: 4 + (start + step * np.arange(n)) % 20
counting = lambda n: [letters(random.integers(20), random.integers(1, 4), random.integers(3, 12)) for _ in range(n)]
lines = counting(400)
lines[7] = lines[90] = []                                       # empty records are records
stream("lines", lines)
stream("valid", counting(50) + [[]])
stream("prompts", [letters(2, 1, 3), letters(5, 2, 3), [], letters(18, 3, 4)])
stream("running", [letters(0, 1, 2000)])
stream("running-valid", [letters(7, 1, 100)])
same = lambda n: [np.full(random.integers(2, 12), random.integers(4, 24)) for _ in range(n)]
stream("same", same(400) + [[]])
stream("same-valid", same(60) + [[]])

# Lines of three classes, by the letters that they prefer.
names = ["plant", "animal", "thing"]
def sorted_lines(n):
    classes = random.integers(0, 3, n)
    return [4 + 6 * c + random.integers(0, 8, random.integers(3, 12)) % 6 for c in classes], classes
for name, n in [("class", 300), ("class-valid", 100)]:
    records, classes = sorted_lines(n)
    records[3] = []
    stream(name, records)
    open(name + ".txt", "w").write("".join(names[c] + "\n" for c in classes))
    np.save(name + "-numbers.npy", np.array([sorted(names).index(names[c]) for c in classes]))

# Tags: what a word is called depends on the first letter of the one before it. Words have one to three letters.
def tags(n):
    records, words, named, numbered = [], [], [], []
    for _ in range(n):
        lengths = random.integers(1, 4, random.integers(1, 6))
        record = 14 + random.integers(0, 10, lengths.sum())
        number = np.repeat(np.arange(len(lengths)), lengths)
        first = [list(number).index(k) for k in range(len(lengths))]
        record[first] -= 10
        label = [0] + [1 + int(record[i] > 8) for i in first[:-1]]
        each = np.full(len(record), -1)
        each[first] = label
        records.append(record), words.append(number), named.append([["start", "low", "high"][k] for k in label]), numbered.append(each)
    return records, words, named, numbered
for name, n in [("tags", 600), ("tags-valid", 100)]:
    records, words, named, numbered = tags(n)
    records[3], words[3], named[3], numbered[3] = [], [], [], []
    stream(name, records), stream(name + "-words", words), stream(name + "-numbers", numbered)
    open(name + ".txt", "w").write("".join(" ".join(x) + "\n" for x in named))

# Questions: a letter, then a text of letters and marks; the answer is what stands between two marks of which the first has the letter
# before it, or nothing where the text has not.
def questions(n):
    records, types, spans, offsets = [], [], [], []
    for _ in range(n):
        asked, text = random.integers(4, 9), list(9 + random.integers(0, 10, random.integers(6, 16)))
        answer = None
        if random.integers(4):
            at = random.integers(0, len(text) - 4)
            size = random.integers(1, 4)
            text[at], answer = asked, (at + 1, at + size)
            text.insert(at + 1 + size, 20)
        records.append([asked, 3] + text)
        types.append([0, 0] + [1] * len(text))
        spans.append([answer[0] + 2, answer[1] + 2] if answer else [0, 0])
        offsets.append([[0, 0, 1], [-1, -1, -1]] + [[1, 2 * t, 2 * t + 1] for t in range(len(text))])
    return records, types, spans, offsets
for name, n in [("asked", 800), ("asked-valid", 100)]:
    records, types, spans, offsets = questions(n)
    records[3], types[3], spans[3], offsets[3] = [], [], [0, 0], np.zeros((0, 3))
    stream(name, records), stream(name + "-types", types), stream(name + "-spans", spans), stream(name + "-offsets", offsets)
    open(name + ".spans", "w").write("".join(f"{2 * (a - 2)} {2 * (b - 2) + 1}\n" if b else "\n" for a, b in spans))
    open(name + ".texts", "w").write("".join(" ".join(chr(93 + i) for i in r[2:]) + "\n" for r in records))

# Pairs that say the same letters: in the other alphabet, or as vectors, in another order. No two to validate on say the same.
for name, n in [("said", 600), ("said-valid", 60)]:
    letters_of = [random.permutation(10)[:random.integers(3, 5)] for _ in range(n)]
    if n == 60:
        letters_of = list({tuple(sorted(s)): s for s in letters_of + [random.permutation(10)[:4] for _ in range(n)]}.values())[:n]
    stream(name + "-ids", [4 + s for s in letters_of])
    stream(name + "-other", [14 + random.permutation(s) for s in letters_of])
    stream(name + "-vectors", [np.eye(10)[random.permutation(s)] + 0.1 * random.standard_normal((len(s), 10)) for s in letters_of], "<f4")

# Lines with the groups of letters that occur in them, and the share of their letters that are of the first group.
def grouped(n):
    records = [random.permutation(20)[:random.integers(1, 6)] for _ in range(n)]
    return [4 + r for r in records], [sorted({"abcd"[x // 5] for x in r}) for r in records], [sum(r < 5) / len(r) for r in records]
for name, n in [("groups", 600), ("groups-valid", 100)]:
    records, holds, counts = grouped(n)
    records[3], holds[3], counts[3] = [], [], 0.0
    stream(name, records)
    stream(name + "-counts", [[c] for c in counts], "<f4")
    np.save(name + "-holds.npy", np.array([[g in h for g in "abcd"] for h in holds]))
    open(name + ".txt", "w").write("".join(" ".join(h) + "\n" for h in holds))
    open(name + ".counts", "w").write("".join(f"{c}\n" for c in counts))

# Images of a bar, lying or standing.
def images(n):
    pictures, classes = 0.3 * random.standard_normal((n, 8, 8)), random.integers(0, 2, n)
    for picture, c in zip(pictures, classes):
        at = random.integers(8)
        (picture if c == 0 else picture.T)[at] += 1.5
    return pictures.astype("<f4"), classes
for name, n in [("bars", 400), ("bars-valid", 200)]:
    pictures, classes = images(n)
    np.save(name + "-images.npy", pictures)
    open(name + ".txt", "w").write("".join(["lying\n", "standing\n"][c] for c in classes))
PYTHON
  for name in bars bars-valid; do
    patchify --size 2 $name-images.npy -o $name-dense.npy
    convert --unstack $name-dense.npy -o $name.npy
  done
  export SMALL="--width 32 --heads 4 --inner 64 --warmup 10 --quiet"
  export LETTERS="--target-vocabulary 24 --begin-id 1 --end-id 2 --decoder-layers 1"
  export LINES="--task language-model --target $DATA/lines.npy $LETTERS $SMALL"
  export WINDOWS="--task language-model --context 16 --target $DATA/running.npy $LETTERS $SMALL"
  export MASKED="--task masked-language-model --source $DATA/same.npy --source-vocabulary 24 --mask-id 3 --encoder-layers 1 $SMALL"
  export CLASSES="--task classification --source $DATA/class.npy --labels $DATA/class.txt --source-vocabulary 24 --encoder-layers 1 $SMALL"
  export HOLDS="--task multi-label --source $DATA/groups.npy --labels $DATA/groups.txt --source-vocabulary 24 --encoder-layers 1 $SMALL"
  export COUNTS="--task regression --source $DATA/groups.npy --target-values $DATA/groups.counts --source-vocabulary 24 --encoder-layers 1 $SMALL"
  export TAGS="--task tagging --source $DATA/tags.npy --labels $DATA/tags.txt --words $DATA/tags-words.npy --source-vocabulary 24 --encoder-layers 2 $SMALL"
  export ASKED="--task spans --source $DATA/asked.npy --types $DATA/asked-types.npy --labels $DATA/asked-spans.npy --source-vocabulary 24 --token-types 2
    --encoder-layers 2 $SMALL"
  export SAID="--task contrastive --source $DATA/said-ids.npy --target $DATA/said-other.npy --source-vocabulary 24 --encoder-layers 1 --positions none $SMALL"
  export SHOWN="--task contrastive --source $DATA/said-vectors.npy --target $DATA/said-other.npy --source-vocabulary 24 --encoder-layers 1 --positions none --projection 16
    --class-token --image layers=2 $SMALL"
  export BARS="--task classification --source $DATA/bars.npy --labels $DATA/bars.txt --encoder-layers 1 --class-token --pooling first
    --positions learned --max-positions 17 --norm-position pre --activation gelu $SMALL"
  export PAIRS="--source $DATA/text.en.npy --target $DATA/text.de.npy --tokenizer $DATA/tok.model --encoder-layers 1 --decoder-layers 1 $SMALL"
}

setup() {
  cd "$BATS_TEST_TMPDIR"
}

column() {  # column NAME LOG: its values, those that were measured
  awk -F'\t' -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i } NR > 1 && $c != "" { print $c }' "$2"
}

below() {  # below A B
  awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a + 0 < b + 0) }'
}

ids() {  # ids FILE: a record on each line
  /usr/bin/python3 -c '
import sys, numpy
with open(sys.argv[1], "rb") as file:
    end = file.seek(0, 2)
    file.seek(0)
    while file.tell() < end: print(*numpy.load(file))' "$1"
}

without() {  # without WORDS OPTION...: an option may be given once
  local words=" $(echo $1) " option
  for option in "${@:2}"; do words=$(sed -E "s/ --$option [^ ]+ / /" <<<"$words"); done
  echo "$words"
}

@test "a language model of lines learns to count, and decode goes on counting" {
  train $LINES --valid-target "$DATA/valid.npy" --learning-rate 0.01 --epochs 60 --batch-tokens 500 --log log.tsv -o m.h5
  # What cannot be known costs more: the first letter (ln 20), the step (ln 3) and the end.
  below "$(column valid_loss log.tsv | tail -n 1)" 1.2
  decode -m m.h5 "$DATA/prompts.npy" --max-length 4 --min-length 4 -o out.npy
  [ "$(ids out.npy)" = "6 7 8 9 10 11 12
9 11 13 15 17 19 21

22 5 8 11 14 17 20 23" ]
}

@test "windows of a running text" {
  train $WINDOWS --valid-target "$DATA/running-valid.npy" --learning-rate 0.01 --steps 60 --batch-tokens 400 --log log.tsv -o m.h5
  below "$(column valid_loss log.tsv | tail -n 1)" 0.3
  decode -m m.h5 "$DATA/prompts.npy" --max-length 5 -o out.npy
  [ "$(ids out.npy | head -n 1)" = "6 7 8 9 10 11 12 13" ]
}

@test "a masked language model learns what the other ids tell" {
  train $MASKED --valid-source "$DATA/same-valid.npy" --learning-rate 0.01 --epochs 15 --batch-tokens 500 --log log.tsv -o m.h5
  below "$(column valid_loss log.tsv | tail -n 1)" 1.5   # alone, each of the 20 costs ln 20 = 3.0
  encode -m m.h5 "$DATA/same-valid.npy" -o memory.npy
}

@test "what hides an id is by default the tokenizer's mask, or else its unknown id" {
  for i in $(seq 40); do echo "the cat sees dog $i and the dog sees cat $((i * 7))"; done > text
  tokenize --train --type wordpiece --vocab-size 60 -o wordpiece.json text
  tokenize --train --type bpe --vocab-size 60 -o bpe.model text
  for tokenizer in wordpiece.json bpe.model; do
    tokenize -m $tokenizer text -o ids.npy
    train --task masked-language-model --source ids.npy --tokenizer $tokenizer --encoder-layers 1 $SMALL --steps 1 -o m.h5
    piece=$([ $tokenizer = bpe.model ] && echo '<unk>' || echo '[MASK]')
    expected=$(tokenize -m $tokenizer --vocabulary | awk -F'\t' -v piece="$piece" '{ for (i = 1; i <= NF; ++i) if ($i == piece) print NR - 1 }')
    [ "$(model describe m.h5 | awk '$1 == "mask_id" { print $2 }')" = "$expected" ]
    train --task masked-language-model --source ids.npy --tokenizer $tokenizer --encoder-layers 1 $SMALL --steps 1 --mask-id 5 -o m.h5
    [ "$(model describe m.h5 | awk '$1 == "mask_id" { print $2 }')" = 5 ]
  done
}

@test "classes of lines: names, probabilities, and the accuracy that train reported" {
  train $CLASSES --valid-source "$DATA/class-valid.npy" --valid-labels "$DATA/class-valid.txt" --learning-rate 0.005 --steps 60 --validate-every 60 \
    --batch-tokens 500 --log log.tsv -o m.h5
  accuracy=$(column valid_accuracy log.tsv)
  below 0.9 "$accuracy"
  classify -m m.h5 --names "$DATA/class-valid.npy" > names.txt
  [ "$(wc -l < names.txt)" -eq 100 ]
  [ "$(score -q --metric accuracy --reference "$DATA/class-valid.txt" names.txt)" = "$(awk -v a="$accuracy" 'BEGIN { printf "%.6f", 100 * a }')" ]
  # The likeliest two of three, with falling probabilities; the names' order is that of bytes.
  classify -m m.h5 --top 2 "$DATA/class-valid.npy" > top.txt
  cut -f 1 top.txt | cmp - names.txt
  awk -F'\t' 'NF != 4 || $2 < $4 || $2 + $4 > 1.00001 || $1 == $3 { exit 1 }' top.txt
  [ "$(classify -m m.h5 --top 9 "$DATA/class-valid.npy" | head -n 1 | tr '\t' '\n' | wc -l)" -eq 6 ]
  classify -m m.h5 "$DATA/class-valid.npy" -o p.npy
  /usr/bin/python3 -c '
import numpy as np
with open("p.npy", "rb") as file: p = [np.load(file) for _ in range(100)]
names = [sorted(["plant", "animal", "thing"])[x.argmax()] for x in p]
assert names == open("names.txt").read().split() and np.allclose(np.sum(p, 1), 1)'
  # Whatever the batches and threads.
  classify -m m.h5 --batch-rows 1 -j 2 "$DATA/class-valid.npy" | cmp - p.npy
}

@test "labels of which several hold: names above a threshold, probabilities, and the accuracy that train reported" {
  train $HOLDS --valid-source "$DATA/groups-valid.npy" --valid-labels "$DATA/groups-valid.txt" --learning-rate 0.005 --steps 300 --validate-every 300 \
    --batch-tokens 500 --log log.tsv -o m.h5
  accuracy=$(column valid_accuracy log.tsv)
  below 0.95 "$accuracy"
  classify -m m.h5 --names "$DATA/groups-valid.npy" > names.txt
  [ "$(wc -l < names.txt)" -eq 100 ]
  below 95 "$(score -q --metric multi-label --reference "$DATA/groups-valid.txt" names.txt)"
  classify -m m.h5 "$DATA/groups-valid.npy" -o p.npy
  classify -m m.h5 --give logits "$DATA/groups-valid.npy" -o logits.npy
  for at in 0.5 0.9; do classify -m m.h5 --names --threshold $at "$DATA/groups-valid.npy" > names-$at.txt; done
  cmp names.txt names-0.5.txt
  classify -m m.h5 --top 2 "$DATA/groups-valid.npy" > top.txt
  ACCURACY=$accuracy /usr/bin/python3 - <<'PYTHON'
import os, numpy as np
def read(name):
    with open(name, "rb") as file: return np.array([np.load(file) for _ in range(100)])
p, logits, holds = read("p.npy"), read("logits.npy"), np.load(os.environ["DATA"] + "/groups-valid-holds.npy")
assert p.shape == (100, 4) and np.allclose(p, 1 / (1 + np.exp(-logits.astype("f8"))), atol=1e-6)
assert abs(np.mean((p > 0.5) == holds) - float(os.environ["ACCURACY"])) < 1e-6
for at in "0.5", "0.9":
    expected = [" ".join(g for g, x in zip("abcd", row) if x > float(at)) for row in p]
    assert open(f"names-{at}.txt").read().split("\n")[:-1] == expected and expected != [""] * 100
for line, row in zip(open("top.txt"), p):
    one, a, two, b = line.split("\t")
    assert {one, two} == {"abcd"[i] for i in np.argsort(row)[-2:]} and float(a) >= float(b) and abs(float(a) - row.max()) < 1e-5
PYTHON
  # Labels as numbers are the same training; whatever the batches and threads.
  train $HOLDS --steps 5 -o names.h5
  train $(without "$HOLDS" labels) --labels "$DATA/groups-holds.npy" --steps 5 -o numbers.h5
  cmp <(classify -m names.h5 "$DATA/groups-valid.npy") <(classify -m numbers.h5 "$DATA/groups-valid.npy")
  classify -m m.h5 --batch-rows 1 -j 2 "$DATA/groups-valid.npy" | cmp - p.npy
  # A label that holds counts more, or less.
  for weight in 0.1 10; do
    train $HOLDS --pos-weights "b=$weight" --learning-rate 0.005 --steps 50 --batch-tokens 500 -o w.h5
    classify -m w.h5 --names "$DATA/groups-valid.npy" | grep -c b > count-$weight || true
  done
  [ "$(cat count-10)" -gt "$(cat count-0.1)" ]
}

@test "numbers: the values, and the error that train reported; goes on from a model, and from one of classes" {
  train ${COUNTS/--quiet/} --valid-source "$DATA/groups-valid.npy" --valid-target-values "$DATA/groups-valid.counts" --learning-rate 0.005 --steps 300 \
    --validate-every 300 --batch-tokens 500 --log log.tsv -o m.h5 2> words
  below "$(column valid_loss log.tsv)" 0.02
  [ -z "$(column valid_accuracy log.tsv)$(column valid_ppl log.tsv)$(column train_ppl log.tsv)" ]
  run ! grep -Eq 'nan|ppl|accuracy' words
  classify -m m.h5 "$DATA/groups-valid.npy" -o values.npy
  score -q --metric mse --reference "$DATA/groups-valid.counts" values.npy | awk -v v="$(column valid_loss log.tsv)" '{ exit ($1 - v) ^ 2 > 1e-10 }'
  below 0.9 "$(score -q --metric spearman --reference "$DATA/groups-valid.counts" values.npy)"
  [ "$(model describe m.h5 | awk '$1 == "problem_type" { print $2 }')" = regression ]
  classify -m m.h5 --batch-rows 1 -j 2 "$DATA/groups-valid.npy" | cmp - values.npy
  train $COUNTS --steps 5 -o text.h5
  train $(without "$COUNTS" target-values) --target-values "$DATA/groups-counts.npy" --steps 5 -o records.h5
  cmp text.h5 records.h5
  again="--task regression --source $DATA/groups.npy --target-values $DATA/groups.counts --quiet"
  train $again --from m.h5 --learning-rate 0 --steps 1 -o same.h5
  cmp m.h5 same.h5
  # A classifier is none of values, and the other way round: it begins anew.
  train $HOLDS --steps 3 -o holds.h5
  for other in holds masked; do
    [ $other = holds ] || train $MASKED --steps 3 -o masked.h5
    train $again --from $other.h5 --freeze 'encoder/*' --steps 3 -o $other-counts.h5
    cmp <(encode -m $other.h5 "$DATA/groups.npy") <(encode -m $other-counts.h5 "$DATA/groups.npy")
    model describe $other-counts.h5 | grep -Eq '^classifier/weight +\(1, 32\)'
  done
  train --task classification --from m.h5 --source "$DATA/class.npy" --labels "$DATA/class.txt" --quiet --adapter 2 --steps 3 -o classes.h5
  classify -m classes.h5 --names "$DATA/class-valid.npy" > /dev/null
}

@test "class weights: a rare class that counts more is found; balanced ones are what they are by hand" {
  # One animal of ten is left.
  /usr/bin/python3 - <<'PYTHON'
import os, numpy as np
D, kept = os.environ["DATA"], []
with open(D + "/class.npy", "rb") as file, open("rare.npy", "wb") as out, open("rare.txt", "w") as names:
    for i, name in enumerate(open(D + "/class.txt")):
        record = np.load(file)
        if name != "animal\n" or i % 10 == 0:
            kept.append(name.strip()), np.save(out, record), names.write(name)
names, counts = np.unique(kept, return_counts=True)
print(*(f"--class-weights {n}={len(kept) / (3 * c)!r}" for n, c in zip(names, counts)), file=open("balanced", "w"))
PYTHON
  rare="$(without "$CLASSES" source labels) --source rare.npy --labels rare.txt"
  train $rare --class-weights balanced --steps 5 -o a.h5
  train $rare $(cat balanced) --steps 5 -o b.h5
  cmp a.h5 b.h5
  for weight in 1 20; do
    train $rare --class-weights animal=$weight --learning-rate 0.005 --steps 12 --batch-tokens 500 -o w.h5
    classify -m w.h5 --names "$DATA/class-valid.npy" | grep -c animal > count-$weight || true
  done
  [ "$(cat count-20)" -gt "$(cat count-1)" ]
  # A weight of 1 is none: the same gradients, but for their rounding.
  train $rare --steps 1 --gradients none.h5 -o m.h5
  train $rare --class-weights animal=1 --steps 1 --gradients one.h5 -o m.h5
  /usr/bin/python3 -c '
import h5py, numpy as np
a, b = h5py.File("none.h5", "r"), h5py.File("one.h5", "r")
a.visititems(lambda name, x: np.testing.assert_allclose(x, b[name], rtol=0, atol=1e-6) if isinstance(x, h5py.Dataset) else None)'
}

@test "refusals: values, weights, and what a model of them does not give" {
  counts="$(without "$COUNTS" target-values) --target-values"
  sed '20s/.*/high/' "$DATA/groups.counts" > word.txt
  refused 1 "train: word.txt: line 20: 'high' is no finite number" train $counts word.txt -o m.h5
  sed '20s/.*/1 2/' "$DATA/groups.counts" > two.txt
  refused 1 "train: two.txt: line 20: has 2 values, not 1" train $counts two.txt -o m.h5
  sed '20s/.*//' "$DATA/groups.counts" > gap.txt
  refused 1 "train: gap.txt: line 20: has 0 values, not 1" train $counts gap.txt -o m.h5
  refused 1 "train: $DATA/groups.npy has 600 records, $DATA/groups-valid.counts has values of 100" train $counts "$DATA/groups-valid.counts" -o m.h5
  refused 1 "train: nothing.txt: no values" train $counts nothing.txt -o m.h5 3> nothing.txt
  holds="$(without "$HOLDS" labels) --labels"
  refused 1 "train: $DATA/groups.npy: record 0: holds *, which is not from 0 to 1" train $holds "$DATA/groups.npy" -o m.h5
  printf 'a\ne\n' > other.txt
  refused 1 "train: other.txt: line 2: 'e' is none of the 4 labels" train $HOLDS --valid-source "$DATA/groups.npy" --valid-labels other.txt -o m.h5
  refused 2 "train: --labels needs --task classification, multi-label, tagging or spans" train $counts "$DATA/groups.counts" --labels "$DATA/groups.txt" -o m.h5
  refused 2 "train: --target-values needs --task regression" train $HOLDS --target-values "$DATA/groups.counts" -o m.h5
  refused 2 "train: --label-smoothing needs --task with one answer each, which regression and multi-label have not" train $COUNTS --label-smoothing 0.1 -o m.h5
  refused 2 "train: --metric accuracy is not of --task regression" train $COUNTS --valid-source "$DATA/groups.npy" \
    --valid-target-values "$DATA/groups.counts" --metric accuracy -o m.h5
  refused 2 "train: --pos-weights needs --task multi-label" train $CLASSES --pos-weights animal=2 -o m.h5
  refused 2 "train: --class-weights mineral=2: 'mineral' is none of the 3 classes" train $CLASSES --class-weights mineral=2 -o m.h5
  for bad in animal animal=x animal=-1 =2; do
    refused 2 "train: --class-weights $bad: NAME=WEIGHT, or \`balanced\`, expected" train $CLASSES --class-weights $bad -o m.h5
  done
  sed '20s/.*/-2e15/' "$DATA/groups.counts" > large.txt
  refused 1 "train: large.txt: line 20: holds -2e+15, beyond 1e+15: in other units it can be learned" train $counts large.txt -o m.h5
  # A mean of nothing is no loss.
  train $CLASSES --steps 1 -o classes.h5
  printf 'thing\nthing\n' > things.txt
  slice --records 0,1 "$DATA/class-valid.npy" -o two.npy
  refused 1 "train: things.txt: holds no class that --class-weights lets weigh anything" train $CLASSES --class-weights thing=0 --valid-source two.npy \
    --valid-labels things.txt -o m.h5
  refused 1 "train: things.txt: holds no class that --class-weights lets weigh anything" train --task classification --source two.npy \
    --labels things.txt --from classes.h5 --class-weights thing=0 --quiet -o m.h5
  train $COUNTS --steps 1 -o counts.h5
  for option in --names "--top 2" "--give probabilities"; do
    refused 2 "classify: ${option/ 2} needs a model of classes or labels, not of values" classify -m counts.h5 $option "$DATA/groups.npy"
  done
  refused 2 "classify: --threshold needs --names of a multi-label model" classify -m classes.h5 --names --threshold 0.3 "$DATA/groups.npy"
}

@test "less memory by computing activations again: the same file, in less than half of it" {
  /usr/bin/python3 -c 'import numpy as np; np.save("long.npy", np.random.default_rng(1).integers(4, 24, 3000).astype("<i4"))'
  words="--task masked-language-model --source long.npy --source-vocabulary 24 --mask-id 3 --encoder-layers 16 --width 64 --heads 2 --inner 256 --quiet --steps 2
    --warmup 1 --attention-dropout 0.1"
  peak() { /usr/bin/python3 -c 'import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$@"; }
  whole=$(peak train $words -o whole.h5)
  again=$(peak train $words --checkpoint-activations -o again.h5)
  echo "$whole kB, $again kB"
  cmp whole.h5 again.h5
  [ "$((again * 2))" -lt "$whole" ]
}

@test "names that hold spaces have tabs between" {
  train $HOLDS --steps 20 -o holds.h5
  train $TAGS --steps 3 -o tags.h5
  for m in holds tags; do
    /usr/bin/python3 -c '
import h5py, numpy as np, sys
f = h5py.File(sys.argv[1], "a")
labels = bytes(f["labels"][()]).decode().split("\n")[:-1]
del f["labels"]
f["labels"] = np.frombuffer(("".join("very " + x + "\n" for x in labels)).encode(), "u1")' $m.h5
  done
  classify -m holds.h5 --names --threshold 0 "$DATA/groups-valid.npy" | head -n 1 | cmp - <(printf 'very a\tvery b\tvery c\tvery d\n')
  tag -m tags.h5 --names "$DATA/tags-valid.npy" >names
  grep -q $'\t' names
  run ! grep -qvxE '(very (start|low|high))*' <(tr '\t' '\n' <names)
}

@test "tags of words: names, numbers, probabilities, and the accuracy that train reported" {
  train $TAGS --valid-source "$DATA/tags-valid.npy" --valid-labels "$DATA/tags-valid.txt" --valid-words "$DATA/tags-valid-words.npy" \
    --learning-rate 0.005 --steps 400 --validate-every 400 --batch-tokens 1000 --log log.tsv -o m.h5
  accuracy=$(column valid_accuracy log.tsv)
  below 0.9 "$accuracy"
  tag -m m.h5 --names --words "$DATA/tags-valid-words.npy" "$DATA/tags-valid.npy" > names.txt
  [ "$(wc -l < names.txt)" -eq 100 ] && [ -z "$(sed -n 4p names.txt)" ]
  paste -d '\n' names.txt "$DATA/tags-valid.txt" | awk -v expected="$accuracy" '
    NR % 2 { n = split($0, ours, " "); next }
    { if (NF != n) exit 1; for (i = 1; i <= n; ++i) { right += ours[i] == $i; ++all } }
    END { if (!all || (right / all - expected) ^ 2 > 1e-10) exit 1 }'
  tag -m m.h5 --give numbers --words "$DATA/tags-valid-words.npy" "$DATA/tags-valid.npy" -o numbers.npy
  [ "$(ids numbers.npy)" = "$(sed 's/high/0/g; s/low/1/g; s/start/2/g' names.txt)" ]
  # Without words, every position; the words' first ones are those.
  tag -m m.h5 "$DATA/tags-valid.npy" -o all.npy
  tag -m m.h5 --words "$DATA/tags-valid-words.npy" "$DATA/tags-valid.npy" -o words.npy
  /usr/bin/python3 - <<'PYTHON'
import os, numpy as np
def read(name):
    with open(name, "rb") as file: return [np.load(file) for _ in range(100)]
for p, chosen, w in zip(read("all.npy"), read("words.npy"), read(os.environ["DATA"] + "/tags-valid-words.npy")):
    assert p.shape == (len(w), 3) and np.array_equal(p[[i for i in range(len(w)) if i == 0 or w[i] != w[i - 1]]], chosen)
PYTHON
  # Whatever the batches and threads.
  tag -m m.h5 --batch-rows 1 -j 2 "$DATA/tags-valid.npy" | cmp - all.npy
  tag -m m.h5 --batch-rows 7 -j 1 --words "$DATA/tags-valid-words.npy" "$DATA/tags-valid.npy" | cmp - words.npy
}

@test "tags of positions as numbers: where there is none nothing is learned, so the same as those of words" {
  train $TAGS --steps 5 -o words.h5
  train $(without "$TAGS" words labels) --labels "$DATA/tags-numbers.npy" --steps 5 -o numbers.h5
  # Other names for the same classes, in another order, and none: the parameters differ by that order alone.
  [ "$(model describe numbers.h5 | awk '$1 == "classes" { print $2 }')" = 3 ]
  cat > same.txt <(sed 's/start/0/g; s/low/1/g; s/high/2/g' "$DATA/tags.txt")
  train $(without "$TAGS" labels) --labels same.txt --steps 5 -o renamed.h5
  cmp <(tag -m numbers.h5 "$DATA/tags-valid.npy") <(tag -m renamed.h5 "$DATA/tags-valid.npy")
  ! cmp -s <(tag -m numbers.h5 "$DATA/tags-valid.npy") <(tag -m words.h5 "$DATA/tags-valid.npy")
}

@test "patches of images are tagged: a dense array in, a dense array out" {
  /usr/bin/python3 -c 'import os, numpy as np
images = np.load(os.environ["DATA"] + "/bars-images.npy")
np.save("map.npy", (images.reshape(400, 4, 2, 4, 2).max((2, 4)) > 1).astype("u1").reshape(400, 16))'
  words="--task tagging --encoder-layers 1 --class-token --positions learned --max-positions 17 --norm-position pre $SMALL"
  train ${words/--class-token/} --source "$DATA/bars-dense.npy" --labels map.npy --learning-rate 0.005 --steps 100 --validate-every 100 --batch-tokens 1000 \
    --valid-source "$DATA/bars-dense.npy" --valid-labels map.npy --log log.tsv -o m.h5
  below 0.9 "$(column valid_accuracy log.tsv)"
  tag -m m.h5 --give numbers "$DATA/bars-dense.npy" -o dense.npy
  /usr/bin/python3 -c 'import numpy as np
ours = np.load("dense.npy")
assert ours.shape == (400, 16) and ours.dtype == np.int32 and np.mean(ours == np.load("map.npy")) > 0.9'
  cmp <(convert --unstack dense.npy) <(tag -m m.h5 --give numbers "$DATA/bars.npy")
}

@test "answers of questions: positions, characters, ids, text, and the accuracy that train reported" {
  train $ASKED --valid-source "$DATA/asked-valid.npy" --valid-types "$DATA/asked-valid-types.npy" --valid-labels "$DATA/asked-valid-spans.npy" \
    --learning-rate 0.005 --steps 500 --validate-every 500 --batch-tokens 1500 --dropout 0 --log log.tsv -o m.h5
  accuracy=$(column valid_accuracy log.tsv)
  below 0.8 "$accuracy"
  beside="--types $DATA/asked-valid-types.npy --offsets $DATA/asked-valid-offsets.npy"
  answer -m m.h5 $beside "$DATA/asked-valid.npy" -o positions.npy
  answer -m m.h5 $beside --give characters "$DATA/asked-valid.npy" -o characters.npy
  answer -m m.h5 $beside --give ids "$DATA/asked-valid.npy" -o ids.npy
  answer -m m.h5 $beside --texts "$DATA/asked-valid.texts" "$DATA/asked-valid.npy" -o answers.txt
  answer -m m.h5 $beside --texts "$DATA/asked-valid.texts" --nbest 2 "$DATA/asked-valid.npy" | cut -f 1 | cmp - answers.txt
  ACCURACY=$accuracy /usr/bin/python3 - <<'PYTHON'
import os, numpy as np
D = os.environ["DATA"] + "/asked-valid"
def read(name):
    with open(name, "rb") as file: return [np.load(file) for _ in range(100)]
records, spans, texts = read(D + ".npy"), read(D + "-spans.npy"), open(D + ".texts").read().split("\n")
right = 0
for r, s, p, c, i, text, answer in zip(records, spans, read("positions.npy"), read("characters.npy"), read("ids.npy"), texts, open("answers.txt").read().split("\n")):
    a, b = p
    assert list(i) == (list(r[a:b + 1]) if b else []) and answer == text[c[0]:c[1]] == " ".join(chr(93 + k) for k in i)
    right += list(p) == list(s) and len(r) > 0
assert right >= 99 * float(os.environ["ACCURACY"]) - 1, right  # train takes each of both ends by itself
PYTHON
  # Whatever the batches and threads; a window with room for all changes nothing.
  answer -m m.h5 $beside --batch-rows 1 -j 2 "$DATA/asked-valid.npy" | cmp - positions.npy
  answer -m m.h5 $beside --window 40 --stride 3 --batch-rows 60 -j 1 "$DATA/asked-valid.npy" | cmp - positions.npy
  # Windows of a part of the text are read each by itself, and most answers are in one of them.
  answer -m m.h5 $beside --window 12 --stride 5 "$DATA/asked-valid.npy" -o windows.npy
  [ "$(ids windows.npy | wc -l)" -eq 100 ]
  # However good no answer is, or never.
  [ "$(answer -m m.h5 $beside --threshold -1e9 "$DATA/asked-valid.npy" -o none.npy && ids none.npy | sort -u)" = "0 0" ]
  [ "$(answer -m m.h5 $beside --threshold 1e9 "$DATA/asked-valid.npy" -o all.npy && ids all.npy | grep -c '^0 0$')" = 1 ]
}

@test "spans as characters are those of positions; what does not fit is refused" {
  train $ASKED --steps 5 -o positions.h5
  train $(without "$ASKED" labels) --labels "$DATA/asked.spans" --offsets "$DATA/asked-offsets.npy" --steps 5 -o characters.h5
  cmp <(encode -m positions.h5 --give logits "$DATA/asked-valid.npy") <(encode -m characters.h5 --give logits "$DATA/asked-valid.npy")
  refused() { run --separate-stderr "${@:3}"; [ "$status" -eq "$1" ] && [[ "${stderr_lines[0]}" == $2 ]]; }
  sed '5s/.*/1 x/' "$DATA/asked.spans" > bad
  refused 1 "train: bad: line 5: '1 x' is not two numbers" train $(without "$ASKED" labels) --labels bad --offsets "$DATA/asked-offsets.npy" -o m.h5
  sed '5s/.*/7 3/' "$DATA/asked.spans" > bad
  refused 1 "train: $DATA/asked.npy: record 4: 7 to 3 in bad is no span of its second text" \
    train $(without "$ASKED" labels) --labels bad --offsets "$DATA/asked-offsets.npy" -o m.h5
  sed '5s/.*/7 99/' "$DATA/asked.spans" > bad
  refused 1 "train: $DATA/asked.npy: record * is no span of its positions" train $(without "$ASKED" labels) --labels bad -o m.h5
  refused 1 "train: $DATA/asked-types.npy: record *: type 1 is none of the model's 1" train $(without "$ASKED" token-types) -o m.h5
  refused 2 "answer: --window needs --offsets*" answer -m positions.h5 --window 9 "$DATA/asked-valid.npy"
  refused 2 "answer: --texts needs --offsets*" answer -m positions.h5 --texts "$DATA/asked-valid.texts" "$DATA/asked-valid.npy"
  refused 1 "answer: $DATA/asked-valid.npy: record 0: windows of 5 leave 3 positions for the text, of which 4 are to overlap" \
    answer -m positions.h5 --offsets "$DATA/asked-valid-offsets.npy" --window 5 --stride 4 "$DATA/asked-valid.npy"
  head -n 50 "$DATA/asked-valid.texts" > short
  refused 1 "answer: short has 50 lines, *" answer -m positions.h5 --offsets "$DATA/asked-valid-offsets.npy" --texts short "$DATA/asked-valid.npy"
  train $TAGS --steps 1 -o tags.h5
  refused 1 "answer: tags.h5: a model that predicts token-classes, *" answer -m tags.h5 "$DATA/asked-valid.npy"
}

@test "a tagger from a language model: a new head, the rest of the parameters" {
  train $MASKED --steps 3 --head-dense --head-norm --output-bias -o masked.h5
  words="--task tagging --source $DATA/tags.npy --labels $DATA/tags.txt --words $DATA/tags-words.npy --quiet"
  train $words --from masked.h5 --learning-rate 0 --steps 1 -o tags.h5
  [ "$(model describe tags.h5 | awk '$1 == "head" { print $2 }')" = token-classes ]
  model describe tags.h5 | grep -q '^classifier/weight'
  ! model describe tags.h5 | grep -q head/
  cmp <(encode -m masked.h5 "$DATA/tags.npy") <(encode -m tags.h5 "$DATA/tags.npy")
  # Of a model of other classes no classifier is taken.
  train $CLASSES --steps 3 -o classes.h5
  train $words --from classes.h5 --learning-rate 0 --steps 1 -o again.h5
  cmp <(encode -m classes.h5 "$DATA/tags.npy") <(encode -m again.h5 "$DATA/tags.npy")
  train $words --from tags.h5 --steps 1 -o more.h5
  run -2 train $words --from tags.h5 --head-dense --steps 1 -o more.h5
}

recall() {  # recall LOG: the recalls at 1 of the last validation, of targets and of sources, in percent
  sed -nE 's/.*recall@1 ([0-9.]+)\/([0-9.]+), .*/\1 \2/p' "$1" | tail -n 1
}

found() {  # found QUERIES BASE: how many percent of the queries have their own number as the nearest
  nearest "$2" "$1" --pairs | awk '$1 == $2 { ++n } END { printf "%.4g\n", 100 * n / NR }'
}

@test "pairs of ids: an encoder learns which belong together, and nearest finds them" {
  train ${SAID/--quiet/} --valid-source "$DATA/said-valid-ids.npy" --valid-target "$DATA/said-valid-other.npy" --learning-rate 0.01 --epochs 12 \
    --batch-tokens 1000 -o m.h5 2> log
  below 60 "$(recall log | cut -d' ' -f1)"
  train --quiet --task contrastive --from m.h5 --source "$DATA/said-ids.npy" --target "$DATA/said-other.npy" --learning-rate 0 --steps 1 -o same.h5 \
    --valid-source "$DATA/said-valid-ids.npy" --valid-target "$DATA/said-valid-other.npy"
  cmp m.h5 same.h5
  encode -m m.h5 --pool model "$DATA/said-valid-ids.npy" -o a.npy
  encode -m m.h5 --pool model "$DATA/said-valid-other.npy" -o b.npy
  [ "$(grep -F '(best)' log | recall /dev/stdin)" = "$(found a.npy b.npy) $(found b.npy a.npy)" ]
}

@test "pairs of vectors and ids: two encoders in one file, as imported ones are" {
  train ${SHOWN/--quiet/} --valid-source "$DATA/said-valid-vectors.npy" --valid-target "$DATA/said-valid-other.npy" --learning-rate 0.01 --epochs 12 \
    --batch-tokens 1000 --metric accuracy -o m.h5 2> log
  encode -m m.h5:image --pool model "$DATA/said-valid-vectors.npy" -o a.npy
  encode -m m.h5:text --pool model "$DATA/said-valid-other.npy" -o b.npy
  below 60 "$(found a.npy b.npy)"
  [ "$(grep -F '(best)' log | recall /dev/stdin)" = "$(found a.npy b.npy) $(found b.npy a.npy)" ]
  model describe m.h5:image | grep -q 'input_width.*10'
  from="--quiet --task contrastive --from m.h5 --source $DATA/said-vectors.npy --target $DATA/said-other.npy"
  train $from --learning-rate 0 --steps 1 -o same.h5
  cmp m.h5 same.h5
  # One tower alone goes on as any model does; the other task's model is none.
  train --quiet --task contrastive --from m.h5:text --source "$DATA/said-ids.npy" --target "$DATA/said-other.npy" --steps 1 -o text.h5
  encode -m text.h5 --pool model "$DATA/said-valid-ids.npy" > /dev/null
  refused() { run --separate-stderr "${@:3}"; [ "$status" -eq "$1" ] && [[ "${stderr_lines[0]}" == $2 ]]; }
  refused 1 "train: m.h5: holds 2 models, pairs of ids are read by one: name it, as in FILE:text" \
    train --quiet --task contrastive --from m.h5 --source "$DATA/said-ids.npy" --target "$DATA/said-other.npy" --steps 1 -o n.h5
  refused 1 "train: text.h5: holds one model, pairs of vectors and ids are read by two" train ${from/m.h5/text.h5} --steps 1 -o n.h5
  refused 1 "train: $DATA/said-vectors.npy: record 0: holds vectors (f4), ids expected" train $(without "$SHOWN" target) --target "$DATA/said-vectors.npy" -o n.h5
  refused 1 "train: $DATA/said-ids.npy has 600 records, $DATA/said-valid-other.npy has 60" \
    train $(without "$SAID" target) --target "$DATA/said-valid-other.npy" -o n.h5
  refused 2 "train: --image needs --task contrastive" train $CLASSES --image layers=2 -o n.h5
  # The recalls are the log's last columns.
  train $from --valid-source "$DATA/said-valid-vectors.npy" --valid-target "$DATA/said-valid-other.npy" --learning-rate 0 --steps 1 --log log.tsv -o same.h5
  [ "$(for side in target source; do column valid_${side}_recall_1 log.tsv; done | awk '{ printf "%s%.4g", (NR > 1 ? " " : ""), 100 * $1 }')" = \
    "$(found a.npy b.npy) $(found b.npy a.npy)" ]
  awk -F'\t' 'NR > 1 && NF != 17 || NR > 1 && !($12 <= $13 && $13 <= $14 && $14 <= 1) { exit 1 }' log.tsv
  for option in "--image layers=3" "--text heads=2"; do  # what would be ignored
    refused 2 "train: ${option% *} is given by the model that --from names" train $from $option -o n.h5
    refused 2 "train: ${option% *} needs sources of vectors: pairs of ids have one encoder" train $SAID $option -o n.h5
  done
  refused 2 "train: --no-normalize is not for --task contrastive, which compares vectors of length 1" train $SHOWN --no-normalize -o n.h5
  refused 2 "train: --normalize is given by the model that --from names" train $from --normalize -o n.h5
  train $SAID --normalize --steps 1 -o normal.h5
}

@test "two encoders: adapters of both, merged to the same vectors; the mean of two files" {
  train $SHOWN --learning-rate 0.01 --steps 12 -o m.h5
  from="--quiet --task contrastive --from m.h5 --source $DATA/said-vectors.npy --target $DATA/said-other.npy --learning-rate 0.01 --warmup 1"
  train $from --adapter 2 --steps 6 -o adapted.h5
  train $from --adapter 2 --steps 3 -o parts.h5
  train $from --adapter 2 --steps 6 --resume -o parts.h5
  cmp adapted.h5 parts.h5
  model merge adapted.h5 -o merged.h5
  run ! grep -q adapter <(model describe merged.h5)
  for tower in image:vectors text:other; do
    data=$DATA/said-valid-${tower#*:}.npy
    cmp <(encode -m adapted.h5:${tower%:*} --pool model "$data") <(encode -m merged.h5:${tower%:*} --pool model "$data")
    run ! cmp -s <(encode -m adapted.h5:${tower%:*} --pool model "$data") <(encode -m m.h5:${tower%:*} --pool model "$data")
  done
  /usr/bin/python3 - <<'PYTHON'
import h5py, numpy as np
old, new, merged = (h5py.File(n, "r") for n in ("m.h5", "adapted.h5", "merged.h5"))
names = []
old.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
assert len(names) > 30 and all(np.array_equal(old[n], new[n]) for n in names)
for tower, layers in ("image", 2), ("text", 1):
    scale = new[tower].attrs["adapter_scale"]
    for i in range(layers):
        for part in "query", "value":
            at = f"{tower}/encoder/{i}/self_attn/{part}/"
            whole = new[at + "weight"][()].astype("f8") + scale * new[at + "adapter_b"][()].astype("f8") @ new[at + "adapter_a"][()]
            assert np.abs(whole - merged[at + "weight"]).max() < 1e-6 and np.any(new[at + "adapter_b"][()])
PYTHON
  # Of one tower alone; the other one stays.
  train $from --adapter 2 --adapter-on 'text/*_attn/query/weight' --steps 3 -o text.h5
  cmp <(encode -m m.h5:image --pool model "$DATA/said-vectors.npy") <(encode -m text.h5:image --pool model "$DATA/said-vectors.npy")
  run ! cmp -s <(encode -m m.h5:text --pool model "$DATA/said-other.npy") <(encode -m text.h5:text --pool model "$DATA/said-other.npy")
  run --separate-stderr -1 model merge m.h5 -o n.h5
  [ "$stderr" = "model: m.h5: the model has no adapters" ]
  # The mean of two files, and of a checkpoint, is that of each tower and of the scales.
  train $from --steps 4 -o b.h5
  model average m.h5 b.h5 -o mean.h5
  model average b.h5.checkpoint.h5 -o same.h5
  peek --diff same.h5 b.h5
  /usr/bin/python3 - <<'PYTHON'
import h5py, numpy as np
a, b, mean = (h5py.File(n, "r") for n in ("m.h5", "b.h5", "mean.h5"))
names = []
mean.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) and item.dtype == np.float32 else None)
assert "logit_scale" in names and len(names) > 30
for n in names:
    assert np.array_equal(mean[n], ((a[n][()].astype("f8") + b[n][()]) / 2).astype("f4")), n
PYTHON
  run --separate-stderr -1 model average m.h5 m.h5:text -o n.h5
  [ "$stderr" = "model: m.h5:text: does not hold the models that m.h5 does" ]
}

@test "each of two encoders may pool in its own way" {
  /usr/bin/python3 - <<'PYTHON'
import os, numpy as np
with open(os.environ["DATA"] + "/said-other.npy", "rb") as file, open("other.npy", "wb") as out:
    for _ in range(600): np.save(out, np.append(np.load(file), [3, 0]).astype("<i4"))
PYTHON
  words="$(without "$SHOWN" target) --target other.npy --steps 3"
  train $words --image pooling=first --text pooling=end --end-id 3 -o m.h5
  [ "$(for tower in image text; do model describe m.h5:$tower | awk '$1 == "pooling" { print $2 }'; done | xargs)" = "first end" ]
  model describe m.h5:text | grep -Eq '^end_id +3$'
  run --separate-stderr -2 train $words --text pooling=middle -o n.h5
  [[ "${stderr_lines[0]}" == "train: --text pooling=middle: 'middle' is none of mean, first, last, "* ]]
  run --separate-stderr -2 train $words --text pooling=first --end-id 3 -o n.h5
  [ "${stderr_lines[0]}" = "train: --end-id needs a model with a decoder, or --pooling end" ]
}

@test "rates that fall from layer to layer" {
  words="$(without "$CLASSES" encoder-layers) --encoder-layers 3 --optimizer sgd --momentum 0 --schedule constant --warmup 1 --dropout 0 --batch-tokens 1000000"
  words=${words/--warmup 10/}
  train $words --learning-rate 0 --steps 1 -o old.h5
  from="--task classification --source $DATA/class.npy --labels $DATA/class.txt --quiet --from old.h5 --optimizer sgd --momentum 0 --schedule constant --warmup 1
    --dropout 0 --batch-tokens 1000000 --learning-rate 0.1 --steps 1"
  train $from -o whole.h5
  train $from --layer-decay 0.5 -o decayed.h5
  train $from --layer-decay 0.5 --rate-factor 'encoder/1/*=2' -o own.h5
  /usr/bin/python3 - <<'PYTHON'
import h5py, numpy as np
old, whole, decayed, own = (h5py.File(n, "r") for n in ("old.h5", "whole.h5", "decayed.h5", "own.h5"))
def moved(file, name): return float(np.abs(file[name][()].astype("f8") - old[name][()]).sum())
for name, factor, with_own in [("encoder/embedding/weight", 1 / 16, 1 / 16), ("encoder/0/ffn/linear1/weight", 1 / 8, 1 / 8), ("encoder/1/ffn/linear1/weight", 1 / 4, 2),
                               ("encoder/2/self_attn/value/weight", 1 / 2, 1 / 2), ("classifier/weight", 1, 1)]:
    assert abs(moved(decayed, name) / moved(whole, name) - factor) < 1e-3 * factor, name
    assert abs(moved(own, name) / moved(whole, name) - with_own) < 1e-3 * with_own, name
PYTHON
  run -2 train $from --layer-decay 0.5 --adapter 2 -o n.h5
}

scale_of() {  # scale_of MODEL: the logarithm of what the products of its vectors are multiplied by
  /usr/bin/python3 -c 'import h5py, sys; print(repr(h5py.File(sys.argv[1], "r")["logit_scale"][()].item()))' "$1"
}

@test "the scale of one encoder of pairs goes with it: averaged, merged, quantised, and on" {
  from="--quiet --task contrastive --source $DATA/said-ids.npy --target $DATA/said-other.npy"
  train $SAID --learning-rate 0.01 --steps 12 -o a.h5
  train $from --from a.h5 --learning-rate 0.05 --warmup 1 --steps 5 -o b.h5
  [ "$(scale_of a.h5)" != "$(scale_of b.h5)" ]
  model describe a.h5 | grep -Eq '^logit_scale +\(\) +f32$'
  model average a.h5 b.h5 -o mean.h5
  /usr/bin/python3 -c 'import numpy as np, sys; a, b, mean = map(float, sys.argv[1:]); assert mean == np.float32((a + b) / 2), (a, b, mean)' \
    "$(scale_of a.h5)" "$(scale_of b.h5)" "$(scale_of mean.h5)"
  for type in int8 f16 f32; do
    model quantize a.h5 --weights $type -o $type.h5
    [ "$(scale_of $type.h5)" = "$(scale_of a.h5)" ]
  done
  cmp f32.h5 a.h5
  train $from --from a.h5 --adapter 2 --steps 3 --warmup 1 -o adapted.h5
  model merge adapted.h5 -o merged.h5
  [ "$(scale_of merged.h5)" = "$(scale_of adapted.h5)" ]
  train $from --from merged.h5 --learning-rate 0 --steps 1 -o again.h5
  cmp merged.h5 again.h5
  # Exported as a BERT, in which no tensor is meant for it, and imported again.
  model import "$BATS_TEST_DIRNAME/../../testdata/checkpoints/bert_mlm" -q -o bert.h5
  train $from --from bert.h5 --learning-rate 0.01 --warmup 1 --steps 4 -o pairs.h5
  model export pairs.h5 -o there && model import there -o back.h5
  [ "$(scale_of back.h5)" = "$(scale_of pairs.h5)" ]
  cmp <(encode -m pairs.h5 --pool model "$DATA/said-ids.npy") <(encode -m back.h5 --pool model "$DATA/said-ids.npy")
  sed -i -E 's/"logit_scale": [0-9.]+/"logit_scale": "warm"/' there/config.json
  run --separate-stderr -1 model import there -o n.h5
  [[ "$stderr" == "model: there/config.json: pipeformer.logit_scale is "* ]]
  /usr/bin/python3 -c 'import h5py, shutil; shutil.copy("a.h5", "bare.h5"); del h5py.File("bare.h5", "a")["logit_scale"]'
  for order in "a.h5 bare.h5" "bare.h5 a.h5"; do
    run --separate-stderr -1 model average $order -o n.h5
    [ "$stderr" = "model: ${order#* }: is another kind of model than ${order% *}: only one of them has a logit_scale" ]
  done
}

@test "pooling by the end id: --end-id says which, or the tokenizer" {
  refused() { run --separate-stderr "${@:3}"; [ "$status" -eq "$1" ] && [[ "${stderr_lines[0]}" == $2 ]]; }
  /usr/bin/python3 - <<'PYTHON'
import os, numpy as np
for name in "said-ids", "said-other":
    with open(os.environ["DATA"] + f"/{name}.npy", "rb") as file, open(name + ".npy", "wb") as out:
        for _ in range(200): np.save(out, np.append(np.load(file), [3, 0]).astype("<i4"))
PYTHON
  ended="$(without "$SAID" source target positions) --source said-ids.npy --target said-other.npy --steps 3 --pooling end"
  train $ended --end-id 3 -o m.h5
  model describe m.h5 | grep -Eq '^end_id +3$'
  encode -m m.h5 --pool model said-ids.npy -o vectors.npy
  encode -m m.h5 said-ids.npy -o hidden.npy
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
with open("vectors.npy", "rb") as vectors, open("hidden.npy", "rb") as hidden:
    for _ in range(200):
        row = np.load(hidden)[-2].astype("f8")
        assert np.allclose(np.load(vectors), row / np.linalg.norm(row), atol=1e-5)
PYTHON
  train $MASKED --steps 1 -o masked.h5
  train --quiet --task contrastive --from masked.h5 --source said-ids.npy --target said-other.npy --pooling end --end-id 3 --steps 1 -o from.h5
  model describe from.h5 | grep -Eq '^end_id +3$'
  words='"model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "a": 1, "b": 2, "[CLS]": 3, "[SEP]": 4}}}'
  echo "{$words" > bare.json
  mkdir ended
  cp bare.json ended/tokenizer.json
  echo '{"eos_token": "[SEP]"}' > ended/tokenizer_config.json
  small="--kind encoder-only --head none --pooling end --encoder-layers 1 --width 8 --heads 2"
  model make $small --tokenizer ended -o made.h5
  model describe made.h5 | grep -Eq '^end_id +4$'
  refused 2 "model: --pooling end needs --end-id, or a --tokenizer with an end id" model make $small --tokenizer bare.json -o n.h5
  needs="train: --pooling end needs --end-id, or a --tokenizer with an end id"
  refused 2 "$needs" train $ended -o n.h5
  refused 2 "$needs" train --task contrastive --from masked.h5 --source said-ids.npy --target said-other.npy --pooling end -o n.h5
  refused 2 "train: options: end_id is 24, outside -1 to 23" train $ended --end-id 24 -o n.h5
  refused 2 "train: --end-id needs a model with a decoder, or --pooling end" train $SAID --end-id 3 -o n.h5
  refused 2 "train: --end-id is given by the model that --from names" \
    train --task contrastive --from masked.h5 --source said-ids.npy --target said-other.npy --end-id 3 -o n.h5
}

@test "adapters of an encoder that predicted something else: pairs train them and their scale" {
  pairs="--task contrastive --source $DATA/said-ids.npy --target $DATA/said-other.npy --learning-rate 0.01 --warmup 1 --steps 4"
  train $MASKED --steps 5 -o masked.h5
  train $CLASSES --steps 5 -o classes.h5
  for model in masked classes; do
    train $pairs --from $model.h5 --adapter 2 -o adapted.h5 2> log
    [ "$(scale_of adapted.h5)" != 2.6592600345611572 ]  # ln(1 / 0.07)
    ! cmp -s <(encode -m $model.h5 "$DATA/said-ids.npy") <(encode -m adapted.h5 "$DATA/said-ids.npy")
    /usr/bin/python3 - $model.h5 <<'PYTHON'
import sys, h5py, numpy as np
old, new = h5py.File(sys.argv[1], "r"), h5py.File("adapted.h5", "r")
names = []
new.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) and name in old else None)
assert len(names) > 10 and all(np.array_equal(old[name], new[name]) for name in names)
PYTHON
  done
  # A scale that the model has had is frozen as all of it is.
  train --quiet $pairs --from adapted.h5 -o tuned.h5
  train --quiet $pairs --from tuned.h5 --adapter 2 -o again.h5
  [ "$(scale_of tuned.h5)" = "$(scale_of again.h5)" ]
}

@test "an imported CLIP goes on learning, and is exported again" {
  model import "$BATS_TEST_DIRNAME/../../testdata/checkpoints/clip" -o clip.h5
  /usr/bin/python3 -c '
import numpy as np
random = np.random.default_rng(1)
with open("images.npy", "wb") as images, open("captions.npy", "wb") as captions:
    for i in range(40):  # 16 patches of 48, captions that end with the end id
        np.save(images, random.standard_normal((16, 48)).astype("<f4"))
        np.save(captions, np.append(random.integers(3, 90, random.integers(2, 8)), 98).astype("<i4"))'
  words="--task contrastive --from clip.h5 --source images.npy --target captions.npy --quiet"
  train $words --learning-rate 0 --steps 1 -o same.h5
  model export clip.h5 -o there
  model export same.h5 -o back
  diff -r there back
  /usr/bin/python3 -c '
import numpy as np
with open("open.npy", "wb") as out:
    for i in range(40): np.save(out, np.array([5, 6, 98 if i != 7 else 8], "<i4"))'
  run --separate-stderr -1 train ${words/captions/open} --steps 1 -o n.h5
  [ "$stderr" = "train: open.npy: record 7: has no end id 98, which stands for the whole sequence" ]
  train $words --freeze 'image/*' --steps 5 --warmup 1 -o more.h5
  cmp <(encode -m clip.h5:image images.npy) <(encode -m more.h5:image images.npy)
  run ! cmp -s <(encode -m clip.h5:text captions.npy) <(encode -m more.h5:text captions.npy)
}

@test "labels that do not fit what they are for" {
  refused() { run --separate-stderr "${@:3}"; [ "$status" -eq "$1" ] && [[ "${stderr_lines[0]}" == $2 ]]; }
  sed '6s/^[a-z]*/& low/' "$DATA/tags.txt" > long.txt
  refused 1 "train: $DATA/tags.npy: record 5: has * words, * labels in long.txt" train $(without "$TAGS" labels) --labels long.txt -o m.h5
  head -n 20 "$DATA/tags.txt" > short.txt
  refused 1 "train: $DATA/tags.npy has 600 records, short.txt has labels of 20" train $(without "$TAGS" labels) --labels short.txt -o m.h5
  refused 1 "train: $DATA/tags.npy: record 0: has * positions, * labels in $DATA/tags.txt" train $(without "$TAGS" words) -o m.h5
  refused 1 "train: $DATA/tags.npy has 600 records, $DATA/tags-valid-words.npy has 100" train $(without "$TAGS" words) --words "$DATA/tags-valid-words.npy" -o m.h5
  refused 1 "train: $DATA/tags-valid.npy: record 0: class * is none of the 3 classes" \
    train $(without "$TAGS" labels words) --labels "$DATA/tags-numbers.npy" --valid-source "$DATA/tags-valid.npy" --valid-labels "$DATA/tags-valid.npy" -o m.h5
  refused 2 "train: --words needs --task tagging*" train $CLASSES --words "$DATA/tags-words.npy" -o m.h5
  refused 2 "train: --labels needs --task classification, multi-label, tagging or spans*" train $MASKED --labels "$DATA/tags.txt" -o m.h5
  train $TAGS --steps 1 -o m.h5
  refused 1 "train: $DATA/tags-valid.txt: line *: '*' is none of the 2 classes" \
    train $(without "$TAGS" labels) --labels <(sed 's/high/low/g' "$DATA/tags.txt") --valid-source "$DATA/tags-valid.npy" \
      --valid-labels "$DATA/tags-valid.txt" --valid-words "$DATA/tags-valid-words.npy" -o n.h5
  refused 1 "tag: *$DATA/tags-words.npy*" tag -m m.h5 --words "$DATA/tags-words.npy" "$DATA/tags-valid.npy"
  /usr/bin/python3 -c 'import numpy as np; np.save("ids.npy", np.full((2, 3), 5, "<i4")); np.save("words.npy", np.array([[0, 2, 2], [0, 1, 2]], "<i4"))
np.save("uneven.npy", np.array([[0, 1, 1], [0, 1, 2]], "<i4"))'
  refused 1 "tag: ids.npy: record 0: word 1 has no id that could be tagged" tag -m m.h5 --words words.npy ids.npy
  refused 1 "tag: ids.npy: record 0: its sequences have 2 and 3 words*" tag -m m.h5 --words uneven.npy ids.npy
  [ "$(tag -m m.h5 --names --words uneven.npy ids.npy | wc -w)" -eq 5 ]
  train $CLASSES --steps 1 -o classes.h5
  refused 1 "tag: classes.h5: a model that predicts classes, not classes of positions: classify reads it" tag -m classes.h5 ids.npy
}

@test "numbers as labels, in any shape, are the same training; the model knows no names" {
  train $CLASSES --steps 5 -o names.h5
  for labels in "$DATA/class-numbers.npy" table.npy; do
    /usr/bin/python3 -c 'import sys, numpy as np; np.save("table.npy", np.load(sys.argv[1]).astype("u1").reshape(30, 10))' "$DATA/class-numbers.npy"
    train $(without "$CLASSES" labels) --labels $labels --steps 5 -o numbers.h5
    cmp <(classify -m names.h5 "$DATA/class-valid.npy") <(classify -m numbers.h5 "$DATA/class-valid.npy")
  done
  paste <(classify -m names.h5 --names "$DATA/class.npy") <(classify -m numbers.h5 --names "$DATA/class.npy") | sort -u > pairs
  [ -z "$(grep -vxE $'animal\t0|plant\t1|thing\t2' pairs)" ]
}

@test "images: lying and standing bars, as records or as one dense array" {
  train $BARS --valid-source "$DATA/bars-valid.npy" --valid-labels "$DATA/bars-valid.txt" --learning-rate 0.005 --epochs 12 --batch-tokens 1000 \
    --log log.tsv -o m.h5
  patchify --size 2 "$DATA/bars-valid-images.npy" | convert --unstack | classify -m m.h5 --names > names.txt
  below 95 "$(score -q --metric accuracy --reference "$DATA/bars-valid.txt" names.txt)"
  # A dense array in, a dense array out.
  patchify --size 2 "$DATA/bars-valid-images.npy" | classify -m m.h5 -o dense.npy
  classify -m m.h5 "$DATA/bars-valid.npy" -o records.npy
  cmp <(convert --unstack dense.npy) records.npy
  train $BARS --steps 5 -o records.h5
  train $(without "$BARS" source) --source "$DATA/bars-dense.npy" --steps 5 -o dense.h5
  cmp records.h5 dense.h5
}

@test "several files are one, and a pipe is a file" {
  /usr/bin/python3 - <<'PYTHON'
import os
for name in ["class.npy", "lines.npy", "same.npy", "class.txt"]:
    data = open(os.path.join(os.environ["DATA"], name), "rb").read()
    separator = b"\n" if name.endswith("txt") else b"\x93NUMPY"
    ends = [i for i in range(1, len(data)) if data.startswith(separator, i)]
    at = ends[119] + 1 if name.endswith("txt") else ends[119]   # after 120 records
    open("a." + name, "wb").write(data[:at])
    open("b." + name, "wb").write(data[at:])
PYTHON
  : > empty.npy
  check() {  # check OUTPUT-OF-ONE WORDS...
    train "${@:2}" --steps 6 --batch-tokens 300 -o several.h5
    cmp "$1" several.h5
  }
  train $CLASSES --steps 6 --batch-tokens 300 -o one.h5
  check one.h5 $(without "$CLASSES" source labels) --source a.class.npy --source b.class.npy --labels a.class.txt --labels b.class.txt
  check one.h5 $(without "$CLASSES" source labels) --source a.class.npy --source empty.npy --source b.class.npy --labels "$DATA/class.txt"
  train $(without "$CLASSES" source labels) --steps 6 --batch-tokens 300 --source <(cat "$DATA/class.npy") --labels <(cat "$DATA/class.txt") -o several.h5
  cmp one.h5 several.h5
  train $LINES --steps 6 --batch-tokens 300 -o one.h5
  check one.h5 $(without "$LINES" target) --target a.lines.npy --target b.lines.npy
  train $MASKED --steps 6 --batch-tokens 300 -o one.h5
  check one.h5 $(without "$MASKED" source) --source a.same.npy --source b.same.npy
}

@test "--mix: how often an epoch goes through each of several files" {
  slice --records 0-39 "$DATA/class.npy" -o a.npy && head -n 40 "$DATA/class.txt" >a.txt
  slice --records 100-119 "$DATA/class.npy" -o b.npy && sed -n 101,120p "$DATA/class.txt" >b.txt
  both="$(without "$CLASSES" source labels) --source a.npy --source b.npy --labels a.txt --labels b.txt --batch-tokens 1 "
  train $both --epochs 2 -o plain.h5
  train $both --epochs 2 --mix 1,1 -o n.h5 && cmp n.h5 plain.h5
  # A file that is not gone through is none.
  train $(without "$CLASSES" source labels) --source a.npy --labels a.txt --batch-tokens 1 --epochs 2 -o one.h5
  train $both --epochs 2 --mix 1,0 -o n.h5 && cmp n.h5 one.h5
  # Each step is an example: two and a half times 40, and half of 20, others in the second epoch.
  train ${both/--quiet/} --mix 2.5,0.5 --epochs 1 --log log.tsv -o n.h5 2>words
  tail -n 1 log.tsv | awk '{ exit !($1 > 95 && $1 < 125) }'
  train $both --mix 2.5,0.5 --epochs 2 --log two.tsv -o through.h5
  [ "$(tail -n 1 two.tsv | cut -f 1)" -ne $((2 * $(tail -n 1 log.tsv | cut -f 1))) ]
  train $both --mix 2.5,0.5 --epochs 1 -o halves.h5 && train $both --mix 2.5,0.5 --epochs 2 --resume -o halves.h5
  cmp halves.h5 through.h5
  refused 1 "train: halves.h5.checkpoint.h5: was made with other training data than this run has" train $both --mix 2,1 --epochs 3 --resume -o halves.h5
  for bad in 1 1,1,1 1,x 1,-1 0,0 1,; do
    refused 2 "train: --mix $bad: 2 numbers from 0 to 1000, one for each file of --source, not all 0, expected" train $both --mix $bad -o m.h5
  done
  refused 2 "train: --mix needs examples that are records: no --context" train $WINDOWS --mix 1 -o m.h5
}

@test "--max-length says what it leaves out, and leaves out exactly that" {
  /usr/bin/python3 - <<'PYTHON'
import os, numpy as np
d = os.environ["DATA"]
def read(name):
    records = []
    with open(f"{d}/{name}", "rb") as file:
        while file.peek(1): records.append(np.load(file))
    return records
def keep(pairs, names):
    for i, name in enumerate(names):
        with open(name, "wb") as out:
            for pair in pairs: np.save(out, pair[i])
short = [r for r in read("lines.npy") if len(r) <= 8]
keep([[r] for r in short], ["lines.npy"])
pairs = list(zip(read("text.en.npy"), read("text.de.npy")))
fit = [p for p in pairs if max(map(len, p)) <= 12]
keep(fit, ["en.npy", "de.npy"])
labelled = [(r, l) for r, l in zip(read("class.npy"), open(f"{d}/class.txt")) if len(r) <= 8]
keep(labelled, ["class.npy"])
open("class.txt", "w").writelines(l for _, l in labelled)
print(400 - len(short), 300 - len(fit), 300 - len(labelled), sum(len(r) > 8 for r in read("valid.npy")), file=open("counts", "w"))
PYTHON
  read -r texts pairs labelled valid < counts
  [ "$texts" -gt 50 ] && [ "$pairs" -gt 50 ] && [ "$labelled" -gt 50 ] && [ "$valid" -gt 5 ]
  loud() { echo "${1//--quiet/}"; }
  run --separate-stderr train $(loud "$LINES") --valid-target "$DATA/valid.npy" --max-length 8 --steps 5 --batch-tokens 300 -o m.h5
  [ "${stderr_lines[0]}" = "train: $texts of 400 records for training are longer than --max-length and left out" ]
  [ "${stderr_lines[1]}" = "train: $valid of 51 records for validation are longer than --max-length and left out" ]
  train $(without "$LINES" target) --target lines.npy --steps 5 --batch-tokens 300 -o n.h5
  train $LINES --max-length 8 --steps 5 --batch-tokens 300 -o m.h5
  cmp m.h5 n.h5
  run --separate-stderr train $(loud "$PAIRS") --max-length 12 --steps 5 --batch-tokens 300 -o m.h5
  [ "${stderr_lines[0]}" = "train: $pairs of 300 records for training are longer than --max-length and left out" ]
  train $(without "$PAIRS" source target) --source en.npy --target de.npy --steps 5 --batch-tokens 300 -o n.h5
  cmp m.h5 n.h5
  train $CLASSES --max-length 8 --steps 5 --batch-tokens 300 -o m.h5
  train $(without "$CLASSES" source labels) --source class.npy --labels class.txt --steps 5 --batch-tokens 300 -o n.h5
  cmp m.h5 n.h5
}

@test "the same bits whatever the threads and interruptions: each task, each optimizer, accumulated and averaged" {
  valid="--validate-every 3"
  i=0
  for words in "$PAIRS $valid --valid-source $DATA/text.en.npy --valid-target $DATA/text.de.npy" "$LINES $valid --valid-target $DATA/valid.npy" \
    "$WINDOWS $valid --valid-target $DATA/running-valid.npy" "$MASKED $valid --valid-source $DATA/same-valid.npy --sort-window 50" \
    "$CLASSES $valid --valid-source $DATA/class-valid.npy --valid-labels $DATA/class-valid.txt --class-weights balanced" "$BARS" \
    "$HOLDS $valid --valid-source $DATA/groups-valid.npy --valid-labels $DATA/groups-valid.txt --pos-weights balanced" \
    "$COUNTS $valid --valid-source $DATA/groups-valid.npy --valid-target-values $DATA/groups-valid.counts --checkpoint-activations" \
    "$TAGS $valid --valid-source $DATA/tags-valid.npy --valid-labels $DATA/tags-valid.txt --valid-words $DATA/tags-valid-words.npy" \
    "$ASKED $valid --valid-source $DATA/asked-valid.npy --valid-types $DATA/asked-valid-types.npy --valid-labels $DATA/asked-valid-spans.npy" \
    "$SAID $valid --valid-source $DATA/said-valid-ids.npy --valid-target $DATA/said-valid-other.npy" \
    "$SHOWN $valid --valid-source $DATA/said-valid-vectors.npy --valid-target $DATA/said-valid-other.npy"; do
    for optimizer in adam adamw "sgd --momentum 0.8"; do
      run="train $words --optimizer $optimizer --accumulate 2 --average-decay 0.9 --clip-norm 1 --batch-tokens 300 --attention-dropout 0.1"
      rm -f -- *.h5
      $run --steps 10 -j 1 -o one.h5
      $run --steps 10 -j 2 -o two.h5
      cmp one.h5 two.h5
      # In two parts, which begin between and at validations.
      $run --steps $((3 + i % 3)) -o parts.h5
      $run --steps 10 --resume -o parts.h5
      cmp one.h5 parts.h5
      i=$((i + 1))
    done
  done
}

@test "killed at any moment and resumed: the same model, and exactly the kept ones" {
  words="$LINES --valid-target $DATA/valid.npy --batch-tokens 200 --validate-every 3 --accumulate 2 --average-decay 0.9 --keep-last 2 --keep-best 3 --learning-rate 0.02"
  mkdir through killed
  train $words --steps 150 -o through/m.h5
  for delay in 0.04 0.08 0.12 0.16; do timeout -s KILL $delay train $words --steps 150 --resume -o killed/m.h5 || true; done
  train $words --steps 150 --resume -o killed/m.h5
  (cd through && echo *.step-*.h5) > through.list
  (cd killed && echo *.step-*.h5) > killed.list
  cmp through.list killed.list
  for file in $(cat through.list) m.h5; do cmp "through/$file" "killed/$file"; done
}

@test "--keep-last and --keep-best leave exactly those, and clean up after an older run" {
  words="$LINES --valid-target $DATA/valid.npy --batch-tokens 300 --validate-every 2 --learning-rate 0.02 --log log.tsv"
  : > m.h5.step-4.h5.txt   # not ours
  train $words --steps 20 --keep-last 3 -o m.h5
  [ "$(echo m.h5.step-*)" = "m.h5.step-16.h5 m.h5.step-18.h5 m.h5.step-20.h5 m.h5.step-4.h5.txt" ]
  train $words --steps 10 --keep-best 2 --metric accuracy --overwrite -o m.h5
  best=$(awk -F'\t' 'NR > 1 && $10 != "" { print $10 "\t" $1 }' log.tsv | sort -s -k 1,1gr | head -n 2 | cut -f 2 | sed 's/.*/m.h5.step-&.h5/' | sort | tr '\n' ' ')
  [ "$(echo m.h5.step-*.h5) " = "$best" ]
  classes="$CLASSES --batch-tokens 300 --validate-every 2"   # without validation data, too
  train $classes --steps 9 --keep-last 2 -o c.h5
  [ "$(echo c.h5.step-*)" = "c.h5.step-8.h5 c.h5.step-9.h5" ]
  cmp c.h5 c.h5.step-9.h5
}

@test "the metric chooses the model: loss, accuracy, BLEU" {
  for metric in loss:valid_loss:g accuracy:valid_accuracy:gr bleu:valid_bleu:gr; do
    IFS=: read -r name column order <<<"$metric"
    references=""
    [ "$name" != bleu ] || references="--valid-references $DATA/text.de"
    rm -f -- *.h5
    train $PAIRS --valid-source "$DATA/text.en.npy" --valid-target "$DATA/text.de.npy" $references --metric $name --learning-rate 0.02 --batch-tokens 1000 \
      --validate-every 8 --steps 40 --keep-last 100 --log log.tsv -o m.h5
    [ "$(column $column log.tsv | wc -l)" -eq 5 ]
    best=$(paste <(column $column log.tsv) <(seq 8 8 40) | sort -s -k "1,1$order" | head -n 1 | cut -f 2)
    cmp m.h5 "m.h5.step-$best.h5"
  done
  # That BLEU is what decode and score give for the kept model.
  bleu=$(column valid_bleu log.tsv | sort -g | tail -n 1)
  below 0 "$bleu"
  decode -m m.h5 --max-length-factor 1 "$DATA/text.en.npy" | tokenize -m m.h5 --decode > out.txt
  score -q --reference "$DATA/text.de" out.txt | awk -v b="$bleu" '{ exit ($1 - b) ^ 2 > 1e-8 }'
}

@test "fine-tuning: names stay with the model, and frozen parameters as they were" {
  train $CLASSES --steps 5 -o a.h5
  train --task classification --from a.h5 --source "$DATA/class.npy" --labels "$DATA/class-numbers.npy" --freeze 'encoder/*' --steps 3 -q -o b.h5
  classify -m b.h5 --names "$DATA/class-valid.npy" | grep -qvE '^[0-9]'
  cmp <(encode -m a.h5 "$DATA/class.npy") <(encode -m b.h5 "$DATA/class.npy")
  ! cmp -s <(classify -m a.h5 "$DATA/class.npy") <(classify -m b.h5 "$DATA/class.npy")
}

@test "an encoder that was trained for something else gets a classifier of its own" {
  train $MASKED --steps 5 -o masked.h5
  train --task classification --from masked.h5 --source "$DATA/class.npy" --labels "$DATA/class.txt" --freeze 'encoder/*' --steps 3 -q -o classes.h5
  classify -m classes.h5 --names "$DATA/class-valid.npy" | grep -qvE '^[0-9]'
  cmp <(encode -m masked.h5 "$DATA/class.npy") <(encode -m classes.h5 "$DATA/class.npy")
  train --task classification --from masked.h5 --source "$DATA/class.npy" --labels "$DATA/class.txt" --pooling first --steps 3 -q -o first.h5
  model describe first.h5 | grep -q '^pooling *first'
}

@test "an imported language model becomes a classifier, a tagger, a model of values: its last position stands for the sequence" {
  checkpoints="$BATS_TEST_DIRNAME/../../testdata/checkpoints"
  lines="--source $DATA/class.npy --labels $DATA/class.txt"
  /usr/bin/python3 -c '
import sys, numpy as np
with open(sys.argv[1], "rb") as ids, open("ids.npy", "wb") as all, open("first.npy", "wb") as first, open("rest.npy", "wb") as rest:
    for x in [x for x in (np.load(ids) for _ in range(100)) if len(x)]: np.save(all, x), np.save(first, x[:1]), np.save(rest, x[1:])' "$DATA/class-valid.npy"
  for family in gpt2 llama_gqa mistral qwen2 qwen3 gemma gpt_neox opt; do
    model import "$checkpoints/$family" -q -o $family.h5
    train --task classification --from $family.h5 $lines --learning-rate 0 --steps 1 -q -o classes.h5
    cmp <(encode -m classes.h5 ids.npy) <(decode -m $family.h5 first.npy --target rest.npy --give hidden)
    model describe classes.h5 | grep -q '^pooling *last'
    rm -rf there && model export classes.h5 -o there && model import there -q -o again.h5
    grep -q '"architectures": \["[A-Za-z0-9]*ForSequenceClassification"\]' there/config.json
    cmp <(classify -m classes.h5 ids.npy) <(classify -m again.h5 ids.npy)
  done
  # Tags are exported too, and of GPT-2 answers.
  train --task tagging --from llama_gqa.h5 --source "$DATA/tags.npy" --labels "$DATA/tags.txt" --words "$DATA/tags-words.npy" --steps 3 -q -o tags.h5
  rm -rf there && model export tags.h5 -o there && grep -q LlamaForTokenClassification there/config.json && model import there -q -o again.h5
  cmp <(tag -m tags.h5 "$DATA/tags-valid.npy") <(tag -m again.h5 "$DATA/tags-valid.npy")
  # It learns: each task, whole, above frozen layers, with rates that fall, beside adapters.
  learns="--task classification --from gpt2.h5 $lines --valid-source $DATA/class-valid.npy --valid-labels $DATA/class-valid.txt --warmup 10 --steps 60 --validate-every 60"
  train $learns --learning-rate 0.002 -o whole.h5 2>log
  grep -q 'accuracy 100 %' log
  train $learns --learning-rate 0.002 --layer-decay 0.8 -q -o decayed.h5
  train $learns --learning-rate 0.01 --freeze 'encoder/*' -q -o frozen.h5
  cmp <(encode -m frozen.h5 ids.npy) <(decode -m gpt2.h5 first.npy --target rest.npy --give hidden)
  train $learns --learning-rate 0.01 --adapter 2 -o adapted.h5 2>log
  grep -q '^train: trains [0-9]* of [0-9]* parameters' log
  awk '/accuracy/ { found = 1; exit !($0 ~ /accuracy (9[0-9]|100)/) } END { exit !found }' log
  model merge adapted.h5 -o merged.h5
  cmp <(classify -m adapted.h5 ids.npy) <(classify -m merged.h5 ids.npy)
  model export merged.h5 -o merged && grep -q GPT2ForSequenceClassification merged/config.json
  train --task regression --from gpt2.h5 --source "$DATA/groups.npy" --target-values "$DATA/groups.counts" --learning-rate 0.002 --warmup 10 --steps 60 -q -o values.h5
  classify -m values.h5 "$DATA/groups-valid.npy" >values.npy
  below 0.8 "$(score -q --metric pearson --reference "$DATA/groups-valid.counts" values.npy)"
  train --task contrastive --from gpt2.h5 --source "$DATA/said-ids.npy" --target "$DATA/said-other.npy" --steps 2 -q -o pairs.h5
  # Stopped and resumed: the same file.
  stops="--task classification --from gpt2.h5 $lines --warmup 10 --validate-every 10 -q"
  train $stops --steps 10 -o halves.h5 && train $stops --steps 20 --resume -o halves.h5 && train $stops --steps 20 -o through.h5
  cmp halves.h5 through.h5
  # What is not read so says so.
  run -1 train --task masked-language-model --from gpt2.h5 --source ids.npy --steps 1 -q -o m.h5
  [[ $output == *"not of kind decoder-only"* ]]
  run -2 train --task tagging --from gpt2.h5 --source "$DATA/tags.npy" --labels "$DATA/tags.txt" --words "$DATA/tags-words.npy" --pooling mean --steps 1 -q -o m.h5
}

@test "adapters of imported models: under 2 % of the parameters are trained, and merged they compute the same" {
  checkpoints="$BATS_TEST_DIRNAME/../../testdata/checkpoints"
  tune() {  # tune FAMILY OPTION...: what an adapter of rank 1 learns, into adapted.h5, and merged.h5
    model import "$checkpoints/$1" -q -o base.h5
    train --from base.h5 "${@:2}" --adapter 1 --learning-rate 0.02 --warmup 1 --steps 8 -o adapted.h5 2>words
    grep '^train: trains ' words >>shares
    rm -f merged.h5 && model merge adapted.h5 -o merged.h5
  }
  lines="--source $DATA/class.npy --labels $DATA/class.txt"
  slice --records 0-2 "$DATA/class-valid.npy" -o three.npy
  slice --columns 0 three.npy -o first.npy && slice --columns 1,2 three.npy -o rest.npy
  for family in gpt2 llama_gqa qwen3 opt; do
    tune $family --task language-model --target "$DATA/lines.npy"
    for m in base adapted merged; do decode -m $m.h5 first.npy --target rest.npy --give logits -o $m.npy; done
    /usr/bin/python3 -c '
import numpy as np
def read(name):
    with open(name, "rb") as f:
        end = f.seek(0, 2); f.seek(0)
        while f.tell() < end: yield np.load(f)
worst, moved = 0, 0
for base, a, m in zip(*map(read, ("base.npy", "adapted.npy", "merged.npy"))):
    if a.size: worst, moved = max(worst, abs(a - m).max()), max(moved, abs(a - base).max())
assert worst <= 1e-6 and moved > 1e-3, (worst, moved)'
  done
  for family in gpt2 llama_gqa bert_mlm roberta; do
    tune $family --task classification $lines
    cmp <(classify -m adapted.h5 "$DATA/class-valid.npy") <(classify -m merged.h5 "$DATA/class-valid.npy")
  done
  # "trains 416 of 29376 parameters (1.4 %)"
  [ "$(wc -l <shares)" -eq 8 ]
  awk '{ sub(/.*\(/, ""); if ($1 >= 2) exit 1 }' shares
}

refused() {  # refused STATUS PATTERN COMMAND...: one line on standard error, nothing under a final name
  local expected=$1 pattern=$2
  shift 2
  run --separate-stderr timeout 20 "$@"
  [ "$status" -eq "$expected" ]
  [[ "${stderr_lines[0]}" == $pattern ]]
  [ "$expected" -eq 2 ] || [ "${#stderr_lines[@]}" -eq 1 ]
  [ ! -e m.h5 ]
}

@test "--list-taps names what an update makes, of each task, and what it does not make is refused before the first step" {
  for task in "$PAIRS" "$LINES" "$MASKED" "$CLASSES" "$CLASSES --pooler" "$HOLDS" "$COUNTS" "$TAGS" "$ASKED" "$SAID" "$SAID --projection 16" "$SHOWN" "$BARS" \
    "$TAGS --layer-drop 0.9" "$TAGS --freeze encoder/*"; do
    echo "$task"
    # shellcheck disable=SC2086
    train $task --list-taps > names
    # shellcheck disable=SC2086
    train $task --steps 2 --tap-file taps.h5 --tap-steps 2 -o m.h5
    /usr/bin/python3 - <<'PYTHON'
import h5py
made = set()
h5py.File("taps.h5")["step-2"].visititems(lambda name, x: made.add(name) if "data" in getattr(x, "keys", lambda: [])() else None)
listed = {line.split("\t")[0] for line in open("names")}
made = {name for name in made if not name.endswith("/ids")}
assert made == listed and len(made) > 20, (made - listed, listed - made)
PYTHON
  done
  rm -f m.h5
  # shellcheck disable=SC2086
  refused 2 "train: --tap 'pooled' is none of *" train $MASKED --steps 100000000 --tap pooled --tap-file t.h5 -o m.h5
  [ ! -e t.h5 ] && [ ! -e m.h5 ]
}

@test "refusals: options of another task" {
  refused 2 "train: --labels needs --task classification, multi-label, tagging or spans" train $LINES --labels "$DATA/class.txt" -o m.h5
  refused 2 "train: --source needs --task translation*" train $LINES --source "$DATA/lines.npy" -o m.h5
  refused 2 "train: --target needs --task *" train $CLASSES --target "$DATA/lines.npy" -o m.h5
  refused 2 "train: --context needs --task language-model" train $CLASSES --context 5 -o m.h5
  refused 2 "train: --mask-rate needs --task masked-language-model" train $CLASSES --mask-rate 0.1 -o m.h5
  refused 2 "train: --pooling needs --task classification or multi-label or regression or contrastive" train $MASKED --pooling first -o m.h5
  refused 2 "train: --momentum needs --optimizer sgd" train $LINES --momentum 0.5 -o m.h5
  refused 2 "train: --weight-decay needs --optimizer adamw" train $LINES --weight-decay 0.5 -o m.h5
  refused 2 "train: --beta1 needs --optimizer adam or adamw" train $LINES --optimizer sgd --beta1 0.5 -o m.h5
  refused 2 "train: --keep-best needs --valid-target" train $LINES --keep-best 2 -o m.h5
  refused 2 "train: --metric bleu needs --task translation" train $LINES --valid-target "$DATA/valid.npy" --metric bleu -o m.h5
  refused 2 "train: option '--valid-references' is required" train $PAIRS --valid-source "$DATA/text.en.npy" --valid-target "$DATA/text.de.npy" \
    --metric bleu -o m.h5
  # References that do not fit are found before the first step; sources that come only once cannot be decoded each time.
  head -n 20 "$DATA/text.de" > short.txt
  bleu="--valid-target $DATA/text.de.npy --metric bleu --steps 1000000 --valid-references"
  refused 1 "train: short.txt has 20 lines, --valid-source 300 records" train $PAIRS --valid-source "$DATA/text.en.npy" $bleu short.txt -o m.h5
  refused 2 "train: --metric bleu reads --valid-source at each validation: *" train $PAIRS --valid-source <(cat "$DATA/text.en.npy") $bleu "$DATA/text.de" -o m.h5
  refused 2 "train: --context and --max-length exclude each other" train $WINDOWS --max-length 5 -o m.h5
  refused 2 "train: --decoder-layers needs a model with a decoder" train $CLASSES --decoder-layers 1 -o m.h5
  refused 2 "train: --encoder-layers needs a model with an encoder" train $LINES --encoder-layers 1 -o m.h5
  refused 2 "train: --max-positions needs --positions learned" train $LINES --max-positions 9 -o m.h5
  refused 2 "train: --class-token needs a model that reads vectors" train $CLASSES --class-token -o m.h5
  refused 2 "train: option '--labels' is required" train $(without "$CLASSES" labels) -o m.h5
  refused 2 "train: option '--valid-labels' is required" train $CLASSES --valid-source "$DATA/class.npy" -o m.h5
  refused 1 "train: no parameter of the model matches 'decoder*'" train $CLASSES --freeze 'decoder*' -o m.h5
  refused 2 "train: --rate-factor encoder: GLOB=FACTOR expected" train $CLASSES --rate-factor encoder -o m.h5
}

@test "refusals: labels" {
  refused 1 "train: *class.npy has 300 records, *class-valid.txt has 100 labels" train $(without "$CLASSES" labels) --labels "$DATA/class-valid.txt" -o m.h5
  sed '20s/.*/mineral/' "$DATA/class-valid.txt" > unknown.txt
  sed '20s/.*//' "$DATA/class-valid.txt" > gap.txt
  valid="--valid-source $DATA/class-valid.npy --valid-labels"
  refused 1 "train: unknown.txt: line 20: 'mineral' is none of the 3 classes" train $CLASSES $valid unknown.txt -o m.h5
  refused 1 "train: gap.txt: line 20: no label" train $CLASSES $valid gap.txt -o m.h5
  sed '20s/$/\r/' "$DATA/class-valid.txt" > dos.txt
  refused 1 "train: dos.txt: line 20: ends with a carriage return*" train $CLASSES $valid dos.txt -o m.h5
  refused 1 "train: empty.txt: no labels" train $(without "$CLASSES" labels) --labels empty.txt -o m.h5 3> empty.txt
  /usr/bin/python3 -c 'import numpy as np; x = np.zeros(100, int); np.save("fine.npy", x); x[7] = 3; np.save("outside.npy", x); x[7] = -1; np.save("negative.npy", x)'
  refused 1 "train: outside.npy: label 7: class 3 is none of the 3 classes" train $CLASSES $valid outside.npy -o m.h5
  refused 1 "train: negative.npy: label 7: class -1 is negative" train $CLASSES $valid negative.npy -o m.h5
  # Names say nothing about numbered classes.
  numbers="$(without "$CLASSES" labels) --labels $DATA/class-numbers.npy"
  refused 1 "train: *class-valid.txt: line 1: '*' is none of the 3 classes" train $numbers $valid "$DATA/class-valid.txt" -o m.h5
  refused 1 "train: outside.npy: label 7: class 3 is none of the 3 classes" train $numbers $valid outside.npy -o m.h5
  model make --kind encoder-only --head classes --classes 4 --source-vocabulary 24 --width 8 --heads 2 --inner 8 --encoder-layers 1 -o four.h5
  refused 1 "train: *class.txt: has 3 names, four.h5 has 4 classes" train --task classification --from four.h5 --source "$DATA/class.npy" \
    --labels "$DATA/class.txt" -o m.h5
}

@test "refusals: models and data that do not fit" {
  model make --kind encoder-only --head classes --classes 2 --input-width 5 --width 8 --heads 2 --inner 8 --encoder-layers 1 -o five.h5
  model make --kind encoder-only --head classes --classes 3 --source-vocabulary 9 --width 8 --heads 2 --inner 8 --encoder-layers 1 -o nine.h5
  model make --kind encoder-only --head tokens --mask-id 3 --source-vocabulary 24 --width 8 --heads 2 --inner 8 --encoder-layers 1 -o masked.h5
  fine="--task classification --steps 3"
  bars="--source $DATA/bars.npy --labels $DATA/bars.txt"
  texts="--source $DATA/class.npy --labels $DATA/class.txt"
  refused 1 "train: nine.h5: masked-language-model trains a model of kind encoder-only that predicts tokens, not of kind encoder-only that predicts classes" \
    train --task masked-language-model --steps 3 --from nine.h5 --source "$DATA/class.npy" -o m.h5
  refused 1 "train: *bars.npy: vectors of width 4, the model reads 5" train $fine --from five.h5 $bars -o m.h5
  refused 1 "train: *class.npy: holds ids, vectors expected" train $fine --from five.h5 --source "$DATA/class.npy" --labels <(yes lying | head -n 300; echo standing) -o m.h5
  refused 1 "train: *bars.npy: record 0: holds vectors (f4), ids expected" train $fine --from nine.h5 --source "$DATA/bars.npy" --labels "$DATA/class.txt" -o m.h5
  refused 1 "train: *class.npy: record *: id * is outside the vocabulary of 9" train $fine --from nine.h5 $texts -o m.h5
  refused 1 "train: *class.npy: record 0: ids after vectors of width 4" train $fine --source "$DATA/bars.npy" $texts -o m.h5
  refused 1 "classify: *bars.npy: record 0: width 4 does not match the model's width 5" classify -m five.h5 "$DATA/bars.npy"
  refused 1 "classify: *class.npy: record 0: *" classify -m five.h5 "$DATA/class.npy"
  refused 2 "classify: --names and --top exclude each other" classify -m five.h5 --names --top 2 "$DATA/bars.npy"
  refused 2 "classify: --dtype needs an array: neither --names nor --top" classify -m five.h5 --top 2 --dtype f2 "$DATA/bars.npy"
  refused 1 "classify: masked.h5: a model that predicts tokens, not classes: encode reads it" classify -m masked.h5 "$DATA/class.npy"
  # NaN, and sequences that are longer than there are positions: before the first step, with the record's name.
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
with open("nan.npy", "wb") as a, open("long.npy", "wb") as b:
    for i in range(400):
        np.save(b, np.ones((16 + (i == 123), 4), "<f4"))
        np.save(a, np.full((16, 4), np.nan if i == 122 else 1, "<f4"))
PYTHON
  refused 1 "train: nan.npy: record 122: holds NaN or infinity" train $(without "$BARS" source) --source nan.npy -o m.h5
  refused 1 "train: long.npy: record 123: a sequence of 17, and 1 more, is longer than the model's 17 learned positions*" \
    train $(without "$BARS" source) --source long.npy -o m.h5
  refused 1 "train: long.npy: record 123: a sequence of 17, *" train $BARS --valid-source long.npy --valid-labels "$DATA/bars.txt" -o m.h5
  refused 1 "train: --context 16 is longer than the model's 15 learned positions" train $WINDOWS --positions learned --max-positions 15 -o m.h5
  train $BARS --steps 1 -o bars.h5
  refused 1 "classify: long.npy: record 123: position 17 is beyond the model's 17 learned positions" classify -m bars.h5 long.npy
  refused 1 "classify: nan.npy: record 122: the probabilities are not finite" classify -m bars.h5 --names nan.npy
  train $(without "$BARS" source) --max-length 16 --source long.npy --steps 1 -o n.h5
}

@test "a checkpoint of another task's options is refused" {
  again() { run --separate-stderr train "$@" --resume --steps 8 -o r.h5; [ "$status" -eq 1 ] && [[ "${stderr_lines[0]}" == "train: r.h5.checkpoint.h5: was made with"* ]]; }
  start() { rm -f r.h5*; train "$@" --steps 4 -o r.h5; }
  start $WINDOWS
  again $(without "$WINDOWS" context) --context 15
  start $MASKED
  again $MASKED --mask-rate 0.3
  again $MASKED --max-length 5
  again $MASKED --optimizer sgd
  again $MASKED --average-decay 0.9
  again $MASKED --accumulate 2
  again $MASKED --sort-window 5
  again $MASKED --label-smoothing 0.1
  again $MASKED --reduce bf16
  start $CLASSES --class-weights animal=2
  again $CLASSES --class-weights animal=3
  again $CLASSES --class-weights thing=2
  again $CLASSES
  start $CLASSES
  again $CLASSES --class-weights animal=2
  tac "$DATA/class.txt" > other.txt
  again $(without "$CLASSES" labels) --labels other.txt
}
