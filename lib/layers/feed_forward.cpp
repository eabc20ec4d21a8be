#include "layers/feed_forward.hpp"

namespace pipeformer {

FeedForward::FeedForward(ParameterSource& source, const std::string& name, const FeedForwardShape& shape)
    : name_(name), shape_(shape), linear1_(source, name + "/linear1", shape.width, shape.inner, shape.bias) {
  if (shape.gated) gate_ = Linear(source, name + "/gate", shape.width, shape.inner, shape.bias);
  linear2_ = Linear(source, name + "/linear2", shape.inner, shape.width, shape.bias);
  hidden_tap_ = source.tap(name, "hidden", {shape.inner});
  if (shape.gated) gate_tap_ = source.tap(name, "gate", {shape.inner});
  activation_tap_ = source.tap(name, "activation", {shape.inner});
  output_tap_ = source.tap(name, "output", {shape.width});
}

void FeedForward::forward(Context& ctx, const Ragged& ragged, const float* x, float* y, Saved& saved) const {
  const std::int64_t rows = ragged.rows(), inner = shape_.inner;
  saved.input = x;
  saved.up = ctx.workspace.get(rows * inner);
  // What the backward pass does not read gives its place to what follows. The gradient of relu needs no more than where
  // its result is positive.
  const bool in_place = !ctx.training || (!shape_.gated && shape_.activation == Activation::relu);
  saved.inner = in_place ? saved.up : ctx.workspace.get(rows * inner);
  const SameRows same;
  linear1_.forward(rows, x, saved.up);
  ctx.show(hidden_tap_, saved.up, inner, ragged);
  if (shape_.gated) {
    saved.gate = ctx.workspace.get(rows * inner);
    gate_.forward(rows, x, saved.gate);
    ctx.show(gate_tap_, saved.gate, inner, ragged);
    float* active = in_place ? saved.gate : saved.inner;
    activation(shape_.activation, rows, inner, saved.gate, active);
    multiply(rows * inner, active, saved.up, saved.inner);
  } else {
    activation(shape_.activation, rows, inner, saved.up, saved.inner);
  }
  ctx.show(activation_tap_, saved.inner, inner, ragged);
  if (const float p = ctx.rate(ctx.dropout.activation); p > 0) {
    saved.seed = ctx.seed_of(name_);
    dropout(p, saved.seed, ctx.first.row, rows, inner, saved.inner, saved.inner);
  }
  linear2_.forward(rows, saved.inner, y);
  ctx.show(output_tap_, y, shape_.width, ragged);
}

void FeedForward::backward(Context& ctx, const Ragged& ragged, const Saved& saved, const float* dy, float* dx) const {
  const WorkspaceScope scope(ctx.workspace);
  const std::int64_t rows = ragged.rows(), inner = shape_.inner, count = rows * inner;
  ctx.show_gradient(output_tap_, dy, shape_.width, ragged);
  float* d_inner = ctx.workspace.get(count);
  linear2_.backward(rows, saved.inner, dy, d_inner, false);
  if (const float p = ctx.rate(ctx.dropout.activation); p > 0)
    dropout(p, saved.seed, ctx.first.row, rows, inner, d_inner, d_inner);
  ctx.show_gradient(activation_tap_, d_inner, inner, ragged);
  if (!shape_.gated) {
    activation_backward(shape_.activation, rows, inner, saved.up, d_inner, d_inner);
    ctx.show_gradient(hidden_tap_, d_inner, inner, ragged);
    linear1_.backward(rows, saved.input, d_inner, dx, false);
    return;
  }
  // inner = f(gate) * up:  d_up = d_inner * f(gate),  d_gate = d_inner * up * f'(gate)
  float* active = ctx.workspace.get(count);
  float* d_up = ctx.workspace.get(count);
  activation(shape_.activation, rows, inner, saved.gate, active);
  multiply(count, d_inner, active, d_up);
  multiply(count, d_inner, saved.up, d_inner);
  activation_backward(shape_.activation, rows, inner, saved.gate, d_inner, d_inner);
  ctx.show_gradient(hidden_tap_, d_up, inner, ragged);
  ctx.show_gradient(gate_tap_, d_inner, inner, ragged);
  linear1_.backward(rows, saved.input, d_up, dx, false);
  gate_.backward(rows, saved.input, d_inner, dx, true);
}

}  // namespace pipeformer
