#include "models/readout.hpp"

#include <algorithm>
#include <cstring>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/elementwise.hpp"
#include "ops/pooling.hpp"

namespace pipeformer {

OutputHead::OutputHead(ParameterSource& source, const Configuration& c, const std::string& side, std::int64_t width,
                       Linear projection)
    : activation_(c.head_activation),
      scale_(static_cast<float>(c.output_scale)),
      soft_cap_(static_cast<float>(c.output_soft_cap)),
      projection_(std::move(projection)) {
  const auto rows = c.head == Head::classes || c.head == Head::none ? TapShape::Rows::sequence : TapShape::Rows::own;
  const std::string head = side + "/head";
  if (c.head_dense) {
    dense_.emplace(source, head + "/dense", width, projection_.in(), true);
    dense_tap_ = source.tap(head, "dense", {projection_.in(), 0, rows});
    activation_tap_ = source.tap(head, "activation", {projection_.in(), 0, rows});
  }
  if (c.head_norm) {
    norm_.emplace(source, head + "/norm", projection_.in(), c.norm_shape(c.has_decoder()));
    norm_tap_ = source.tap(head, "norm", {projection_.in(), 0, rows});
  }
  output_tap_ = source.tap("", c.head == Head::none ? "projection" : "logits", {projection_.out(), 0, rows});
}

bool OutputHead::watched(const Context& ctx) const {
  return ctx.watched(dense_tap_) || ctx.watched(activation_tap_) || ctx.watched(norm_tap_) || ctx.watched(output_tap_);
}

const float* OutputHead::prepare(Context& ctx, const Ragged& ragged, const float* hidden, Saved& saved) const {
  const std::int64_t rows = ragged.rows();
  saved.input = hidden;
  const float* x = hidden;
  if (dense_) {
    saved.dense = ctx.workspace.get(rows * dense_->out());
    saved.active = ctx.workspace.get(rows * dense_->out());
    dense_->forward(rows, x, saved.dense);
    ctx.show(dense_tap_, saved.dense, dense_->out(), ragged);
    activation(activation_, rows, dense_->out(), saved.dense, saved.active);
    ctx.show(activation_tap_, saved.active, dense_->out(), ragged);
    x = saved.active;
  }
  if (norm_) {
    float* y = ctx.workspace.get(rows * norm_->width());
    norm_->forward(ctx, rows, x, y, saved.norm);
    ctx.show(norm_tap_, y, norm_->width(), ragged);
    x = y;
  }
  if (scale_ != 1) {
    const std::int64_t count = rows * projection_.in();
    float* y = ctx.workspace.get(count);
    std::memcpy(y, x, static_cast<std::size_t>(count) * sizeof(float));
    scale(count, scale_, y);
    x = y;
  }
  return x;
}

void OutputHead::backward(Context& ctx, const Ragged& ragged, const Saved& saved, const float* d_prepared,
                          float* d_hidden) const {
  const WorkspaceScope scope(ctx.workspace);
  const std::int64_t rows = ragged.rows(), width = projection_.in(), count = rows * width;
  float* d = dense_ ? ctx.workspace.get(count) : d_hidden;
  if (d != d_prepared) std::memcpy(d, d_prepared, static_cast<std::size_t>(count) * sizeof(float));
  if (scale_ != 1) scale(count, scale_, d);
  if (norm_) {
    ctx.show_gradient(norm_tap_, d, width, ragged);
    norm_->backward(rows, saved.norm, d, d);
  }
  if (!dense_) return;
  ctx.show_gradient(activation_tap_, d, width, ragged);
  activation_backward(activation_, rows, dense_->out(), saved.dense, d, d);
  ctx.show_gradient(dense_tap_, d, width, ragged);
  dense_->backward(rows, saved.input, d, d_hidden, false);
}

void OutputHead::logits(Context& ctx, const Ragged& ragged, const float* hidden, float* logits) const {
  const WorkspaceScope scope(ctx.workspace);
  Saved saved;
  project(ctx, ragged, prepare(ctx, ragged, hidden, saved), logits);
}

void OutputHead::project(Context& ctx, const Ragged& ragged, const float* prepared, float* logits) const {
  const std::int64_t rows = ragged.rows(), n = projection_.out();
  projection_.forward(rows, prepared, logits);
  if (soft_cap_ != 0)
    parallel_for(rows, 4, [&](std::int64_t r, std::int64_t end) {
      pipeformer::soft_cap((end - r) * n, soft_cap_, logits + r * n);
    });
  ctx.show(output_tap_, logits, n, ragged);
}

Pooler::Pooler(ParameterSource& source, const Configuration& c)
    : kind_(c.pooling),
      hidden_width_(c.width),
      pooled_width_(c.pooled_width()),
      class_tokens_(c.class_tokens),
      end_id_(c.end_id),
      activation_(c.pooler_activation) {
  pooled_tap_ = source.tap("", "pooled", {pooled_width_, 0, TapShape::Rows::sequence});
  if (!c.pooler) return;
  dense_.emplace(source, "pooler", pooled_width_, c.vector_width(), c.pooler_bias);
  dense_tap_ = source.tap("pooler", "dense", {dense_->out(), 0, TapShape::Rows::sequence});
  activation_tap_ = source.tap("pooler", "activation", {dense_->out(), 0, TapShape::Rows::sequence});
}

const std::int32_t* Pooler::chosen_rows(Context& ctx, const Ragged& ragged, const std::int32_t* ids,
                                        std::int64_t of_sequence) const {
  auto* rows = ctx.workspace.get<std::int32_t>(ragged.sequences());
  for (std::int64_t s = 0; s < ragged.sequences(); ++s) {
    const std::int64_t begin = ragged.begin(s), end = begin + ragged.length(s);
    std::int64_t row = begin + of_sequence;
    if (kind_ == Pooling::last) row = end - 1;
    if (kind_ == Pooling::end) {
      require(ids != nullptr, "pooling by the end id needs ids");
      const std::int32_t* found = end_id_ < 0 ? std::max_element(ids + begin, ids + end)
                                              : std::find(ids + begin, ids + end, static_cast<std::int32_t>(end_id_));
      if (found == ids + end && begin < end)
        throw RowError(begin, cat("has no end id ", end_id_, ", which stands for the whole sequence"));
      row = found - ids;
    }
    rows[s] = row >= begin && row < end ? static_cast<std::int32_t>(row) : -1;
  }
  return rows;
}

const float* Pooler::forward(Context& ctx, const Ragged& ragged, const float* hidden, const std::int32_t* ids,
                             Saved& saved) const {
  const std::int64_t sequences = ragged.sequences(), width = hidden_width_;
  saved.ragged = ragged;
  saved.pooled = ctx.workspace.get(sequences * pooled_width_);
  // The parts that stand side by side, each (sequences, width), are put into place one by one.
  const auto put = [&](const float* part, std::int64_t at) {
    for (std::int64_t s = 0; s < sequences; ++s)
      std::copy_n(part + s * width, width, saved.pooled + s * pooled_width_ + at * width);
  };
  switch (kind_) {
    case Pooling::mean:
      mean_rows(ragged, width, hidden, saved.pooled);
      break;
    case Pooling::max: {
      auto* rows = ctx.workspace.get<std::int32_t>(sequences * width);
      max_rows(ragged, width, hidden, saved.pooled, rows);
      saved.rows = rows;
      break;
    }
    case Pooling::first:
    case Pooling::last:
    case Pooling::end:
      saved.rows = chosen_rows(ctx, ragged, ids, 0);
      gather_rows(sequences, width, saved.rows, hidden, saved.pooled);
      break;
    case Pooling::class_tokens:
      for (std::int64_t t = 0; t < class_tokens_; ++t) {
        const WorkspaceScope scope(ctx.workspace);
        float* part = ctx.workspace.get(sequences * width);
        gather_rows(sequences, width, chosen_rows(ctx, ragged, ids, t), hidden, part);
        put(part, t);
      }
      break;
    case Pooling::first_and_mean: {
      const WorkspaceScope scope(ctx.workspace);
      float* part = ctx.workspace.get(sequences * width);
      gather_rows(sequences, width, chosen_rows(ctx, ragged, ids, 0), hidden, part);
      put(part, 0);
      for (std::int64_t s = 0; s < sequences; ++s) {
        const std::int64_t offsets[] = {0, std::max<std::int64_t>(ragged.length(s) - 1, 0)};
        mean_rows({offsets}, width, hidden + (ragged.begin(s) + 1) * width, part + s * width);
      }
      put(part, 1);
      break;
    }
  }
  const std::vector<std::int64_t> offsets = ctx.probe ? one_row_each(sequences) : std::vector<std::int64_t>{0};
  ctx.show(pooled_tap_, saved.pooled, pooled_width_, {offsets});
  if (!dense_) return saved.pooled;
  saved.dense = ctx.workspace.get(sequences * dense_->out());
  float* y = ctx.workspace.get(sequences * dense_->out());
  dense_->forward(sequences, saved.pooled, saved.dense);
  ctx.show(dense_tap_, saved.dense, dense_->out(), {offsets});
  activation(activation_, sequences, dense_->out(), saved.dense, y);
  ctx.show(activation_tap_, y, dense_->out(), {offsets});
  return y;
}

void Pooler::backward(Context& ctx, const Saved& saved, const float* d_pooled, float* d_hidden) const {
  const WorkspaceScope scope(ctx.workspace);
  const Ragged& ragged = saved.ragged;
  const std::int64_t sequences = ragged.sequences(), width = hidden_width_;
  const std::vector<std::int64_t> one_each = ctx.probe ? one_row_each(sequences) : std::vector<std::int64_t>{0};
  if (dense_) {
    float* d_dense = ctx.workspace.get(sequences * dense_->out());
    ctx.show_gradient(activation_tap_, d_pooled, dense_->out(), {one_each});
    activation_backward(activation_, sequences, dense_->out(), saved.dense, d_pooled, d_dense);
    ctx.show_gradient(dense_tap_, d_dense, dense_->out(), {one_each});
    float* d_input = ctx.workspace.get(sequences * pooled_width_);
    dense_->backward(sequences, saved.pooled, d_dense, d_input, false);
    d_pooled = d_input;
  }
  ctx.show_gradient(pooled_tap_, d_pooled, pooled_width_, {one_each});
  if (kind_ == Pooling::mean) return mean_rows_backward(ragged, width, d_pooled, d_hidden);
  std::fill_n(d_hidden, ragged.rows() * width, 0.0f);
  if (kind_ == Pooling::max) return max_rows_backward(sequences, width, saved.rows, d_pooled, d_hidden);
  if (saved.rows) return gather_rows_backward(sequences, width, saved.rows, d_pooled, d_hidden);
  for (std::int64_t s = 0; s < sequences; ++s) {
    const float* from = d_pooled + s * pooled_width_;
    float* to = d_hidden + ragged.begin(s) * width;
    const std::int64_t length = ragged.length(s);
    if (kind_ == Pooling::class_tokens) {
      std::copy_n(from, std::min(class_tokens_, length) * width, to);
      continue;
    }
    if (length > 0) std::copy_n(from, width, to);
    for (std::int64_t t = 1; t < length; ++t)
      for (std::int64_t i = 0; i < width; ++i) to[t * width + i] = from[width + i] / static_cast<float>(length - 1);
  }
}

}  // namespace pipeformer
