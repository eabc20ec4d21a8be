// patchify: cuts images into patches, the tokens of a Vision Transformer (Dosovitskiy et al. 2021).
#include <exception>
#include <optional>

#include "cli/layer_options.hpp"
#include "io/pnm.hpp"
#include "models/image_preparation.hpp"
#include "ops/patches.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "patchify",
    .summary = "cut images into patches, the vectors that a Vision Transformer reads",
    .description =
        "Cuts each image into square patches of P by P pixels and writes the pixels of each patch as one vector. "
        "Patches "
        "go row by row from the top left; inside a patch pixels go row by row, channels last. P must divide the height "
        "and the width.\n\n"
        "The last two axes of a record are the image, with --channels the last three; axes before them are batch axes "
        "and are kept. A dense array of N images becomes N records, as train reads them, by `convert --unstack`.\n\n"
        "Images may also come in Netpbm's formats, one or several back to back: PGM (H, W) and PPM (H, W, 3), with "
        "values from 0 to 255 whatever their depth; these know their channels themselves.\n\n"
        "With -m, an imported model says all of it: channels, scale, normalisation and the size of patches. Images "
        "have "
        "pixels of 0 to 255, u1 (..., H, W, C), and the size that the model wants: a wrong one is an error that names "
        "both, and a command that resizes.\n\n"
        "Shapes: images (..., H, W), or with --channels (..., H, W, C), of any dtype -> vectors (..., T, P * P * C) "
        "f4, "
        "T = (H / P) * (W / P).\n\n"
        "Source: Dosovitskiy et al. 2021, section 3.1.",
    .options = join(
        {{integer("size", "P", "height and width of a patch, in pixels", "", 1, 65536),
          flag("channels", "the last axis is the channels of a pixel"),
          number("scale", "S", "multiply the values by S (1/16 = 0.0625 turns 0..16 into 0..1)", "1", -1e300, 1e300)},
         part_options()}),
    .examples = {{"patches of 2 by 2 pixels of a dense array of images, one record for each image",
                  "patchify --size 2 --scale 0.0625 dense.npy | convert --unstack -o patches.npy"},
                 {"photographs with values from 0 to 1", "patchify --size 8 --scale 0.003921569 images.ppm | peek"},
                 {"the first patches of one large image", "patchify --size 4 table.npy | peek"}},
    .see_also = {"convert", "embed", "train", "classify"},
    .uses_model = true,
};

/// One record's patches. An image of a PNM file says itself whether it has channels.
static Array cut(const Args& args, const std::optional<ImagePreparation>& preparation, const Array& images, bool pnm) {
  if (!preparation) {
    const bool channels = pnm ? images.rank() == 3 : args.flag("channels");
    return patches(images, channels, args.integer("size"), static_cast<float>(args.number("scale")));
  }
  require(pnm || images.dtype == DType::u1, "expected pixels of 0 to 255 as u1, not ", dtype_name(images.dtype));
  return preparation->patches(images);
}

static void patchify(const Args& args) {
  args.allow_only(!args.given("model"), "no model", {"size", "channels", "scale"});
  std::optional<ImagePreparation> preparation;
  if (args.given("model"))
    preparation.emplace(ModelFile(args.model()));
  else
    args.integer("size");  // asked for before anything is read
  auto [opened, pnm] = open_images(args.input());
  const auto reader = part_of(args, std::move(opened));
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  for (Array images; reader->next(images);) {
    Array vectors;
    try {
      vectors = cut(args, preparation, images, pnm);
    } catch (const std::exception& error) {
      throw Error(cat(reader->where(), ": ", error.what()));
    }
    reader->expect_like_first(false, vectors.shape.back());
    writer->write(vectors);
  }
  writer->close();
}

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, patchify);
}
