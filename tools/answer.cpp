// answer: questions answered by a span of a text.
#include <optional>

#include "cli/answers.hpp"
#include "cli/layer_options.hpp"
#include "cli/ranks.hpp"
#include "io/output_file.hpp"
#include "io/text_lines.hpp"
#include "models/model_file.hpp"
#include "search/spans.hpp"

using namespace pipeformer;

namespace {

const ToolSpec spec{
    .name = "answer",
    .summary = "the span of a text that answers a question",
    .description =
        "Runs a model that `train --task spans` made, or an imported one for question answering: an encoder over a "
        "pair, "
        "question and text, and a linear layer that gives each position a logit for being the first of the answer, and "
        "one for being the last. The best answer has the highest sum of both; no answer has that of position 0, and "
        "--threshold X is how much higher it must be than the best one's.\n\n"
        "`tokenize --pair TEXTS --types types.npy --offsets offsets.npy QUESTIONS` makes the ids and the streams "
        "beside "
        "them. With --offsets answers are spans of the second text; without, of all positions but the first. --window "
        "N "
        "reads a longer sequence in parts: the question with N positions in all, of which --stride N of the text are "
        "in "
        "the next one too.\n\n"
        "--texts FILE writes the answers as lines of text, cut from the lines of FILE: an empty line where there is no "
        "answer. With --nbest N a line holds the N best, each followed by its score, with tabs between.\n\n"
        "Shapes: ids (T,) -> --give positions (2,) int32: the first and the last one, 0 and 0 for no answer; "
        "characters "
        "(2,) int32: of the text, begin and end, 0 and 0 for no answer; ids (L,) int32; scores (1,). With --nbest N a "
        "first axis of up to N (scores: the only one).\n\n"
        "Source: Devlin et al. 2019, sections 4.2 and 4.3.",
    .options = join({{choice("give", "positions|characters|ids|scores", "what is written", "positions"),
                      text("texts", "FILE", "write the answers as text; FILE has the text of each question on a line"),
                      text("types", "FILE", "token types of the ids, a stream beside the input"),
                      text("offsets", "FILE", "where the ids stand, a stream (T, 3) beside the input"),
                      integer("max-answer", "N", "most positions of an answer", "30", 1),
                      integer("nbest", "N", "the N best answers", "", 1, 100000),
                      number("threshold", "X", "how much higher the score of no answer must be", "0", -1e30, 1e30),
                      integer("window", "N", "most positions that are read at once (default: all)", "", 1),
                      integer("stride", "N", "--window: positions of the text that are in two windows", "128", 0)},
                     weight_type_options(),
                     batch_options()}),
    .examples = {{"the position of each answer", "answer -m spans.h5 text.en.npy -o positions.npy"},
                 {"answers as text",
                  "tokenize -m spans.h5 --pair text.de --types types.npy --offsets offsets.npy text.en -o ids.npy && "
                  "answer -m spans.h5 --types types.npy --offsets offsets.npy --texts text.de ids.npy"}},
    .see_also = {"train", "tokenize", "tag", "score"},
    .uses_model = true,
    .text_options = {"texts"},
};

void check_options(const Args& args) {
  const bool text = args.has("texts");
  args.allow_only(!text, "records: no --texts", {"format", "dtype", "give"});
  args.allow_only(args.has("offsets"), "--offsets", {"window"});
  args.allow_only(args.has("window"), "--window", {"stride"});
  if ((text || args.text("give") == "characters") && !args.has("offsets"))
    throw UsageError(cat(text ? "--texts" : "--give characters", " needs --offsets"));
  args.allow_only(args.text("give") != "ids", "no --give ids, which are of one answer", {"nbest"});
}

void answer(const Args& args) {
  check_options(args);
  ModelFile model(args.model(), weights_asked(args));
  const Configuration& c = model.configuration();
  if (!model.group().empty()) throw UsageError(cat("--model takes the whole model, not its part ", model.group()));
  require(c.head == Head::token_classes && c.classes == 2 && !c.reads_vectors(), model.name(),
          ": a model that predicts ", name_of(c.head), ", not the first and the last position of an answer");
  const Transformer transformer(model, c);
  expect_one_stdin(args, args.input(), {"types", "offsets", "texts"});
  BatchStream stream(args.input(), Accept::ids);
  std::optional<BatchStream> types, offsets;
  if (const auto path = optional_text(args, "types")) types.emplace(*path, Accept::ids);
  if (const auto path = optional_text(args, "offsets")) offsets.emplace(*path, Accept::id_rows);
  const bool text = args.has("texts"), several = args.has("nbest");
  const std::vector<std::string> texts = text ? read_text_lines(args.text("texts")) : std::vector<std::string>{};
  const AnswerForm form{args.text("give"), several};
  const auto writer = text ? nullptr : RecordWriter::open(args.output(), args.output_options());
  std::optional<OutputFile> lines;
  if (text) lines.emplace(args.output(), Content::text);
  SpanSettings settings;
  settings.most_positions = args.integer("max-answer");
  settings.nbest = several ? args.integer("nbest") : 1;
  settings.window = args.has("window") ? args.integer("window") : 0;
  settings.stride = args.integer("stride");
  settings.threshold = args.number("threshold");
  const auto body = [&](BatchTurn& turn) -> BatchOutput {
    const BatchStream& input = turn[0];
    for (std::int64_t r = 0; r < input.batch.records(); ++r)
      require(input.batch.leading_axes(r).empty(), input.where_record(r), ": ids (T,) expected, not shape ",
              shape_text(input.batch.shapes[static_cast<std::size_t>(r)]));
    PairStreams beside;
    if (types) {
      turn[1].expect_shapes_of(input);
      beside.types = &turn[1].batch;
    }
    if (offsets) {
      const BatchStream& where = turn[types ? 2 : 1];
      require(where.batch.width == 3, where.where_record(0), ": offsets (T, 3) expected");
      for (std::int64_t r = 0; r < input.batch.records(); ++r)
        require(where.batch.length(r) == input.batch.length(r), where.where_record(r), ": has ", where.batch.length(r),
                " positions, ", input.where_record(r), " ", input.batch.length(r));
      beside.offsets = &where.batch;
    }
    if (text)
      require(turn.first_sequence + input.batch.sequences() <= std::ssize(texts), args.text("texts"), " has ",
              texts.size(), " lines, ", input.reader->name(), " more records");
    auto found = model.explaining([&] { return find_spans(turn.ctx, transformer, input.batch, beside, settings); });
    return [&, beside, found = std::move(found), first = turn.first_sequence] {
      for (std::int64_t s = 0; s < input.batch.sequences(); ++s) {
        const auto& best = found[static_cast<std::size_t>(s)];
        text ? lines->write(answer_line(best, several, texts[static_cast<std::size_t>(first + s)],
                                        offsets_of(*beside.offsets, s)))
             : write_answer(*writer, form, best, input.batch, s, beside.offsets);
      }
      if (writer) writer->flush();
    };
  };
  std::vector<BatchStream*> streams{&stream};
  for (auto* one : {&types, &offsets})
    if (*one) streams.push_back(&**one);
  const std::int64_t count = for_batches(args, streams, Batches::side_by_side, body);
  const bool part = args.given("skip") || args.has("take");
  require(!text || part || count == std::ssize(texts), text ? args.text("texts") : "", " has ", texts.size(),
          " lines, ", stream.reader->name(), " ", count, " records");
  text ? lines->close() : writer->close();
}

}  // namespace

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, answer);
}
