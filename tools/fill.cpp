// fill: what a masked language model would put in place of the masks of a text.
#include "search/fill.hpp"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "cli/layer_options.hpp"
#include "cli/ranks.hpp"
#include "io/output_file.hpp"
#include "text/text_records.hpp"

using namespace pipeformer;

namespace {

const ToolSpec spec{
    .name = "fill",
    .summary = "the likeliest pieces for the masks of a text",
    .description =
        "Reads lines of text with masks, written as the model's tokenizer has them ([MASK] of BERT, <mask> of RoBERTa; "
        "`tokenize --vocabulary` lists it), and writes the ids (T,) i4 of each line, every mask replaced by its "
        "likeliest piece. An empty line has no masks; any other must have one. Each mask is predicted with all others "
        "of its line in place.\n\n"
        "--top N writes a line of text for each mask instead, separated by tabs: the number of the line, from 0; the "
        "position of the mask among the line's ids; and the N likeliest pieces, each followed by its probability.\n\n"
        "The model is an encoder with a masked language model's head, and holds its tokenizer.\n\n"
        "Source: Devlin et al. 2019, section 3.1.",
    .options =
        join({{integer("top", "N", "write the N likeliest pieces of each mask and their probabilities as text", "", 1)},
              batch_options()}),
    .examples = {{"three guesses at a word", "echo 'he [MASK] tomorrow' | fill -m masked.h5 --top 3"},
                 {"the text with its masks filled",
                  "echo 'he [MASK] tomorrow' | fill -m masked.h5 | tokenize -m masked.h5 --decode"}},
    .see_also = {"tokenize", "encode", "classify"},
    .uses_model = true,
    .text_options = {"top"},
};

std::unique_ptr<Tokenizer> tokenizer_of(const ModelFile& model) {
  auto bytes = model.tokenizer();
  if (!bytes) throw Error(cat(model.name(), ": holds no tokenizer, which masks in text need"));
  return Tokenizer::parse(std::move(*bytes), model.name());
}

void check_model(const ModelFile& model) {
  const Configuration& c = model.configuration();
  if (!model.group().empty()) throw UsageError(cat("--model takes the whole model, not its part ", model.group()));
  require(!c.has_decoder(), model.name(), ": a model of kind ", name_of(c.kind), " fills no masks: decode reads it");
  require(c.head == Head::tokens && !c.reads_vectors(), model.name(), ": a model that predicts ",
          c.head == Head::none ? "nothing" : name_of(c.head),
          ", not tokens: ", c.head == Head::classes ? "classify" : "encode", " reads it");
}

/// Throws RowError for a line without a mask. Of an empty line the tokenizer makes `nothing`.
void require_masks(const Batch& batch, std::int32_t mask, const std::vector<std::int32_t>& nothing,
                   const std::string& piece) {
  for (std::int64_t s = 0; s < batch.sequences(); ++s) {
    const auto begin = batch.tokens.begin() + batch.ragged().begin(s), end = begin + batch.ragged().length(s);
    if (std::find(begin, end, mask) == end && !std::equal(begin, end, nothing.begin(), nothing.end()))
      throw RowError(batch.ragged().begin(s), cat("has no mask (", piece, ")"));
  }
}

std::string mask_lines(const std::vector<FilledMask>& masks, const Batch& batch, const Tokenizer& tokenizer) {
  std::string text;
  std::int64_t s = 0;
  for (const FilledMask& mask : masks) {
    while (mask.row >= batch.offsets[static_cast<std::size_t>(s) + 1]) ++s;
    text += cat(batch.first_record + s, '\t', mask.row - batch.ragged().begin(s));
    for (const auto& [id, probability] : mask.best) {
      char number[32];
      std::snprintf(number, sizeof number, "\t%.6g", static_cast<double>(probability));
      text += '\t' + (tokenizer.has_piece(id) ? tokenizer.piece(id) : cat('<', id, '>')) + number;
    }
    text += '\n';
  }
  return text;
}

void fill(const Args& args) {
  const bool text = args.has("top");
  args.allow_only(!text, "ids: no --top", {"format", "dtype"});
  ModelFile model(args.model());
  check_model(model);
  const auto tokenizer = tokenizer_of(model);
  const auto mask = tokenizer->named_ids().mask;
  require(mask.has_value(), model.name(), ": its tokenizer has no mask");
  const Transformer transformer(model, model.configuration());
  BatchStream stream(open_text(args.input(), *tokenizer), Accept::ids);
  const auto writer = text ? nullptr : RecordWriter::open(args.output(), args.output_options());
  std::optional<OutputFile> output;
  if (text) output.emplace(args.output(), Content::text);
  const auto nothing = tokenizer->assemble({}, nullptr, true).ids;
  for_batches(args, {&stream}, Batches::side_by_side, [&](BatchTurn& turn) -> BatchOutput {
    Batch& batch = turn[0].batch;
    require_masks(batch, *mask, nothing, tokenizer->piece(*mask));
    const auto masks = fill_masks(turn.ctx, transformer, batch, *mask, text ? args.integer("top") : 1);
    if (text) return [&, lines = mask_lines(masks, batch, *tokenizer)] { output->write(lines); };
    for (const FilledMask& one : masks) batch.tokens[static_cast<std::size_t>(one.row)] = one.best.front().id;
    return [&] { write_ids(*writer, batch, batch.tokens.data()); };
  });
  text ? output->close() : writer->close();
}

}  // namespace

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, fill);
}
