#!/usr/bin/env bats
# What `cmake --install` puts in place works from there alone: tools, recipes, headers, both package files; uninstall and the Debian package.

setup_file() {
  export PREFIX="$BATS_FILE_TMPDIR/prefix"
  cmake --install "$PIPEFORMER_BUILD" --prefix "$PREFIX" > /dev/null
  cp "$PIPEFORMER_BUILD/install_manifest.txt" "$BATS_FILE_TMPDIR"
}
setup() {
  # Neither the build's tools nor the source tree: only what is installed.
  PATH="$PREFIX/bin:$(sed "s|$PIPEFORMER_BIN:||" <<< "$PATH")"
  share="$PREFIX/share/pipeformer"
  cd "$BATS_TEST_TMPDIR"
}

@test "the recipes run from the installed files" {
  "$share/make-corpus" . --train 400 --valid 20 --heldout 10
  TRAIN='--steps 6 --warmup 2 --validate-every 3' MODEL='--width 16 --heads 2 --inner 16 --encoder-layers 1 --decoder-layers 1' \
    make -s -f "$share/translator.mk" SRC=train.src TGT=train.ref VALID_SRC=valid.src VALID_TGT=valid.ref TEST_SRC=heldout.src TEST_TGT=heldout.ref \
    VOCABULARY=200 OUT=out score curves
  [ "$(wc -l < out/test.hyp)" = 10 ]
  [ -s out/train-loss.svg ]
  tokenize -m out/model.h5 heldout.src -o ids.npy
  encode -m out/model.h5 ids.npy -o memory.npy
  "$share/unfold-encode" out/model.h5 ids.npy unfolded.npy
  cmp memory.npy unfolded.npy
}

@test "man pages, completion and documents are in place" {
  [ -s "$PREFIX/share/man/man1/tokenize.1" ]
  [ -s "$PREFIX/share/man/man7/pipeformer.7" ]
  [ -s "$PREFIX/share/man/man5/pipeformer-formats.5" ]
  [ -s "$PREFIX/share/bash-completion/completions/tokenize" ]
  [ -s "$PREFIX/share/doc/pipeformer/copyright" ]
}

@test "each installed header compiles alone, and all of them together" {
  cd "$PREFIX/include/pipeformer"
  find . -name '*.hpp' -printf '%P\n' | sort > "$BATS_TEST_TMPDIR/headers"
  [ "$(wc -l < "$BATS_TEST_TMPDIR/headers")" -gt 50 ]
  # The build has compiled most of them alone: each source begins with its own header.
  (cd "$BATS_TEST_DIRNAME/../../lib" && find . -name '*.cpp' -printf '%P\0' |
    xargs -0 awk '/^#include/ { if ($2 == "\"" substr(FILENAME, 1, length(FILENAME) - 3) "hpp\"") print substr($2, 2, length($2) - 2); nextfile }') | sort > "$BATS_TEST_TMPDIR/built"
  comm -23 "$BATS_TEST_TMPDIR/headers" "$BATS_TEST_TMPDIR/built" > "$BATS_TEST_TMPDIR/others"
  [ "$(wc -l < "$BATS_TEST_TMPDIR/others")" -gt 5 ]
  xargs -P "$(nproc)" -I{} sh -c 'echo "#include \"{}\"" | "$0" -std=c++20 -Wall -Wextra -Werror -I. -fsyntax-only -x c++ - || { echo "{} does not compile alone"; exit 1; }' \
    "$PIPEFORMER_CXX" < "$BATS_TEST_TMPDIR/others"
  # One program may include them all: no two give one name to different things.
  sed 's/.*/#include "&"/' "$BATS_TEST_TMPDIR/headers" | "$PIPEFORMER_CXX" -std=c++20 -Wall -Wextra -Werror -I. -fsyntax-only -x c++ -
  # And none of them needs one that is not installed.
  xargs -a "$BATS_TEST_TMPDIR/headers" sed -n 's/^#include "\(.*\)"$/\1/p' | sort -u > "$BATS_TEST_TMPDIR/included"
  [ "$(wc -l < "$BATS_TEST_TMPDIR/included")" -gt 50 ]
  comm -23 "$BATS_TEST_TMPDIR/included" "$BATS_TEST_TMPDIR/headers" > "$BATS_TEST_TMPDIR/missing"
  diff "$BATS_TEST_TMPDIR/missing" /dev/null
}

@test "a program builds with find_package and with pkg-config" {
  cat > main.cpp << 'EOF'
#include <iostream>

#include "core/array.hpp"
#include "models/transformer.hpp"

int main() { std::cout << pipeformer::element_count({2, 3}) << "\n"; }
EOF
  cat > CMakeLists.txt << 'EOF'
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES CXX)
find_package(pipeformer 0.1 REQUIRED)
add_executable(consumer main.cpp)
target_link_libraries(consumer PRIVATE pipeformer::pipeformer)
EOF
  cmake -S . -B build -D CMAKE_PREFIX_PATH="$PREFIX" -D CMAKE_CXX_COMPILER="$PIPEFORMER_CXX" -D CMAKE_CXX_FLAGS="$PIPEFORMER_SANITIZE" > /dev/null
  cmake --build build
  [ "$(build/consumer)" = 6 ]

  library=$(dirname "$(find "$PREFIX" -name pipeformer.pc)")
  # The file says where the build was configured to go; this test installs elsewhere.
  old=$(sed -n 's/^prefix=//p' "$library/pipeformer.pc")
  flags=$(PKG_CONFIG_PATH="$library" pkg-config --define-variable=prefix="$PREFIX" --cflags --libs pipeformer)
  # shellcheck disable=SC2086  # flags are words
  "$PIPEFORMER_CXX" $PIPEFORMER_SANITIZE main.cpp ${flags//"$old"/"$PREFIX"} -o with-pkg-config
  [ "$(./with-pkg-config)" = 6 ]
}

@test "uninstall removes all of it and nothing else" {
  cp -r "$PREFIX" copy
  echo mine > copy/share/pipeformer/mine
  sed "s|^$PREFIX|$PWD/copy|" "$BATS_FILE_TMPDIR/install_manifest.txt" > install_manifest.txt
  cmake -P "$BATS_TEST_DIRNAME/../../cmake/uninstall.cmake"
  [ "$(find copy -type f -o -type l)" = copy/share/pipeformer/mine ]
  [ ! -e copy/include/pipeformer ]
  [ ! -e "$(find copy -path '*/cmake/pipeformer')" ]
}

@test "Debian packages hold what belongs into them and name what they need" {
  [ -z "$PIPEFORMER_SANITIZE" ] || skip "only a release is packaged"
  # Compressed by what is quickest: the tools are large.
  cpack -G DEB -D CPACK_DEBIAN_COMPRESSION_TYPE=zstd --config "$PIPEFORMER_BUILD/CPackConfig.cmake" -B "$PWD" > /dev/null
  depends=$(dpkg-deb -f pipeformer_*.deb Depends)
  [[ $depends == *libicu* && $depends == *libsentencepiece* ]]
  [[ $depends != *blas* && $depends != *openmpi* && $depends != *curl* ]]
  dpkg-deb -c pipeformer_*.deb > contents
  grep -q ' ./usr/bin/tokenize$' contents
  grep -q ' ./usr/share/man/man1/tokenize.1$' contents
  grep -q ' ./usr/share/pipeformer/translator.mk$' contents
  grep -q ' ./usr/share/bash-completion/completions/tokenize$' contents
  ! grep -q '\.hpp$' contents
  [[ $(dpkg-deb -f pipeformer-dev_*.deb Depends) == 'pipeformer (= '* ]]
}
