/// LayerNorm and RMSNorm, and their gradients.
#pragma once
#include "ops/kernels/kernels.hpp"
#include "ops/kernels/loops.hpp"

namespace pipeformer {
namespace {

RowStatistics layer_norm(std::int64_t n, const float* x, const float* gamma, const float* beta, float epsilon,
                         float* y) {
  Wide sum;
  for_wide(n, [&](auto get, auto) { sum = sum + get(x); });
  const float mu = sum_lanes(sum) / static_cast<float>(n);
  Wide squares;
  for_wide(n, [&](auto get, auto) {
    const Wide d = get(x, mu) - mu;
    squares = fused(d, d, squares);
  });
  const float r = 1.0f / __builtin_sqrtf(sum_lanes(squares) / static_cast<float>(n) + epsilon);
  for_vectors(n, [&](auto get, auto put, std::int64_t) {
    const Vec normal = (get(x) - mu) * r;
    put(y, beta ? fused(normal, get(gamma), get(beta)) : normal * get(gamma));
  });
  return {mu, r};
}
RowStatistics rms_norm(std::int64_t n, const float* x, const float* gamma, float epsilon, float* y) {
  Wide squares;
  for_wide(n, [&](auto get, auto) {
    const Wide v = get(x);
    squares = fused(v, v, squares);
  });
  const float r = 1.0f / __builtin_sqrtf(sum_lanes(squares) / static_cast<float>(n) + epsilon);
  for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, get(x) * r * get(gamma)); });
  return {0.0f, r};
}
void norm_backward(std::int64_t n, const float* x, const float* gamma, RowStatistics row, bool centred, const float* dy,
                   float* dx) {
  const float mean = row.mean, rstd = row.rstd;
  // With g = dy * gamma and xhat = (x - mean) * rstd:  dx = rstd * (g - mean(g) - xhat * mean(g * xhat)); RMS has no
  // mean(g).
  Wide sum_g, sum_gx;
  for_wide(n, [&](auto get, auto) {
    const Wide g = get(dy) * get(gamma);
    sum_g = sum_g + g;
    sum_gx = fused(g, (get(x, mean) - mean) * rstd, sum_gx);
  });
  const float mean_g = centred ? sum_lanes(sum_g) / static_cast<float>(n) : 0.0f;
  const float mean_gx = sum_lanes(sum_gx) / static_cast<float>(n);
  for_vectors(n, [&](auto get, auto put, std::int64_t) {
    const Vec g = get(dy) * get(gamma);
    put(dx, rstd * fused((get(x) - mean) * rstd, -mean_gx, g - mean_g));
  });
}
void norm_parameters_backward(const MatrixView& in, const float* dy, const float* mean, const float* rstd,
                              float* dgamma, float* dbeta) {
  const std::int64_t n = in.columns;
  const float* x = in.data;
  for (std::int64_t r = 0; r < in.rows; ++r, x += in.stride, dy += in.stride) {
    const float mu = mean ? mean[r] : 0.0f, s = rstd[r];
    for_vectors(n, [&](auto get, auto put, std::int64_t) {
      const Vec g = get(dy);
      put(dgamma, fused(g, (get(x) - mu) * s, get(dgamma)));
      if (dbeta) put(dbeta, get(dbeta) + g);
    });
  }
}
void column_sums(std::int64_t rows, std::int64_t n, const float* x, std::int64_t ld, float* sums) {
  for (std::int64_t r = 0; r < rows; ++r, x += ld)
    for_vectors(n, [&](auto get, auto put, std::int64_t) { put(sums, get(sums) + get(x)); });
}

}  // namespace
}  // namespace pipeformer
