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

/// The operations of elementary::log on doubles, without its cases: the same bits.
void logarithms(std::int64_t n, float* x) {
  constexpr double kTerms[] = {2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11, 2.0 / 13,
                               2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21, 2.0 / 23};
  constexpr double kLn2High = 0x1.62e42fefa38p-1, kLn2Low = 0x1.ef35793c7673p-45;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t bits = __builtin_bit_cast(std::int64_t, static_cast<double>(x[i]));
    // x = m 2^exponent, m in [1/2, 1), then in [sqrt 1/2, sqrt 2).
    const double half = __builtin_bit_cast(double, (bits & 0xfffffffffffff) | 0x3fe0000000000000);
    const bool low = half < 0.70710678118654752440;
    const double m = low ? half * 2.0 : half;
    const double whole = __builtin_bit_cast(double, (bits >> 52) + 0x4330000000000000) - (0x1p52 + 1022.0);
    const double exponent = low ? whole - 1.0 : whole, f = m - 1.0, s = f / (2.0 + f), square = s * s;
    double sum = kTerms[10];
#pragma GCC unroll 10
    for (int t = 9; t >= 0; --t) sum = sum * square + kTerms[t];
    const double small = s * (square * sum - f);
    const double log = exponent * kLn2High + (f + (small + exponent * kLn2Low));
    x[i] = x[i] > 0.0f ? static_cast<float>(log) : x[i] == 0.0f ? kMinusInfinity : __builtin_nanf("");
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
