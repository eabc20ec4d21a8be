#include "layers/transformer_layers.hpp"

namespace pipeformer {

Residual::Residual(ParameterSource& source, const std::string& layer, const std::string& number,
                   const LayerShape& shape)
    : layer_(layer),
      number_(number),
      shares_norm_(shape.shared_norm && number != "1"),
      norm_(source, layer + "/norm" + (shares_norm_ ? "1" : number), shape.feed_forward.width, shape.norm),
      width_(shape.feed_forward.width),
      pre_norm_(shape.pre_norm) {
  norm_tap_ = source.tap(layer, ("norm" + number).c_str(), {width_});
  residual_tap_ = source.tap(layer, ("residual" + number).c_str(), {width_});
  if (shape.sublayer_norm) {
    sublayer_norm_.emplace(source, layer + "/sublayer_norm" + number, width_, shape.norm);
    sublayer_norm_tap_ = source.tap(layer, ("sublayer_norm" + number).c_str(), {width_});
  }
  if (!shape.scaled) return;
  scale_ = source.get(layer + "/scale" + number, {width_}, Initial::one);
  scale_tap_ = source.tap(layer, ("scale" + number).c_str(), {width_});
}

template <class Sublayer>
void Residual::forward(Context& ctx, const Ragged& ragged, const float* x, const float* base, float* y, Saved& saved,
                       Sublayer sublayer) const {
  const std::int64_t rows = ragged.rows();
  Workspace& workspace = ctx.workspace;
  const float* input = x;
  if (pre_norm_) {
    float* normed = workspace.get(rows * width_);
    norm_.forward(ctx, rows, x, normed, saved.norm);
    ctx.show(norm_tap_, normed, width_, ragged);
    input = normed;
  }
  float* output = pre_norm_ ? y : workspace.get(rows * width_);
  float* unscaled = scale_.value ? workspace.get(rows * width_) : output;
  float* given = sublayer_norm_ ? workspace.get(rows * width_) : unscaled;
  sublayer(input, given);
  if (sublayer_norm_) {
    sublayer_norm_->forward(ctx, rows, given, unscaled, saved.sublayer_norm);
    ctx.show(sublayer_norm_tap_, unscaled, width_, ragged);
  }
  if (scale_.value) {
    scale_columns(rows, width_, unscaled, scale_.value, output);
    ctx.show(scale_tap_, output, width_, ragged);
    saved.unscaled = unscaled;
  }
  if (const float p = ctx.rate(ctx.dropout.residual); p > 0) {
    saved.seed = ctx.seed_of(layer_ + "/add" + number_);
    dropout(p, saved.seed, ctx.first.row, rows, width_, output, output);
  }
  add(rows * width_, base, output, output);
  ctx.show(residual_tap_, output, width_, ragged);
  if (!pre_norm_) {
    norm_.forward(ctx, rows, output, y, saved.norm);
    ctx.show(norm_tap_, y, width_, ragged);
  }
}

template <class Sublayer>
void Residual::backward(Context& ctx, const Ragged& ragged, const Saved& saved, const float* dy, float* dx,
                        bool with_base, Sublayer sublayer) const {
  const WorkspaceScope scope(ctx.workspace);
  const std::int64_t rows = ragged.rows(), count = rows * width_;
  const float* d_sum = dy;
  if (!pre_norm_) {
    float* through_norm = ctx.workspace.get(count);
    ctx.show_gradient(norm_tap_, dy, width_, ragged);
    norm_.backward(rows, saved.norm, dy, through_norm);
    d_sum = through_norm;
  }
  ctx.show_gradient(residual_tap_, d_sum, width_, ragged);
  const float* d_output = d_sum;
  if (const float p = ctx.rate(ctx.dropout.residual); p > 0) {
    float* dropped = ctx.workspace.get(count);
    dropout(p, saved.seed, ctx.first.row, rows, width_, d_sum, dropped);
    d_output = dropped;
  }
  if (scale_.value) {
    ctx.show_gradient(scale_tap_, d_output, width_, ragged);
    float* unscaled = ctx.workspace.get(count);
    scale_columns_backward(rows, width_, saved.unscaled, scale_.value, d_output, unscaled, scale_.gradient);
    d_output = unscaled;
  }
  if (sublayer_norm_) {
    ctx.show_gradient(sublayer_norm_tap_, d_output, width_, ragged);
    float* given = ctx.workspace.get(count);
    sublayer_norm_->backward(rows, saved.sublayer_norm, d_output, given);
    d_output = given;
  }
  float* d_input = ctx.workspace.get(count);
  sublayer(d_output, d_input);
  if (pre_norm_) {
    ctx.show_gradient(norm_tap_, d_input, width_, ragged);
    norm_.backward(rows, saved.norm, d_input, d_input);
  }
  add(count, with_base ? d_sum : dx, d_input, dx);
}

TransformerLayer::TransformerLayer(ParameterSource& source, const std::string& name, const LayerShape& shape)
    : name_(name), shape_(shape), self_attention_(source, name + "/self_attn", shape.self_attention) {
  if (shape.cross) cross_attention_ = MultiheadAttention(source, name + "/cross_attn", shape.cross_attention);
  feed_forward_ = FeedForward(source, name + "/ffn", shape.feed_forward);
  for (int i = 0; i < (shape.cross ? 3 : 2); ++i) residual_[i] = Residual(source, name, std::to_string(i + 1), shape);
}

const float* TransformerLayer::forward(Context& ctx, const Ragged& ragged, const float* x, const Surroundings& around,
                                       Saved& saved) const {
  const std::int64_t width = shape_.feed_forward.width, count = ragged.rows() * width;
  // What nobody reads afterwards gives its memory to the next sublayer.
  const auto sublayer = [&, passing = !ctx.training && !around.keeps](int i, const float* from, const float* base,
                                                                      const auto& compute) {
    float* y = ctx.workspace.get(count);
    std::optional<WorkspaceScope> scope;
    if (passing) scope.emplace(ctx.workspace);
    residual_[i].forward(ctx, ragged, from, base, y, saved.residual[i], compute);
    return y;
  };
  const float* y = sublayer(0, x, x, [&](const float* input, float* output) {
    AttentionMasks masks;
    masks.distance = around.distance;
    self_attention_.forward(ctx, {ragged, input, ragged, nullptr, masks}, output, saved.self_attention);
  });
  int next = 1;
  if (shape_.cross)
    y = sublayer(next++, y, y, [&](const float* input, float* output) {
      cross_attention_.forward(ctx, {ragged, input, around.memory_ragged, around.memory, {}, around.memory_place},
                               output, saved.cross_attention);
    });
  return sublayer(next, shape_.parallel ? x : y, y, [&](const float* input, float* output) {
    feed_forward_.forward(ctx, ragged, input, output, saved.feed_forward);
  });
}

const float* TransformerLayer::backward(Context& ctx, const Ragged& ragged, const Surroundings& around,
                                        const Saved& saved, const float* dy) const {
  const std::int64_t count = ragged.rows() * shape_.feed_forward.width;
  float* dx = ctx.workspace.get(count);
  const auto through_attention = [&](const float* d_output, float* d_input) {
    self_attention_.backward(ctx, ragged, ragged, saved.self_attention, d_output, d_input,
                             {nullptr, around.d_distance});
  };
  const auto through_feed_forward = [&](const float* d_output, float* d_input) {
    feed_forward_.backward(ctx, ragged, saved.feed_forward, d_output, d_input);
  };
  if (shape_.parallel) {
    residual_[0].backward(ctx, ragged, saved.residual[0], dy, dx, true, through_attention);
    residual_[1].backward(ctx, ragged, saved.residual[1], dy, dx, false, through_feed_forward);
    return dx;
  }
  int last = shape_.cross ? 2 : 1;
  residual_[last].backward(ctx, ragged, saved.residual[last], dy, dx, true, through_feed_forward);
  if (shape_.cross)
    residual_[1].backward(ctx, ragged, saved.residual[1], dx, dx, true, [&](const float* d_output, float* d_input) {
      cross_attention_.backward(ctx, ragged, around.memory_ragged, saved.cross_attention, d_output, d_input,
                                {around.d_memory, nullptr});
    });
  residual_[0].backward(ctx, ragged, saved.residual[0], dx, dx, true, through_attention);
  return dx;
}

const float* TransformerLayer::step(Context& ctx, const Step& step, const float* x) const {
  const Ragged& queries = step.queries;
  const std::int64_t rows = queries.rows(), width = shape_.feed_forward.width, count = rows * width;
  float* y = ctx.workspace.get(count);
  const WorkspaceScope scope(ctx.workspace);
  Saved saved;
  float* a = ctx.workspace.get(count);
  residual_[0].forward(ctx, queries, x, x, a, saved.residual[0], [&](const float* input, float* output) {
    const SameRows same;
    self_attention_.keep_keys(ctx, queries, input, {step.positions}, step.new_rows, step.past.kv);
    self_attention_.attend_ready(ctx, queries, input, {step.positions}, step.past, output);
  });
  const float* feed_forward_input = shape_.parallel ? x : a;
  int next = 1;
  if (shape_.cross) {
    float* b = ctx.workspace.get(count);
    residual_[1].forward(ctx, queries, a, a, b, saved.residual[1], [&](const float* input, float* output) {
      cross_attention_.attend_ready(ctx, step.memory_queries, input, {step.positions}, step.memory, output);
    });
    feed_forward_input = a = b;
    next = 2;
  }
  residual_[next].forward(ctx, queries, feed_forward_input, a, y, saved.residual[next],
                          [&](const float* input, float* output) {
                            feed_forward_.forward(ctx, queries, input, output, saved.feed_forward);
                          });
  return y;
}

}  // namespace pipeformer
