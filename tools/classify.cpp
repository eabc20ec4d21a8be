// classify: the classes of sequences, by an encoder and a linear layer.
#include "cli/layer_options.hpp"
#include "cli/probe_options.hpp"
#include "io/output_file.hpp"
#include "models/classes.hpp"
#include "models/image_input.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "classify",
    .summary = "probabilities of classes, or their names, for sequences",
    .description =
        "Runs a model that `train --task classification` made: the encoder, the mean of its rows (or the first one), a "
        "linear layer and a softmax. Ids are what tokenize makes; a model of images reads the vectors that patchify "
        "makes.\n\n"
        "Writes for each record the probabilities of all classes; --names writes lines of text instead, one for each "
        "sequence: "
        "the name of the likeliest class (its number, when the model knows no names). --top N writes the N likeliest "
        "ones of a "
        "sequence on one line, each followed by its probability, separated by tabs.\n\n"
        "--tap writes intermediates of the run by name, and --patch, --ablate, --scale and --add change them on their "
        "way (pipeformer(7), SEEING INSIDE).\n\n"
        "Shapes: ids (..., T), vectors (..., T, D), or of an imported model of images float32 images (..., C, H, W), "
        "normalised -> probabilities, or --give logits, (..., C).",
    .options = join({{choice("give", "probabilities|logits", "what is written", "probabilities"),
                      flag("names", "write the name of the likeliest class as a line of text"),
                      integer("top", "N", "write the N likeliest classes and their probabilities as text", "", 1)},
                     weight_type_options(),
                     probe_options(),
                     batch_options()}),
    .examples = {{"what each line of a text is", "tokenize -m classes.h5 text.en | classify -m classes.h5 --names"},
                 {"the probabilities as an array", "classify -m classes.h5 text.en.npy -o probabilities.npy"}},
    .see_also = {"train", "encode", "patchify", "score"},
    .uses_model = true,
    .text_options = {"names", "top", "list-taps"},
};

static void classify(const Args& args) {
  if (args.flag("names") && args.has("top")) throw UsageError("--names and --top exclude each other");
  ModelFile model(args.model(), weights_asked(args));
  const Configuration& c = model.configuration();
  if (!model.group().empty()) throw UsageError(cat("--model takes the whole model, not its part ", model.group()));
  require(c.head == Head::classes, model.name(), ": a model that predicts ", name_of(c.head),
          ", not classes: ", c.has_decoder() ? "decode" : "encode", " reads it");
  Probing probing(args, [&](ParameterSource& source) { Transformer(source, c); });
  if (probing.listed()) return;
  model.list_taps(probing.list());
  const Transformer transformer(model, c);
  BatchStream stream(images_to_patches(RecordReader::open(args.input()), c),
                     c.reads_vectors() ? Accept::vectors : Accept::ids);
  const bool text = args.flag("names") || args.has("top");
  args.allow_only(!text, "an array: neither --names nor --top", {"format", "dtype", "give"});
  const auto writer = text ? nullptr : RecordWriter::open(args.output(), args.output_options());
  std::optional<OutputFile> lines;
  if (text) lines.emplace(args.output(), Content::text);
  const std::vector<std::string> names = class_names(model);
  const Batches batches = probing.writes() ? Batches::one_by_one : Batches::side_by_side;
  probing.close(for_batches(args, {&stream}, batches, [&](BatchTurn& turn) {
    const BatchStream& input = turn[0];
    turn.ctx.probe = probing.probe();
    turn.ctx.places.first = turn.first_sequence;
    const float* probabilities =
        model.explaining([&] { return classify_batch(turn.ctx, transformer, input, args.text("give") == "logits"); });
    std::string text;
    if (lines)
      text = class_lines(input.batch.sequences(), probabilities, names, args.has("top") ? args.integer("top") : 0);
    return [&, probabilities, text = std::move(text)] {
      lines ? lines->write(text) : write_classes(*writer, input.batch, probabilities, c.classes);
    };
  }));
  text ? lines->close() : writer->close();
}

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, classify);
}
