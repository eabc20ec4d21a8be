/// One vector for each sequence, as the model says (`encode --pool model`): pooled, perhaps projected, perhaps divided
/// by its length; forward and backward.
#pragma once
#include <cstdint>

#include "models/transformer.hpp"

namespace pipeformer {

/// What the backward pass needs.
struct SequenceVectors {
  Transformer::Encoded encoded;
  Pooler::Saved pooled;
  OutputHead::Saved head;
  const float* prepared = nullptr;  ///< What the projection read; null: there is none.
  float* lengths = nullptr;         ///< Before they were divided by them; null: they were not.
  float* rows = nullptr;            ///< (sequences, sequence_vector_width()), in the workspace
};

std::int64_t sequence_vector_width(const Configuration&);
/// The vectors of what was pooled, (sequences, c.vector_width()). Returns saved.rows.
const float* finish_vectors(Context&, const Transformer&, std::int64_t sequences, const float* pooled,
                            SequenceVectors& saved);
/// Of a model of head none. Returns saved.rows.
const float* sequence_vectors(Context&, const Transformer&, const Transformer::Source&, SequenceVectors& saved);
/// Adds to the gradients of everything before the vectors.
void sequence_vectors_backward(Context&, const Transformer&, const Transformer::Source&, const SequenceVectors&,
                               const float* d_vectors);

}  // namespace pipeformer
