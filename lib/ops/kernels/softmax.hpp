/// Attention scores become weights, block by block, and their gradient.
#pragma once
#include "ops/kernels/kernels.hpp"
#include "ops/kernels/loops.hpp"
#include "ops/kernels/math.hpp"

namespace pipeformer {
namespace {

const float kMinusInfinity = -__builtin_inff();

/// Rows are independent chains of dependent steps; several are computed side by side to fill the processor.
template <int Rows>
void softmax_group(const MutableMatrixView& block, float factor, const std::int64_t* seen, float* maximum, float* sum,
                   float* correction) {
  float* scores = block.data;
  const std::int64_t n = block.columns, ld = block.stride;
  Wide top[Rows], total[Rows];
  for (int r = 0; r < Rows; ++r) {
    float* row = scores + r * ld;
    top[r] = splat_wide(maximum[r]);
    for (std::int64_t i = 0; i < n; i += kWideLanes) {
      Wide v = splat_wide(kMinusInfinity);
      if (i + kWideLanes <= seen[r])
        v = load_wide(row + i) * factor;
      else if (i < seen[r])
        v = keep_first(load_wide(row + i) * factor, seen[r] - i, kMinusInfinity);
      store(row + i, v);
      top[r] = max(top[r], v);
    }
  }
  Vec before{}, after{};
  float shift[Rows];
  for (int r = 0; r < Rows; ++r) {
    const float m = max_lanes(top[r]);
    before[r] = maximum[r];
    // Everything masked so far: exp(-inf - 0) = 0.
    shift[r] = m == kMinusInfinity ? 0.0f : m;
    after[r] = m;
    maximum[r] = m;
  }
  for (std::int64_t i = 0; i < n; i += kWideLanes)
    for (int r = 0; r < Rows; ++r) {
      const Wide e = exp(load_wide(scores + r * ld + i) - shift[r]);
      store(scores + r * ld + i, e);
      total[r] = total[r] + e;
    }
  const Vec change = exp(before - after);
  for (int r = 0; r < Rows; ++r) {
    correction[r] = maximum[r] == kMinusInfinity ? 1.0f : change[r];
    sum[r] = sum[r] * correction[r] + sum_lanes(total[r]);
  }
}
void softmax_rows(const MutableMatrixView& scores, float factor, const std::int64_t* seen, float* maximum, float* sum,
                  float* correction) {
  constexpr int kGroup = 4;
  MutableMatrixView rest = scores;
  std::int64_t r = 0;
  for (; r + kGroup <= scores.rows; r += kGroup, rest.data += kGroup * rest.stride)
    softmax_group<kGroup>(rest, factor, seen + r, maximum + r, sum + r, correction + r);
  const auto last = [&](auto group) { group(rest, factor, seen + r, maximum + r, sum + r, correction + r); };
  if (scores.rows - r == 3) last(softmax_group<3>);
  if (scores.rows - r == 2) last(softmax_group<2>);
  if (scores.rows - r == 1) last(softmax_group<1>);
}
void exp_shifted(std::int64_t n, float shift, float* scores) {
  for_vectors(n, [&](auto get, auto put, std::int64_t) { put(scores, exp(get(scores) - shift)); });
}
float dot(std::int64_t n, const float* p, const float* q) {
  Wide sum;
  for_wide(n, [&](auto get, auto) { sum = fused(get(p), get(q), sum); });
  return sum_lanes(sum);
}
void softmax_backward(std::int64_t n, const float* p, float delta, float factor, float* dp) {
  for_vectors(n, [&](auto get, auto put, std::int64_t) { put(dp, get(p) * (get(dp) - delta) * factor); });
}

}  // namespace
}  // namespace pipeformer
