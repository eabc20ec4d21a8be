#include "models/sequence_vectors.hpp"

#include <algorithm>

#include "ops/pooling.hpp"

namespace pipeformer {

std::int64_t sequence_vector_width(const Configuration& c) {
  return c.projection > 0 ? c.projection : c.vector_width();
}

const float* finish_vectors(Context& ctx, const Transformer& model, std::int64_t sequences, const float* pooled,
                            SequenceVectors& saved) {
  const Configuration& c = model.configuration();
  const std::int64_t width = sequence_vector_width(c);
  saved.rows = ctx.workspace.get(sequences * width);
  if (c.projection > 0) {
    const std::vector<std::int64_t> one_each = one_row_each(sequences);
    saved.prepared = model.head().prepare(ctx, {one_each}, pooled, saved.head);
    model.head().project(ctx, {one_each}, saved.prepared, saved.rows);
  } else {
    std::copy_n(pooled, sequences * width, saved.rows);
  }
  if (c.normalize) {
    saved.lengths = ctx.workspace.get(sequences);
    normalize_rows(sequences, width, saved.rows, saved.lengths);
  }
  return saved.rows;
}

const float* sequence_vectors(Context& ctx, const Transformer& model, const Transformer::Source& source,
                              SequenceVectors& saved) {
  model.encode(ctx, source, saved.encoded);
  const float* pooled = model.pool(ctx, source, saved.encoded, saved.pooled);
  return finish_vectors(ctx, model, source.ragged.sequences(), pooled, saved);
}

void sequence_vectors_backward(Context& ctx, const Transformer& model, const Transformer::Source& source,
                               const SequenceVectors& saved, const float* d_vectors) {
  const Configuration& c = model.configuration();
  const std::int64_t sequences = source.ragged.sequences(), width = sequence_vector_width(c);
  if (c.normalize) {
    float* d = ctx.workspace.get(sequences * width);
    normalize_rows_backward(sequences, width, saved.rows, saved.lengths, d_vectors, d);
    d_vectors = d;
  }
  if (c.projection > 0) {
    const Linear& projection = model.head().projection();
    float* d = ctx.workspace.get(sequences * std::max(projection.in(), c.vector_width()));
    const std::vector<std::int64_t> one_each = one_row_each(sequences);
    model.head().show_gradient(ctx, {one_each}, d_vectors);
    projection.backward(sequences, saved.prepared, d_vectors, d, false);
    model.head().backward(ctx, {one_each}, saved.head, d, d);
    d_vectors = d;
  }
  float* d_memory = ctx.workspace.get(saved.encoded.ragged.rows() * c.width);
  model.pooler().backward(ctx, saved.pooled, d_vectors, d_memory);
  model.encode_backward(ctx, source, saved.encoded, d_memory);
}

}  // namespace pipeformer
