#include "models/transformer.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.hpp"
#include "core/random.hpp"
#include "ops/elementwise.hpp"
#include "ops/output_losses.hpp"
#include "ops/pooling.hpp"
#include "ops/span_cross_entropy.hpp"

namespace pipeformer {

RelativePositions make_relative_positions(ParameterSource& source, const Configuration& c, bool decoding) {
  const StackSpec& spec = c.stack(decoding);
  if (spec.positions != PositionKind::relative && spec.positions != PositionKind::alibi) return {};
  return {source, cat(decoding ? "decoder" : "encoder", "/relative_positions"),
          RelativeShape{spec.heads, spec.relative_buckets, spec.relative_distance, !decoding && !spec.causal,
                        spec.positions == PositionKind::alibi}};
}

Stack::Stack(ParameterSource& source, const Configuration& c, bool decoding)
    : name_(decoding ? "decoder" : "encoder"), width_(c.width), input_width_(c.embedding_width(decoding)) {
  const StackSpec& spec = c.stack(decoding);
  const NormShape norm = c.norm_shape(decoding);
  if (spec.embedding_norm) {
    entry_norm_.emplace(source, name_ + "/embedding_norm", input_width_, norm);
    entry_norm_tap_ = source.tap(name_, "embedding_norm", {input_width_});
  }
  if (input_width_ != width_) {
    entry_linear_.emplace(source, name_ + "/embedding_projection", input_width_, width_, true);
    entry_linear_tap_ = source.tap(name_, "embedding_projection", {width_});
  }
  relative_ = make_relative_positions(source, c, decoding);
  for (std::int64_t i = 0; i < spec.layers; ++i)
    layers_.emplace_back(source, name_ + "/" + std::to_string(i), c.layer_shape(decoding, i));
  if (!spec.final_norm) return;
  norm_.emplace(source, name_ + "/norm", c.width, norm);
  norm_tap_ = source.tap(name_, "final_norm", {c.width});
}

const float* Stack::finish(Context& ctx, const Ragged& ragged, const float* x, Norm::Saved& saved) const {
  if (!norm_) return x;
  float* y = ctx.workspace.get(ragged.rows() * width_);
  norm_->forward(ctx, ragged.rows(), x, y, saved);
  ctx.show(norm_tap_, y, width_, ragged);
  return y;
}

const float* Stack::enter(Context& ctx, const Ragged& ragged, const float* x, Saved& saved) const {
  const std::int64_t rows = ragged.rows();
  if (entry_norm_) {
    float* y = ctx.workspace.get(rows * input_width_);
    entry_norm_->forward(ctx, rows, x, y, saved.entry_norm);
    ctx.show(entry_norm_tap_, y, input_width_, ragged);
    x = y;
  }
  if (const float p = ctx.rate(ctx.dropout.residual); p > 0) {
    saved.seed = ctx.seed_of(name_ + "/positions");
    float* y = ctx.workspace.get(rows * input_width_);
    dropout(p, saved.seed, ctx.first.row, rows, input_width_, x, y);
    x = y;
  }
  if (entry_linear_) {
    saved.normed = x;
    float* y = ctx.workspace.get(rows * width_);
    entry_linear_->forward(rows, x, y);
    ctx.show(entry_linear_tap_, y, width_, ragged);
    x = y;
  }
  return x;
}

const float* Stack::forward(Context& ctx, const Ragged& ragged, const float* x, const Memory& memory,
                            Saved& saved) const {
  saved.layers.resize(layers_.size());
  x = enter(ctx, ragged, x, saved);
  saved.distance = distance_bias(ctx, ragged.longest());
  const TransformerLayer::Surroundings around{memory.ragged, memory.rows, saved.distance};
  if (ctx.training) {
    saved.dropped.assign(layers_.size(), false);
    saved.inputs.assign(layers_.size(), nullptr);
    const double rate = ctx.rate(ctx.dropout.layer);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      saved.dropped[i] = rate > 0 && Random(ctx.seed_of(cat(name_, "/", i))).uniform() < rate;
      if (saved.dropped[i])
        layers_[i].left_out(ctx, ragged, false);
      else
        x = ctx.recompute ? forward_again(ctx, ragged, i, x, around, saved)
                          : layers_[i].forward(ctx, ragged, x, around, saved.layers[i]);
    }
    return finish(ctx, ragged, x, saved.norm);
  }
  // Inference keeps one matrix between layers and gives each layer's intermediates back.
  const std::size_t bytes = static_cast<std::size_t>(ragged.rows() * width_) * sizeof(float);
  float* between = ctx.workspace.get(ragged.rows() * width_);
  if (bytes > 0) std::memcpy(between, x, bytes);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const WorkspaceScope scope(ctx.workspace);
    const float* y = layers_[i].forward(ctx, ragged, between, around, saved.layers[i]);
    if (bytes > 0) std::memcpy(between, y, bytes);
  }
  return finish(ctx, ragged, between, saved.norm);
}

const float* Stack::forward_again(Context& ctx, const Ragged& ragged, std::size_t layer, const float* x,
                                  const TransformerLayer::Surroundings& around, Saved& saved) const {
  saved.inputs[layer] = x;
  float* kept = ctx.workspace.get(ragged.rows() * width_);
  const WorkspaceScope scope(ctx.workspace);
  TransformerLayer::Saved passing;
  const float* y = layers_[layer].forward(ctx, ragged, x, around, passing);
  std::copy_n(y, ragged.rows() * width_, kept);
  return kept;
}

const float* Stack::backward_again(Context& ctx, const Ragged& ragged, std::size_t layer,
                                   const TransformerLayer::Surroundings& around, const Saved& saved,
                                   const float* dy) const {
  float* kept = ctx.workspace.get(ragged.rows() * width_);
  const WorkspaceScope scope(ctx.workspace);
  TransformerLayer::Saved again;
  const Probe* probe = std::exchange(ctx.probe, nullptr);  // which has seen the layer
  layers_[layer].forward(ctx, ragged, saved.inputs[layer], around, again);
  ctx.probe = probe;
  std::copy_n(layers_[layer].backward(ctx, ragged, around, again, dy), ragged.rows() * width_, kept);
  return kept;
}

const float* Stack::backward(Context& ctx, const Ragged& ragged, const Memory& memory, const Saved& saved,
                             const float* dy, float* d_memory) const {
  if (norm_) {
    ctx.show_gradient(norm_tap_, dy, width_, ragged);
    float* dx = ctx.workspace.get(ragged.rows() * width_);
    norm_->backward(ragged.rows(), saved.norm, dy, dx);
    dy = dx;
  }
  TransformerLayer::Surroundings around{memory.ragged, memory.rows, saved.distance, d_memory};
  if (saved.distance.values) around.d_distance = ctx.workspace.zeros(relative_.shape().heads * saved.distance.stride);
  for (std::size_t i = layers_.size(); i-- > 0;)
    if (saved.dropped[i])
      layers_[i].left_out(ctx, ragged, true);
    else
      dy = saved.inputs[i] ? backward_again(ctx, ragged, i, around, saved, dy)
                           : layers_[i].backward(ctx, ragged, around, saved.layers[i], dy);
  if (around.d_distance) relative_.backward(saved.distance, around.d_distance);

  const std::int64_t rows = ragged.rows();
  if (entry_linear_) {
    ctx.show_gradient(entry_linear_tap_, dy, width_, ragged);
    float* dx = ctx.workspace.get(rows * input_width_);
    entry_linear_->backward(rows, saved.normed, dy, dx, false);
    dy = dx;
  }
  if (const float p = ctx.rate(ctx.dropout.residual); p > 0) {
    float* dx = ctx.workspace.get(rows * input_width_);
    dropout(p, saved.seed, ctx.first.row, rows, input_width_, dy, dx);
    dy = dx;
  }
  if (entry_norm_) {
    ctx.show_gradient(entry_norm_tap_, dy, input_width_, ragged);
    float* dx = ctx.workspace.get(rows * input_width_);
    entry_norm_->backward(rows, saved.entry_norm, dy, dx);
    dy = dx;
  }
  return dy;
}

std::optional<Linear> output_projection(ParameterSource& source, const Configuration& c) {
  const std::int64_t pooled = c.vector_width(), vocabulary = c.output_vocabulary();
  switch (c.head) {
    case Head::none:
      if (c.projection == 0) return std::nullopt;
      return Linear(source, "projection", pooled, c.projection, false);
    case Head::classes:
      return Linear(source, "classifier", pooled, c.classes, c.classifier_bias);
    case Head::token_classes:
      return Linear(source, "classifier", c.width, c.classes, c.classifier_bias);
    case Head::tokens:
      break;
  }
  const std::string side = c.has_decoder() ? "decoder" : "encoder";
  const bool own = c.tied == Tied::none || c.tied == Tied::embeddings;
  const std::int64_t width = own ? c.width : c.embedding_width(c.has_decoder());
  const Weight weight = own ? source.get_weight(side + "/output/weight", {vocabulary, width}, Initial::xavier)
                            : embedding_table(source, c, side);
  const Parameter bias = c.output_bias ? source.get(side + "/output/bias", {vocabulary}, Initial::zero) : Parameter{};
  return Linear(weight, bias);
}

Transformer::Transformer(ParameterSource& source, const Configuration& c, Stacks stacks, Readout readout)
    : configuration_(c) {
  if (c.has_encoder() && stacks != Stacks::decoder) {
    if (c.reads_vectors())
      vector_embedding_ = VectorEmbedding(source, c);
    else
      source_embedding_ = TokenEmbedding(source, c, "encoder");
    encoder_ = Stack(source, c, false);
  }
  if (c.has_decoder() && stacks != Stacks::encoder) {
    target_embedding_ = TokenEmbedding(source, c, "decoder");
    decoder_ = Stack(source, c, true);
  }
  build_readout(source, stacks, readout);
}

void Transformer::build_readout(ParameterSource& source, Stacks stacks, Readout readout) {
  const Configuration& c = configuration_;
  const bool predicts = readout == Readout::predicted || c.has_decoder();
  std::optional<Unlisted> unlisted;
  if (!c.has_decoder() || stacks == Stacks::encoder) {
    if (readout == Readout::hidden || (readout == Readout::predicted && c.head != Head::classes))
      unlisted.emplace(source);
    pooler_ = Pooler(source, c);
    unlisted.reset();
  }
  if (c.has_decoder() && stacks == Stacks::encoder) return;
  if (readout != Readout::any && !predicts && !(readout == Readout::pooled && c.head == Head::none))
    unlisted.emplace(source);
  if (auto projection = output_projection(source, c))
    head_ = OutputHead(source, c, c.has_decoder() ? "decoder" : "encoder", c.width, std::move(*projection));
}

void Transformer::decode(Context& ctx, const Target& target, const Stack::Memory& memory, Decoded& decoded) const {
  ctx.first = target.first;
  const float* x = target_embedding_.forward(ctx, target.ragged, target.ids, nullptr, decoded.tokens);
  decoded.hidden = decoder_.forward(ctx, target.ragged, x, memory, decoded.stack);
}

void Transformer::decode_backward(Context& ctx, const Target& target, const Stack::Memory& memory,
                                  const Decoded& decoded, const float* d_hidden, float* d_memory) const {
  ctx.first = target.first;
  const float* dx = decoder_.backward(ctx, target.ragged, memory, decoded.stack, d_hidden, d_memory);
  target_embedding_.backward(ctx, target.ragged, decoded.tokens, dx);
}

const float* Transformer::pool(Context& ctx, const Source& source, const Encoded& encoded, Pooler::Saved& saved) const {
  return pooler_.forward(ctx, encoded.ragged, encoded.memory, source.ids, saved);
}

void Transformer::class_logits(Context& ctx, const Source& source, const Encoded& encoded, float* logits) const {
  const WorkspaceScope scope(ctx.workspace);
  if (configuration_.head == Head::token_classes) return head_.logits(ctx, encoded.ragged, encoded.memory, logits);
  Pooler::Saved saved;
  head_.logits(ctx, {one_row_each(encoded.ragged.sequences())}, pool(ctx, source, encoded, saved), logits);
}

void Transformer::classify_logits(Context& ctx, const Source& source, float* logits) const {
  const WorkspaceScope scope(ctx.workspace);
  Encoded encoded;
  encode(ctx, source, encoded);
  class_logits(ctx, source, encoded, logits);
}

void Transformer::classify(Context& ctx, const Source& source, float* values) const {
  classify_logits(ctx, source, values);
  const std::int64_t sequences = source.ragged.sequences(), classes = configuration_.classes;
  if (configuration_.problem_type == ProblemType::single_label) softmax_rows(sequences, classes, values);
  if (configuration_.problem_type == ProblemType::multi_label) sigmoid(sequences * classes, values);
}

LossSums Transformer::span_loss(Context& ctx, const Examples& examples, const CrossEntropyForm& form) const {
  Encoded encoded;
  encode(ctx, examples.source, encoded);
  const std::int64_t rows = encoded.ragged.rows();
  OutputHead::Saved head_saved;
  const float* prepared = head_.prepare(ctx, encoded.ragged, encoded.memory, head_saved);
  const Linear& output = head_.projection();
  float* logits = ctx.workspace.get(rows * output.out());
  output.forward(rows, prepared, logits);
  head_.show_logits(ctx, encoded.ragged, logits);
  float* d_logits = ctx.training ? ctx.workspace.get(rows * output.out()) : nullptr;
  const LossSums result = span_cross_entropy(encoded.ragged, logits, examples.labels.data(), form, d_logits);
  if (!ctx.training) return result;
  head_.show_gradient(ctx, encoded.ragged, d_logits);
  float* d_memory = ctx.workspace.get(rows * std::max(output.in(), configuration_.width));
  output.backward(rows, prepared, d_logits, d_memory, false);
  head_.backward(ctx, encoded.ragged, head_saved, d_memory, d_memory);
  encode_backward(ctx, examples.source, encoded, d_memory);
  return result;
}

LossSums Transformer::value_loss(Context& ctx, const Examples& examples, const CrossEntropyForm& form) const {
  Encoded encoded;
  encode(ctx, examples.source, encoded);
  Pooler::Saved pooled;
  const float* hidden = pool(ctx, examples.source, encoded, pooled);
  const std::int64_t sequences = encoded.ragged.sequences();
  const std::vector<std::int64_t> one_each = one_row_each(sequences);
  OutputHead::Saved head_saved;
  const float* prepared = head_.prepare(ctx, {one_each}, hidden, head_saved);
  const Linear& output = head_.projection();
  float* x = ctx.workspace.get(sequences * output.out());
  output.forward(sequences, prepared, x);
  head_.show_logits(ctx, {one_each}, x);
  const auto loss_of = configuration_.problem_type == ProblemType::regression ? squared_error : binary_cross_entropy;
  const LossSums result = loss_of(sequences, output.out(), x, examples.values, form, ctx.training ? x : nullptr);
  if (!ctx.training) return result;
  head_.show_gradient(ctx, {one_each}, x);
  float* d_hidden =
      ctx.workspace.get(sequences * std::max({output.in(), configuration_.width, configuration_.pooled_width()}));
  output.backward(sequences, prepared, x, d_hidden, false);
  head_.backward(ctx, {one_each}, head_saved, d_hidden, d_hidden);
  float* d_memory = ctx.workspace.get(encoded.ragged.rows() * configuration_.width);
  pooler_.backward(ctx, pooled, d_hidden, d_memory);
  encode_backward(ctx, examples.source, encoded, d_memory);
  return result;
}

/// The offsets of the `count` labelled rows, which ascend, in the sequences that they are of.
static std::vector<std::int64_t> labelled_rows(const Ragged& ragged, std::int64_t count, const std::int32_t* rows) {
  std::vector<std::int64_t> offsets{0};
  for (std::int64_t s = 0, row = 0; s < ragged.sequences(); ++s) {
    while (row < count && rows[row] < ragged.begin(s) + ragged.length(s)) ++row;
    offsets.push_back(row);
  }
  return offsets;
}

LossSums Transformer::loss(Context& ctx, const Examples& examples, const CrossEntropyForm& form) const {
  const WorkspaceScope scope(ctx.workspace);
  if (examples.spans) return span_loss(ctx, examples, form);
  if (examples.values) return value_loss(ctx, examples, form);
  const std::int64_t width = configuration_.width, count = static_cast<std::int64_t>(examples.labels.size());
  const Source& source = examples.source;
  Encoded encoded;
  Decoded decoded;
  Pooler::Saved pooled;
  if (configuration_.has_encoder()) encode(ctx, source, encoded);
  const Stack::Memory memory{encoded.ragged, encoded.memory};
  // What is compared with the labels: the decoder's rows, the masked rows, or one row for each sequence.
  const float* hidden = nullptr;
  if (configuration_.has_decoder()) {
    decode(ctx, examples.target, memory, decoded);
    hidden = decoded.hidden;
  } else if (configuration_.head == Head::classes) {
    hidden = pool(ctx, source, encoded, pooled);
  } else {
    float* masked = ctx.workspace.get(count * width);
    gather_rows(count, width, examples.rows, encoded.memory, masked);
    hidden = masked;
  }
  OutputHead::Saved head_saved;
  const std::vector<std::int64_t> of_sequences = configuration_.has_decoder() ? std::vector<std::int64_t>{0}
                                                 : configuration_.head == Head::classes
                                                     ? one_row_each(count)
                                                     : labelled_rows(encoded.ragged, count, examples.rows);
  const Ragged labelled = configuration_.has_decoder() ? examples.target.ragged : Ragged{of_sequences};
  const float* prepared = head_.prepare(ctx, labelled, hidden, head_saved);
  const Linear& output = head_.projection();
  float* d_hidden = nullptr;
  if (ctx.training) d_hidden = ctx.workspace.get(count * std::max({output.in(), width, configuration_.pooled_width()}));
  const OutputProjection projection{
      output.weight().stored,       output.bias().value,
      output.packed_forward(count), ctx.training ? output.packed_backward() : PackedView{},
      output.weight().gradient,     output.bias().gradient};
  CrossEntropyForm whole = form;
  whole.soft_cap = head_.soft_cap();
  if (head_.logits_watched(ctx))  // the loss itself never has those of all rows
    head_.project(ctx, labelled, prepared, ctx.workspace.get(count * output.out()));
  if (head_.gradient_watched(ctx)) whole.d_logits = ctx.workspace.get(count * output.out());
  const LossSums result =
      cross_entropy(projection, count, prepared, examples.labels.data(), whole, ctx.workspace, d_hidden);
  if (!ctx.training) return result;
  if (whole.d_logits) head_.show_gradient(ctx, labelled, whole.d_logits);
  head_.backward(ctx, labelled, head_saved, d_hidden, d_hidden);
  float* d_memory = encoded.memory ? ctx.workspace.zeros(encoded.ragged.rows() * width) : nullptr;
  if (configuration_.has_decoder())
    decode_backward(ctx, examples.target, memory, decoded, d_hidden, d_memory);
  else if (configuration_.head == Head::classes)
    pooler_.backward(ctx, pooled, d_hidden, d_memory);
  else
    gather_rows_backward(count, width, examples.rows, d_hidden, d_memory);
  if (encoded.memory) encode_backward(ctx, source, encoded, d_memory);
  return result;
}

}  // namespace pipeformer
