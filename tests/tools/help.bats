#!/usr/bin/env bats
# Every tool's help: its layout, and that its examples run. The examples find the files that scripts/make-testdata makes.

setup_file() {
  export TESTDATA="$BATS_FILE_TMPDIR/data"
  "$BATS_TEST_DIRNAME/../../scripts/make-testdata" "$TESTDATA"
  cp -r "$BATS_TEST_DIRNAME/../../testdata/checkpoints/gpt2" "$TESTDATA/"
}

setup() {
  bats_require_minimum_version 1.5.0
  cd "$BATS_TEST_TMPDIR" || exit 1
  shopt -s nullglob
  tools=("$PIPEFORMER_BIN"/*)
  ((${#tools[@]} > 0)) || skip "no tools are built"
}

# Prints the examples of a tool, each ended by a NUL: the lines that are indented by four columns below "Examples:".
examples() {
  "$1" --help | awk '/^Examples:/ { inside = 1; next } inside && /^[^ ]/ { inside = 0 }
    inside && /^    / { command = command substr($0, 5) "\n"; next }
    command != "" { printf "%s%c", command, 0; command = "" }
    END { if (command != "") printf "%s%c", command, 0 }'
}

@test "--help: summary, usage, 80 columns, two examples" {
  for tool in "${tools[@]}"; do
    name=$(basename "$tool")
    run -0 "$tool" --help
    [[ ${lines[0]} == "$name - "* ]]
    [[ ${lines[*]} == *"Usage: $name [OPTION]..."* ]]
    wide=$(awk 'length > 80 && !/^    /' <<< "$output")
    [ -z "$wide" ] || { echo "$name: wider than 80 columns: $wide"; false; }
    mapfile -t -d '' commands < <(examples "$tool")
    ((${#commands[@]} >= 2)) || { echo "$name: only ${#commands[@]} examples"; false; }
  done
}

@test "--version names the tool" {
  for tool in "${tools[@]}"; do
    run -0 "$tool" --version
    [[ $output == "$(basename "$tool") (pipeformer) "* ]]
  done
}

@test "every example runs" {
  failed=0
  for tool in "${tools[@]}"; do
    mapfile -t -d '' commands < <(examples "$tool")
    for command in "${commands[@]}"; do
      rm -rf run && cp -r "$TESTDATA" run
      if ! (cd run && PATH="$PIPEFORMER_BIN:$PATH" timeout 300 bash -o pipefail -ec "$command") > out 2> err < /dev/null; then
        echo "$(basename "$tool"): this example fails: $command$(cat err)"
        failed=1
      fi
    done
  done
  ((failed == 0))
}

@test "every man page is free of warnings" {
  command -v groff > /dev/null || skip "no groff"
  for tool in "${tools[@]}"; do
    "$tool" --generate man > page.1
    run -0 groff -man -Kutf8 -Tutf8 -ww -z page.1
    [ -z "$output" ] || { echo "$(basename "$tool"): $output"; false; }
  done
}

@test "every completion is clean shell" {
  for tool in "${tools[@]}"; do
    "$tool" --generate completion > completion.bash
    run -0 bash -n completion.bash
    if command -v shellcheck > /dev/null; then run -0 shellcheck --shell bash completion.bash; fi
  done
}
