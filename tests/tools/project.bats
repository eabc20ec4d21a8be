#!/usr/bin/env bats
# project as a user runs it: shapes, same bits, what it keeps, errors. Values: tests/parity/project.py.

setup() {
  bats_require_minimum_version 1.5.0
  export PATH="$PIPEFORMER_BIN:$PATH"
  cd "$BATS_TEST_TMPDIR" || exit 1
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
random = np.random.RandomState(2)
def stream(path, arrays):
    with open(path, "wb") as out:
        for array in arrays:
            np.save(out, array)
stream("x.npy", [random.standard_normal((t, 24)).astype("f4") for t in (30, 0, 1, 200, 7)])
x = random.standard_normal((90, 24)).astype("f4")
np.save("dense.npy", x.reshape(3, 5, 6, 24)), stream("vectors.npy", list(x)), np.save("matrix.npy", x)
np.save("ids.npy", np.arange(4, dtype="i4")), np.save("nan.npy", np.full((3, 4), np.nan, "f4")), np.save("narrow.npy", np.ones((3, 4), "f4"))
PYTHON
}

shapes() { peek "$1" | awk 'NR > 1' | cut -f 4 | paste -s -d ' '; }

# shellcheck disable=SC2154 # bats sets them
fails() {
  local status=$1 message=$2
  shift 2
  run "-$status" --separate-stderr "$@" -o failed.npy
  [ "${stderr_lines[0]}" = "project: $message" ] || { echo "got: $stderr" && false; }
  [ ! -e failed.npy ]
}

@test "a record for each record, with its leading axes" {
  project x.npy -o y.npy
  [ "$(shapes y.npy)" = "(30, 2) (0, 2) (1, 2) (200, 2) (7, 2)" ]
  project -k 3 dense.npy -o y.npy
  [ "$(shapes y.npy)" = "(3, 5, 6, 3)" ]
  project -k 3 matrix.npy | slice --reshape 3,5,6,3 | cmp - y.npy
  project -k 3 vectors.npy | convert --stack - | cmp - <(project -k 3 matrix.npy)
  project x.npy -o y.h5 && convert y.h5 | cmp - <(project x.npy)
}

@test "the same bits with any threads, instruction set, and from what was kept" {
  project -k 5 --components whole.h5 x.npy -o whole.npy
  for options in "-j 1" "-j 3"; do
    # shellcheck disable=SC2086
    project -k 5 --components part.h5 x.npy $options | cmp - whole.npy
    cmp part.h5 whole.h5
  done
  for isa in generic avx2; do
    run env PIPEFORMER_ISA=$isa project -k 5 --components part.h5 x.npy -o y.npy
    if [ "$status" -ne 0 ]; then continue; fi # the processor lacks it
    cmp y.npy whole.npy && cmp part.h5 whole.h5
  done
  project --onto whole.h5 x.npy | cmp - whole.npy
  project --onto whole.h5 -k 2 x.npy -o y.npy && slice --columns 0-1 whole.npy | cmp - y.npy
  project -k 5 --components all.h5:layer/0 x.npy | cmp - whole.npy
  project --onto all.h5:layer/0 x.npy | cmp - whole.npy
  peek all.h5 | cut -f 1,4 --output-delimiter=' ' | sed '1d; s|^all.h5:layer/0/||' | paste -s -d ' ' > names
  [ "$(cat names)" = "components (5, 24) explained_variance (5,) explained_variance_ratio (5,) mean (24,)" ]
  : | project --onto whole.h5 -o y.npy && [ ! -s y.npy ]
}

@test "what cannot be is refused" {
  : > empty.npy
  fails 1 "empty.npy: holds no vectors to find components of" project empty.npy
  fails 1 "narrow.npy: 3 vectors of width 4 have at most 2 components, not 3 (-k)" project -k 3 narrow.npy
  fails 1 "ids.npy: record 0: expected floating-point numbers, not i4 (4,)" project ids.npy
  fails 1 "nan.npy: record 0: not finite" project nan.npy
  /usr/bin/python3 -c "import numpy as np; np.save('large.npy', np.random.default_rng(1).choice([-3e38, 3e38], (6, 50)).astype('f4'))"
  fails 1 "large.npy: record 0: its coordinates are larger than float32 holds" project large.npy
  project x.npy --components pca.h5 -o y.npy
  fails 1 "narrow.npy: record 0: width 4 does not match the 24 of pca.h5" project --onto pca.h5 narrow.npy
  fails 1 "pca.h5: has 2 components, not 3 (-k)" project --onto pca.h5 -k 3 x.npy
  fails 2 "--onto and --components exclude each other" project --onto pca.h5 --components b.h5 x.npy
  convert narrow.npy -o other.h5:mean
  run -1 project --onto other.h5 x.npy -o failed.npy
  [ ! -e failed.npy ]
  run -1 project narrow.npy -k 3 --components none.h5 -o failed.npy
  [ ! -e none.h5 ]
}
