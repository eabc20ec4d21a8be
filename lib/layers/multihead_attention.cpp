#include "layers/multihead_attention.hpp"

#include <cmath>
#include <vector>

#include "ops/elementwise.hpp"
#include "ops/embedding.hpp"

namespace pipeformer {

void fill_positions(const Ragged& ragged, std::int64_t first, std::int32_t* positions) {
  for (std::int64_t s = 0; s < ragged.sequences(); ++s)
    for (std::int64_t t = 0; t < ragged.length(s); ++t)
      positions[ragged.begin(s) + t] = static_cast<std::int32_t>(first + t);
}

MultiheadAttention::MultiheadAttention(ParameterSource& source, const std::string& name,
                                       const MultiheadAttentionShape& shape)
    : name_(name),
      shape_(shape),
      query_(source, name + "/query", shape.width, shape.width, shape.bias),
      key_(source, name + "/key", shape.width, shape.kv_width(), shape.bias),
      value_(source, name + "/value", shape.width, shape.kv_width(), shape.bias),
      output_(source, name + "/output", shape.width, shape.width, shape.bias) {}

AttentionShape MultiheadAttention::attention_shape(const Context& ctx, const Saved& saved, bool causal) const {
  AttentionShape shape;
  shape.heads = shape_.heads;
  shape.kv_heads = shape_.kv_heads;
  shape.key_width = shape.value_width = shape_.head_width();
  shape.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape_.head_width())));
  shape.causal = causal;
  shape.dropout = ctx.rate(ctx.dropout.attention);
  shape.dropout_seed = saved.seed;
  shape.first_sequence = ctx.first.sequence;
  return shape;
}

AttentionInput MultiheadAttention::attention_input(const Ragged& queries, const Ragged& keys,
                                                   const std::int32_t* key_index, const Saved& saved) const {
  AttentionInput in;
  in.query = saved.query;
  in.query_stride = shape_.width;
  in.key = saved.kv.key;
  in.value = saved.kv.value;
  in.key_stride = in.value_stride = shape_.kv_width();
  in.queries = queries;
  in.keys = keys;
  in.key_index = key_index;
  in.mask = saved.masks.mask;
  in.bias = saved.masks.bias;
  in.key_lengths = saved.masks.key_lengths;
  return in;
}

void MultiheadAttention::attend(Context& ctx, const Ragged& queries, const Ragged& keys, const std::int32_t* key_index,
                                const Saved& saved, bool causal) const {
  const AttentionShape shape = attention_shape(ctx, saved, causal);
  const AttentionInput in = attention_input(queries, keys, key_index, saved);
  ctx.show(name_ + "/query", saved.query, shape_.width, queries);
  if (!key_index) {
    ctx.show(name_ + "/key", saved.kv.key, shape_.kv_width(), keys);
    ctx.show(name_ + "/value", saved.kv.value, shape_.kv_width(), keys);
  }
  const std::string weights_name = name_ + "/weights";
  if (!ctx.watched(weights_name)) {
    attention_forward(shape, in, saved.context, saved.log_sum);
  } else {
    const WorkspaceScope scope(ctx.workspace);
    std::vector<float*> weights;
    for (std::int64_t s = 0; s < queries.sequences(); ++s)
      for (std::int64_t h = 0; h < shape_.heads; ++h)
        weights.push_back(ctx.workspace.get(queries.length(s) * keys.length(s)));
    attention_forward(shape, in, saved.context, saved.log_sum, weights.data());
    ctx.observer->weights(weights_name, shape_.heads, weights.data(), queries, keys);
  }
  ctx.show(name_ + "/context", saved.context, shape_.width, queries);
}

void MultiheadAttention::project_keys(std::int64_t rows, const float* memory, const std::int32_t* positions,
                                      const KeyValues& kv) const {
  key_.forward(rows, memory, kv.key);
  value_.forward(rows, memory, kv.value);
  if (shape_.rotary) rotate(rows, shape_.kv_heads, shape_.head_width(), positions, false, kv.key, shape_.kv_width());
}

void MultiheadAttention::attend_ready(Context& ctx, const Ragged& queries, const float* x,
                                      const std::int32_t* positions, const Ragged& keys, const KeyValues& kv,
                                      const std::int32_t* key_index, float* y) const {
  const WorkspaceScope scope(ctx.workspace);
  const std::int64_t rows = queries.rows();
  Saved saved;
  saved.query = ctx.workspace.get(rows * shape_.width);
  saved.context = ctx.workspace.get(rows * shape_.width);
  saved.kv = kv;
  query_.forward(rows, x, saved.query);
  if (shape_.rotary) rotate(rows, shape_.heads, shape_.head_width(), positions, false, saved.query, shape_.width);
  attend(ctx, queries, keys, key_index, saved, false);
  output_.forward(rows, saved.context, y);
}

void MultiheadAttention::forward(Context& ctx, const Ragged& queries, const float* x, const Ragged& keys,
                                 const float* memory, float* y, Saved& saved, const AttentionMasks& masks) const {
  const std::int64_t rows = queries.rows(), key_rows = keys.rows();
  const float* from = memory ? memory : x;
  saved.input = x;
  saved.memory = memory;
  saved.masks = masks;
  saved.query = ctx.workspace.get(rows * shape_.width);
  saved.kv = {ctx.workspace.get(key_rows * shape_.kv_width()), ctx.workspace.get(key_rows * shape_.kv_width())};
  saved.context = ctx.workspace.get(rows * shape_.width);
  saved.log_sum = ctx.training ? ctx.workspace.get(rows * shape_.heads) : nullptr;
  query_.forward(rows, x, saved.query);
  key_.forward(key_rows, from, saved.kv.key);
  value_.forward(key_rows, from, saved.kv.value);
  if (shape_.rotary) {
    const WorkspaceScope scope(ctx.workspace);
    std::int32_t* positions = ctx.workspace.get<std::int32_t>(std::max(rows, key_rows));
    fill_positions(queries, 0, positions);
    rotate(rows, shape_.heads, shape_.head_width(), positions, false, saved.query, shape_.width);
    fill_positions(keys, 0, positions);
    rotate(key_rows, shape_.kv_heads, shape_.head_width(), positions, false, saved.kv.key, shape_.kv_width());
  }
  if (ctx.rate(ctx.dropout.attention) > 0) saved.seed = ctx.seed_of(name_);
  attend(ctx, queries, keys, nullptr, saved, shape_.causal);
  output_.forward(rows, saved.context, y);
}

void MultiheadAttention::backward(Context& ctx, const Ragged& queries, const Ragged& keys, const Saved& saved,
                                  const float* dy, float* dx, float* d_memory) const {
  const WorkspaceScope scope(ctx.workspace);
  const std::int64_t rows = queries.rows(), key_rows = keys.rows();
  float* d_context = ctx.workspace.get(rows * shape_.width);
  float* d_query = ctx.workspace.get(rows * shape_.width);
  float* d_key = ctx.workspace.get(key_rows * shape_.kv_width());
  float* d_value = ctx.workspace.get(key_rows * shape_.kv_width());
  output_.backward(rows, saved.context, dy, d_context, false);
  attention_backward(attention_shape(ctx, saved, shape_.causal), attention_input(queries, keys, nullptr, saved),
                     saved.context, saved.log_sum, d_context, d_query, d_key, d_value);
  if (shape_.rotary) {
    std::int32_t* positions = ctx.workspace.get<std::int32_t>(std::max(rows, key_rows));
    fill_positions(queries, 0, positions);
    rotate(rows, shape_.heads, shape_.head_width(), positions, true, d_query, shape_.width);
    fill_positions(keys, 0, positions);
    rotate(key_rows, shape_.kv_heads, shape_.head_width(), positions, true, d_key, shape_.kv_width());
  }
  query_.backward(rows, saved.input, d_query, dx, false);
  const float* from = saved.memory ? saved.memory : saved.input;
  float* d_from = saved.memory ? d_memory : dx;
  key_.backward(key_rows, from, d_key, d_from, true);
  value_.backward(key_rows, from, d_value, d_from, true);
}

}  // namespace pipeformer
