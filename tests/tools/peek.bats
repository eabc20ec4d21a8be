#!/usr/bin/env bats
# peek as a user runs it. PIPEFORMER_BIN is the directory of the tools.

setup() {
  cd "$BATS_TEST_TMPDIR"
  PATH="$PIPEFORMER_BIN:$PATH"
  /usr/bin/python3 - <<'PYTHON'
import h5py
import numpy as np

with open("s.npy", "wb") as stream:
    for rows in (2, 0, 3):
        np.save(stream, np.arange(2 * rows, dtype="f4").reshape(rows, 2))
with open("ids.npy", "wb") as stream:
    for ids in ([7, 8, 9], [], [5]):
        np.save(stream, np.array(ids, dtype="i4"))
np.save("bad.npy", np.array([[1, np.nan], [np.inf, 2]], dtype="f4"))
np.save("heads.npy", np.full((2, 2, 3), 0.25, dtype="f4"))
with h5py.File("m.h5", "w") as file:
    file.attrs["width"] = 512
    file.attrs["norm"] = "post"
    file["encoder/0/bias"] = np.zeros(5, dtype="f4")
    file["s/data"] = np.ones((4, 2), dtype="f4")
    file["s/offsets"] = np.array([0, 1, 1, 4])
PYTHON
  printf 'der Hund\n\nein <b> Text\n' > rows.txt
}

@test "one line for each record, the empty one too" {
  run peek s.npy
  [ "$status" -eq 0 ]
  [ "${#lines[@]}" -eq 4 ]
  [ "${lines[1]}" = $'s.npy\t0\tf4\t(2, 2)\t0\t3\t1.5\t1.11803\t1\t0\t0' ]
  [ "${lines[2]}" = $'s.npy\t1\tf4\t(0, 2)\tnan\tnan\tnan\tnan\t0\t0\t0' ]
}

@test "standard input gives the same lines" {
  peek s.npy | sed 's/^s.npy/(stdin)/' > want
  cat s.npy | peek > got
  cmp want got
}

@test "a summary is one line for a stream" {
  run peek --summary s.npy ids.npy
  [ "$status" -eq 0 ]
  [ "${#lines[@]}" -eq 3 ]
  [ "${lines[1]}" = $'s.npy\t3\tf4\t(0..3, 2)\t5\t10\t0\t5\t2.1\t1.57797\t2\t0\t0' ]
  [ "${lines[2]}" = $'ids.npy\t3\ti4\t(0..3,)\t4\t4\t5\t9\t7.25\t1.47902\t0\t0\t0' ]
}

@test "values of ids are one line for each record" {
  peek --values ids.npy > got
  printf '7\t8\t9\n\n5\n' | cmp - got
}

@test "values of matrices are separated by empty lines" {
  peek --values --record 2 s.npy > got
  printf '0\t1\n2\t3\n4\t5\n' | cmp - got
  peek --values s.npy > got
  printf '0\t1\n2\t3\n\n\n0\t1\n2\t3\n4\t5\n' | cmp - got
}

@test "a record that is not there is an error" {
  run peek --record 3 s.npy
  [ "$status" -eq 1 ]
  [[ "$output" == *"peek: s.npy: no record 3, the stream ended after 3"* ]]
}

@test "check fails on NaN and infinity, after the table" {
  run peek --check bad.npy
  [ "$status" -eq 1 ]
  [[ "${lines[1]}" == bad.npy* ]]
  [[ "$output" == *"peek: bad.npy: 1 NaN and 1 infinite elements"* ]]
  peek --check s.npy
}

@test "a truncated stream is an error that names the record" {
  head -c 300 s.npy > cut.npy
  run peek cut.npy
  [ "$status" -eq 1 ]
  [[ "$output" == *"cut.npy: record 2: "* ]]
}

@test "an HDF5 file is listed with its attributes" {
  run peek m.h5
  [ "$status" -eq 0 ]
  [ "${lines[0]}" = "# norm = post" ]
  [ "${lines[1]}" = "# width = 512" ]
  [[ "${lines[3]}" == $'m.h5:encoder/0/bias\t1\tf4\t(5,)\t'* ]]
  [[ "${lines[4]}" == $'m.h5:s\t3\tf4\t(0..3, 2)\t4\t8\t1\t1\t1\t0\t'* ]]
  [ "$(peek m.h5:s | wc -l)" -eq 4 ]
}

@test "a heat map of heads is well-formed and the same each time" {
  peek --heatmap heads.npy --rows-tokens rows.txt --rows-title target -o a.svg
  peek --heatmap --rows-tokens rows.txt --rows-title target < heads.npy > b.svg
  cmp a.svg b.svg
  /usr/bin/python3 -c 'import sys, xml.etree.ElementTree as tree; tree.parse("a.svg")'
  [ "$(grep -c '</title></rect>' a.svg)" -eq 12 ]
  grep -q 'target 1 Hund, column 2: 0.25<' a.svg
  peek --heatmap --mean heads.npy -o mean.svg
  [ "$(grep -c '</title></rect>' mean.svg)" -eq 6 ]
}

@test "tokens that do not match leave no picture" {
  run peek --heatmap --record 2 --rows-tokens rows.txt --columns-tokens rows.txt s.npy -o a.svg
  [ "$status" -eq 1 ]
  [[ "$output" == *"s.npy: record 2: 3 column tokens do not match 2 columns"* ]]
  [ ! -e a.svg ]
}

@test "curves of a training log" {
  printf 'step\ttrain_loss\tvalid_loss\n10\t5\t\n20\t3\t4\n30\t2\t\n40\t1.5\t3\n' > train.tsv
  peek --curves train.tsv --x step --y train_loss,valid_loss --log-y -o curves.svg
  /usr/bin/python3 -c 'import sys, xml.etree.ElementTree as tree; tree.parse("curves.svg")'
  [ "$(grep -c '<circle' curves.svg)" -eq 6 ]
  peek train.tsv -o panels.svg  # a panel for each quantity, without being asked for curves
  [ "$(grep -c '<circle' panels.svg)" -eq 6 ]
  [ "$(grep -c '>loss</text>' panels.svg)" -eq 1 ]
  printf 'step\ttrain_loss\tlearning_rate\tvalid_bleu\n10\t5\t0.1\t\n20\t4\t0.2\t\n' > quantities.tsv
  peek quantities.tsv --title 'a run' | cmp - <(peek --curves --title 'a run' < quantities.tsv)
  peek quantities.tsv -o panels.svg
  /usr/bin/python3 -c 'import sys, xml.etree.ElementTree as tree; tree.parse("panels.svg")'
  [ "$(grep -o 'font-weight="bold">[a-z_]*<' panels.svg | tr -d '\n')" = 'font-weight="bold">loss<font-weight="bold">learning_rate<' ]
  run peek --log-x s.npy
  [ "$status" -eq 2 ]
  peek s.npy | peek --curves --x record --y max > of_table.svg
  [ "$(grep -c '<circle' of_table.svg)" -eq 2 ]
  run peek --curves train.tsv --y loss
  [ "$status" -eq 1 ]
  [[ "$output" == *"train.tsv: no column loss, there are step, train_loss, valid_loss"* ]]
}

@test "a scatter of rows, with labels" {
  bats_require_minimum_version 1.5.0
  /usr/bin/python3 -c 'import numpy as np
np.save("p.npy", np.array([[0, 1, 9], [2, 3, 9], [4, -5, 9]], "f4")), np.save("one.npy", np.ones((3, 1), "f4"))
with open("v.npy", "wb") as f:
    for row in np.load("p.npy"): np.save(f, row)'
  printf 'north\nsouth & east\nwest\n' > labels
  peek --scatter p.npy --labels labels --title Places -o a.svg
  /usr/bin/python3 -c 'import sys, xml.etree.ElementTree as tree; tree.parse("a.svg")'
  [ "$(grep -c '<circle' a.svg)" -eq 3 ]
  grep -q '>south &amp; east: 2, 3</title>' a.svg && grep -q '>south &amp; east</text>' a.svg
  peek --scatter v.npy --labels labels --title Places | cmp - a.svg
  peek --scatter v.npy --record 1 | grep -q '>point 0: 2, 3<'
  /usr/bin/python3 -c "import numpy as np; np.save('hole.npy', np.array([[1, 2], [np.nan, 3]])), np.save('wide.npy', np.array([[1e308, -1e308], [-1e308, 1e308]]))"
  run -1 peek --scatter hole.npy -o b.svg
  [[ $output == *"point 1 (nan, 3) has no place in the plane" ]]
  run -1 peek --scatter wide.npy -o b.svg
  [[ $output == *"point 0 (1e+308, -1e+308) has no place in the plane" ]]
  run -1 peek --scatter one.npy -o b.svg
  [ "$output" = "peek: one.npy: record 0: points need two columns, not shape (3, 1)" ]
  run -1 peek --scatter p.npy --record 0 --labels <(echo one) -o b.svg
  [[ "$output" == *": has 1 lines for the 3 points of p.npy" ]]
  run -2 peek p.npy --labels labels
  [ "${lines[0]}" = "peek: --labels needs --scatter" ]
  [ ! -e b.svg ]
}

@test "one picture or table at a time" {
  run peek --values --heatmap s.npy
  [ "$status" -eq 2 ]
  run peek missing.npy
  [ "$status" -eq 1 ]
}

@test "a closed pipe is quiet" {
  for i in $(seq 200); do cat s.npy; done > many.npy
  run bash -o pipefail -c 'peek many.npy 2>err | head -n 1'
  [ "$output" = "$(peek s.npy | head -n 1)" ]
  [ ! -s err ]
}

@test "plot-training draws what a log has" {
  printf 'step\ttrain_loss\ttrain_ppl\tvalid_loss\tvalid_ppl\tlearning_rate\n10\t5\t148\t\t\t0.1\n20\t3\t20\t4\t55\t0.2\n' > train.tsv
  "$BATS_TEST_DIRNAME/../../scripts/plot-training" train.tsv
  [ "$(ls *.svg | tr '\n' ' ')" = "train-learning-rate.svg train-loss.svg train-perplexity.svg " ]
  grep -q '>valid_loss<' train-loss.svg
  "$BATS_TEST_DIRNAME/../../scripts/plot-training" - other < train.tsv
  cmp train-loss.svg other-loss.svg
  run "$BATS_TEST_DIRNAME/../../scripts/plot-training" missing.tsv
  [ "$status" -eq 1 ]
}

@test "a picture shows one file, and only a picture has a title" {
  bats_require_minimum_version 1.5.0
  run -2 peek --title x s.npy
  [ "${lines[0]}" = "peek: --title needs a picture: --heatmap, --curves, --scatter or --html" ]
  run -2 peek --heatmap --x step s.npy
  run -2 peek --heatmap a.npy b.npy
  [ "${lines[0]}" = "peek: unexpected argument 'b.npy': a picture shows one file" ]
}

# What a stranger's HDF5 file may hold, made by h5py: `hostile NAME` makes NAME.h5.
hostile() {
  /usr/bin/python3 - "$1" << 'PYTHON'
import sys
import h5py
import numpy as np

kind = sys.argv[1]
with open("secret", "w") as secret:
    secret.write("root:x:0:0\n")
with h5py.File("other.h5", "w") as other:
    other["x"] = np.ones(3, "f4")
with h5py.File(kind + ".h5", "w") as file:
    file["x"] = np.ones(3, "f4")
    if kind == "ring":
        group = file.create_group("a")
        group["self"], group["root"] = group, file["/"]
        file["soft"], file["soft2"] = h5py.SoftLink("/soft2"), h5py.SoftLink("/soft")
    elif kind == "shared":
        group = file
        for i in range(40):
            below = file.create_group(f"g{i}")
            group["left"], group["right"] = below, below
            group = below
    elif kind == "deep":
        group = file.id
        for i in range(3000):
            group = h5py.h5g.create(group, b"g")
    elif kind == "foreign":
        file["names"] = ["der", "Hund"]
        file["pairs"] = np.zeros(2, dtype=[("p", "f4"), ("q", "i4")])
        file.attrs["big"], file.attrs["text"], file.attrs["list"] = np.uint64(2**63 + 5), "variable", np.arange(3)
    elif kind == "elsewhere":
        file.create_dataset("t", (11,), "u1", external=[("secret", 0, 11)])
        file["link"], file["via"] = h5py.ExternalLink("other.h5", "/x"), h5py.SoftLink("/link")
    elif kind == "sparse":
        file.create_dataset("t", (1 << 30,), "u1", chunks=(1 << 20,))
    elif kind == "escapes":
        file.attrs["\x1b]0;title\x07"], file["red\x1b[31m\u009b\u202e"] = "clear\x1b[2J", np.ones(2, "f4")
    elif kind == "brain":
        bfloat16 = h5py.h5t.IEEE_F32LE.copy()
        bfloat16.set_fields(15, 7, 8, 0, 7)
        bfloat16.set_size(2)
        brain = h5py.h5d.create(file.id, b"w", bfloat16, h5py.h5s.create_simple((3, 2)))
        brain.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ones((3, 2), "<f4"))
    elif kind == "empty":
        file.create_dataset("holes", (1 << 40, 0), "f4", chunks=(1, 1), maxshape=(None, None))
    elif kind == "filtered":
        file.create_dataset("t", data=np.ones(99, "f4"), compression="lzf")
PYTHON
}

@test "groups in rings, shared 2^40 times or 3,000 deep are listed once, and end" {
  for kind in ring shared deep; do
    hostile "$kind"
    run timeout 20 peek "$kind.h5"
    [ "$status" -eq 0 ]
    [ "$(grep -c '^[^#].*f4' <<< "$output")" -eq 1 ]
  done
  [[ "$output" == *"groups more than 100 deep are not listed"* ]]
}

@test "a foreign file is listed as far as it can be read, and says what cannot" {
  hostile foreign
  run peek foreign.h5
  [ "$status" -eq 0 ]
  [[ "$output" == *"# text = variable"* ]]
  [[ "$output" == *"# big = 9223372036854775813"* ]]
  [[ "$output" == *"# list = [0, 1, 2]"* ]]
  [[ "$output" == *"dataset 'names': it holds strings"* ]]
  [[ "$output" == *"dataset 'pairs': it holds compounds"* ]]
  [[ "$output" == *"foreign.h5:x"*"f4"* ]]
}

@test "a dataset that cannot be read does not end the listing of its file" {
  bats_require_minimum_version 1.5.0
  hostile empty
  run -0 --separate-stderr peek empty.h5
  [[ "$output" == *"# empty.h5:holes: record 0: shape (1099511627776, 0) has more than"* ]]
  [[ "$output" == *$'\nempty.h5:x\t1\tf4\t(3,)\t'* ]]
  run -1 --separate-stderr peek empty.h5:holes
}

@test "bfloat16 is called by its name" {
  hostile brain
  [[ "$(peek brain.h5)" == *$'brain.h5:w\t1\tbf16\t(3, 2)\t3\t6\t1\t1\t'* ]]
  [[ "$(peek brain.h5:w)" == *$'brain.h5:w\t0\tbf16\t(3, 2)\t1\t1\t'* ]]
  [[ "$(peek brain.h5:x)" == *$'\tf4\t'* ]]
}

@test "what a file says is made visible on a terminal, and left as it is in a pipe" {
  hostile escapes
  script -qec "peek escapes.h5" /dev/null < /dev/null > seen
  for mark in $'\x1b' $'\x07' $'\xc2\x9b' $'\xe2\x80\xae'; do
    run grep -aqF "$mark" seen
    [ "$status" -eq 1 ]
  done
  grep -q 'clear' seen
  peek escapes.h5 > piped
  grep -aqF $'clear\x1b[2J' piped
  grep -aqF $'red\x1b[31m\xc2\x9b\xe2\x80\xae' piped
}

@test "an unknown name offers the nearest" {
  bats_require_minimum_version 1.5.0
  local model="$BATS_TEST_DIRNAME/../../testdata/model/translator-v3.h5"
  run -1 --separate-stderr peek m.h5:encodr/0/bias
  [ "$stderr" = "peek: m.h5:encodr/0/bias: no dataset or group 'encodr/0/bias' (did you mean 'encoder/0/bias'?)" ]
  run -1 --separate-stderr peek m.h5:zzz
  [ "$stderr" = "peek: m.h5:zzz: no dataset or group 'zzz'" ]
  run -1 --separate-stderr encode -m "$model:encodr/0" < /dev/null
  [ "$stderr" = "encode: $model: the model has no group encodr/0 (did you mean 'encoder/0'?)" ]
  run -1 --separate-stderr norm -m "$model:encoder/0/nrom1" < /dev/null
  [[ "$stderr" == *"the model has no group encoder/0/nrom1 (did you mean 'encoder/0/norm1'?)" ]]
}

@test "files that broke the HDF5 library are errors, or listed" {
  for file in "$BATS_TEST_DIRNAME"/../../testdata/fuzz/hdf5/*.h5; do
    for command in "peek" "model describe" "encode -m"; do
      run bash -c "$command '$file' < /dev/null"
      [ "$status" -le 1 ]
    done
  done
}

@test "nothing outside of an HDF5 file is read for it" {
  hostile elsewhere
  run peek elsewhere.h5:t
  [ "$status" -eq 1 ]
  [[ "$output" == *"dataset 't': it lies in another file"* ]]
  run peek elsewhere.h5:link
  [ "$status" -eq 1 ]
  [[ "$output" == *"'link' is a link to another file"* ]]
  run peek elsewhere.h5:via
  [ "$status" -eq 1 ]
  hostile filtered
  run peek filtered.h5:t
  [ "$status" -eq 1 ]
  [[ "$output" == *"has filter 32000: only deflate, shuffle and fletcher32 are read"* ]]
}

@test "a shape of 1 GB of which nothing is stored is refused" {
  hostile sparse
  run peek sparse.h5:t
  [ "$status" -eq 1 ]
  [[ "$output" == *"dataset 't': shape (1073741824,)"*"is more than the file holds of it"* ]]
}

@test "curves without a point say so" {
  printf 'step\tloss\n' > none.tsv
  run peek --curves none.tsv -o c.svg
  [ "$status" -eq 1 ]
  [[ "$output" == *"none.tsv: no row has a point to draw"* ]]
  [ ! -e c.svg ]
}

@test "a page holds text as text, and says what it cannot show" {
  model make --source-vocabulary 9 --target-vocabulary 9 --begin-id 1 --end-id 2 --width 8 --heads 2 --inner 8 --encoder-layers 11 --decoder-layers 1 -o m.h5
  printf '5 6 7\n4\n' | convert --text i4 | encode -m m.h5 --tap '*/weights' --tap '*/embeddings' --tap-file taps.h5 -o y.npy
  peek --html taps.h5 -o page.html
  peek --html taps.h5 | cmp - page.html
  [ "$(grep -c '/[*]DATA' page.html)" -eq 0 ]
  # Layers in their own order, the ids as tokens.
  diff <(grep -o '"encoder/[0-9]*/self_attn/weights"' page.html | cut -d / -f 2) <(seq 0 10)
  grep -q '"encoder": \["5", "6", "7"\]' page.html
  peek --html --record 1 --title '</script>' taps.h5 -o other.html
  grep -q '"title": "\\u003c/script>"' other.html
  [ "$(grep -c '</script>' other.html)" -eq 2 ]
  run peek --html --record 2 taps.h5 -o none.html
  [ "$status" -eq 1 ]
  [[ "$output" == *"taps.h5:encoder/ids: no record 2, the stream ended after 2"* ]]
  run peek --html y.npy -o none.html
  [ "$status" -eq 1 ]
  [[ "$output" == "peek: y.npy: a page shows a whole HDF5 file, as --tap-file writes it" ]]
  run peek --html m.h5 -o none.html
  [ "$status" -eq 1 ]
  [ ! -e none.html ]
}

@test "--diff: what is infinitely far is so in every column" {
  bats_require_minimum_version 1.5.0
  /usr/bin/python3 -c '
import numpy as np
for name, x in [("up", [np.inf, 1]), ("down", [-np.inf, 1]), ("one", [1, 1]), ("nan", [np.nan, 1])]: np.save(name + ".npy", np.array(x, "f4"))'
  for other in down one; do
    run -1 peek --diff up.npy $other.npy
    [ "$(tail -n 1 <<< "$output" | cut -f 3-6)" = $'1\tinf\tinf\tinf' ]
  done
  run -1 peek --diff up.npy nan.npy
  [ "$(tail -n 1 <<< "$output" | cut -f 3-6)" = $'1\tnan\tnan\tnan' ]
}

@test "--tokenizer with nothing to name is refused" {
  bats_require_minimum_version 1.5.0
  printf 'ab c\n' > text && tokenize --train --type byte -o byte.model text
  model make --tokenizer byte.model --width 8 --heads 2 --inner 8 --encoder-layers 1 --decoder-layers 1 -o m.h5
  tokenize -m m.h5 text | embed -m m.h5 | posenc -m m.h5 | encode -m m.h5 --tap-file taps.h5 -o /dev/null
  for picture in --heatmap --html; do
    run -1 peek $picture taps.h5 --tokenizer m.h5 -o none.svg
    [[ "$output" == "peek: taps.h5: --tokenizer has nothing to name: there are no ids"* ]]
  done
  tokenize -m m.h5 text | encode -m m.h5 --tap-file taps.h5 -o /dev/null
  run -1 peek --heatmap taps.h5:encoder/ids --tokenizer m.h5 -o none.svg
  slice --rows 0 taps.h5:encoder/positions -o row.npy
  run -2 peek --heatmap row.npy --tokenizer m.h5 -o none.svg
  [[ "$output" == "peek: --tokenizer needs a file that --tap-file wrote, with ids"* ]]
  [ ! -e none.svg ]
  peek --heatmap taps.h5:encoder/positions --tokenizer m.h5 -o named.svg
  grep -q '>a<' named.svg
}

@test "a heat map of a file of intermediates: all heads under their names, pieces beside them" {
  bats_require_minimum_version 1.5.0
  printf 'ab c\n' > text && tokenize --train --type byte -o byte.model text
  model make --tokenizer byte.model --width 8 --heads 2 --inner 8 --encoder-layers 2 --decoder-layers 1 -o m.h5
  printf 'ab c\nb\n' | tokenize -m m.h5 -o s.npy
  printf 'c\nab\n' | tokenize -m m.h5 -o t.npy
  decode -m m.h5 s.npy --target t.npy --tap-file taps.h5 -o /dev/null
  peek --heatmap taps.h5 --tokenizer m.h5 -o all.svg
  /usr/bin/python3 - <<'PYTHON'
import xml.etree.ElementTree as tree
texts = [e.text for e in tree.parse("all.svg").iter("{http://www.w3.org/2000/svg}text")]
names = [t for t in texts if t.endswith(" weights")]
assert names == ["decoder layer 0: cross-attention weights", "decoder layer 0: self-attention weights",
                 "encoder layer 0: self-attention weights", "encoder layer 1: self-attention weights"], names
heads = [t for t in texts if ", head " in t]
assert heads == [f"layer {l}, head {h}" for l in (0, 0, 0, 1) for h in (0, 1)], heads
assert texts.count("query") == 4, texts
PYTHON
  # One stream of it: its own record and name, or the title that is asked for; the numbers are the file's.
  peek --heatmap --record 1 taps.h5:encoder/1/self_attn/weights -o one.svg
  grep -q '>encoder layer 1: self-attention weights<' one.svg
  peek --heatmap --record 1 taps.h5:encoder/1/self_attn/weights --title 'The second' -o titled.svg
  grep -q '>The second<' titled.svg && run ! grep -q 'self-attention weights' titled.svg
  peek --heatmap --record 1 --numbers --grey taps.h5:encoder/1/self_attn/weights -o grey.svg
  [ "$(grep -c 'font-size="9"' grey.svg)" -eq "$(peek --values --record 1 taps.h5:encoder/1/self_attn/weights | wc -w)" ]
  peek --heatmap --text --numbers --record 1 taps.h5:encoder/1/self_attn/weights > text
  [ "$(head -n 2 text)" = $'encoder layer 1: self-attention weights\nlayer 1, head 0' ]
  diff <(grep -o '[.][0-9][0-9]' text) <(peek --values --record 1 taps.h5:encoder/1/self_attn/weights | tr '\t' '\n' | awk 'NF && $1 < 0.995 { printf "%.2f\n", $1 }' | cut -c 2-)
  run -1 peek --heatmap m.h5 -o none.svg
  [ "$output" = "peek: m.h5: holds no attention weights to draw; FILE.h5:NAME names another stream" ]
  run -2 peek --heatmap taps.h5 --grid 2x2 -o none.svg
  run -1 peek --heatmap heads.npy --low 3 --high 2 -o none.svg
  [ "$output" = "peek: heads.npy: record 0: lower end of the colour scale 3 is not below the upper end 2" ]
  run -2 peek --numbers taps.h5
  [ ! -e none.svg ]
}

@test "attention of one query over the patches of its image" {
  bats_require_minimum_version 1.5.0
  printf 'P2\n4 2\n255\n0 255 0 255\n128 128 128 128\n' > image.pgm
  /usr/bin/python3 -c '
import numpy as np
np.save("w.npy", np.array([[[0.5, 0.25, 0, 0.125, 0.125]]], "f4"))
np.save("rgb.npy", np.zeros((2, 4, 3), "u1"))'
  peek --heatmap w.npy --over image.pgm -o over.svg
  /usr/bin/python3 - <<'PYTHON'
import base64, re, struct, zlib
text = open("over.svg").read()
png = base64.b64decode(re.search(r"base64,([^\"]*)", text)[1])
assert png[:8] == b"\x89PNG\r\n\x1a\n"
at, chunks = 8, {}
while at < len(png):
    size, kind = struct.unpack(">I4s", png[at:at + 8])
    assert struct.unpack(">I", png[at + 8 + size:at + 12 + size])[0] == zlib.crc32(png[at + 4:at + 8 + size])
    chunks[kind], at = png[at + 8:at + 8 + size], at + 12 + size
assert struct.unpack(">II", chunks[b"IHDR"][:8]) == (4, 2)
assert zlib.decompress(chunks[b"IDAT"]) == bytes([0, 0, 255, 0, 255, 0, 128, 128, 128, 128])
opacity = [float(x) for x in re.findall(r'fill-opacity="([0-9.]*)"', text)]
assert opacity == [0.8, 0, 0.4, 0.4], opacity
assert ">head 0, other token 0.5<" in text
PYTHON
  peek --heatmap w.npy --over rgb.npy --grid 1x4 --grey -o grey.svg
  /usr/bin/python3 -c 'import xml.etree.ElementTree as tree; tree.parse("grey.svg")'
  run -1 peek --heatmap w.npy --over image.pgm --query 3 -o none.svg
  [ "$output" = "peek: w.npy: record 0: there is no query 3, the weights have 1" ]
  run -2 peek --heatmap w.npy --over image.pgm --grid 2by2 -o none.svg
  run -2 peek --heatmap w.npy --over image.pgm --text -o none.svg
  [[ $output == *"--text needs a heat map without --over"* ]]
  [ ! -e none.svg ]
}
