#include "search/forced.hpp"

#include <cstring>

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
void write_logits(Context& ctx, const Transformer& model, const Batch& layout, const float* hidden,
                  RecordWriter& writer) {
  const std::int64_t width = model.configuration().width, vocabulary = model.configuration().target_vocabulary;
  for (Shape shape : layout.shapes) {
    const WorkspaceScope record(ctx.workspace);
    const std::int64_t rows = element_count(shape);
    float* logits = ctx.workspace.get(rows * vocabulary);
    model.head().logits(ctx, rows, hidden, logits);
    hidden += rows * width;
    shape.push_back(vocabulary);
    writer.write(DType::f4, shape, logits);
  }
  writer.flush();
}

}  // namespace

Give give_from_name(const std::string& name) {
  return name == "hidden" ? Give::hidden : name == "logits" ? Give::logits : Give::log_probabilities;
}

WeightsWriter::WeightsWriter(const std::string& address, const Configuration& configuration, std::int64_t layer,
                             bool mean)
    : mean_(mean) {
  require(configuration.has_cross_attention(), "a model of kind ", name_of(configuration.kind),
          " has no cross-attention");
  require(layer < configuration.decoder.layers, "layer ", layer, " is not one of the decoder's ",
          configuration.decoder.layers);
  name_ = cat("decoder/", layer < 0 ? configuration.decoder.layers - 1 : layer, "/cross_attn/weights");
  OutputOptions options;
  options.any_shape = true;
  writer_ = RecordWriter::open(address, options);
}

void WeightsWriter::expect(const Batch& queries, const Batch& keys, Observer* other) {
  queries_ = &queries;
  keys_ = &keys;
  other_ = other;
}

void WeightsWriter::rows(const std::string& name, const float* x, std::int64_t width, const Ragged& ragged) {
  if (other_ && other_->wants(name)) other_->rows(name, x, width, ragged);
}

void WeightsWriter::weights(const std::string& name, std::int64_t heads, const float* const* weights,
                            const Ragged& queries, const Ragged& keys) {
  if (other_ && other_->wants(name)) other_->weights(name, heads, weights, queries, keys);
  if (name != name_) return;
  if (!mean_) return write_weights(*writer_, *queries_, *keys_, heads, true, weights);
  std::vector<Buffer<float>> means;
  std::vector<const float*> pointers;
  for (std::int64_t s = 0; s < queries.sequences(); ++s, weights += heads) {
    const std::int64_t size = queries.length(s) * keys.length(s);
    Buffer<float> mean(weights[0], weights[0] + size);
    for (std::int64_t h = 1; h < heads; ++h) add(size, mean.data(), weights[h], mean.data());
    scale(size, 1.0f / static_cast<float>(heads), mean.data());
    means.push_back(std::move(mean));
    pointers.push_back(means.back().data());
  }
  write_weights(*writer_, *queries_, *keys_, 1, false, pointers.data());
}

std::function<void()> force_targets(Context& ctx, const Transformer& model, const Batch& input, const Batch& targets,
                                    Give give, RecordWriter* writer, WeightsWriter* weights) {
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
  Observer* const observer = ctx.observer;
  if (weights) {
    weights->expect(layout, input, observer);
    ctx.observer = weights;
  }
  const float* memory = source_memory(ctx, model, input);
  Transformer::Decoded decoded;
  model.decode(ctx, {read.ragged(), read.tokens.data()}, {input.ragged(), memory}, decoded);
  const float* hidden = decoded.hidden;
  ctx.observer = observer;
  for (std::int64_t s = 0; s < read.sequences(); ++s)
    if (const Ragged rows = read.ragged(); !all_finite(hidden + rows.begin(s) * width, rows.length(s) * width))
      throw RowError(input.ragged().begin(s), "the decoder's hidden states are not finite");
  if (!writer) return {};

  if (!encoder) {  // only the rows from the last id of the prompt on
    float* rows = ctx.workspace.get(layout.positions() * width);
    for (std::int64_t s = 0; s < targets.sequences(); ++s) {
      const std::int64_t count = layout.ragged().length(s), end = read.ragged().begin(s) + read.ragged().length(s);
      std::memcpy(rows + layout.ragged().begin(s) * width, hidden + (end - count) * width,
                  static_cast<std::size_t>(count * width) * sizeof(float));
    }
    hidden = rows;
  }
  if (give == Give::hidden) return [=] { write_rows(*writer, layout, hidden, width); };
  if (give == Give::logits) return [=, &ctx, &model] { write_logits(ctx, model, layout, hidden, *writer); };
  Buffer<std::int32_t> labels;
  for (std::int64_t s = 0; s < targets.sequences(); ++s) {
    const auto begin = targets.tokens.begin() + targets.ragged().begin(s);
    labels.insert(labels.end(), begin, begin + targets.ragged().length(s));
    labels.push_back(static_cast<std::int32_t>(configuration.end_id));
  }
  float* log_probabilities = ctx.workspace.get(layout.positions());
  for_logits(ctx, model.head(), layout.positions(), hidden, [&](std::int64_t row, const RowOfLogits& logits) {
    log_probabilities[row] = static_cast<float>(logits.values[labels[static_cast<std::size_t>(row)]] - logits.log_sum);
  });
  return [=] { write_rows(*writer, layout, log_probabilities, 0); };
}

void force_outputs(Workspace& workspace, const Transformer& model, const Batch& input,
                   const std::vector<std::vector<Hypothesis>>& outputs, std::int64_t batch_rows,
                   WeightsWriter& weights) {
  Context ctx{workspace};
  std::vector<std::int64_t> sequences;
  Batch targets;
  targets.ids = true;
  const auto compute = [&] {
    const WorkspaceScope scope(workspace);
    force_targets(ctx, model, select_sequences(input, sequences), targets, Give::hidden, nullptr, &weights);
    sequences.clear();
    targets = Batch{};
    targets.ids = true;
  };
  for (std::size_t s = 0; s < outputs.size(); ++s) {
    for (const Hypothesis& h : outputs[s]) {
      sequences.push_back(static_cast<std::int64_t>(s));
      const std::int64_t length = static_cast<std::int64_t>(h.ids.size());
      targets.tokens.insert(targets.tokens.end(), h.ids.begin(), h.ids.end());
      targets.offsets.push_back(targets.positions() + length);
      targets.shapes.push_back({length});
      if (targets.positions() + input.ragged().length(static_cast<std::int64_t>(s)) >= batch_rows) compute();
    }
  }
  if (!sequences.empty()) compute();
}

}  // namespace pipeformer
