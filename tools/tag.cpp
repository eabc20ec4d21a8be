// tag: a label for each position or word, by an encoder and a linear layer.
#include "cli/layer_options.hpp"
#include "cli/probe_options.hpp"
#include "cli/ranks.hpp"
#include "io/output_file.hpp"
#include "models/classes.hpp"
#include "models/image_input.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "tag",
    .summary = "a label for each word or position of sequences",
    .description =
        "Runs a model that `train --task tagging` made, or an imported token classifier: the encoder and a linear "
        "layer over each of its rows. Ids are what tokenize makes; a model of images reads the vectors that patchify "
        "makes.\n\n"
        "Writes for each position the probabilities of all classes. --names writes a line of text for each sequence "
        "instead: the names of the likeliest classes (their numbers, when the model knows no names), with spaces "
        "between, or tabs in a model of which a name holds a space; an empty sequence gives an empty line. --words "
        "FILE names word numbers (T,) beside the ids, as "
        "`tokenize --words` writes them, and asks for one label for each word: that of its first id. Without it every "
        "position has one, control ids too.\n\n"
        "--tap writes intermediates of the run by name, and --patch, --ablate, --scale and --add change them on their "
        "way (pipeformer(7), SEEING INSIDE).\n\n"
        "Shapes: ids (..., T), vectors (..., T, D), or of an imported model of images float32 images (..., C, H, W), "
        "normalised -> probabilities, or --give logits, (..., T, C); --give numbers (..., T) int32: the likeliest "
        "classes. With --words T is the number of words.\n\n"
        "Source: Devlin et al. 2019, section 5.3.",
    .options = join({{choice("give", "probabilities|logits|numbers", "what is written", "probabilities"),
                      flag("names", "write the names of the likeliest classes, a line of text for each sequence"),
                      text("types", "FILE", "types of the ids, a stream beside the input"),
                      text("words", "FILE", "word numbers of the ids: one label for each word")},
                     weight_type_options(),
                     probe_options(),
                     batch_options()}),
    .examples = {{"the label of each piece of a text", "tokenize -m tags.h5 text.en | tag -m tags.h5 --names"},
                 {"the probabilities of all labels as an array", "tag -m tags.h5 text.en.npy -o probabilities.npy"}},
    .see_also = {"train", "classify", "tokenize", "score"},
    .uses_model = true,
    .text_options = {"names", "list-taps"},
};

/// Throws Error unless the sequences of each record have got as many words.
static void expect_even(const BatchStream& input, const Ragged& words) {
  std::int64_t s = 0;
  for (std::int64_t r = 0; r < input.batch.records(); ++r) {
    const std::int64_t first = s, end = s + element_count(input.batch.leading_axes(r));
    for (; s < end; ++s)
      require(words.length(s) == words.length(first), input.where_record(r), ": its sequences have ",
              words.length(first), " and ", words.length(s), " words, which make no array: --names writes lines");
  }
}

static void tag(const Args& args) {
  ModelFile model(args.model(), weights_asked(args));
  const Configuration& c = model.configuration();
  if (!model.group().empty()) throw UsageError(cat("--model takes the whole model, not its part ", model.group()));
  require(c.head == Head::token_classes, model.name(), ": a model that predicts ", name_of(c.head),
          ", not classes of positions: ",
          c.has_decoder()           ? "decode"
          : c.head == Head::classes ? "classify"
                                    : "encode",
          " reads it");
  const auto build = [&](ParameterSource& source) {
    return Transformer(source, c, Transformer::Stacks::all, Transformer::Readout::predicted);
  };
  Probing probing(args, build);
  if (probing.listed()) return;
  model.list_taps(probing.list());
  const Transformer transformer = build(model);
  args.allow_only(!c.reads_vectors(), "a model that reads ids", {"types"});
  expect_one_stdin(args, args.input(), {"types", "words"});
  BatchStream stream(images_to_patches(RecordReader::open(args.input()), c),
                     c.reads_vectors() ? Accept::vectors : Accept::ids);
  std::optional<BatchStream> types, words;
  if (const auto path = optional_text(args, "types")) types.emplace(*path, Accept::ids);
  if (const auto path = optional_text(args, "words")) words.emplace(*path, Accept::ids);
  const std::string give = args.text("give");
  const bool text = args.flag("names");
  args.allow_only(!text, "an array: no --names", {"format", "dtype", "give"});
  const auto writer = text ? nullptr : RecordWriter::open(args.output(), args.output_options());
  std::optional<OutputFile> lines;
  if (text) lines.emplace(args.output(), Content::text);
  const std::vector<std::string> names = class_names(model);
  const Batches batches = probing.writes() ? Batches::one_by_one : Batches::side_by_side;
  std::vector<BatchStream*> streams{&stream};
  for (auto* beside : {&types, &words})
    if (*beside) streams.push_back(&**beside);
  const auto body = [&](BatchTurn& turn) -> BatchOutput {
    const BatchStream& input = turn[0];
    for (std::size_t beside = 1; beside < streams.size(); ++beside) turn[beside].expect_shapes_of(input);
    const Batch* kinds = types ? &turn[1].batch : nullptr;
    const Batch* numbers = words ? &turn[streams.size() - 1].batch : nullptr;
    turn.ctx.probe = probing.probe();
    turn.ctx.places.first = turn.first_sequence;
    const TaggedBatch tagged =
        model.explaining([&] { return tag_batch(turn.ctx, transformer, input, kinds, numbers, give == "logits"); });
    if (text) return [&, text = tag_lines(tagged.ragged(), tagged.numbers(c.classes), names)] { lines->write(text); };
    if (words) expect_even(input, tagged.ragged());
    return [&, tagged] {
      const Batch layout = with_lengths(input.batch, tagged.ragged());
      give == "numbers" ? write_ids(*writer, layout, tagged.numbers(c.classes).data())
                        : write_rows(*writer, layout, tagged.rows, c.classes);
    };
  };
  probing.close(for_batches(args, streams, batches, body));
  text ? lines->close() : writer->close();
}

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, tag);
}
