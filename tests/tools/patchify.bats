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

# vit SETTINGS: vit.h5, whose images are 16 by 16 pixels in three channels, with this preprocessor_config.json.
vit() {
  rm -rf vit vit.h5
  cp -r "$BATS_TEST_DIRNAME/../../testdata/checkpoints/vit" vit
  echo "$1" > vit/preprocessor_config.json
  model import vit -o vit.h5
}

@test "-m: channels, scale and normalisation as the model says" {
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
pixels = np.random.RandomState(4).randint(0, 256, (3, 16, 16, 3)).astype("u1")
np.save("pixels.npy", pixels)
with open("pixels.ppm", "wb") as ppm:
    for image in pixels:
        ppm.write(b"P6\n16 16\n255\n" + image.tobytes())
f = np.float32
mean, std = np.array([0.485, 0.456, 0.406], f), np.array([0.229, 0.224, 0.225], f)
def save(path, values):
    np.save(path, np.ascontiguousarray(values.astype(f).transpose(0, 3, 1, 2)))
scaled = (pixels * (1 / 255)).astype(f)
save("normal.npy", (scaled - mean) / std)
save("flipped.npy", (scaled[..., ::-1] - f(0.5)) / f(0.5))
save("plain.npy", pixels)
PYTHON
  # The reference's pixel_values, given to classify itself, are the same images.
  vit '{"size": {"height": 16, "width": 16}, "do_rescale": true, "rescale_factor": 0.00392156862745098,
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "image_processor_type": "ViTImageProcessor"}'
  classify -m vit.h5 --give logits normal.npy > expected.npy
  patchify -m vit.h5 pixels.npy | classify -m vit.h5 --give logits | cmp - expected.npy
  [ "$(patchify -m vit.h5 pixels.ppm | classify -m vit.h5 --top 2)" = "$(classify -m vit.h5 --top 2 normal.npy)" ]
  vit '{"size": 16, "do_flip_channel_order": true, "do_normalize": true, "image_mean": 0.5, "image_std": [0.5]}'
  patchify -m vit.h5 pixels.npy | classify -m vit.h5 --give logits | cmp - <(classify -m vit.h5 --give logits flipped.npy)
  vit '{"do_resize": false, "do_rescale": false, "do_normalize": false, "image_mean": [9, 9, 9], "image_std": [9, 9, 9]}'
  patchify -m vit.h5 pixels.npy | classify -m vit.h5 --give logits | cmp - <(classify -m vit.h5 --give logits plain.npy)
}

@test "-m: another size, other channels, and what a model does not say" {
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
np.save("wide.npy", np.zeros((16, 20, 3), "u1")), np.save("grey.npy", np.zeros((16, 16), "u1"))
np.save("large.npy", np.zeros((20, 20, 3), "u1")), np.save("floats.npy", np.zeros((16, 16, 3), "f4"))
PYTHON
  vit '{"size": {"height": 16, "width": 16}}'
  refused 1 "wide.npy: record 0: an image of height 16 and width 20, but vit.h5 takes height 16 and width 16: ImageMagick's convert IN -resize 16x16! ppm:-" \
    -m vit.h5 wide.npy
  refused 1 "floats.npy: record 0: expected pixels of 0 to 255 as u1, not f4" -m vit.h5 floats.npy
  refused 1 "grey.npy: record 0: pixels of shape (16, 16), but vit.h5 takes (..., H, W, C) with 3 channels (ImageMagick's convert IN -type TrueColor ppm:- makes them)" \
    -m vit.h5 grey.npy
  refused 2 "--size needs no model" -m vit.h5 --size 4 grey.npy
  vit '{"size": {"shortest_edge": 18}, "crop_size": {"height": 16, "width": 16}, "do_center_crop": true}'
  refused 1 "large.npy: record 0: an image of height 20 and width 20, but vit.h5 takes height 16 and width 16: ImageMagick's convert IN -resize 18x18^ -gravity center -extent 16x16 ppm:-" \
    -m vit.h5 large.npy
  vit '{"size": {"shortest_edge": 20}}'
  refused 1 "large.npy: record 0: an image of height 20 and width 20 has 25 patches of 4 by 4, but vit.h5 has positions for 16" -m vit.h5 large.npy
  vit '{"do_thumbnail": true}'
  refused 1 "vit.h5: preprocessor: do_thumbnail is true, a step that is not understood" -m vit.h5 large.npy
  vit '{"do_center_crop": true}'
  refused 1 "vit.h5: preprocessor: do_center_crop is true, but there is no crop_size" -m vit.h5 large.npy
  vit '{"image_mean": [1, 2], "image_std": [1, 2]}'
  refused 1 "vit.h5: preprocessor: image_mean is an array, of 2 values for 3 channels" -m vit.h5 large.npy
  rm vit/preprocessor_config.json && model import vit -o bare.h5
  refused 1 "bare.h5: does not say how images are prepared (no preprocessor): --size and --scale do" -m bare.h5 large.npy
  refused 2 "option '--size' is required" large.npy
}

@test "-m FILE:MODEL: an image file becomes a vector by one pipe" {
  cp -r "$BATS_TEST_DIRNAME/../../testdata/checkpoints/clip" clip
  echo '{"crop_size": 16, "size": 16, "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28], "feature_extractor_type": "CLIPFeatureExtractor",
         "do_resize": true, "do_center_crop": true, "do_normalize": true, "resample": 3}' > clip/preprocessor_config.json
  model import clip -o clip.h5
  /usr/bin/python3 - <<'PYTHON'
import numpy as np
pixels = np.random.RandomState(6).randint(0, 256, (16, 16, 3)).astype("u1")
with open("picture.ppm", "wb") as ppm:
    ppm.write(b"P6\n16 16\n255\n" + pixels.tobytes())
np.save("picture.npy", pixels)
f = np.float32
normal = ((pixels * (1 / 255)).astype(f) - np.array([0.48, 0.46, 0.41], f)) / np.array([0.27, 0.26, 0.28], f)
np.save("values.npy", np.ascontiguousarray(normal.transpose(2, 0, 1)))
PYTHON
  encode -m clip.h5:image values.npy --pool model -o vector.npy
  patchify -m clip.h5:image picture.ppm | encode -m clip.h5:image --pool model | cmp - vector.npy
  # shellcheck disable=SC2002 # as a converter of images writes it
  cat picture.ppm | patchify -m clip.h5:image | encode -m clip.h5:image --pool model | cmp - vector.npy
  patchify -m clip.h5:image picture.npy | encode -m clip.h5:image --pool model | cmp - vector.npy
  refused 1 "clip.h5: this model reads ids, not images" -m clip.h5:text picture.npy
  refused 1 "clip.h5: holds several models: image, text; name one, as in clip.h5:image" -m clip.h5 picture.npy
  run -1 --separate-stderr encode -m clip.h5:image picture.npy --pool model  # pixels are no patches
  [[ $stderr == *"encode: picture.npy: record 0: "* ]]
}
