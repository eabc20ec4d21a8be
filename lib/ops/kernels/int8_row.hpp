/// The product of one row with weights of 8 bits as they stand: sums along the rows of both, which are exact and so the
/// same in any order. It keeps up with memory; packing would read and write all weights first.
#pragma once
#include "ops/kernels/int8_dots.hpp"

namespace pipeformer {
namespace {

void int8_row(std::int64_t n, std::int64_t depth, const std::int16_t* a, float scale, const std::int8_t* w,
              const float* scales, const float* bias, float* c) {
  static constexpr float kNoBias = 0;
  for (std::int64_t j = 0; j < n; ++j, w += depth) {
    for (std::int64_t k = 0; k < depth; k += kCacheLine) ask_for_line<2>(w + kAhead + k);
    std::int32_t sum[1] = {};
    for (std::int64_t k = 0; k < depth; ++k) sum[0] += a[k] * static_cast<std::int16_t>(w[k]);
    put_columns(sum, scale, scales + j, bias ? bias + j : &kNoBias, c + j);
  }
}

}  // namespace
}  // namespace pipeformer
