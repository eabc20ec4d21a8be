/// The loss of pairs: which vectors of a batch belong together (Radford et al. 2021, CLIP, figure 3).
#pragma once
#include <array>
#include <cstdint>

#include "core/workspace.hpp"
#include "ops/cross_entropy.hpp"

namespace pipeformer {

/// Row i of both belongs together; each (pairs, width), of length 1 where the products are to be cosines.
struct PairVectors {
  std::int64_t pairs = 0, width = 0;
  const float *source = nullptr, *target = nullptr;
  float log_scale = 0;  ///< Products are multiplied by exp(log_scale).
};

/// Gradients, which are added to.
struct PairGradients {
  float *source = nullptr, *target = nullptr;
  float* log_scale = nullptr;
};

constexpr std::array<std::int64_t, 3> kRecallDepths{1, 5, 10};

struct PairCrossEntropy {
  LossSums total;  ///< Of both directions: each pair has two answers.
  /// Pairs whose target is among the best 1, 5 and 10 for its source, and the other way round. Of equals the first one
  /// is the better one, as in `nearest`.
  std::array<std::int64_t, 3> targets_found{}, sources_found{};
};

/// logits = exp(log_scale) source target^T (pairs, pairs); the loss is the cross-entropy of each row and of each
/// column, whose right answer is the one on the diagonal (form.smoothing as in cross_entropy; no soft cap). With
/// gradients (may be null) those of loss * form.scale are added. The logits are computed by chunks of rows and never
/// stored as a whole.
PairCrossEntropy pair_cross_entropy(const PairVectors&, const CrossEntropyForm&, Workspace&, const PairGradients*);

}  // namespace pipeformer
