#include "core/elementary.hpp"

#include <cmath>
#include <limits>

#include "core/logarithm.hpp"

namespace pipeformer::elementary {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
// pi / 2 in parts, as ln 2 in core/logarithm.hpp, the first ones short, so that their products with a whole number are
// exact.
constexpr double kHalfPi1 = 0x1.921fb5p+0, kHalfPi2 = 0x1.110b46p-26, kHalfPi3 = 0x1.1a6263p-54,
                 kHalfPi4 = 0x1.8a2e03707344ap-81;

/// The sum of coefficients[i] x^i, by Horner's rule.
template <int Count>
double polynomial(double x, const double (&coefficients)[Count]) {
  double sum = coefficients[Count - 1];
  for (int i = Count - 2; i >= 0; --i) sum = sum * x + coefficients[i];
  return sum;
}

constexpr double inverse_factorial(int n) {
  double product = 1.0;
  for (int i = 2; i <= n; ++i) product *= i;
  return 1.0 / product;
}

/// sin r and cos r, |r| <= pi / 4, of r = high + low: Taylor's series, the first term left out below 2^-58.
double sine_near_zero(double high, double low) {
  constexpr double kTerms[] = {-inverse_factorial(3),  inverse_factorial(5),   -inverse_factorial(7),
                               inverse_factorial(9),   -inverse_factorial(11), inverse_factorial(13),
                               -inverse_factorial(15), inverse_factorial(17)};
  const double square = high * high;
  return high + (low * (1.0 - 0.5 * square) + high * (square * polynomial(square, kTerms)));
}
double cosine_near_zero(double high, double low) {
  constexpr double kTerms[] = {inverse_factorial(4),   -inverse_factorial(6), inverse_factorial(8),
                               -inverse_factorial(10), inverse_factorial(12), -inverse_factorial(14),
                               inverse_factorial(16),  -inverse_factorial(18)};
  const double square = high * high, half = 0.5 * square, head = 1.0 - half;
  return head + (((1.0 - head) - half) + (square * square * polynomial(square, kTerms) - high * low));
}

/// The sine of x + quarters * pi / 2.
double sine(double x, int quarters) {
  constexpr double kLargest = 0x1p27;  // x / (pi / 2) times the parts of 26 bits is exact up to here
  if (!(std::abs(x) < kLargest)) return kNan;
  const double n = std::nearbyint(x * 0.63661977236758134308);
  // Parts one and two are subtracted exactly; what the third leaves is carried along.
  const double first = (x - n * kHalfPi1) - n * kHalfPi2, third = n * kHalfPi3;
  const double high = first - third, low = ((first - high) - third) - n * kHalfPi4;
  const auto quarter = static_cast<unsigned>(static_cast<long long>(n) + quarters) & 3u;
  const double value = quarter & 1u ? cosine_near_zero(high, low) : sine_near_zero(high, low);
  return quarter & 2u ? -value : value;
}

}  // namespace

double exp(double x) {
  if (std::isnan(x)) return x;
  if (x > 709.79) return kInfinity;
  if (x < -745.2) return 0.0;
  constexpr double kTerms[] = {inverse_factorial(2),  inverse_factorial(3),  inverse_factorial(4),
                               inverse_factorial(5),  inverse_factorial(6),  inverse_factorial(7),
                               inverse_factorial(8),  inverse_factorial(9),  inverse_factorial(10),
                               inverse_factorial(11), inverse_factorial(12), inverse_factorial(13)};
  const double n = std::nearbyint(x * 1.44269504088896340736);
  const double high = x - n * kLn2High, low = n * kLn2Low, r = high - low;
  const double tail = (high - r) - low;
  return std::ldexp(1.0 + (r + (tail + r * r * polynomial(r, kTerms))), static_cast<int>(n));
}

double log(double x) {
  if (std::isnan(x) || x == kInfinity) return x;
  if (x < 0.0) return kNan;
  if (x == 0.0) return -kInfinity;
  // Of subnormal numbers the exponent is read after they are scaled.
  constexpr double kSmallest = std::numeric_limits<double>::min();
  return x < kSmallest ? logarithm(x * 0x1p54, -54) : logarithm(x);
}

double pow(double x, double y) {
  return y == 0.0 ? 1.0 : exp(y * log(x));
}

double sin(double x) {
  return sine(x, 0);
}

double cos(double x) {
  return sine(x, 1);
}

}  // namespace pipeformer::elementary
