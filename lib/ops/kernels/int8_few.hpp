/// Products of a few rows with weights of 8 bits as they stand: sums along the rows of both, which are exact and so the
/// same in any order. They keep up with memory; packing would read and write all weights first.
#pragma once
#include "ops/kernels/int8_rows.hpp"

namespace pipeformer {
namespace {

void int8_few(const Int8Rows& a, std::int64_t depth, const std::int8_t* w, const float* scales, const float* bias,
              const MutableMatrixView& c) {
  const auto* rows = static_cast<const std::int16_t*>(a.q);
  constexpr std::int64_t kAhead = 8192;  // bytes: the processor's own reading ahead ends with each page
  for (std::int64_t j = 0; j < c.columns; ++j, w += depth) {
    for (std::int64_t k = 0; k < depth; k += kCacheLine) ask_for_line<2>(w + kAhead + k);
    for (std::int64_t r = 0; r < c.rows; ++r) {
      const std::int16_t* row = rows + r * a.stride;
      std::int32_t sum = 0;
      for (std::int64_t k = 0; k < depth; ++k) sum += row[k] * static_cast<std::int16_t>(w[k]);
      c.data[r * c.stride + j] =
          __builtin_fmaf(static_cast<float>(sum), a.scales[r] * scales[j], bias ? bias[j] : 0.0f);
    }
  }
}

}  // namespace
}  // namespace pipeformer
