/// The loss of spans: where one begins and where it ends, each a choice among the positions of its sequence.
#pragma once
#include "core/ragged.hpp"
#include "ops/cross_entropy.hpp"

namespace pipeformer {

/// logits (ragged.rows(), 2); targets (sequences, 2): the rows of the sequence that the span begins and ends with, from
/// 0; -1, -1 leaves a sequence out. Each of both is an answer:
///   loss = logsumexp_t(logits[t][k]) - (1 - e) logits[target][k] - e / T sum_t(logits[t][k])
/// over the T rows of the sequence (Devlin et al. 2019, section 4.2); both count as correct only together. When
/// d_logits (ragged.rows(), 2) is given it is overwritten with the gradient of loss * scale.
LossSums span_cross_entropy(const Ragged&, const float* logits, const std::int32_t* targets, const CrossEntropyForm&,
                            float* d_logits);

}  // namespace pipeformer
