/// A row of logits: its maxima, its normaliser, and the gradient of cross-entropy.
#pragma once
#include "core/logarithm.hpp"
#include "ops/kernels/softmax.hpp"

namespace pipeformer {
namespace {

std::int64_t find_above(std::int64_t first, std::int64_t n, float threshold, const float* x) {
  while (first + kLanes <= n && !(max_lanes(load(x + first)) > threshold)) first += kLanes;
  while (first < n && !(x[first] > threshold)) ++first;
  return first;
}

const float kLowest = -__FLT_MAX__;

/// The maximum of x, and those of its blocks; with SeesNaN it is NaN when an element is NaN or plus infinity. Four
/// maxima side by side, for each waits for the one before.
template <bool SeesNaN>
inline float maxima_of(std::int64_t n, const float* x, float* block_maxima) {
  Vec top = splat(kMinusInfinity), zeros[4] = {};
  for (std::int64_t first = 0; first < n; first += kMaximaBlock) {
    const std::int64_t count = n - first < kMaximaBlock ? n - first : kMaximaBlock;
    Vec highest[4];
    for (Vec& h : highest) h = splat(kMinusInfinity);
    const auto look = [&](int s, Vec v) {
      highest[s] = max(highest[s], v);
      if (SeesNaN) zeros[s] = zeros[s] + max(splat(kLowest), v) * 0.0f;
    };
    std::int64_t i = 0;
    for (; i + 4 * kLanes <= count; i += 4 * kLanes)
#pragma GCC unroll 4
      for (int s = 0; s < 4; ++s) look(s, load(x + first + i + s * kLanes));
    for_vectors(count - i, [&](auto get, auto, std::int64_t) { look(0, get(x + first + i, kMinusInfinity)); });
    const Vec all = max(max(highest[0], highest[1]), max(highest[2], highest[3]));
    if (block_maxima) block_maxima[first / kMaximaBlock] = max_lanes(all);
    top = max(top, all);
  }
  return max_lanes(top) + (SeesNaN ? sum_lanes((zeros[0] + zeros[1]) + (zeros[2] + zeros[3])) : 0.0f);
}

float maxima(std::int64_t n, const float* x, float* block_maxima) {
  return maxima_of<true>(n, x, block_maxima);
}

void logarithms(std::int64_t n, float* x) {
  for (std::int64_t i = 0; i < n; ++i) {
    const auto ln = static_cast<float>(logarithm(static_cast<double>(x[i])));
    x[i] = x[i] > 0.0f ? ln : x[i] == 0.0f ? kMinusInfinity : __builtin_nanf("");
  }
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
