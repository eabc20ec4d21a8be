/// LayerNorm and RMSNorm, and their gradients.
#pragma once
#include "ops/kernels/kernels.hpp"
#include "ops/kernels/loops.hpp"

namespace pipeformer {
namespace {

/// A row is steps that wait for each other; several are computed side by side to fill the processor.
template <int Rows>
void layer_norm_group(std::int64_t n, const float* x, const float* gamma, const float* beta, float epsilon, float* y,
                      float* mean, float* rstd) {
  Wide sum[Rows], squares[Rows];
  float mu[Rows];
  for_wide(n, [&](auto get, auto) {
    for (int r = 0; r < Rows; ++r) sum[r] = sum[r] + get(x + r * n);
  });
  for (int r = 0; r < Rows; ++r) mean[r] = mu[r] = sum_lanes(sum[r]) / static_cast<float>(n);
  for_wide(n, [&](auto get, auto) {
    for (int r = 0; r < Rows; ++r) {
      const Wide d = get(x + r * n, mu[r]) - mu[r];
      squares[r] = fused(d, d, squares[r]);
    }
  });
  float scale[Rows];
  for (int r = 0; r < Rows; ++r)
    rstd[r] = scale[r] = 1.0f / __builtin_sqrtf(sum_lanes(squares[r]) / static_cast<float>(n) + epsilon);
  for_vectors(n, [&](auto get, auto put, std::int64_t) {
    const Vec g = get(gamma), b = beta ? get(beta) : Vec{};
    for (int r = 0; r < Rows; ++r) {
      const Vec normal = (get(x + r * n) - mu[r]) * scale[r];
      put(y + r * n, beta ? fused(normal, g, b) : normal * g);
    }
  });
}
template <int Rows>
void rms_norm_group(std::int64_t n, const float* x, const float* gamma, const float*, float epsilon, float* y,
                    float* mean, float* rstd) {
  Wide squares[Rows];
  for_wide(n, [&](auto get, auto) {
    for (int r = 0; r < Rows; ++r) {
      const Wide v = get(x + r * n);
      squares[r] = fused(v, v, squares[r]);
    }
  });
  float scale[Rows];
  for (int r = 0; r < Rows; ++r) {
    mean[r] = 0.0f;
    rstd[r] = scale[r] = 1.0f / __builtin_sqrtf(sum_lanes(squares[r]) / static_cast<float>(n) + epsilon);
  }
  for_vectors(n, [&](auto get, auto put, std::int64_t) {
    const Vec g = get(gamma);
    for (int r = 0; r < Rows; ++r) put(y + r * n, get(x + r * n) * scale[r] * g);
  });
}

using NormGroup = decltype(&layer_norm_group<1>);
template <NormGroup Four, NormGroup One>
void norm_rows(std::int64_t rows, std::int64_t n, const float* x, const float* gamma, const float* beta, float epsilon,
               float* y, float* mean, float* rstd) {
  constexpr std::int64_t kNear = 1024;  // rows of which four stay in the first-level cache
  std::int64_t r = 0;
  for (; n <= kNear && r + 4 <= rows; r += 4) Four(n, x + r * n, gamma, beta, epsilon, y + r * n, mean + r, rstd + r);
  for (; r < rows; ++r) One(n, x + r * n, gamma, beta, epsilon, y + r * n, mean + r, rstd + r);
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
