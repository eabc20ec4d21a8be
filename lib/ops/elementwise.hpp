/// Row-wise operations on batches of rows (n, d), contiguous, cut among threads by rows. Forward and backward side by
/// side.
#pragma once
#include <cstdint>

#include "core/matrix.hpp"
#include "ops/kernel_types.hpp"

namespace pipeformer {

/// y = a + b, elements.
void add(std::int64_t count, const float* a, const float* b, float* y);
/// y *= alpha.
void scale(std::int64_t count, float alpha, float* y);

/// y = f(x); in place allowed.
void activation(Activation, std::int64_t rows, std::int64_t n, const float* x, float* y);
/// dx = dy * f'(x); dx may be dy.
void activation_backward(Activation, std::int64_t rows, std::int64_t n, const float* x, const float* dy, float* dx);
/// x = cap * tanh(x / cap), elements; tangents, when given, takes the hyperbolic tangents.
void soft_cap(std::int64_t count, float cap, float* x, float* tangents = nullptr);
/// dx *= 1 - tangents^2
void soft_cap_backward(std::int64_t count, const float* tangents, float* dx);
/// y = a * b
void multiply(std::int64_t count, const float* a, const float* b, float* y);

/// y (rows, n) = x * scale (n), column by column.
void scale_columns(std::int64_t rows, std::int64_t n, const float* x, const float* scale, float* y);
/// dx = dy * scale (dx may be dy); d_scale (n) += column sums of dy * x.
void scale_columns_backward(std::int64_t rows, std::int64_t n, const float* x, const float* scale, const float* dy,
                            float* dx, float* d_scale);

/// Inverted dropout (Srivastava et al. 2014): y = x * keep / (1 - p), keep a function of (seed, first_row + row,
/// column) only. p in [0, 1). The backward pass is the same function on the gradient.
void dropout(float p, std::uint64_t seed, std::int64_t first_row, std::int64_t rows, std::int64_t n, const float* x,
             float* y);

/// Layer normalisation (Ba, Kiros, Hinton 2016) or, with rms, root-mean-square normalisation (Zhang, Sennrich 2019, no
/// beta):
///   y = (x - mean) / sqrt(variance + epsilon) * gamma + beta
/// x, y (rows, n) are contiguous; beta may be null.
struct NormShape {
  bool rms = false;
  float epsilon = 1e-5f;
};
/// Kept for each row, for the backward pass.
struct NormStatistics {
  float* mean;  ///< Zero for rms.
  float* rstd;
};
void norm(const NormShape&, const MatrixView& x, const float* gamma, const float* beta, float* y,
          const NormStatistics&);
struct NormGradients {
  float *gamma, *beta;  ///< (n); added to. beta may be null.
};
/// dx overwritten. With g = dy * gamma, x' = (x - mean) * rstd: dx = rstd (g - mean(g) - x'
/// mean(g x')).
void norm_backward(const NormShape&, const MatrixView& x, const float* gamma, const NormStatistics&, const float* dy,
                   float* dx, const NormGradients&);

}  // namespace pipeformer
