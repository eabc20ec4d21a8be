/// A row of logits: its maxima, its normalizer, and the search for its largest elements. On the calling thread.
#pragma once
#include <cstdint>

#include "ops/kernel_types.hpp"

namespace pipeformer {

/// The maximum of n logits, NaN when one of them is NaN or plus infinity; block_maxima takes the maximum of each
/// kMaximaBlock elements.
float maxima(std::int64_t n, const float* x, float* block_maxima);
/// Maximum and sum of exp(x - maximum) of n logits; block_maxima may be null.
void log_sum_exp(std::int64_t n, const float* x, float* maximum, float* sum, float* block_maxima);
/// The first element of [first, n) that is above the threshold; n when there is none.
std::int64_t find_above(std::int64_t first, std::int64_t n, float threshold, const float* x);
/// x (n) becomes exp(x - shift).
void exp_shifted(std::int64_t n, float shift, float* x);
/// x (n), finite and none below 0, becomes ln x: elementary::log of it, rounded to float32.
void logarithms(std::int64_t n, float* x);

}  // namespace pipeformer
