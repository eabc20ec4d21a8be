#!/usr/bin/env bats
# The command line as a user meets it, through a tool that prints what it understood (probe.cpp).

setup() {
  cd "$BATS_TEST_TMPDIR" || exit 1
  bats_require_minimum_version 1.5.0
}

probe() { "$PIPEFORMER_PROBE" "$@"; }

@test "values arrive" {
  run -0 --separate-stderr probe --heads 4 --shift -3 a.npy -o out.h5 -- --odd-name
  [[ $output == *"heads = 4"* && $output == *"shift = -3"* && $output == *"output = out.h5"* ]]
  [[ $output == *"argument = a.npy"* && $output == *"argument = --odd-name"* ]]
  [ -z "$stderr" ]
}

@test "a usage error is two lines on standard error and status 2" {
  run -2 --separate-stderr probe --heads -1
  [ -z "$output" ]
  [ "$stderr" = "probe: option '--heads': -1 is out of range: 1 to 512
Try 'probe --help'." ]
  run -2 --separate-stderr probe --fail usage
  [ "${stderr_lines[0]}" = "probe: the mask belongs to a dense batch" ]
}

@test "an error is one line on standard error and status 1" {
  run -1 --separate-stderr probe --fail error
  [ -z "$output" ]
  [ "$stderr" = "probe: k.npy: record 17: key width 64 does not match query width 512" ]
  run -1 --separate-stderr probe --fail newline
  [ "$stderr" = "probe: größe falsch\\x1b[31m" ]
  run -1 --separate-stderr probe --fail memory
  [ "$stderr" = "probe: out of memory" ]
}

@test "help and version go to standard output, even when the rest is wrong" {
  run -0 --separate-stderr probe --nonsense --help
  [ "${lines[0]}" = "probe - print the command line as it was understood" ]
  [ -z "$stderr" ]
  run -0 --separate-stderr probe -qh
  [ "${lines[0]}" = "probe - print the command line as it was understood" ]
  run -0 --separate-stderr probe --version
  [[ $output =~ ^"probe (pipeformer) "[0-9]+\.[0-9]+\.[0-9]+$ ]]
  run -0 --separate-stderr probe -V
  [[ $output == "probe (pipeformer) "* ]]
}

@test "a full disk is a failure" {
  [ -w /dev/full ] || skip "no /dev/full"
  run -1 bash -c '"$PIPEFORMER_PROBE" > /dev/full'
  [ "$output" = "probe: (stdout): cannot write: No space left on device" ]
  run -1 bash -c '"$PIPEFORMER_PROBE" --help > /dev/full'
}

@test "a closed pipe is quiet" {
  run -0 --separate-stderr bash -c 'for i in {1..40}; do "$PIPEFORMER_PROBE" --help; done 2> err | head -n 1 > /dev/null; cat err'
  [ -z "$output" ]
}

@test "a standard stream that is closed does not lend its number to a file" {
  tokenize="$PIPEFORMER_BIN/tokenize"
  echo ab > text.txt
  "$tokenize" --train --type byte -o byte.model text.txt
  run -1 bash -c '"$1" -m byte.model <&- > /dev/null' - "$tokenize"
  [ "$output" = "tokenize: (stdin): line 1: cannot read: Bad file descriptor" ]
  # The first file that is opened would be number 2, and hold the summary.
  bash -c '"$1" -v -m byte.model -o ids.npy text.txt 2>&-' - "$tokenize"
  "$tokenize" -m byte.model text.txt | cmp - ids.npy
  run -1 bash -c '"$1" -m byte.model text.txt >&-' - "$tokenize"
}

@test "standard input that is a terminal is not waited for" {
  script --quiet --return --command true /dev/null > /dev/null || skip "no pseudo-terminal"
  run timeout 20 script --quiet --return --command "'$PIPEFORMER_PROBE' --read" /dev/null
  [ "$status" -eq 2 ]
  [[ $output == *"no FILE is given and standard input is a terminal"*"Usage: probe [OPTION]... [FILE...]"* ]]
  run -0 bash -c '"$PIPEFORMER_PROBE" --read < /dev/null'
  [[ $output == *"input = -"* ]]
}

@test "threads: -j sets the team, the default is the processors this process may use" {
  run -0 probe -j 3
  [[ $output == *"threads = 3"* ]]
  run -0 taskset -c "$(taskset -pc $$ | sed 's/.*: //; s/[,-].*//')" "$PIPEFORMER_PROBE"
  [[ $output == *"threads = 1"* ]]
}

@test "a configuration file stands between defaults and command line" {
  printf 'heads = 16\nactivation = gelu # smooth\ncausal = true\n' > run.conf
  run -0 probe --config run.conf --heads 2
  [[ $output == *"heads = 2"* && $output == *"activation = gelu"* && $output == *"causal = 1"* ]]
  echo 'head = 3' > run.conf
  run -2 probe --config run.conf
  [ "${lines[0]}" = "probe: run.conf: unrecognised option 'head' (did you mean 'heads'?)" ]
}

@test "progress: nothing for short work, no bar into a file, a summary with -v" {
  run -0 --separate-stderr probe --work 5
  [ -z "$stderr" ]
  run -0 --separate-stderr probe --work 5 -v
  [[ $stderr =~ ^"probe: working: 5 steps, "0\.[0-9]" s"$ ]]
  run -0 --separate-stderr probe --work 60
  [ "$stderr" = "probe: half way" ]
  run -0 --separate-stderr probe --work 60 --quiet
  [ -z "$stderr" ]
}

@test "progress: a bar on a terminal, erased at the end" {
  script --quiet --return --command true /dev/null > /dev/null || skip "no pseudo-terminal"
  run env TERM=xterm script --quiet --return --command "stty cols 100; '$PIPEFORMER_PROBE' --work 60 > /dev/null" /dev/null
  [ "$status" -eq 0 ]
  [[ $output == *$'\r'"probe: working [#"*"%"*"/60 steps, "*"/s, 0:0"*" left, loss 0.5"$'\033[K'* ]]
  [[ $output == *$'\r\033[K'"probe: half way"* ]]
  [[ $output == *$'\r\033[K' ]]
  run env TERM=dumb script --quiet --return --command "'$PIPEFORMER_PROBE' --work 30 > /dev/null" /dev/null
  [ -z "$output" ]
}

@test "the man page has no warnings" {
  command -v groff > /dev/null || skip "no groff"
  probe --generate man > probe.1
  run -0 groff -man -Kutf8 -Tutf8 -ww -z probe.1
  [ -z "$output" ]
  run -0 groff -man -Kutf8 -Tascii -P-cbou -rLL=200n probe.1
  [[ $output == *"--heads N"* && $output == *".A paragraph that begins with a full stop, a \\backslash and 'quotes'"* ]]
  [[ $output == *"--causal, --no-causal"* && $output == *"attend(1), encode(1)"* ]]
}

@test "the bash completion completes options and choices" {
  probe --generate completion > completion.bash
  run -0 bash -c '
    source completion.bash
    COMP_WORDS=(probe --activation ge) COMP_CWORD=2; _pipeformer_probe; echo "${COMPREPLY[@]}"
    COMP_WORDS=(probe --no-) COMP_CWORD=1; _pipeformer_probe; echo "${COMPREPLY[@]}"
    COMP_WORDS=(probe -o fi) COMP_CWORD=2; _pipeformer_probe; echo "${COMPREPLY[@]}."'
  [ "${lines[0]}" = "gelu gelu-tanh" ]
  [ "${lines[1]}" = "--no-causal --no-bias --no-read" ]
  [ "${lines[2]}" = "." ]
  "$PIPEFORMER_BIN/model" --generate completion > model.bash
  run -0 bash -c '
    source model.bash
    COMP_WORDS=(model "") COMP_CWORD=1; _pipeformer_model; echo "${COMPREPLY[@]}"
    COMP_WORDS=(model make d) COMP_CWORD=2; _pipeformer_model; echo "${COMPREPLY[@]}."'
  [ "${lines[0]}" = "make import export average merge quantize describe" ]
  [ "${lines[1]}" = "." ]
}
