#include "ops/logits.hpp"

#include "ops/kernels/kernels.hpp"

namespace pipeformer {

float maxima(std::int64_t n, const float* x, float* block_maxima) {
  return kernels().maxima(n, x, block_maxima);
}

void log_sum_exp(std::int64_t n, const float* x, float* maximum, float* sum, float* block_maxima) {
  kernels().log_sum_exp(n, x, maximum, sum, block_maxima);
}

std::int64_t find_above(std::int64_t first, std::int64_t n, float threshold, const float* x) {
  return kernels().find_above(first, n, threshold, x);
}

void exp_shifted(std::int64_t n, float shift, float* x) {
  kernels().exp_shifted(n, shift, x);
}

void logarithms(std::int64_t n, float* x) {
  kernels().logarithms(n, x);
}

}  // namespace pipeformer
