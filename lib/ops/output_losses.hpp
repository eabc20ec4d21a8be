/// The losses of outputs of which each stands for itself: numbers, and labels that hold or do not.
#pragma once
#include <cstdint>

#include "ops/cross_entropy.hpp"

namespace pipeformer {

/// x, targets (rows, n); each element is an answer:
///   loss = (x - target)^2                                                        (torch.nn.MSELoss)
/// Nothing counts as correct. When d_x (rows, n) is given it is overwritten with the gradient of loss * scale; may be
/// x.
LossSums squared_error(std::int64_t rows, std::int64_t n, const float* x, const float* targets,
                       const CrossEntropyForm& form, float* d_x);

/// x, logits, and targets (0 to 1) (rows, n); each element is an answer:
///   loss = -w target ln s(x) - (1 - target) ln(1 - s(x)),    s(x) = 1 / (1 + e^-x)   (torch.nn.BCEWithLogitsLoss)
/// w: form.weights of the column (its pos_weight), or 1. Correct is whose sign says whether the target is above a half.
/// d_x as above.
LossSums binary_cross_entropy(std::int64_t rows, std::int64_t n, const float* x, const float* targets,
                              const CrossEntropyForm& form, float* d_x);

/// s(x), in place.
void sigmoid(std::int64_t count, float* x);

}  // namespace pipeformer
