#include "search/forced.hpp"

#include <cstring>
#include <limits>

#include "core/error.hpp"
#include "ops/elementwise.hpp"
#include "search/candidates.hpp"
#include "search/generate.hpp"

namespace pipeformer {
namespace {

/// What the decoder reads: begin, the prompt, and the target.
Batch decoder_input(const Configuration& configuration, const Batch* prompts, const Batch& targets) {
  Batch read;
  read.ids = true;
  const auto append = [&](const Batch& from, std::int64_t s) {
    const auto begin = from.tokens.begin() + from.ragged().begin(s);
    read.tokens.insert(read.tokens.end(), begin, begin + from.ragged().length(s));
  };
  for (std::int64_t s = 0; s < targets.sequences(); ++s) {
    if (configuration.begin_id >= 0) read.tokens.push_back(static_cast<std::int32_t>(configuration.begin_id));
    if (prompts) append(*prompts, s);
    append(targets, s);
    read.offsets.push_back(static_cast<std::int64_t>(read.tokens.size()));
  }
  return read;
}

/// Targets with one position more: the layout of what is written.
Batch with_end(const Batch& targets) {
  Batch layout;
  layout.ids = true;
  layout.shapes = targets.shapes;
  for (Shape& shape : layout.shapes) ++shape.back();
  for (std::int64_t s = 0; s < targets.sequences(); ++s)
    layout.offsets.push_back(layout.positions() + targets.ragged().length(s) + 1);
  return layout;
}

/// Record by record: there are many of them.
void write_logits(Context& ctx, const Transformer& model, const Batch& layout, const Places& places,
                  const float* hidden, RecordWriter& writer) {
  const std::int64_t width = model.configuration().width, vocabulary = model.configuration().target_vocabulary;
  std::int64_t sequence = 0;
  for (std::int64_t r = 0; r < layout.records(); ++r) {
    const WorkspaceScope record(ctx.workspace);
    Shape shape = layout.shapes[static_cast<std::size_t>(r)];
    std::vector<std::int64_t> offsets{0};
    ctx.places = places.from(sequence);
    for (std::int64_t n = element_count(layout.leading_axes(r)); n > 0; --n)
      offsets.push_back(offsets.back() + layout.ragged().length(sequence++));
    float* logits = ctx.workspace.get(offsets.back() * vocabulary);
    model.head().logits(ctx, {offsets}, hidden, logits);
    hidden += offsets.back() * width;
    shape.push_back(vocabulary);
    writer.write(DType::f4, shape, logits);
  }
  writer.flush();
}

}  // namespace

Give give_from_name(const std::string& name) {
  return name == "hidden" ? Give::hidden : name == "logits" ? Give::logits : Give::log_probabilities;
}

std::function<void()> force_targets(Context& ctx, const Transformer& model, const Batch& input, const Batch& targets,
                                    Give give, RecordWriter* writer) {
  const Configuration& configuration = model.configuration();
  const std::int64_t width = configuration.width;
  const bool encoder = configuration.has_encoder();
  const Batch read = decoder_input(configuration, encoder ? nullptr : &input, targets), layout = with_end(targets);
  const auto longest = configuration.longest(true);
  for (std::int64_t s = 0; s < read.sequences() && longest; ++s)
    if (const std::int64_t n = read.ragged().length(s); n > *longest)
      throw RowError(input.ragged().begin(s),
                     cat("prompt and target, ", n, " positions with begin, are longer than the model's ", *longest,
                         " learned positions"));
  const float* memory = source_memory(ctx, model, input);
  Transformer::Decoded decoded;
  model.decode(ctx, {read.ragged(), read.tokens.data()}, {input.ragged(), memory}, decoded);
  const float* hidden = decoded.hidden;
  for (std::int64_t s = 0; s < read.sequences(); ++s)
    if (const Ragged rows = read.ragged(); !all_finite(hidden + rows.begin(s) * width, rows.length(s) * width))
      throw RowError(input.ragged().begin(s), "the decoder's hidden states are not finite");
  const bool look = model.head().watched(ctx);
  if (!writer && !look) return {};

  if (!encoder) {  // only the rows from the last id of the prompt on
    float* rows = ctx.workspace.get(layout.positions() * width);
    for (std::int64_t s = 0; s < targets.sequences(); ++s) {
      const std::int64_t count = layout.ragged().length(s), end = read.ragged().begin(s) + read.ragged().length(s);
      std::memcpy(rows + layout.ragged().begin(s) * width, hidden + (end - count) * width,
                  static_cast<std::size_t>(count * width) * sizeof(float));
    }
    hidden = rows;
  }
  // For a probe, the first row that logits are made of, of the last id of a prompt or of the begin id, is row 0.
  if (give == Give::logits && writer)
    return [=, &ctx, &model, places = ctx.places] { write_logits(ctx, model, layout, places, hidden, *writer); };
  if (give == Give::hidden && !look) return [=] { write_rows(*writer, layout, hidden, width); };
  Buffer<std::int32_t> labels;
  for (std::int64_t s = 0; s < targets.sequences(); ++s) {
    const auto begin = targets.tokens.begin() + targets.ragged().begin(s);
    labels.insert(labels.end(), begin, begin + targets.ragged().length(s));
    labels.push_back(static_cast<std::int32_t>(configuration.end_id));
  }
  float* log_probabilities = ctx.workspace.get(layout.positions());
  for_logits(ctx, model.head(), layout.ragged(), hidden, [&](std::int64_t row, const RowOfLogits& logits) {
    const std::int32_t label = labels[static_cast<std::size_t>(row)];  // -1: the end of a model that has none
    log_probabilities[row] =
        label < 0 ? -std::numeric_limits<float>::infinity() : static_cast<float>(logits.values[label] - logits.log_sum);
  });
  if (!writer) return {};
  if (give == Give::hidden) return [=] { write_rows(*writer, layout, hidden, width); };
  return [=] { write_rows(*writer, layout, log_probabilities, 0); };
}

void force_outputs(Workspace& workspace, const Transformer& model, const Batch& input,
                   const std::vector<std::vector<Hypothesis>>& outputs, const GenerateSettings& settings,
                   const Probe& probe, std::int64_t first) {
  const bool prompts = !model.configuration().has_encoder();
  std::vector<std::int64_t> sequences, numbers;
  Batch targets;
  targets.ids = true;
  const auto compute = [&] {
    const WorkspaceScope scope(workspace);
    Context ctx{workspace};
    ctx.probe = &probe;
    ctx.kept = settings.kept;
    ctx.places.numbers = numbers.data();
    ctx.places.growing = true;  // as it was while they were generated
    force_targets(ctx, model, select_sequences(input, sequences), targets, Give::hidden, nullptr);
    sequences.clear();
    numbers.clear();
    targets = Batch{};
    targets.ids = true;
  };
  for (std::size_t s = 0; s < outputs.size(); ++s) {
    const std::int64_t given = input.ragged().length(static_cast<std::int64_t>(s));
    for (const Hypothesis& h : outputs[s]) {
      sequences.push_back(static_cast<std::int64_t>(s));
      numbers.push_back(first + sequences.back());
      // A language model's output begins with its prompt, which is read before the target.
      const auto begin = h.ids.begin() + (prompts ? std::min(given, std::ssize(h.ids)) : 0);
      targets.tokens.insert(targets.tokens.end(), begin, h.ids.end());
      targets.offsets.push_back(std::ssize(targets.tokens));
      targets.shapes.push_back({h.ids.end() - begin});
      if (targets.positions() + given >= settings.batch_rows) compute();
    }
  }
  if (!sequences.empty()) compute();
}

}  // namespace pipeformer
