/// A row of logits: its maxima, its normaliser, and the gradient of cross-entropy.
#pragma once
#include "ops/kernels/softmax.hpp"

namespace pipeformer {
namespace {

std::int64_t find_above(std::int64_t first, std::int64_t n, float threshold, const float* x) {
  while (first + kLanes <= n && !(max_lanes(load(x + first)) > threshold)) first += kLanes;
  while (first < n && !(x[first] > threshold)) ++first;
  return first;
}

/// The maximum of x, and those of its blocks. Looks: *zero becomes NaN when an element is infinite or NaN. Several
/// maxima side by side, for each waits for the one before.
template <bool Looks>
inline float maxima_of(std::int64_t n, const float* x, float* block_maxima, float* zero = nullptr) {
  constexpr int kSideBySide = 4;
  Vec top = splat(kMinusInfinity), zeros[kSideBySide] = {};
  for (std::int64_t first = 0; first < n; first += kMaximaBlock) {
    const std::int64_t count = n - first < kMaximaBlock ? n - first : kMaximaBlock;
    Vec highest[kSideBySide];
    for (Vec& h : highest) h = splat(kMinusInfinity);
    std::int64_t i = 0;
    for (; i + kSideBySide * kLanes <= count; i += kSideBySide * kLanes)
#pragma GCC unroll 4
      for (int s = 0; s < kSideBySide; ++s) {
        const Vec v = load(x + first + i + s * kLanes);
        highest[s] = max(highest[s], v);
        if (Looks) zeros[s] = fused(v, 0.0f, zeros[s]);
      }
    for_vectors(count - i, [&](auto get, auto, std::int64_t) {
      highest[0] = max(highest[0], get(x + first + i, kMinusInfinity));
      if (Looks) zeros[0] = fused(get(x + first + i), 0.0f, zeros[0]);
    });
    const Vec all = max(max(highest[0], highest[1]), max(highest[2], highest[3]));
    if (block_maxima) block_maxima[first / kMaximaBlock] = max_lanes(all);
    top = max(top, all);
  }
  if (Looks) *zero = sum_lanes((zeros[0] + zeros[1]) + (zeros[2] + zeros[3]));
  return max_lanes(top);
}

float maxima(std::int64_t n, const float* x, float* block_maxima) {
  float zero;
  const float top = maxima_of<true>(n, x, block_maxima, &zero);
  if (zero == 0.0f) return top;
  // An element is infinite or NaN, which maxima pass over. Minus infinity may be, the others may not.
  for (std::int64_t i = 0; i < n; ++i)
    if (!(x[i] <= __FLT_MAX__)) return __builtin_nanf("");
  return top;
}

void log_sum_exp(std::int64_t n, const float* x, float* maximum, float* sum, float* block_maxima) {
  const float m = maxima_of<false>(n, x, block_maxima);
  Wide total;
  for_wide(n, [&](auto get, auto) { total = total + exp(get(x, kMinusInfinity) - m); });
  *maximum = m;
  *sum = sum_lanes(total);
}
float cross_entropy_row(std::int64_t n, float maximum, float sum, float smoothing, std::int64_t target, float factor,
                        float* logits) {
  const float inverse = factor / sum, share = factor * smoothing / static_cast<float>(n);
  Wide total;
  for_wide(n, [&](auto get, auto put) {
    const Wide v = get(logits);
    total = total + v;
    put(logits, fused(exp(v - maximum), splat_wide(inverse), splat_wide(-share)));
  });
  logits[target] -= factor * (1.0f - smoothing);
  return sum_lanes(total);
}

}  // namespace
}  // namespace pipeformer
