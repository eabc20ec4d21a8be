// classify: the classes of sequences, by an encoder and a linear layer.
#include "cli/layer_options.hpp"
#include "cli/probe_options.hpp"
#include "cli/ranks.hpp"
#include "io/output_file.hpp"
#include "models/classes.hpp"
#include "models/image_input.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "classify",
    .summary = "classes, labels or values of sequences: probabilities, names, numbers",
    .description =
        "Runs a model that `train` made with --task classification, multi-label or regression, or an imported one: the "
        "encoder, the mean of its rows (or the first one), a linear layer, and a softmax, of labels that each hold or "
        "do not a sigmoid, of values nothing. Ids are what tokenize makes; a model of images reads the vectors that "
        "patchify makes.\n\n"
        "Writes for each record the probabilities of all classes, or the values; --names writes lines of text instead, "
        "one for each sequence: the name of the likeliest class (its number, when the model knows no names), or the "
        "names of the labels whose probability is above --threshold, with spaces between, or with tabs in a model "
        "of which a name holds a space. --top N writes the N "
        "likeliest ones of a sequence on one line, each followed by its probability, separated by tabs.\n\n"
        "--types names a stream of token types beside ids (default: all 0), as `tokenize --pair --types` writes it.\n\n"
        "--tap writes intermediates of the run by name, and --patch, --ablate, --scale and --add change them on their "
        "way (pipeformer(7), SEEING INSIDE).\n\n"
        "Shapes: ids (..., T), vectors (..., T, D), or of an imported model of images float32 images (..., C, H, W), "
        "normalised -> probabilities, or --give logits, or values, (..., C).",
    .options = join(
        {{choice("give", "probabilities|logits", "what is written of a model of classes or labels", "probabilities"),
          flag("names", "write the name of the likeliest class as a line of text"),
          integer("top", "N", "write the N likeliest classes and their probabilities as text", "", 1),
          number("threshold", "P", "--names of a multi-label model: write labels likelier than this", "0.5", 0, 1),
          text("types", "FILE", "types of the ids, a stream beside the input")},
         weight_type_options(),
         probe_options(),
         batch_options()}),
    .examples = {{"what each line of a text is", "tokenize -m classes.h5 text.en | classify -m classes.h5 --names"},
                 {"the probabilities as an array", "classify -m classes.h5 text.en.npy -o probabilities.npy"}},
    .see_also = {"train", "encode", "patchify", "score"},
    .uses_model = true,
    .text_options = {"names", "top", "list-taps"},
};

/// The lines of --names and --top.
static std::string lines_of(const Args& args, const Configuration& c, std::int64_t sequences,
                            const float* probabilities, const std::vector<std::string>& names) {
  if (args.flag("names") && c.problem_type == ProblemType::multi_label)
    return label_lines(sequences, probabilities, names, args.number("threshold"));
  return class_lines(sequences, probabilities, names, args.has("top") ? args.integer("top") : 0);
}

static void check_options(const Args& args, const Configuration& c) {
  if (args.flag("names") && args.has("top")) throw UsageError("--names and --top exclude each other");
  args.allow_only(c.problem_type != ProblemType::regression, "a model of classes or labels, not of values",
                  {"names", "top"});
  if (c.problem_type == ProblemType::regression && args.given("give") && args.text("give") == "probabilities")
    throw UsageError("--give probabilities needs a model of classes or labels, not of values");
  args.allow_only(c.problem_type == ProblemType::multi_label && args.flag("names"), "--names of a multi-label model",
                  {"threshold"});
  args.allow_only(!c.reads_vectors(), "a model that reads ids", {"types"});
  args.allow_only(!args.flag("names") && !args.has("top"), "an array: neither --names nor --top",
                  {"format", "dtype", "give"});
}

static void classify(const Args& args) {
  ModelFile model(args.model(), weights_asked(args));
  const Configuration& c = model.configuration();
  if (!model.group().empty()) throw UsageError(cat("--model takes the whole model, not its part ", model.group()));
  require(c.head == Head::classes, model.name(), ": a model that predicts ", name_of(c.head),
          ", not classes: ", c.has_decoder() ? "decode" : "encode", " reads it");
  check_options(args, c);
  const auto build = [&](ParameterSource& source) {
    return Transformer(source, c, Transformer::Stacks::all, Transformer::Readout::predicted);
  };
  Probing probing(args, build);
  if (probing.listed()) return;
  model.list_taps(probing.list());
  const Transformer transformer = build(model);
  expect_one_stdin(args, args.input(), {"types"});
  BatchStream stream(images_to_patches(RecordReader::open(args.input()), c),
                     c.reads_vectors() ? Accept::vectors : Accept::ids);
  std::optional<BatchStream> types;
  if (const auto path = optional_text(args, "types")) types.emplace(*path, Accept::ids);
  const bool text = args.flag("names") || args.has("top");
  const auto writer = text ? nullptr : RecordWriter::open(args.output(), args.output_options());
  std::optional<OutputFile> lines;
  if (text) lines.emplace(args.output(), Content::text);
  const std::vector<std::string> names = class_names(model);
  const auto body = [&](BatchTurn& turn) -> BatchOutput {
    const BatchStream& input = turn[0];
    if (types) turn[1].expect_shapes_of(input);
    turn.ctx.probe = probing.probe();
    turn.ctx.places.first = turn.first_sequence;
    const float* values = model.explaining([&] {
      return classify_batch(turn.ctx, transformer, input, types ? &turn[1].batch : nullptr,
                            args.text("give") == "logits");
    });
    std::string text_lines;
    if (lines) text_lines = lines_of(args, c, input.batch.sequences(), values, names);
    return [&, values, text_lines = std::move(text_lines)] {
      lines ? lines->write(text_lines) : write_classes(*writer, input.batch, values, c.classes);
    };
  };
  std::vector<BatchStream*> streams{&stream};
  if (types) streams.push_back(&*types);
  probing.close(for_batches(args, streams, probing.writes() ? Batches::one_by_one : Batches::side_by_side, body));
  text ? lines->close() : writer->close();
}

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, classify);
}
