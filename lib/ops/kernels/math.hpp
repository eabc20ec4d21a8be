/// Elementary functions on vectors, accurate to a few units in the last place of float32.
#pragma once
#include "ops/kernels/simd.hpp"

namespace pipeformer {
namespace {

/// e^x: x = n ln 2 + r, a polynomial in r, and n put into the exponent. 0 below -87.3 (so that -inf gives 0), saturates
/// above 88.
inline Vec exp(Vec x) {
  const Vec low = splat(-87.33654f), high = splat(88.3762f);
#if defined(__AVX512F__)
  // Single instructions, which the compiler does not find. Of a NaN and a number they give the second: NaN stays NaN.
  constexpr __mmask16 kAll = 0xffff;
  const Vec clamped = _mm512_maskz_min_ps(kAll, high, _mm512_maskz_max_ps(kAll, low, x));
#else
  const Vec clamped = x < low ? low : (x > high ? high : x);
#endif
  const Vec shifter = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec n = fused(clamped, 1.44269504f, shifter) - shifter;
  Vec r = fused(n, -0.693359375f, clamped);  // ln 2 in two parts, so that r is exact to the last bit
  r = fused(n, 2.12194440e-4f, r);
  Vec p = splat(1.0f / 5040.0f);  // Taylor: |r| < 0.347, the term left out is below 6e-9
  p = fused(p, r, 1.0f / 720.0f);
  p = fused(p, r, 1.0f / 120.0f);
  p = fused(p, r, 1.0f / 24.0f);
  p = fused(p, r, 1.0f / 6.0f);
  p = fused(p, r, 0.5f);
  p = fused(p, r, 1.0f);
  p = fused(p, r, 1.0f);
#if defined(__AVX512F__)
  return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, low, _CMP_NLT_UQ), p, n);
#else
  const IntVec exponent = (__builtin_convertvector(n, IntVec) + 127) << 23;
  const Vec result = p * (Vec)exponent;
  return x < low ? Vec{} : result;
#endif
}

inline Vec absolute(Vec x) {
  return x < Vec{} ? -x : x;
}

/// erf(x): below 1 an odd polynomial, above it 1 - exp(polynomial); both fitted by least squares on Chebyshev nodes to
/// 2e-7.
inline Vec erf(Vec x) {
  const Vec a = absolute(x);
  const Vec s = a * a;
  Vec small = splat(7.898137118900195e-05f);
  small = fused(small, s, -0.0008024330600164831f);
  small = fused(small, s, 0.005190050695091486f);
  small = fused(small, s, -0.026854807510972023f);
  small = fused(small, s, 0.11283612251281738f);
  small = fused(small, s, -0.3761262893676758f);
  small = fused(small, s, 1.128379225730896f);
  small = small * a;
  const Vec d = (a > splat(4.0f) ? splat(4.0f) : a) - 2.5f;
  Vec large = splat(-1.9595179765019566e-05f);
  large = fused(large, d, 7.296005787793547e-05f);
  large = fused(large, d, -0.00040906164213083684f);
  large = fused(large, d, 0.0021837279200553894f);
  large = fused(large, d, -0.010853130370378494f);
  large = fused(large, d, -0.9438988566398621f);
  large = fused(large, d, -5.352684020996094f);
  large = fused(large, d, -7.8068156242370605f);
  const Vec magnitude = a < splat(1.0f) ? small : 1.0f - exp(large);
  return x < Vec{} ? -magnitude : magnitude;
}

inline Vec sigmoid(Vec x) {
  return 1.0f / (1.0f + exp(-x));
}
inline Vec tanh(Vec x) {
  return 1.0f - 2.0f / (exp(2.0f * x) + 1.0f);
}

#if defined(__AVX512F__)
inline Vec sqrt(Vec x) {
  return _mm512_maskz_sqrt_ps(0xffff, x);
}
#elif defined(__AVX2__) && defined(__FMA__)
inline Vec sqrt(Vec x) {
  return _mm256_sqrt_ps(x);
}
#elif defined(PIPEFORMER_NEON)
inline Vec sqrt(Vec x) {
  return vsqrtq_f32(x);
}
#else
inline Vec sqrt(Vec x) {
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
}
#endif

inline Wide exp(const Wide& x) {
  return each_part([](Vec v) { return exp(v); }, x);
}

}  // namespace
}  // namespace pipeformer
