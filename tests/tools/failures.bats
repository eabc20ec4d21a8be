#!/usr/bin/env bats
# A stage that fails makes every later stage fail, without pipefail: the failure record (lib/io/failure_record.hpp).

setup_file() {
  export PATH=$PIPEFORMER_BIN:$PATH DATA=$BATS_FILE_TMPDIR
  cd "$DATA" || exit 1
  for i in {1..700}; do echo "line $i of a text"; done > good.src
  { head -n 500 good.src; printf 'ab\xff\n'; tail -n 100 good.src; } > bad.src
  tokenize --train --type char -o char.model good.src
  model make --source-vocabulary 60 --target-vocabulary 60 --begin-id 1 --end-id 2 --width 16 --heads 2 --inner 16 \
    --encoder-layers 1 --decoder-layers 1 -o model.h5
  tokenize -m char.model good.src -o good.npy
  export MESSAGE="tokenize: bad.src: line 501: invalid UTF-8 at byte 3"
}

setup() {
  bats_require_minimum_version 1.5.0
  cd "$BATS_TEST_TMPDIR" || exit 1
  ln -s "$DATA"/* .
}

# last_fails MESSAGE COMMAND-LINE: its last stage ends with status 1 and this message as its line on standard error.
last_fails() {
  run -1 bash -c "$2"
  [[ $'\n'$output$'\n' == *$'\n'"$1"$'\n'* ]] || { echo "$output"; false; }
}

@test "every later stage repeats the message, fails and leaves nothing" {
  last_fails "convert: $MESSAGE" 'tokenize -m char.model bad.src 2> /dev/null | convert - -o out.npy'
  last_fails "tokenize: $MESSAGE" 'tokenize -m char.model bad.src 2> /dev/null | convert | tokenize -m char.model --decode -o out.txt'
  last_fails "convert: $MESSAGE" 'tokenize -m char.model bad.src 2> /dev/null | embed -m model.h5 2> err | encode -m model.h5 2>> err | convert - -o out.h5'
  [ "$(cat err)" = "embed: $MESSAGE
encode: $MESSAGE" ]
  last_fails "decode: $MESSAGE" 'tokenize -m char.model bad.src 2> /dev/null | decode -m model.h5 --max-length 2 -o out.npy'
  [ ! -e out.npy ] && [ ! -e out.txt ] && [ ! -e out.h5 ]
}

@test "the records before a failure are processed" {
  { cat good.npy && tokenize -m none.model good.src 2> /dev/null | cat; } > both.npy
  bash -c 'cat both.npy | embed -m model.h5 --batch-rows 300 2> /dev/null | cat > vectors'
  embed -m model.h5 good.npy > expected.npy
  cmp -n "$(stat -c %s expected.npy)" expected.npy vectors
  run -0 tail -c +"$(($(stat -c %s expected.npy) + 1))" vectors
  [[ $output == *"FAILED "*"tokenize: none.model: "* ]]
}

@test "a usage error, a missing model and a missing file are told before anything is written" {
  last_fails "convert: linear: unrecognised option '--no-such-option'" 'linear --no-such-option 2> /dev/null | convert'
  last_fails "convert: linear: --model FILE:GROUP or --weight FILE is needed" 'linear good.npy 2> /dev/null | convert'
  last_fails "convert: tokenize: none.model: cannot open: No such file or directory" 'tokenize -m none.model good.src 2> /dev/null | convert'
  last_fails "peek: embed: none.npy: cannot open: No such file or directory" 'embed -m model.h5 none.npy 2> /dev/null | peek'
  last_fails "convert: embed: none.npy: cannot open: No such file or directory" 'embed -m model.h5 none.npy --format h5 2> /dev/null | convert'
  last_fails "train: tokenize: none.src: cannot open: No such file or directory" \
    'tokenize -m char.model none.src 2> /dev/null | train --task language-model --target - --tokenizer char.model -o out.h5 --steps 1 --quiet'
  [ ! -e out.h5 ]
}

@test "either of two inputs, a concatenation, a file" {
  embed -m model.h5 good.npy -o x.npy
  last_fails "add: embed: none.npy: cannot open: No such file or directory" 'add --to <(embed -m model.h5 none.npy 2> /dev/null) x.npy -o y.npy'
  last_fails "add: embed: none.npy: cannot open: No such file or directory" 'embed -m model.h5 none.npy 2> /dev/null | add --to x.npy -o y.npy'
  last_fails "peek: $MESSAGE" 'cat good.npy <(tokenize -m char.model bad.src 2> /dev/null) | peek'
  tokenize -m char.model bad.src 2> /dev/null | cat > failed.npy || true
  last_fails "convert: failed.npy: record 0: the stream ends with a failure: $MESSAGE" 'convert failed.npy -o y.npy'
  [ ! -e y.npy ]
}

@test "a side output on a FIFO carries the failure too" {
  embed -m model.h5 good.npy -o x.npy
  { cat x.npy && embed -m model.h5 none.npy 2> /dev/null | cat; } > bad.npy
  mkfifo side
  convert side -o side.npy 2> side.err &
  run -1 attend bad.npy --weights side -o y.npy
  run -1 wait $!
  [[ $(cat side.err) == "convert: attend: bad.npy: record 700: the stream ends with a failure: embed: none.npy: "* ]]
  [ ! -e side.npy ]
}

@test "a stage that a signal ends tells it, after whole records" {
  for signal in TERM INT HUP; do
    mkfifo in out
    env --default-signal=INT embed -m model.h5 < in > out 2> /dev/null &  # a job in the background ignores it
    tool=$!
    { convert out -o got.npy 2> err && echo 0 > status || echo $? > status; } &
    reader=$!
    exec 8> in
    cat good.npy >&8
    sleep 0.3
    kill -$signal $tool
    wait $tool || true
    wait $reader
    exec 8>&-
    [ "$(cat status)" -eq 1 ]
    [ "$(cat err)" = "convert: embed: ended by SIG$signal" ]
    [ ! -e got.npy ]
    rm in out
  done
}

@test "text, files and terminals get no record; NumPy and pickles stop at one" {
  # shellcheck disable=SC2016
  run -2 --separate-stderr bash -c 'tokenize --decode --no-such-option | cat; exit "${PIPESTATUS[0]}"'
  [ -z "$output" ]
  # shellcheck disable=SC2016
  run -1 --separate-stderr bash -c 'tokenize -m none.model --pieces good.src | cat; exit "${PIPESTATUS[0]}"'
  [ -z "$output" ]
  tokenize -m none.model good.src > out 2> /dev/null || true
  [ ! -s out ]
  { cat good.npy; tokenize -m none.model good.src 2> /dev/null | cat; } > both.npy
  run -0 /usr/bin/python3 -c '
import numpy, io
with open("both.npy", "rb") as f:
    for i in range(700): numpy.load(f)
    rest = f.read()
for pickled in (False, True):
    try: numpy.load(io.BytesIO(rest), allow_pickle=pickled)
    except Exception as e: print(type(e).__name__)
    else: raise SystemExit("an array")'
}

@test "a signal in the middle of a large record that nobody reads waits for the record" {
  mkfifo in out
  /usr/bin/python3 -c 'import numpy; numpy.save("large.npy", numpy.zeros((1, 3000000), "f4"))'
  convert < large.npy > out &
  tool=$!
  exec 7< out
  head -c 100 <&7 > begin
  kill -TERM $tool
  { cat begin; cat <&7; } > all
  exec 7<&-
  wait $tool || true
  cmp -n "$(stat -c %s large.npy)" large.npy all || [ "$(head -c 200 all | tail -c 190 | grep -c FAILED)" = 0 ]
  run -0 tail -c +"$(($(stat -c %s large.npy) + 1))" all
  [[ $output == *"convert: ended by SIGTERM"* ]]
}

@test "threads that cannot be made are done without" {
  ! ldd "$PIPEFORMER_BIN/train" | grep -qE 'lib(asan|tsan)' || skip "a sanitizer needs more address space"
  encode -m model.h5 -j 1 good.npy -o expected.npy
  # Some of these meet the limit when they make the threads, others only when the threads work.
  for limit in 200000 400000 600000; do
    for threads in 16 64 256; do
      run -0 timeout 60 bash -c "ulimit -v $limit; exec encode -m model.h5 -j $threads good.npy -o got.npy"
      cmp expected.npy got.npy
    done
  done
}

@test "a record that does not fit in memory is named, with its size" {
  ! ldd "$PIPEFORMER_BIN/train" | grep -qE 'lib(asan|tsan)' || skip "a sanitizer needs more address space"
  # Sparse: 400 MB of zeros.
  /usr/bin/python3 -c "import numpy; numpy.lib.format.open_memmap('large.npy', 'w+', 'f4', (400000, 256))"
  for tool in 'norm --kind unit' attend 'slice --columns 0-9' 'activate'; do
    for limit in 200000 450000; do # the file cannot be mapped; it can, and what is computed of it does not fit
      run -1 --separate-stderr timeout 60 bash -c "ulimit -v $limit; exec $tool -j 1 large.npy -o got.npy"
      [[ $stderr == "${tool%% *}: large.npy: record 0: "*40[0-9]*" bytes"* ]]
      [ "${#stderr_lines[@]}" = 1 ] && [ ! -e got.npy ]
    done
  done
  run -1 --separate-stderr timeout 60 bash -c "ulimit -v 200000; exec posenc --table --length 100000 --width 4096 -o got.npy"
  [[ $stderr == 'posenc: out of memory for '*' bytes' ]]
  rm large.npy
}

@test "empty records without end flow in constant memory" {
  ! ldd "$PIPEFORMER_BIN/train" | grep -qE 'lib(asan|tsan)' || skip "a sanitizer needs more address space"
  run -0 timeout 60 bash -c "ulimit -v 2000000; yes '' | tokenize -m char.model | embed -m model.h5 | head -c 1000000 | wc -c"
  [ "$output" = 1000000 ]
  run -0 timeout 60 bash -c "ulimit -v 2000000; yes '' | tokenize -m char.model | tokenize -m char.model --decode | head -c 10000 | wc -c"
  [ "$output" = 10000 ]
}

@test "a terminal is not given what it would act on; a pipe gets the bytes" {
  script --quiet --return --command true /dev/null > /dev/null || skip "no pseudo-terminal"
  printf 'a\x1b[31mb\xc2\x9bc\xe2\x80\xaed\n' > bad.txt
  tokenize --train --type char -o bad.model bad.txt
  tokenize -m bad.model bad.txt -o bad.npy
  tokenize -m bad.model --decode bad.npy | cmp - bad.txt
  run -0 script --quiet --return --command "tokenize -m bad.model --decode bad.npy" /dev/null
  [[ $output == 'a\x1b[31mb\x9bc\u202ed'* ]]
  run -0 script --quiet --return --command "tokenize -m bad.model --pieces bad.txt" /dev/null
  [[ $output == 'a <U+001B> [ 3 1 m b \x9b c \u202e d'* ]]
  run -1 --separate-stderr convert $'no\x1b[31m\xc2\x9b\xe2\x80\xa8.npy'
  [ "$stderr" = 'convert: no\x1b[31m\x9b\u2028.npy: cannot open: No such file or directory' ]
}

@test "no output replaces what the same run reads, by whatever name, but -o an input argument" {
  for f in model.h5 good.npy good.src char.model; do rm "$f" && cp "$DATA/$f" .; done
  embed -m model.h5 good.npy -o x.npy
  ln x.npy hard.npy && ln -s x.npy soft.npy
  convert x.npy -o two.h5:one && convert x.npy -o two.h5:two
  sha256sum model.h5 good.npy good.src char.model x.npy two.h5 > before
  # replaced NAME COMMAND...: the tool refuses to, with status 2.
  replaced() {
    run -2 "${@:2}"
    [[ $output == *"$1: is read by this run, which would replace it: give the output another name"* ]] || { echo "$output"; false; }
  }
  replaced hard.npy add --to x.npy good.npy -o hard.npy
  replaced x.npy add --to x.npy good.npy -o soft.npy
  replaced two.h5 convert two.h5:one -o two.h5
  replaced model.h5 encode -m model.h5 good.npy -o model.h5
  replaced model.h5 encode -m model.h5 good.npy --tap '*/output' --tap-file model.h5 -o y.npy
  replaced x.npy project x.npy --components x.npy -o y.npy
  replaced char.model tokenize -m char.model --decode good.npy -o char.model
  replaced good.npy train --source good.npy --target good.npy --tokenizer char.model --steps 1 --log good.npy -o new.h5
  replaced model.h5 train --from model.h5 --source good.npy --target good.npy --steps 1 -o model.h5
  echo 'threads = 1' > settings
  replaced settings encode --config settings -m model.h5 good.npy --format npy -o settings
  sha256sum -c before
  [ "$(find . -name '*.tmp.*' | wc -l)" = 0 ] && [ ! -e y.npy ] && [ ! -e new.h5 ]
  posenc x.npy > expected.npy
  cp x.npy same.npy && posenc same.npy -o same.npy && cmp same.npy expected.npy
  cp x.npy same.npy && ln -s same.npy link.npy && posenc same.npy -o link.npy && cmp same.npy expected.npy
  # A group added to a file that is read, and a run that goes on with its own checkpoint, are no such thing.
  posenc two.h5:one -o two.h5:three && convert two.h5:three | cmp - expected.npy
  train --from model.h5 --source good.npy --target good.npy --steps 1 -q --log log.tsv -o new.h5
  train --from model.h5 --source good.npy --target good.npy --steps 2 -q --log log.tsv --resume -o new.h5
}
