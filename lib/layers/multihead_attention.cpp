#include "layers/multihead_attention.hpp"

#include <algorithm>
#include <utility>

#include "ops/elementwise.hpp"

namespace pipeformer {

RowPositions rotary_positions(Workspace& workspace, const Ragged& ragged, const RotarySpec& rotary) {
  auto* positions = workspace.get<std::int32_t>(ragged.rows());
  auto* lengths = rotary.by_length() ? workspace.get<std::int32_t>(ragged.rows()) : nullptr;
  for (std::int64_t s = 0; s < ragged.sequences(); ++s) {
    for (std::int64_t t = 0; t < ragged.length(s); ++t) positions[ragged.begin(s) + t] = static_cast<std::int32_t>(t);
    if (lengths) std::fill_n(lengths + ragged.begin(s), ragged.length(s), static_cast<std::int32_t>(ragged.length(s)));
  }
  return {positions, lengths};
}

AttentionLook::Step probe_step(Context& ctx, Tap tap, const Ragged& queries, bool growing_keys) {
  if (!ctx.watched(tap)) return {};
  return [&ctx, queries, growing_keys, tap](const AttentionRows& part) {
    const bool growing = ctx.places.growing;  // of keys only where a sequence attends to itself
    TapMatrix m{
        part.x, 0, part.head, 0, part.rows, queries.length(part.sequence), part.keys, growing, growing && growing_keys};
    if (!ctx.places.positions) {
      m.sequence = ctx.places.number(part.sequence);
      m.first = part.first;
      return ctx.probe->matrix(tap, m);
    }
    m.rows = 1;  // the rows are hypotheses, each at its own place
    for (std::int64_t i = 0; i < part.rows; ++i, m.x += part.keys) {
      const std::int64_t row = queries.begin(part.sequence) + part.first + i;
      m.sequence = ctx.places.number(row);
      m.first = ctx.places.position(row);
      ctx.probe->matrix(tap, m);
    }
  };
}

MultiheadAttention::MultiheadAttention(ParameterSource& source, const std::string& name,
                                       const MultiheadAttentionShape& shape)
    : name_(name),
      shape_(shape),
      query_{Linear(source, name + "/query", shape.width, shape.query_width(), shape.bias), {}},
      key_{Linear(source, name + "/key", shape.width, shape.kv_width(), shape.bias), {}},
      value_(source, name + "/value", shape.width, shape.kv_width(), shape.bias),
      output_(source, name + "/output", shape.query_width(), shape.width, shape.output_bias) {
  if (shape.query_key_norm) {
    query_.norm.emplace(source, name + "/query_norm", shape.head_width, *shape.query_key_norm);
    key_.norm.emplace(source, name + "/key_norm", shape.head_width, *shape.query_key_norm);
  }
  const auto rows = shape.cross ? TapShape::Rows::memory : TapShape::Rows::own;
  const TapShape queries{shape.query_width(), shape.heads}, keys{shape.kv_width(), shape.kv_heads, rows};
  query_.raw_tap = source.tap(name, "query", queries);
  if (query_.norm) query_.norm_tap = source.tap(name, "query_norm", queries);
  if (shape.rotary) query_.rotated_tap = source.tap(name, "query_rotated", queries);
  key_.raw_tap = source.tap(name, "key", keys);
  if (key_.norm) key_.norm_tap = source.tap(name, "key_norm", keys);
  if (shape.rotary) key_.rotated_tap = source.tap(name, "key_rotated", keys);
  value_tap_ = source.tap(name, "value", keys);
  scores_tap_ = source.tap(name, "scores", {0, shape.heads, rows});
  weights_tap_ = source.tap(name, "weights", {0, shape.heads, rows});
  context_tap_ = source.tap(name, "context", queries);
  output_tap_ = source.tap(name, "output", {shape.width});
}

AttentionShape MultiheadAttention::attention_shape(const Context& ctx, const Saved& saved) const {
  AttentionShape shape;
  shape.heads = shape_.heads;
  shape.kv_heads = shape_.kv_heads;
  shape.key_width = shape.value_width = shape_.head_width;
  shape.scale = shape_.scale;
  shape.soft_cap = shape_.soft_cap;
  shape.causal = shape_.causal;
  shape.window = shape_.window;
  shape.dropout = ctx.rate(ctx.dropout.attention);
  shape.dropout_seed = saved.seed;
  shape.first_sequence = ctx.first.sequence;
  return shape;
}

AttentionInput MultiheadAttention::attention_input(const Ragged& queries, const Ragged& keys,
                                                   const std::int32_t* key_index, const Saved& saved) const {
  AttentionInput in;
  in.query = saved.query;
  in.query_stride = shape_.query_width();
  in.key = saved.kept.key;
  in.value = saved.kept.value;
  in.kept = saved.kept.type;
  in.transposed_keys = saved.kept.transposed_keys;
  in.key_stride = in.value_stride = shape_.kv_heads * kept_elements(in.kept, shape_.head_width);
  in.queries = queries;
  in.keys = keys;
  in.key_index = key_index;
  in.masks = saved.masks;
  return in;
}

void MultiheadAttention::attend(Context& ctx, const AttentionInput& in, const Ragged& shown,
                                const AttentionShape& shape, const Saved& saved) const {
  attention_forward(shape, in, saved.context, saved.log_sum);
  const AttentionLook look{probe_step(ctx, scores_tap_, in.queries, shape_.causal),
                           probe_step(ctx, weights_tap_, in.queries, shape_.causal)};
  if (look.scores || look.weights) attention_look(shape, in, look, saved.context);
  ctx.show(context_tap_, saved.context, shape_.query_width(), shown);
}

void MultiheadAttention::turn(std::int64_t rows, std::int64_t heads, const RowPositions& positions, bool back,
                              float* x) const {
  rotate(*shape_.rotary, {rows, heads, shape_.head_width, heads * shape_.head_width}, positions, back, x);
}

void MultiheadAttention::project(Context& ctx, const Projection& to, const Ragged& ragged, const float* x,
                                 const RowPositions& positions, float* y, Projected& saved) const {
  const std::int64_t rows = ragged.rows(), width = to.linear.out(), heads = to.heads(shape_.head_width);
  float* raw = to.norm ? ctx.workspace.get(rows * width) : y;
  to.linear.forward(rows, x, raw);
  ctx.show(to.raw_tap, raw, width, ragged);
  if (to.norm) {
    saved.raw = raw;
    to.norm->forward(ctx, rows * heads, raw, y, saved.norm);
    ctx.show(to.norm_tap, y, width, ragged);
  }
  if (!shape_.rotary) return;
  turn(rows, heads, positions, false, y);
  ctx.show(to.rotated_tap, y, width, ragged);
}

void MultiheadAttention::project_backward(Context& ctx, const Projection& to, const Ragged& ragged,
                                          const RowPositions& positions, const Projected& saved, float* dy) const {
  const std::int64_t rows = ragged.rows(), width = to.linear.out(), heads = to.heads(shape_.head_width);
  if (shape_.rotary) {
    ctx.show_gradient(to.rotated_tap, dy, width, ragged);
    turn(rows, heads, positions, true, dy);
  }
  if (to.norm) {
    ctx.show_gradient(to.norm_tap, dy, width, ragged);
    to.norm->backward(rows * heads, saved.norm, dy, dy);
  }
  ctx.show_gradient(to.raw_tap, dy, width, ragged);
}

void MultiheadAttention::project_keys(Context& ctx, const Ragged& ragged, const float* memory,
                                      const RowPositions& positions, float* key, float* value) const {
  const WorkspaceScope scope(ctx.workspace);
  const SameRows same;
  Projected saved;
  project(ctx, key_, ragged, memory, positions, key, saved);
  value_.forward(ragged.rows(), memory, value);
  ctx.show(value_tap_, value, shape_.kv_width(), ragged);
}

void MultiheadAttention::keep_keys(Context& ctx, const Ragged& ragged, const float* memory,
                                   const RowPositions& positions, const std::int32_t* index,
                                   const KeyValues& to) const {
  const WorkspaceScope scope(ctx.workspace);
  const std::int64_t rows = ragged.rows(), width = shape_.kv_width(), bytes = shape_.kept_row_bytes(to.type);
  // Rows that follow one another are computed where they will be.
  const bool together =
      to.type == WeightType::float32 && rows > 0 &&
      std::adjacent_find(index, index + rows, [](auto a, auto b) { return b != a + 1; }) == index + rows;
  const auto place = [&](void* table) {
    return together ? static_cast<float*>(table) + index[0] * width : ctx.workspace.get(rows * width);
  };
  float *key = place(to.key), *value = place(to.value);
  project_keys(ctx, ragged, memory, positions, key, value);
  if (together) return;
  const auto store = [&](const float* x, void* table) {
    for (std::int64_t r = 0; r < rows; ++r)
      keep_vectors(to.type, shape_.kv_heads, shape_.head_width, x + r * width,
                   static_cast<std::byte*>(table) + index[r] * bytes);
  };
  store(key, to.key);
  store(value, to.value);
}

void MultiheadAttention::keep(Context& ctx, const Ragged& keys, const KeyValues& place, Saved& saved) const {
  const std::int64_t rows = keys.rows();
  saved.kept = {saved.key, saved.value};
  if (place.transposed_keys) {
    keep_transposed(keys, shape_.kv_width(), saved.key, static_cast<float*>(place.key));
    saved.kept = {place.key, saved.value, WeightType::float32, true};
    return;
  }
  if (ctx.kept == WeightType::float32 || !(shape_.causal || shape_.cross)) return;  // an encoder keeps nothing
  const auto kept = [&](const float* x, void* to) {
    if (!to) to = ctx.workspace.get<std::byte>(rows * shape_.kept_row_bytes(ctx.kept));
    keep_vectors(ctx.kept, rows * shape_.kv_heads, shape_.head_width, x, to);
    return to;
  };
  saved.kept = {kept(saved.key, place.key), kept(saved.value, place.value), ctx.kept};
}

void MultiheadAttention::attend_ready(Context& ctx, const Ragged& queries, const float* x,
                                      const RowPositions& positions, const Ready& ready, float* y) const {
  const WorkspaceScope scope(ctx.workspace);
  const std::int64_t rows = queries.rows();
  Saved saved;
  saved.query = ctx.workspace.get(rows * shape_.query_width());
  saved.context = ctx.workspace.get(rows * shape_.query_width());
  saved.kept = ready.kv;
  saved.masks.distance = ready.distance;
  project(ctx, query_, ready.each, x, positions, saved.query, saved.query_norm);
  AttentionShape shape = attention_shape(ctx, saved);
  shape.causal = shape.window > 0;  // the query is the last: it sees all that there is
  attend(ctx, attention_input(queries, ready.keys, ready.index, saved), ready.each, shape, saved);
  output_.forward(rows, saved.context, y);
  ctx.show(output_tap_, y, shape_.width, ready.each);
}

void MultiheadAttention::forward(Context& ctx, const Input& in, float* y, Saved& saved) const {
  const std::int64_t rows = in.queries.rows(), key_rows = in.keys.rows();
  const float* from = in.memory ? in.memory : in.x;
  saved.input = in.x;
  saved.memory = in.memory;
  saved.masks = in.masks;
  saved.query = ctx.workspace.get(rows * shape_.query_width());
  const auto vectors = [&](void* place) {
    const bool there = place && ctx.kept == WeightType::float32;
    return there ? static_cast<float*>(place) : ctx.workspace.get(key_rows * shape_.kv_width());
  };
  saved.key = vectors(in.place.transposed_keys ? nullptr : in.place.key);
  saved.value = vectors(in.place.value);
  saved.context = ctx.workspace.get(rows * shape_.query_width());
  saved.log_sum = ctx.training ? ctx.workspace.get(rows * shape_.heads) : nullptr;
  RowPositions query_positions, key_positions;
  if (shape_.rotary) {
    query_positions = rotary_positions(ctx.workspace, in.queries, *shape_.rotary);
    key_positions = rotary_positions(ctx.workspace, in.keys, *shape_.rotary);
  }
  {
    const SameRows same;
    project(ctx, query_, in.queries, in.x, query_positions, saved.query, saved.query_norm);
    const bool growing = std::exchange(ctx.places.growing, ctx.places.growing && !in.memory);  // a memory is whole
    project(ctx, key_, in.keys, from, key_positions, saved.key, saved.key_norm);
    value_.forward(key_rows, from, saved.value);
    ctx.show(value_tap_, saved.value, shape_.kv_width(), in.keys);
    ctx.places.growing = growing;
  }
  keep(ctx, in.keys, in.place, saved);
  if (ctx.rate(ctx.dropout.attention) > 0) saved.seed = ctx.seed_of(name_);
  attend(ctx, attention_input(in.queries, in.keys, nullptr, saved), in.queries, attention_shape(ctx, saved), saved);
  output_.forward(rows, saved.context, y);
  ctx.show(output_tap_, y, shape_.width, in.queries);
}

void MultiheadAttention::backward(Context& ctx, const Ragged& queries, const Ragged& keys, const Saved& saved,
                                  const float* dy, float* dx, const Gradients& gradients) const {
  const WorkspaceScope scope(ctx.workspace);
  const std::int64_t rows = queries.rows(), key_rows = keys.rows();
  float* d_context = ctx.workspace.get(rows * shape_.query_width());
  AttentionGradients d;
  d.query = ctx.workspace.get(rows * shape_.query_width());
  d.key = ctx.workspace.get(key_rows * shape_.kv_width());
  d.value = ctx.workspace.get(key_rows * shape_.kv_width());
  d.distance_bias = gradients.distance_bias;
  ctx.show_gradient(output_tap_, dy, shape_.width, queries);
  output_.backward(rows, saved.context, dy, d_context, false);
  ctx.show_gradient(context_tap_, d_context, shape_.query_width(), queries);
  const AttentionShape shape = attention_shape(ctx, saved);
  const AttentionInput in = attention_input(queries, keys, nullptr, saved);
  const AttentionLook look{probe_step(ctx, {scores_tap_.gradient}, queries, false),
                           probe_step(ctx, {weights_tap_.gradient}, queries, false)};
  if (look.scores || look.weights) attention_look_backward(shape, in, saved.context, d_context, look);
  attention_backward(shape, in, saved.context, saved.log_sum, d_context, d);
  RowPositions positions;
  if (shape_.rotary) positions = rotary_positions(ctx.workspace, queries, *shape_.rotary);
  project_backward(ctx, query_, queries, positions, saved.query_norm, d.query);
  if (shape_.rotary) positions = rotary_positions(ctx.workspace, keys, *shape_.rotary);
  project_backward(ctx, key_, keys, positions, saved.key_norm, d.key);
  ctx.show_gradient(value_tap_, d.value, shape_.kv_width(), keys);
  query_.linear.backward(rows, saved.input, d.query, dx, false);
  const float* from = saved.memory ? saved.memory : saved.input;
  float* d_from = saved.memory ? gradients.memory : dx;
  key_.linear.backward(key_rows, from, d.key, d_from, true);
  value_.backward(key_rows, from, d.value, d_from, true);
}

}  // namespace pipeformer
