#include "models/transformer.hpp"

#include <cstring>

#include "core/error.hpp"
#include "core/random.hpp"
#include "ops/pooling.hpp"

namespace pipeformer {

Stack::Stack(ParameterSource& source, const Configuration& c, bool decoder)
    : name_(decoder ? "decoder" : "encoder"), width_(c.width) {
  const std::int64_t count = decoder ? c.decoder_layers : c.encoder_layers;
  for (std::int64_t i = 0; i < count; ++i)
    layers_.emplace_back(source, name_ + "/" + std::to_string(i), c.layer_shape(decoder));
  if (c.final_norm) norm_.emplace(source, name_ + "/norm", c.width, c.layer_shape(decoder).norm);
}

const float* Stack::finish(Context& ctx, const Ragged& ragged, const float* x, Norm::Saved& saved) const {
  if (!norm_) return x;
  float* y = ctx.workspace.get(ragged.rows() * width_);
  norm_->forward(ctx, ragged.rows(), x, y, saved);
  ctx.show(name_ + "/norm", y, width_, ragged);
  return y;
}

const float* Stack::forward(Context& ctx, const Ragged& ragged, const float* x, const Ragged& memory_ragged,
                            const float* memory, Saved& saved) const {
  saved.layers.resize(layers_.size());
  if (ctx.training) {
    saved.dropped.assign(layers_.size(), false);
    const double rate = ctx.rate(ctx.dropout.layer);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      saved.dropped[i] = rate > 0 && Random(ctx.seed_of(cat(name_, "/", i))).uniform() < rate;
      if (!saved.dropped[i]) x = layers_[i].forward(ctx, ragged, x, memory_ragged, memory, saved.layers[i]);
    }
    return finish(ctx, ragged, x, saved.norm);
  }
  // Inference keeps one matrix between layers and gives each layer's intermediates back.
  const std::size_t bytes = static_cast<std::size_t>(ragged.rows() * width_) * sizeof(float);
  float* between = ctx.workspace.get(ragged.rows() * width_);
  std::memcpy(between, x, bytes);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const WorkspaceScope scope(ctx.workspace);
    std::memcpy(between, layers_[i].forward(ctx, ragged, between, memory_ragged, memory, saved.layers[i]), bytes);
  }
  return finish(ctx, ragged, between, saved.norm);
}

const float* Stack::backward(Context& ctx, const Ragged& ragged, const Ragged& memory_ragged, const Saved& saved,
                             const float* dy, float* d_memory) const {
  if (norm_) {
    float* dx = ctx.workspace.get(ragged.rows() * width_);
    norm_->backward(ragged.rows(), saved.norm, dy, dx);
    dy = dx;
  }
  for (std::size_t i = layers_.size(); i-- > 0;)
    if (!saved.dropped[i]) dy = layers_[i].backward(ctx, ragged, memory_ragged, saved.layers[i], dy, d_memory);
  return dy;
}

Transformer::Transformer(ParameterSource& source, const Configuration& c, Parts parts) : configuration_(c) {
  if (c.has_encoder() && parts != Parts::decoder) {
    if (c.reads_vectors())
      vector_embedding_ = VectorEmbedding(source, c);
    else
      source_embedding_ = TokenEmbedding(source, c, "encoder");
    encoder_ = Stack(source, c, false);
  }
  if (c.has_decoder() && parts != Parts::encoder) {
    target_embedding_ = TokenEmbedding(source, c, "decoder");
    decoder_ = Stack(source, c, true);
  }
  if (c.head == "none" || (c.has_decoder() && parts == Parts::encoder)) return;
  if (c.head == "classes") {
    output_ = Linear(source, "classifier", c.width, c.classes, true);
    return;
  }
  const std::string side = c.has_decoder() ? "decoder" : "encoder";
  const std::int64_t vocabulary = c.output_vocabulary();
  const Parameter weight = c.tied == "none"
                               ? source.get(side + "/output/weight", {vocabulary, c.width}, Initial::xavier)
                           : c.has_decoder() ? target_embedding_.table()
                                             : source_embedding_.table();
  const Parameter bias = c.output_bias ? source.get(side + "/output/bias", {vocabulary}, Initial::zero) : Parameter{};
  output_ = Linear(weight, bias, c.width, vocabulary);
}

/// Sets where the encoder's rows are in the whole batch.
void Transformer::enter_encoder(Context& ctx, const Source& source) const {
  ctx.first = source.first;
  if (configuration_.class_token) ctx.first.row += source.first.sequence;
}

void Transformer::encode(Context& ctx, const Source& source, Encoded& encoded) const {
  enter_encoder(ctx, source);
  const float* x = nullptr;
  if (configuration_.reads_vectors()) {
    x = vector_embedding_.forward(ctx, source.ragged, source.vectors, encoded.vectors);
    encoded.ragged = encoded.vectors.ragged();
  } else {
    x = source_embedding_.forward(ctx, source.ragged, source.ids, encoded.tokens);
    encoded.ragged = source.ragged;
  }
  encoded.memory = encoder_.forward(ctx, encoded.ragged, x, encoded.ragged, nullptr, encoded.stack);
}

void Transformer::encode_backward(Context& ctx, const Source& source, const Encoded& encoded,
                                  const float* d_memory) const {
  enter_encoder(ctx, source);
  const float* dx = encoder_.backward(ctx, encoded.ragged, encoded.ragged, encoded.stack, d_memory, nullptr);
  if (configuration_.reads_vectors())
    vector_embedding_.backward(ctx, source.ragged, encoded.vectors, dx);
  else
    source_embedding_.backward(ctx, source.ragged, encoded.tokens, dx);
}

namespace {

/// The first row of each sequence; -1 for an empty one.
const std::int32_t* first_rows(Workspace& workspace, const Ragged& ragged) {
  auto* first = workspace.get<std::int32_t>(ragged.sequences());
  for (std::int64_t s = 0; s < ragged.sequences(); ++s)
    first[s] = ragged.length(s) > 0 ? static_cast<std::int32_t>(ragged.begin(s)) : -1;
  return first;
}

}  // namespace

const float* Transformer::pool(Context& ctx, const Encoded& encoded) const {
  float* y = ctx.workspace.get(encoded.ragged.sequences() * configuration_.width);
  if (configuration_.pooling == "mean")
    mean_rows(encoded.ragged, configuration_.width, encoded.memory, y);
  else
    gather_rows(encoded.ragged.sequences(), configuration_.width, first_rows(ctx.workspace, encoded.ragged),
                encoded.memory, y);
  return y;
}

void Transformer::classify(Context& ctx, const Source& source, float* probabilities) const {
  const WorkspaceScope scope(ctx.workspace);
  Encoded encoded;
  encode(ctx, source, encoded);
  output_.forward(encoded.ragged.sequences(), pool(ctx, encoded), probabilities);
  softmax_rows(encoded.ragged.sequences(), configuration_.classes, probabilities);
}

CrossEntropy Transformer::loss(Context& ctx, const Examples& examples, float smoothing, float scale) const {
  const WorkspaceScope scope(ctx.workspace);
  const std::int64_t width = configuration_.width, count = static_cast<std::int64_t>(examples.labels.size());
  const Source& source = examples.source;
  Encoded encoded;
  TokenEmbedding::Saved target_saved;
  Stack::Saved decoder_saved;
  if (configuration_.has_encoder()) encode(ctx, source, encoded);
  // What is compared with the labels: the decoder's rows, the masked rows, or one row for each sequence.
  const float* hidden = nullptr;
  if (configuration_.has_decoder()) {
    ctx.first = examples.target_first;
    const float* y = target_embedding_.forward(ctx, examples.target, examples.target_ids, target_saved);
    hidden = decoder_.forward(ctx, examples.target, y, encoded.ragged, encoded.memory, decoder_saved);
  } else if (configuration_.head == "classes") {
    hidden = pool(ctx, encoded);
  } else {
    float* masked = ctx.workspace.get(count * width);
    gather_rows(count, width, examples.rows, encoded.memory, masked);
    hidden = masked;
  }
  float* d_hidden = ctx.training ? ctx.workspace.get(count * width) : nullptr;
  const OutputProjection projection{output_.out(),
                                    width,
                                    output_.weight().value,
                                    output_.bias().value,
                                    output_.packed_forward(),
                                    ctx.training ? output_.packed_backward() : nullptr,
                                    output_.weight().gradient,
                                    output_.bias().gradient};
  const CrossEntropy result =
      cross_entropy(projection, count, hidden, examples.labels.data(), smoothing, scale, ctx.workspace, d_hidden);
  if (!ctx.training) return result;
  float* d_memory = encoded.memory ? ctx.workspace.zeros(encoded.ragged.rows() * width) : nullptr;
  if (configuration_.has_decoder()) {
    const float* dy = decoder_.backward(ctx, examples.target, encoded.ragged, decoder_saved, d_hidden, d_memory);
    target_embedding_.backward(ctx, examples.target, target_saved, dy);
  } else if (configuration_.head == "tokens") {
    gather_rows_backward(count, width, examples.rows, d_hidden, d_memory);
  } else if (configuration_.pooling == "mean") {
    mean_rows_backward(encoded.ragged, width, d_hidden, d_memory);
  } else {
    gather_rows_backward(count, width, first_rows(ctx.workspace, encoded.ragged), d_hidden, d_memory);
  }
  if (encoded.memory) encode_backward(ctx, source, encoded, d_memory);
  return result;
}

}  // namespace pipeformer
