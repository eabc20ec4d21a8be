/// The one distribution that the models of an ensemble make.
#pragma once
#include <cstdint>
#include <functional>
#include <span>

#include "search/candidates.hpp"

namespace pipeformer {

/// By the mean of their probabilities, or that of their log-probabilities (a geometric mean, which is not normalised).
enum class EnsembleMean { probabilities, logs };

/// What a model makes of some rows, (rows, its width).
struct HeadInput {
  const OutputHead* head;
  const float* hidden;
};

/// As for_logits, of several models with one vocabulary: log-probabilities, of which the log_sum is 0, in the place of
/// logits. They are in `memory` meanwhile.
void for_mixture(Context&, EnsembleMean, std::span<const HeadInput> models, std::int64_t rows, Buffer<float>& memory,
                 const std::function<void(std::int64_t row, RowOfLogits&)>& body);

}  // namespace pipeformer
