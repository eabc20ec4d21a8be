/// The product of one row with weights of 8 bits as they stand: sums along the rows of both, which are exact and so the
/// same in any order. It keeps up with memory; packing would read and write all weights first.
#pragma once
#include "ops/kernels/int8_rows.hpp"

namespace pipeformer {
namespace {

void int8_row(std::int64_t n, std::int64_t depth, const std::int16_t* a, float scale, const std::int8_t* w,
              const float* scales, const float* bias, float* c) {
  constexpr std::int64_t kAhead = 8192;  // bytes: the processor's own reading ahead ends with each page
  for (std::int64_t j = 0; j < n; ++j, w += depth) {
    for (std::int64_t k = 0; k < depth; k += kCacheLine) ask_for_line<2>(w + kAhead + k);
    std::int32_t sum = 0;
    for (std::int64_t k = 0; k < depth; ++k) sum += a[k] * static_cast<std::int16_t>(w[k]);
    c[j] = __builtin_fmaf(static_cast<float>(sum), scale * scales[j], bias ? bias[j] : 0.0f);
  }
}

}  // namespace
}  // namespace pipeformer
