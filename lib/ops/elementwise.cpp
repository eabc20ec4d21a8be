#include "ops/elementwise.hpp"

#include <algorithm>

#include "core/random.hpp"
#include "core/threads.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t kGrain = 16384;  // elements below which a piece is not worth another thread

std::int64_t row_grain(std::int64_t n) {
  return std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(n, 1));
}

}  // namespace

// Pieces of flat loops begin at multiples of kGrain, which every vector width divides.
void add(std::int64_t count, const float* a, const float* b, float* y) {
  parallel_for(count, kGrain, [&](std::int64_t i, std::int64_t end) { kernels().add(end - i, a + i, b + i, y + i); });
}
void scale(std::int64_t count, float alpha, float* y) {
  parallel_for(count, kGrain, [&](std::int64_t i, std::int64_t end) { kernels().scale(end - i, alpha, y + i); });
}
void soft_cap(std::int64_t count, float cap, float* x, float* tangents) {
  kernels().scale(count, 1.0f / cap, x);
  kernels().activation(Activation::tanh, count, x, x);
  if (tangents) std::copy_n(x, count, tangents);
  kernels().scale(count, cap, x);
}

void soft_cap_backward(std::int64_t count, const float* tangents, float* dx) {
  for (std::int64_t i = 0; i < count; ++i) dx[i] *= 1.0f - tangents[i] * tangents[i];
}

void multiply(std::int64_t count, const float* a, const float* b, float* y) {
  parallel_for(count, kGrain,
               [&](std::int64_t i, std::int64_t end) { kernels().multiply(end - i, a + i, b + i, y + i); });
}

void activation(Activation kind, std::int64_t rows, std::int64_t n, const float* x, float* y) {
  parallel_for(rows, row_grain(n), [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r) kernels().activation(kind, n, x + r * n, y + r * n);
  });
}
void activation_backward(Activation kind, std::int64_t rows, std::int64_t n, const float* x, const float* dy,
                         float* dx) {
  parallel_for(rows, row_grain(n), [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r) kernels().activation_backward(kind, n, x + r * n, dy + r * n, dx + r * n);
  });
}

void scale_columns(std::int64_t rows, std::int64_t n, const float* x, const float* scale, float* y) {
  parallel_for(rows, 16, [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r) kernels().multiply(n, x + r * n, scale, y + r * n);
  });
}

void scale_columns_backward(std::int64_t rows, std::int64_t n, const float* x, const float* scale, const float* dy,
                            float* dx, float* d_scale) {
  // By columns, so that each of the sums is one thread's, in the order of the rows.
  parallel_for(n, 64, [&](std::int64_t c, std::int64_t end) {
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t i = c; i < end; ++i) d_scale[i] += dy[r * n + i] * x[r * n + i];
  });
  scale_columns(rows, n, dy, scale, dx);
}

void dropout(float p, std::uint64_t seed, std::int64_t first_row, std::int64_t rows, std::int64_t n, const float* x,
             float* y) {
  const auto threshold = static_cast<std::uint32_t>(static_cast<double>(p) * 4294967296.0);
  parallel_for(rows, row_grain(n), [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r)
      kernels().dropout(n, static_cast<std::uint32_t>(derive_seed(seed, static_cast<std::uint64_t>(first_row + r))),
                        threshold, 1.0f / (1.0f - p), x + r * n, y + r * n);
  });
}

void norm(const NormShape& shape, const MatrixView& in, const float* gamma, const float* beta, float* y,
          const NormStatistics& statistics) {
  const std::int64_t rows = in.rows, n = in.columns;
  const float* x = in.data;
  float *mean = statistics.mean, *rstd = statistics.rstd;
  parallel_for(rows, row_grain(n), [&](std::int64_t r, std::int64_t end) {
    const auto rows_of = shape.rms ? kernels().rms_norm : kernels().layer_norm;
    rows_of(end - r, n, x + r * n, gamma, beta, shape.epsilon, y + r * n, mean + r, rstd + r);
  });
}

void norm_backward(const NormShape& shape, const MatrixView& in, const float* gamma, const NormStatistics& statistics,
                   const float* dy, float* dx, const NormGradients& gradients) {
  const std::int64_t rows = in.rows, n = in.columns;
  const float* x = in.data;
  const float *mean = statistics.mean, *rstd = statistics.rstd;
  float *dgamma = gradients.gamma, *dbeta = gradients.beta;
  constexpr std::int64_t kColumns = 64;  // as in column_sums: a task owns columns, rows are added in order
  parallel_for((n + kColumns - 1) / kColumns, rows * n < 65536 ? n : 1, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin * kColumns, last = std::min(n, end * kColumns);
    kernels().norm_parameters_backward({x + first, rows, last - first, n}, dy + first, mean, rstd, dgamma + first,
                                       dbeta ? dbeta + first : nullptr);
  });
  parallel_for(rows, row_grain(n), [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r)
      kernels().norm_backward(n, x + r * n, gamma, {mean[r], rstd[r]}, !shape.rms, dy + r * n, dx + r * n);
  });
}

}  // namespace pipeformer
