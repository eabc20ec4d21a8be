#!/usr/bin/env bats
# patchify: what it refuses, and images on their way to one record each (tests/parity/patchify.py has the numbers).

bats_require_minimum_version 1.5.0

setup() {
  export PATH="$PIPEFORMER_BIN:$PATH"
  cd "$BATS_TEST_TMPDIR"
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
np.save("digits.npy", np.arange(3 * 8 * 8).reshape(3, 8, 8) % 17)
with open("images.npy", "wb") as out:
    for shape in [(8, 8), (4, 8), (8, 6)]:
        np.save(out, np.ones(shape, "<f4"))
np.save("line.npy", np.ones(8, "<f4"))
with open("colours.npy", "wb") as out:
    for shape in [(4, 4, 3), (4, 4, 1)]:
        np.save(out, np.ones(shape, "<f4"))
np.save("nothing.npy", np.ones((0, 8, 8), "<f4"))
PYTHON
}

refused() { # refused STATUS MESSAGE ARGUMENT...
  local expected=$1 message=$2
  shift 2
  run --separate-stderr patchify "$@" -o out.npy
  [ "$status" -eq "$expected" ]
  [ "${stderr_lines[0]}" = "patchify: $message" ]
  [ "$status" -eq 2 ] || [ "${#stderr_lines[@]}" -eq 1 ]
  [ -z "$(compgen -G 'out.npy*')" ]
}

@test "a dense array becomes one record for each image" {
  patchify --size 4 --scale 0.0625 digits.npy | convert --unstack -o patches.npy
  [ "$(grep -ac "'descr': '<f4', 'fortran_order': False, 'shape': (4, 16)" patches.npy)" -eq 3 ]
  cmp <(patchify --size 4 digits.npy) <(patchify --size 4 --no-channels < digits.npy)
  # The same by the record: first cut the array, then the images.
  patchify --size 4 --scale 0.0625 <(convert --unstack digits.npy) | cmp - patches.npy
}

@test "no images, no patches" {
  [ "$(patchify --size 4 < /dev/null | wc -c)" -eq 0 ]
  patchify --size 4 nothing.npy > out.npy
  grep -aq "'shape': (0, 4, 16)" out.npy
}

@test "refusals name the record and the sizes" {
  refused 1 "images.npy: record 2: an image of height 8 and width 6 cannot be cut into patches of 4 by 4" --size 4 images.npy
  refused 1 "images.npy: record 0: an image of height 8 and width 8 cannot be cut into patches of 16 by 16" --size 16 images.npy
  refused 1 "images.npy: record 0: expected images (..., H, W, C), not shape (8, 8)" --size 4 --channels images.npy
  refused 1 "line.npy: record 0: expected images (..., H, W), not shape (8,)" --size 4 line.npy
  refused 1 "colours.npy: record 1: width 16 does not match width 48 of the stream's first record" --size 4 --channels colours.npy
  refused 2 "option '--size' is required" images.npy
  run -2 patchify --size 0 images.npy
  run -2 patchify --size -4 images.npy
}

@test "PNM images are read from files and pipes, with their channels" {
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
pixels = np.random.RandomState(3)
colour, grey = pixels.randint(0, 256, (2, 4, 6, 3)).astype("u1"), pixels.randint(0, 65536, (4, 6))
with open("colour.ppm", "wb") as ppm, open("colour.npy", "wb") as npy:
    for image in colour:
        ppm.write(b"P6\n# a comment\n6 4\n255\n" + image.tobytes())
        np.save(npy, image)
with open("grey.pgm", "wb") as pgm:
    pgm.write(b"P5 6 4 65535\n" + grey.astype(">u2").tobytes())
np.save("grey.npy", (grey * 255.0 / 65535).astype("<f4"))
PYTHON
  patchify --size 2 --scale 0.25 --channels colour.npy > expected.npy
  patchify --size 2 --scale 0.25 colour.ppm | cmp - expected.npy
  # shellcheck disable=SC2002 # a pipe is what is tested
  cat colour.ppm | patchify --size 2 --scale 0.25 | cmp - expected.npy
  # shellcheck disable=SC2002
  cat colour.npy | patchify --size 2 --scale 0.25 --channels | cmp - expected.npy
  patchify --size 2 grey.pgm | cmp - <(patchify --size 2 grey.npy)
  head -c 100 colour.ppm > cut.ppm
  refused 1 "cut.ppm: record 1: truncated: the width is missing" --size 2 cut.ppm
  head -c 40 colour.ppm > cut.ppm
  refused 1 "cut.ppm: record 0: truncated: the image has 17 of 72 bytes" --size 2 cut.ppm
  printf 'P4 8 1\n?' > bitmap.pbm
  refused 1 "bitmap.pbm: record 0: a P4 image (a bitmap or PAM); PGM and PPM are read" --size 1 bitmap.pbm
  refused 1 "colour.ppm: record 0: an image of height 4 and width 6 cannot be cut into patches of 4 by 4" --size 4 colour.ppm
}
