#include "models/transformer.hpp"

#include <cmath>
#include <cstring>

#include "core/error.hpp"
#include "ops/embedding.hpp"

namespace pipeformer {

Positions::Positions(ParameterSource& source, const Configuration& c, const std::string& side)
    : kind_(c.positions), max_positions_(c.max_positions) {
  if (kind_ == "learned")
    learned_ = source.get(side + "/positions/weight", {max_positions_, c.width}, Initial::embedding);
}

const float* Positions::table(std::int64_t positions, std::int64_t width) const {
  if (kind_ == "learned") {
    require(positions <= max_positions_, "position ", positions - 1, " is beyond the model's ", max_positions_,
            " learned positions");
    return learned_.value;
  }
  require(width % 2 == 0, "sinusoidal positions need an even width, not ", width);
  if (width != width_ || static_cast<std::int64_t>(sinusoids_.size()) < positions * width) {
    sinusoids_ = sinusoidal_table(std::max<std::int64_t>(2 * positions, 64), width, kind_ == "sinusoidal-halved");
    width_ = width;
  }
  return sinusoids_.data();
}

void Positions::add(const Ragged& ragged, std::int64_t width, std::int64_t first, const float* x, float* y) const {
  if (!added()) {
    if (x != y && ragged.rows() > 0) std::memcpy(y, x, static_cast<std::size_t>(ragged.rows() * width) * sizeof(float));
    return;
  }
  std::int64_t longest = 0;
  for (std::int64_t s = 0; s < ragged.sequences(); ++s) {
    longest = std::max(longest, ragged.length(s));
    if (kind_ == "learned" && ragged.length(s) > 0 && first + ragged.length(s) > max_positions_)
      throw RowError(ragged.begin(s), cat("position ", first + ragged.length(s) - 1, " is beyond the model's ",
                                          max_positions_, " learned positions"));
  }
  add_positions(ragged, width, first, table(longest == 0 ? 0 : first + longest, width), x, y);
}

TokenEmbedding::TokenEmbedding(ParameterSource& source, const Configuration& c, const std::string& side)
    : side_(side),
      vocabulary_(side == "encoder" ? c.source_vocabulary : c.target_vocabulary),
      width_(c.width),
      scale_(c.embedding_scale ? std::sqrt(static_cast<float>(c.width)) : 1.0f) {
  const bool shared = c.kind == "encoder-decoder" && c.tied == "all";
  table_ =
      source.get(shared ? "embedding/weight" : side + "/embedding/weight", {vocabulary_, width_}, Initial::embedding);
  positions_ = Positions(source, c, side);
}

void TokenEmbedding::look_up(std::int64_t rows, const std::int32_t* ids, float* y) const {
  for (std::int64_t r = 0; r < rows; ++r) {
    if (ids[r] < 0 || ids[r] >= vocabulary_)
      throw RowError(r, cat("id ", ids[r], " is outside the vocabulary of ", vocabulary_));
  }
  embedding(rows, width_, ids, table_.value, scale_, y);
}

const float* TokenEmbedding::forward(Pass& pass, const Ragged& ragged, const std::int32_t* ids, Saved& saved) const {
  float* y = pass.workspace.get(ragged.rows() * width_);
  saved.ids = ids;
  look_up(ragged.rows(), ids, y);
  pass.show(side_ + "/embedding", y, width_, ragged);
  add_positions(ragged, 0, y, y);
  pass.show(side_ + "/positions", y, width_, ragged);
  if (const float p = pass.rate(pass.dropout.residual); p > 0) {
    saved.key = pass.next_key();
    dropout(p, saved.key, ragged.rows(), width_, y, y);
  }
  return y;
}

void TokenEmbedding::backward(Pass& pass, const Ragged& ragged, const Saved& saved, const float* dy) const {
  const WorkspaceScope scope(pass.workspace);
  if (const float p = pass.rate(pass.dropout.residual); p > 0) {
    float* dropped = pass.workspace.get(ragged.rows() * width_);
    dropout(p, saved.key, ragged.rows(), width_, dy, dropped);
    dy = dropped;
  }
  if (positions_.learned().value) add_positions_backward(ragged, width_, dy, positions_.learned().gradient);
  embedding_backward(ragged.rows(), width_, saved.ids, dy, scale_, vocabulary_, table_.gradient);
}

Stack::Stack(ParameterSource& source, const Configuration& c, bool decoder)
    : name_(decoder ? "decoder" : "encoder"), width_(c.width) {
  const std::int64_t count = decoder ? c.decoder_layers : c.encoder_layers;
  for (std::int64_t i = 0; i < count; ++i)
    layers_.emplace_back(source, name_ + "/" + std::to_string(i), c.layer_shape(decoder));
  if (c.final_norm) norm_.emplace(source, name_ + "/norm", c.width, c.layer_shape(decoder).norm);
}

const float* Stack::finish(Pass& pass, const Ragged& ragged, const float* x, Norm::Saved& saved) const {
  if (!norm_) return x;
  float* y = pass.workspace.get(ragged.rows() * width_);
  norm_->forward(pass, ragged.rows(), x, y, saved);
  pass.show(name_ + "/norm", y, width_, ragged);
  return y;
}

const float* Stack::forward(Pass& pass, const Ragged& ragged, const float* x, const Ragged& memory_ragged,
                            const float* memory, Saved& saved) const {
  saved.layers.resize(layers_.size());
  if (pass.training) {
    for (std::size_t i = 0; i < layers_.size(); ++i)
      x = layers_[i].forward(pass, ragged, x, memory_ragged, memory, saved.layers[i]);
    return finish(pass, ragged, x, saved.norm);
  }
  // Inference keeps one matrix between layers and gives each layer's intermediates back.
  const std::size_t bytes = static_cast<std::size_t>(ragged.rows() * width_) * sizeof(float);
  float* between = pass.workspace.get(ragged.rows() * width_);
  std::memcpy(between, x, bytes);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const WorkspaceScope scope(pass.workspace);
    std::memcpy(between, layers_[i].forward(pass, ragged, between, memory_ragged, memory, saved.layers[i]), bytes);
  }
  return finish(pass, ragged, between, saved.norm);
}

const float* Stack::backward(Pass& pass, const Ragged& ragged, const Ragged& memory_ragged, const Saved& saved,
                             const float* dy, float* d_memory) const {
  if (norm_) {
    float* dx = pass.workspace.get(ragged.rows() * width_);
    norm_->backward(ragged.rows(), saved.norm, dy, dx);
    dy = dx;
  }
  for (std::size_t i = layers_.size(); i-- > 0;)
    dy = layers_[i].backward(pass, ragged, memory_ragged, saved.layers[i], dy, d_memory);
  return dy;
}

Transformer::Transformer(ParameterSource& source, const Configuration& c, Parts parts) : configuration_(c) {
  if (c.has_encoder() && parts != Parts::decoder) {
    source_embedding_ = TokenEmbedding(source, c, "encoder");
    encoder_ = Stack(source, c, false);
  }
  if (c.has_decoder() && parts != Parts::encoder) {
    target_embedding_ = TokenEmbedding(source, c, "decoder");
    decoder_ = Stack(source, c, true);
    const Parameter weight = c.tied == "none"
                                 ? source.get("decoder/output/weight", {c.target_vocabulary, c.width}, Initial::xavier)
                                 : target_embedding_.table();
    const Parameter bias =
        c.output_bias ? source.get("decoder/output/bias", {c.target_vocabulary}, Initial::zero) : Parameter{};
    output_ = Linear(weight, bias, c.width, c.target_vocabulary);
  }
}

CrossEntropy Transformer::loss(Pass& pass, const Pairs& pairs, float smoothing, float scale) const {
  const WorkspaceScope scope(pass.workspace);
  const std::int64_t width = configuration_.width, target_rows = pairs.target.rows(), source_rows = pairs.source.rows();
  TokenEmbedding::Saved source_saved, target_saved;
  Stack::Saved encoder_saved, decoder_saved;
  const float* memory = nullptr;
  if (configuration_.has_encoder()) {
    const float* x = source_embedding_.forward(pass, pairs.source, pairs.source_ids, source_saved);
    memory = encoder_.forward(pass, pairs.source, x, pairs.source, nullptr, encoder_saved);
  }
  const float* y = target_embedding_.forward(pass, pairs.target, pairs.target_ids, target_saved);
  const float* hidden = decoder_.forward(pass, pairs.target, y, pairs.source, memory, decoder_saved);
  float* d_hidden = pass.training ? pass.workspace.get(target_rows * width) : nullptr;
  const CrossEntropy result = cross_entropy(
      target_rows, width, configuration_.target_vocabulary, hidden, output_.weight().value, output_.bias().value,
      pairs.labels, smoothing, scale, pass.workspace, d_hidden, output_.weight().gradient, output_.bias().gradient);
  if (!pass.training) return result;
  float* d_memory = memory ? pass.workspace.zeros(source_rows * width) : nullptr;
  const float* dy = decoder_.backward(pass, pairs.target, pairs.source, decoder_saved, d_hidden, d_memory);
  target_embedding_.backward(pass, pairs.target, target_saved, dy);
  if (memory) {
    const float* dx = encoder_.backward(pass, pairs.source, pairs.source, encoder_saved, d_memory, nullptr);
    source_embedding_.backward(pass, pairs.source, source_saved, dx);
  }
  return result;
}

}  // namespace pipeformer
