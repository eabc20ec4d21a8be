#include "cli/attend.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/error.hpp"
#include "layers/multihead_attention.hpp"

namespace pipeformer {

AttentionShape Attend::shape(const BatchStream& query, const BatchStream& key, const BatchStream& value) const {
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
  if (options_.rotary) {
    const std::int64_t turned = rotary_width(shape.key_width);
    require(turned % 2 == 0, query.where_record(0), ": rotary positions need an even head width, not ", turned);
    require(turned <= shape.key_width, query.where_record(0), ": a head has ", shape.key_width, " columns, not ",
            turned, " to turn");
    const RotaryScaling scaling = options_.rotary->scaling;
    require(scaling != RotaryScaling::dynamic || turned > 2, query.where_record(0),
            ": dynamic scaling turns more than 2 columns");
    if (scaling == RotaryScaling::longrope)
      for (const auto* factors : {&options_.rotary->short_factors, &options_.rotary->long_factors})
        require(std::ssize(*factors) == turned / 2, query.where_record(0), ": a head that turns ", turned,
                " columns needs ", turned / 2, " short and long factors, not ", factors->size());
  }
  shape.scale = options_.scale.value_or(static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.key_width))));
  shape.soft_cap = options_.soft_cap;
  shape.causal = options_.causal;
  shape.window = options_.window;
  shape.dropout = options_.dropout;
  shape.dropout_seed = options_.seed;
  return shape;
}

const float* Attend::turned(Context& ctx, const BatchStream& stream, std::int64_t heads,
                            std::int64_t head_width) const {
  const Batch& batch = stream.batch;
  if (!options_.rotary) return batch.rows.data();
  float* rows = ctx.workspace.get(batch.positions() * batch.width);
  std::memcpy(rows, batch.rows.data(), batch.rows.size() * sizeof(float));
  RotarySpec spec = *options_.rotary;
  spec.width = rotary_width(head_width);
  const RowPositions positions = rotary_positions(ctx.workspace, batch.ragged(), spec);
  rotate(spec, {batch.positions(), heads, head_width, batch.width}, positions, false, rows);
  return rows;
}

Attend::Result Attend::forward(Context& ctx, const BatchStream& query, const BatchStream& key, const BatchStream& value,
                               MaskStreams& masks, std::int64_t first_sequence, ScoreStep scores, bool weights) const {
  AttentionShape attention = shape(query, key, value);
  attention.first_sequence = first_sequence;
  AttentionMasks masked = masks.next(query, key, options_.heads, options_.heads_axis);
  masked.distance = options_.relative.bias(ctx, std::max(query.batch.ragged().longest(), key.batch.ragged().longest()));
  AttentionInput in;
  in.query = turned(ctx, query, attention.heads, attention.key_width);
  const float* turned_key = turned(ctx, key, attention.kv_heads, attention.key_width);
  in.key = turned_key;
  in.value = value.batch.rows.data();
  in.query_stride = query.batch.width;
  in.key_stride = key.batch.width;
  in.value_stride = value.batch.width;
  in.queries = query.batch.ragged();
  in.keys = key.batch.ragged();
  in.masks = masked;

  Result result;
  result.query = in.query;
  result.key = turned_key;
  const auto keep = [&](std::vector<float*>& matrices) -> AttentionLook::Step {
    for (std::int64_t s = 0; s < in.queries.sequences(); ++s)
      for (std::int64_t h = 0; h < attention.heads; ++h)
        matrices.push_back(ctx.workspace.get(in.queries.length(s) * in.keys.length(s)));
    return [&](const AttentionRows& part) {
      std::copy_n(
          part.x, part.rows * part.keys,
          matrices[static_cast<std::size_t>(part.sequence * attention.heads + part.head)] + part.first * part.keys);
    };
  };
  result.width = attention.heads * attention.value_width;
  float* context = ctx.workspace.get(query.batch.positions() * result.width);
  attention_forward(attention, in, context, nullptr);
  if (scores == ScoreStep::biased || weights) {
    AttentionLook look;
    if (scores == ScoreStep::biased) look.scores = keep(result.scores);
    if (weights) look.weights = keep(result.weights);
    attention_look(attention, in, look, context);
  }
  if (scores == ScoreStep::scaled || scores == ScoreStep::capped) {  // a look without the steps that follow
    AttentionShape plain = attention;
    plain.causal = false;
    plain.window = 0;
    if (scores == ScoreStep::scaled) plain.soft_cap = 0;
    in.masks = {};
    attention_look(plain, in, {keep(result.scores), {}}, context);
  }
  result.context = context;
  return result;
}

void Attend::write_matrices(RecordWriter& writer, const BatchStream& query, const BatchStream& key,
                            const std::vector<float*>& matrices) const {
  write_weights(writer, query.batch, key.batch, options_.heads, options_.heads_axis, matrices.data());
}

}  // namespace pipeformer
