/// Output projection and label-smoothed cross-entropy in one pass over chunks of rows, so that the logits of a whole
/// batch (rows x vocabulary) never exist.
#pragma once
#include <cstdint>

#include "core/workspace.hpp"

namespace pipeformer {

struct CrossEntropy {
  double loss = 0;                     ///< Sum over rows, with label smoothing, in nats.
  double negative_log_likelihood = 0;  ///< Sum over rows of -log p(target): perplexity = exp(this / rows).
  std::int64_t correct = 0;            ///< Rows whose largest logit is the target.
  std::int64_t rows = 0;
  void add(const CrossEntropy&);
};

/// logits = hidden (rows, d) weight^T + bias, weight (vocabulary, d), bias may be null;
///   loss = logsumexp(logits) - (1 - e) logits[target] - e / V sum(logits)          (Szegedy et al. 2016, section 7;
///   PyTorch)
/// When d_hidden is given it is overwritten with the gradient of loss * scale, and d_weight, d_bias are added to. A
/// target of -1 is left out: no loss, no gradient (masked language models).
CrossEntropy cross_entropy(std::int64_t rows, std::int64_t d, std::int64_t vocabulary, const float* hidden,
                           const float* weight, const float* bias, const std::int32_t* targets, float smoothing,
                           float scale, Workspace&, float* d_hidden, float* d_weight, float* d_bias);

/// logits (rows, vocabulary) become log-probabilities, in place.
void log_softmax(std::int64_t rows, std::int64_t vocabulary, float* logits);

}  // namespace pipeformer
