/// ln x as elementary::log and the kernels compute it: each that includes this compiles it for its own processor, so
/// that it is in no namespace that others see.
#pragma once
#include <cstdint>

namespace pipeformer {
namespace {

// ln 2 in parts, the first one short, so that its product with a whole number is exact.
constexpr double kLn2High = 0x1.62e42fefa38p-1, kLn2Low = 0x1.ef35793c7673p-45;

/// ln (x 2^shift) of a double that is neither subnormal nor 0, negative, infinite or NaN. Without branches: a loop
/// takes several side by side.
inline double logarithm(double x, double shift = 0) {
  constexpr int kTermCount = 11;
  constexpr double kTerms[kTermCount] = {2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11, 2.0 / 13,
                                         2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21, 2.0 / 23};
  const auto bits = __builtin_bit_cast(std::int64_t, x);
  // x = m 2^exponent, m in [1/2, 1), then in [sqrt 1/2, sqrt 2).
  const auto half = __builtin_bit_cast(double, (bits & 0xfffffffffffff) | 0x3fe0000000000000);
  const bool low = half < 0.70710678118654752440;
  const double m = low ? half * 2.0 : half;
  const double whole = __builtin_bit_cast(double, (bits >> 52) + 0x4330000000000000) - (0x1p52 + 1022.0 - shift);
  const double exponent = low ? whole - 1.0 : whole;
  // ln m = 2 artanh((m - 1) / (m + 1)) = 2 (s + s^3/3 + s^5/5 + ...), |s| < 0.1716.
  const double f = m - 1.0, s = f / (2.0 + f), square = s * s;
  double sum = kTerms[kTermCount - 1];
#pragma GCC unroll 10
  for (int t = kTermCount - 2; t >= 0; --t) sum = sum * square + kTerms[t];
  // 2 s = f - s f: the large part f is exact.
  const double small = s * (square * sum - f);
  return exponent * kLn2High + (f + (small + exponent * kLn2Low));
}

}  // namespace
}  // namespace pipeformer
