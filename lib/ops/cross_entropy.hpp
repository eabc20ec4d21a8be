/// Output projection and label-smoothed cross-entropy in one pass over chunks of rows, so that the logits of a whole
/// batch (rows x vocabulary) never exist.
#pragma once
#include <cstdint>

#include "core/workspace.hpp"
#include "ops/weight.hpp"

namespace pipeformer {

/// What losses are sums of, over answers.
struct LossSums {
  double loss = 0;                     ///< With label smoothing, in nats.
  double negative_log_likelihood = 0;  ///< Sum of -log p(target), weighted: perplexity = exp(this / weight).
  std::int64_t correct = 0;            ///< Rows whose largest logit is the target.
  std::int64_t rows = 0;               ///< How many answers.
  double weight = 0;                   ///< The sum of their weights, by which a mean loss is divided.
  void add(const LossSums&);
};

/// The layer that turns hidden states (rows, d) into logits.
struct OutputProjection {
  WeightView weight;            ///< (vocabulary, d)
  const float* bias = nullptr;  ///< (vocabulary); may be null
  PackedView packed;            ///< The weight packed by pack_nt, and by pack_nn, when somebody keeps them.
  PackedView packed_back;
  float* d_weight = nullptr;  ///< Gradients, which are added to.
  float* d_bias = nullptr;
};

struct CrossEntropyForm {
  float smoothing = 0;             ///< e: the share of the target's probability that all tokens divide.
  float scale = 1;                 ///< Multiplies the gradient, not the loss that is returned.
  float soft_cap = 0;              ///< Logits l become cap * tanh(l / cap) first; 0: they do not.
  const float* weights = nullptr;  ///< Of each class; null: all 1.
  /// Of cross_entropy, for one who looks: (rows, vocabulary), takes the gradient of loss * scale with respect to the
  /// logits as the loss reads them.
  float* d_logits = nullptr;
};

/// logits = hidden (rows, d) weight^T + bias;
///   loss = logsumexp(logits) - (1 - e) logits[target] - e / V sum(logits)          (Szegedy et al. 2016, section 7;
///   PyTorch)
/// With weights w, and V classes,
///   loss = (1 - e) w[target] (logsumexp(logits) - logits[target]) + e / V sum_v w[v] (logsumexp(logits) - logits[v]),
/// whose mean is the sum over that of w[target] (torch.nn.CrossEntropyLoss); they know no soft cap.
/// When d_hidden is given it is overwritten with the gradient of loss * scale, and d_weight, d_bias are added to. A
/// target of -1 is left out: no loss, no gradient (masked language models).
LossSums cross_entropy(const OutputProjection&, std::int64_t rows, const float* hidden, const std::int32_t* targets,
                       const CrossEntropyForm&, Workspace&, float* d_hidden);

}  // namespace pipeformer
