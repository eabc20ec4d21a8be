#include "cli/attend.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "layers/multihead_attention.hpp"

namespace pipeformer {

bool attend_reaches(const std::string& from, const std::string& to) {
  const auto part = [](const std::string& name) { return name.substr(name.rfind('/') + 1); };
  const std::string a = part(from), b = part(to);
  const auto is = [](const std::string& name, const char* what) { return name.find(what) != std::string::npos; };
  if (a == b || b == "context") return true;
  for (const char* side : {"query", "key"}) {
    if (!is(a, side)) continue;
    const bool later = is(b, side) && (is(b, "given") || is(b, "_rotated"));
    return later || is(b, "scores") || b == "weights";
  }
  return a == "scores" && b == "weights";
}

AttentionShape Attend::shape(const AttendStreams& streams) const {
  const BatchStream &query = streams.query, &key = streams.key, &value = streams.value;
  const std::int64_t heads = options_.heads, kv_heads = options_.kv_heads;
  const auto split = [](const BatchStream& stream, std::int64_t parts, const char* what) {
    require(stream.batch.width % parts == 0, stream.where_record(0), ": width ", stream.batch.width,
            " is not a multiple of ", parts, what);
    return stream.batch.width / parts;
  };
  AttentionShape shape;
  shape.heads = heads;
  shape.kv_heads = kv_heads;
  shape.key_width = split(query, heads, " heads");
  const std::int64_t key_width = split(key, kv_heads, " key/value heads");
  require(key_width == shape.key_width, key.where_record(0), ": key width ", key_width, heads > 1 ? " of a head" : "",
          " does not match query width ", shape.key_width, " of ", query.reader->name());
  shape.value_width = split(value, kv_heads, " key/value heads");
  for (std::int64_t r = 0; r < value.batch.records(); ++r) {
    require(value.batch.length(r) == key.batch.length(r), value.where_record(r), ": ", value.batch.length(r),
            " values do not match ", key.batch.length(r), " keys of ", key.reader->name());
  }
  require(options_.head_width == 0 || shape.key_width == options_.head_width, query.where_record(0), ": width ",
          query.batch.width, " does not match the model's ", heads, " heads of ", options_.head_width);
  if (options_.rotary) check_rotary(query, shape.key_width);
  shape.scale = options_.scale.value_or(static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.key_width))));
  shape.soft_cap = options_.soft_cap;
  shape.causal = options_.causal;
  shape.upper_left = options_.upper_left;
  shape.window = options_.window;
  shape.dropout = options_.dropout;
  shape.dropout_seed = options_.seed;
  return shape;
}

void Attend::check_rotary(const BatchStream& query, std::int64_t head_width) const {
  const std::int64_t turned = rotary_width(head_width);
  require(turned % 2 == 0, query.where_record(0), ": rotary positions need an even head width, not ", turned);
  require(turned <= head_width, query.where_record(0), ": a head has ", head_width, " columns, not ", turned,
          " to turn");
  const RotaryScaling scaling = options_.rotary->scaling;
  require(scaling != RotaryScaling::dynamic || turned > 2, query.where_record(0),
          ": dynamic scaling turns more than 2 columns");
  if (scaling == RotaryScaling::longrope)
    for (const auto* factors : {&options_.rotary->short_factors, &options_.rotary->long_factors})
      require(std::ssize(*factors) == turned / 2, query.where_record(0), ": a head that turns ", turned,
              " columns needs ", turned / 2, " short and long factors, not ", factors->size());
}

void Attend::list_taps(TapSource& source, std::int64_t key_width, std::int64_t value_width, bool cross) {
  const std::string& name = options_.name;
  const auto rows = cross ? TapShape::Rows::memory : TapShape::Rows::own;
  const std::int64_t heads = options_.heads, kv_heads = options_.kv_heads;
  taps_.query = source.tap(name, options_.normed ? "query_norm" : "query", {heads * key_width, heads});
  if (options_.rotary) taps_.query_rotated = source.tap(name, "query_rotated", {heads * key_width, heads});
  taps_.key = source.tap(name, options_.normed ? "key_norm" : "key", {kv_heads * key_width, kv_heads, rows});
  if (options_.rotary) taps_.key_rotated = source.tap(name, "key_rotated", {kv_heads * key_width, kv_heads, rows});
  taps_.value = source.tap(name, "value", {kv_heads * value_width, kv_heads, rows});
  taps_.scores = source.tap(name, "scores", {0, heads, rows});
  taps_.weights = source.tap(name, "weights", {0, heads, rows});
  taps_.context = source.tap(name, "context", {heads * value_width, heads});
}

const float* Attend::turned(Context& ctx, const BatchStream& stream, const Turning& by) const {
  const Batch& batch = stream.batch;
  if (!options_.rotary && !ctx.watched(by.raw)) return batch.rows.data();
  float* rows = ctx.workspace.get(batch.positions() * batch.width);
  std::copy(batch.rows.begin(), batch.rows.end(), rows);
  ctx.show(by.raw, rows, batch.width, batch.ragged());
  if (!options_.rotary) return rows;
  turn(ctx, stream, by, rows);
  ctx.show(by.turned, rows, batch.width, batch.ragged());
  return rows;
}

const float* Attend::values(Context& ctx, const BatchStream& stream) const {
  const Batch& batch = stream.batch;
  if (!ctx.watched(taps_.value)) return batch.rows.data();
  float* rows = ctx.workspace.get(batch.positions() * batch.width);
  std::copy(batch.rows.begin(), batch.rows.end(), rows);
  ctx.show(taps_.value, rows, batch.width, batch.ragged());
  return rows;
}

void Attend::turn(Context& ctx, const BatchStream& stream, const Turning& by, float* rows) const {
  const Batch& batch = stream.batch;
  const Ragged ragged = batch.ragged();
  RotarySpec spec = *options_.rotary;
  spec.width = rotary_width(by.head_width);
  const std::int64_t last = by.first + ragged.longest();
  require(last <= std::numeric_limits<std::int32_t>::max(), stream.where_record(0), ": position ", last,
          " is beyond 2147483647");
  const RowPositions counted = rotary_positions(ctx.workspace, ragged, spec);
  auto* positions = ctx.workspace.get<std::int32_t>(batch.positions());
  for (std::int64_t r = 0; r < batch.positions(); ++r)
    positions[r] = static_cast<std::int32_t>(counted.position[r] + by.first);
  const HeadRows heads{batch.positions(), by.heads, by.head_width, batch.width};
  if (!options_.angles) return rotate(spec, heads, {positions, counted.length}, false, rows);
  const Shape& table = options_.angles->shape;
  require(last <= table[0], stream.where_record(0), ": --rotary-table has ", table[0], " positions, not ", last);
  rotate_by({options_.angles->values<float>().data(), table[0], table[1], spec.interleaved}, heads, positions, rows);
}

void Attend::look(Context& ctx, const AttentionShape& shape, AttentionInput in, ScoreStep scores, bool weights,
                  Result& result) const {
  const auto keep = [&](std::vector<float*>& matrices, AttentionLook::Step seen) -> AttentionLook::Step {
    for (std::int64_t s = 0; s < in.queries.sequences(); ++s)
      for (std::int64_t h = 0; h < shape.heads; ++h)
        matrices.push_back(ctx.workspace.get(in.queries.length(s) * in.keys.length(s)));
    return [&, seen = std::move(seen)](const AttentionRows& part) {
      if (seen) seen(part);
      std::copy_n(part.x, part.rows * part.keys,
                  matrices[static_cast<std::size_t>(part.sequence * shape.heads + part.head)] + part.first * part.keys);
    };
  };
  AttentionLook look{probe_step(ctx, taps_.scores, in.queries, false),
                     probe_step(ctx, taps_.weights, in.queries, false)};
  if (scores == ScoreStep::biased) look.scores = keep(result.scores, std::move(look.scores));
  if (weights) look.weights = keep(result.weights, std::move(look.weights));
  if (look.scores || look.weights) attention_look(shape, in, look, result.context);
  if (scores != ScoreStep::scaled && scores != ScoreStep::capped) return;
  AttentionShape plain = shape;  // a look without the steps that follow
  plain.causal = false;
  plain.window = 0;
  if (scores == ScoreStep::scaled) plain.soft_cap = 0;
  in.masks = {};
  attention_look(plain, in, {keep(result.scores, {}), {}}, result.context);
}

Attend::Result Attend::forward(Context& ctx, const AttendStreams& streams, MaskStreams& masks, ScoreStep scores,
                               bool weights) const {
  const BatchStream &query = streams.query, &key = streams.key, &value = streams.value;
  AttentionShape attention = shape(streams);
  attention.first_sequence = ctx.places.first;
  AttentionMasks masked = masks.next(query, key, options_.heads, options_.heads_axis);
  masked.distance = options_.relative.bias(ctx, std::max(query.batch.ragged().longest(), key.batch.ragged().longest()));
  AttentionInput in;
  in.query = turned(ctx, query,
                    {attention.heads, attention.key_width, options_.first_query, taps_.query, taps_.query_rotated});
  const float* turned_key =
      turned(ctx, key, {attention.kv_heads, attention.key_width, options_.first_key, taps_.key, taps_.key_rotated});
  in.key = turned_key;
  in.value = values(ctx, value);
  in.query_stride = query.batch.width;
  in.key_stride = key.batch.width;
  in.value_stride = value.batch.width;
  in.queries = query.batch.ragged();
  in.keys = key.batch.ragged();
  in.masks = masked;

  Result result;
  result.query = in.query;
  result.key = turned_key;
  result.width = attention.heads * attention.value_width;
  result.context = ctx.workspace.get(query.batch.positions() * result.width);
  attention_forward(attention, in, result.context, nullptr);
  look(ctx, attention, in, scores, weights, result);
  ctx.show(taps_.context, result.context, result.width, in.queries);
  return result;
}

void Attend::write_matrices(RecordWriter& writer, const BatchStream& query, const BatchStream& key,
                            const std::vector<float*>& matrices) const {
  write_weights(writer, query.batch, key.batch, options_.heads, options_.heads_axis, matrices.data());
}

}  // namespace pipeformer
