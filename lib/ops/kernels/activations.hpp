/// Activations and their gradients.
#pragma once
#include "ops/kernels/kernels.hpp"
#include "ops/kernels/loops.hpp"
#include "ops/kernels/math.hpp"

namespace pipeformer {
namespace {

constexpr float kSqrtHalf = 0.70710678f;        // 1 / sqrt(2)
constexpr float kInverseSqrt2Pi = 0.39894228f;  // 1 / sqrt(2 pi)
constexpr float kTanhScale = 0.79788456f;       // sqrt(2 / pi)
constexpr float kTanhCubic = 0.044715f;
constexpr float kQuickScale = 1.702f;

inline Vec tanh_argument(Vec v) {  // sqrt(2 / pi) (v + 0.044715 v^3)
  return kTanhScale * fused(v * v * v, kTanhCubic, v);
}
inline Vec one_minus_square(Vec t) {
  return fused_negative(t, t, splat(1.0f));
}

void activation(Activation kind, std::int64_t n, const float* x, float* y) {
  switch (kind) {
    case Activation::identity:
      for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, get(x)); });
      break;
    case Activation::relu:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x);
        put(y, v > Vec{} ? v : (v == v ? Vec{} : v));  // NaN stays NaN: it must not be hidden
      });
      break;
    case Activation::gelu:  // Hendrycks, Gimpel 2016: x Phi(x)
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x);
        put(y, 0.5f * v * (1.0f + erf(v * kSqrtHalf)));
      });
      break;
    case Activation::gelu_tanh:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x);
        put(y, 0.5f * v * (1.0f + tanh(tanh_argument(v))));
      });
      break;
    case Activation::silu:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x);
        put(y, v * sigmoid(v));
      });
      break;
    case Activation::quick_gelu:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x);
        put(y, v * sigmoid(kQuickScale * v));
      });
      break;
    case Activation::tanh:
      for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, tanh(get(x))); });
      break;
  }
}
void activation_backward(Activation kind, std::int64_t n, const float* x, const float* dy, float* dx) {
  switch (kind) {
    case Activation::identity:
      for_vectors(n, [&](auto get, auto put, std::int64_t) { put(dx, get(dy)); });
      break;
    case Activation::relu:
      for_vectors(n, [&](auto get, auto put, std::int64_t) { put(dx, get(x) > Vec{} ? get(dy) : Vec{}); });
      break;
    case Activation::gelu:  // Phi(x) + x phi(x)
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x);
        const Vec cdf = 0.5f * (1.0f + erf(v * kSqrtHalf));
        put(dx, get(dy) * fused(v * kInverseSqrt2Pi, exp(-0.5f * v * v), cdf));
      });
      break;
    case Activation::gelu_tanh:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x);
        const Vec t = tanh(tanh_argument(v));
        const Vec inner = kTanhScale * fused(v * v, 3.0f * kTanhCubic, splat(1.0f));
        put(dx, get(dy) * fused(0.5f * v * one_minus_square(t), inner, 0.5f * (1.0f + t)));
      });
      break;
    case Activation::silu:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x), s = sigmoid(v);
        put(dx, get(dy) * s * fused(v, 1.0f - s, 1.0f));
      });
      break;
    case Activation::quick_gelu:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x), s = sigmoid(kQuickScale * v);
        put(dx, get(dy) * s * fused(kQuickScale * v, 1.0f - s, 1.0f));
      });
      break;
    case Activation::tanh:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec t = tanh(get(x));
        put(dx, get(dy) * one_minus_square(t));
      });
      break;
  }
}

}  // namespace
}  // namespace pipeformer
