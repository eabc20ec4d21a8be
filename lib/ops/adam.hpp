/// The update of Adam and AdamW, and the norm that gradients are clipped by.
#pragma once
#include <cstdint>

#include "ops/kernel_types.hpp"

namespace pipeformer {

/// Updates n weights and their first and second moments.
void adam(std::int64_t n, const AdamStep&, const float* gradient, float* weight, float* first_moment,
          float* second_moment);

/// The sum of the squares of n elements, in one order whatever the threads.
double sum_squares(std::int64_t n, const float* x);

}  // namespace pipeformer
