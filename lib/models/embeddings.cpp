#include "models/embeddings.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.hpp"
#include "ops/elementwise.hpp"
#include "ops/embedding.hpp"

namespace pipeformer {

Positions::Positions(ParameterSource& source, const Configuration& c, const std::string& side) {
  const StackSpec& stack = c.stack(side == "decoder");
  kind_ = stack.positions;
  max_positions_ = stack.max_positions;
  offset_ = stack.position_offset;
  if (kind_ == PositionKind::learned)
    learned_ = source.get(side + "/positions/weight", {max_positions_, c.embedding_width(side == "decoder")},
                          Initial::embedding);
}

std::int64_t Positions::positions() const {
  return kind_ == PositionKind::learned ? max_positions_ : kSinusoidalPositions - offset_;
}

std::string Positions::beyond(std::int64_t position) const {
  return cat("position ", position, " is beyond the model's ", positions(), ' ',
             kind_ == PositionKind::learned ? "learned" : "sinusoidal", " positions");
}

std::shared_ptr<const float> Positions::table(std::int64_t first, std::int64_t count, std::int64_t width) const {
  if (first > positions() - count) throw Error(beyond(first + count - 1));
  if (kind_ == PositionKind::learned) return {std::shared_ptr<void>(), learned_.value + first * width};
  require(width % 2 == 0, "sinusoidal positions need an even width, not ", width);
  const std::int64_t begin = offset_ + first, end = begin + count;
  const std::lock_guard lock(sinusoids_->growing);
  Sinusoids& kept = *sinusoids_;
  if (!kept.table || width != kept.width || begin < kept.first || end > kept.end) {
    // From 0, as short sequences and generation want it, where that costs little.
    constexpr std::int64_t kFew = 1 << 16;
    kept.first = end <= kFew ? 0 : begin;
    kept.end = end + std::max<std::int64_t>(end - kept.first, 64);
    kept.width = width;
    kept.table =
        std::make_shared<Buffer<float>>(sinusoidal_table(kept.first, kept.end - kept.first, width, sinusoid_of(kind_)));
  }
  return {kept.table, kept.table->data() + (begin - kept.first) * width};
}

void Positions::check(const Ragged& ragged, std::int64_t first) const {
  if (!added()) return;
  for (std::int64_t s = 0; s < ragged.sequences(); ++s)
    if (ragged.length(s) > 0 && first > positions() - ragged.length(s))
      throw RowError(ragged.begin(s), beyond(first + ragged.length(s) - 1));
}

void Positions::add(const Ragged& ragged, std::int64_t width, std::int64_t first, const float* x, float* y) const {
  if (!added()) {
    if (x != y && ragged.rows() > 0) std::memcpy(y, x, static_cast<std::size_t>(ragged.rows() * width) * sizeof(float));
    return;
  }
  check(ragged, first);
  std::int64_t longest = 0;
  for (std::int64_t s = 0; s < ragged.sequences(); ++s) longest = std::max(longest, ragged.length(s));
  add_positions(ragged, width, table(longest == 0 ? 0 : first, longest, width).get(), x, y);
}

Weight embedding_table(ParameterSource& source, const Configuration& c, const std::string& side) {
  const bool shared = c.has_cross_attention() && (c.tied == Tied::all || c.tied == Tied::embeddings);
  const std::int64_t vocabulary = side == "encoder" ? c.source_vocabulary : c.target_vocabulary;
  return source.get_weight(shared ? "embedding/weight" : side + "/embedding/weight",
                           {vocabulary, c.embedding_width(side == "decoder")}, Initial::embedding);
}

TokenEmbedding::TokenEmbedding(ParameterSource& source, const Configuration& c, const std::string& side)
    : vocabulary_(side == "encoder" ? c.source_vocabulary : c.target_vocabulary),
      width_(c.embedding_width(side == "decoder")),
      types_(c.stack(side == "decoder").token_types),
      scale_(c.stack(side == "decoder").embedding_scale ? std::sqrt(static_cast<float>(c.width)) : 1.0f) {
  table_ = embedding_table(source, c, side);
  if (types_ > 0) type_table_ = source.get(side + "/token_types/weight", {types_, width_}, Initial::embedding);
  positions_ = Positions(source, c, side);
  embeddings_tap_ = source.tap(side, "embeddings", {width_});
  positions_tap_ = source.tap(side, "positions", {width_});
}

void TokenEmbedding::look_up(std::int64_t rows, const std::int32_t* ids, const std::int32_t* types, float* y) const {
  for (std::int64_t r = 0; r < rows; ++r) {
    if (ids[r] < 0 || ids[r] >= vocabulary_)
      throw RowError(r, cat("id ", ids[r], " is outside the vocabulary of ", vocabulary_));
    if (types && (types[r] < 0 || types[r] >= types_))
      throw RowError(r, cat("type ", types[r], " is none of the model's ", types_, " types of tokens"));
  }
  embedding(rows, ids, table_.stored, scale_, y);
  for (std::int64_t r = 0; r < rows && types_ > 0; ++r)
    add(width_, y + r * width_, type_table_.value + (types ? types[r] : 0) * width_, y + r * width_);
}

const float* TokenEmbedding::forward(Context& ctx, const Ragged& ragged, const std::int32_t* ids,
                                     const std::int32_t* types, Saved& saved) const {
  float* y = ctx.workspace.get(ragged.rows() * width_);
  saved = {ids, types};
  look_up(ragged.rows(), ids, types, y);
  if (ctx.probe) ctx.probe->ids(embeddings_tap_, ids, ragged);
  ctx.show(embeddings_tap_, y, width_, ragged);
  add_positions(ragged, 0, y, y);
  ctx.show(positions_tap_, y, width_, ragged);
  return y;
}

void TokenEmbedding::backward(Context& ctx, const Ragged& ragged, const Saved& saved, const float* dy) const {
  ctx.show_gradient(positions_tap_, dy, width_, ragged);
  ctx.show_gradient(embeddings_tap_, dy, width_, ragged);
  if (positions_.learned().value) pipeformer::add_positions_backward(ragged, width_, dy, positions_.learned().gradient);
  for (std::int64_t r = 0; r < ragged.rows() && types_ > 0; ++r) {
    float* gradient = type_table_.gradient + (saved.types ? saved.types[r] : 0) * width_;
    add(width_, gradient, dy + r * width_, gradient);
  }
  embedding_backward(ragged.rows(), width_, saved.ids, dy, scale_, vocabulary_, table_.gradient);
}

VectorEmbedding::VectorEmbedding(ParameterSource& source, const Configuration& c)
    : input_(source, "encoder/input", c.input_width, c.width, c.input_bias), class_tokens_(c.class_tokens) {
  if (class_tokens_ > 0) class_token_ = source.get("encoder/class_token", {class_tokens_, c.width}, Initial::embedding);
  positions_ = Positions(source, c, "encoder");
  embeddings_tap_ = source.tap("encoder", "embeddings", {c.width});
  positions_tap_ = source.tap("encoder", "positions", {c.width});
}

std::vector<std::int64_t> VectorEmbedding::offsets(const Ragged& ragged) const {
  std::vector<std::int64_t> offsets(ragged.offsets.begin(), ragged.offsets.end());
  for (std::size_t s = 0; s < offsets.size(); ++s) offsets[s] += class_tokens_ * static_cast<std::int64_t>(s);
  return offsets;
}

float* VectorEmbedding::project(Context& ctx, const Ragged& ragged, const float* x, Saved& saved) const {
  const std::int64_t extra = class_tokens_, sequences = ragged.sequences();
  saved.x = x;
  saved.offsets = offsets(ragged);
  float* y = ctx.workspace.get(saved.ragged().rows() * width());
  float* projected = extra > 0 ? ctx.workspace.get(ragged.rows() * width()) : y;
  input_.forward(ragged.rows(), x, projected);
  for (std::int64_t s = 0; extra > 0 && s < sequences; ++s) {
    float* sequence = y + saved.ragged().begin(s) * width();
    std::copy_n(class_token_.value, extra * width(), sequence);
    std::copy_n(projected + ragged.begin(s) * width(), ragged.length(s) * width(), sequence + extra * width());
  }
  return y;
}

const float* VectorEmbedding::forward(Context& ctx, const Ragged& ragged, const float* x, Saved& saved) const {
  positions_.check(ragged, class_tokens_);  // here, so that the error names a row of x
  float* projected = project(ctx, ragged, x, saved);
  const Ragged rows = saved.ragged();
  ctx.show(embeddings_tap_, projected, width(), rows);
  float* y = ctx.workspace.get(rows.rows() * width());
  positions_.add(rows, width(), 0, projected, y);
  ctx.show(positions_tap_, y, width(), rows);
  return y;
}

void VectorEmbedding::backward(Context& ctx, const Ragged& ragged, const Saved& saved, const float* dy) const {
  const WorkspaceScope scope(ctx.workspace);
  const Ragged rows = saved.ragged();
  const std::int64_t extra = class_tokens_;
  ctx.show_gradient(positions_tap_, dy, width(), rows);
  ctx.show_gradient(embeddings_tap_, dy, width(), rows);
  if (positions_.learned().value) add_positions_backward(rows, width(), dy, positions_.learned().gradient);
  const float* d_projected = dy;
  if (extra > 0) {
    float* cut = ctx.workspace.get(ragged.rows() * width());
    for (std::int64_t s = 0; s < ragged.sequences(); ++s) {
      const float* sequence = dy + rows.begin(s) * width();
      add(extra * width(), class_token_.gradient, sequence, class_token_.gradient);
      std::copy_n(sequence + extra * width(), ragged.length(s) * width(), cut + ragged.begin(s) * width());
    }
    d_projected = cut;
  }
  input_.backward(ragged.rows(), saved.x, d_projected, nullptr, false);
}

}  // namespace pipeformer
