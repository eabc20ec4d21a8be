#include "core/elementary.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/random.hpp"

using namespace pipeformer;

namespace {

/// The distance in units of the last place of the expected value.
double ulps(double value, double expected) {
  return std::abs(value - expected) / (std::nextafter(std::abs(expected), INFINITY) - std::abs(expected));
}

}  // namespace

TEST_CASE("elementary functions are accurate to the last place of double", "[core]") {
  Random random(1);
  double exp_error = 0, log_error = 0, sin_error = 0, pow_error = 0;
  std::uint64_t digest = 0xcbf29ce484222325u;
  const auto keep = [&](double value) {
    std::uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    digest = (digest ^ bits) * 0x100000001b3u;
  };
  for (int i = 0; i < 200000; ++i) {
    const double x = (random.uniform() - 0.5) * 1400, positive = std::ldexp(0.5 + random.uniform(), i % 200 - 100);
    const double angle = (random.uniform() - 0.5) * (i % 2 ? 10.0 : 2e8);
    exp_error = std::max(exp_error, ulps(elementary::exp(x), std::exp(x)));
    log_error = std::max(log_error, ulps(elementary::log(positive), std::log(positive)));
    sin_error = std::max(sin_error, ulps(elementary::sin(angle), std::sin(angle)));
    sin_error = std::max(sin_error, ulps(elementary::cos(angle), std::cos(angle)));
    const double base = 1 + 1e5 * random.uniform(), power = -random.uniform();
    pow_error = std::max(pow_error, ulps(elementary::pow(base, power), std::pow(base, power)));
    keep(elementary::exp(x)), keep(elementary::log(positive)), keep(elementary::pow(base, power));
    keep(elementary::sin(angle)), keep(elementary::cos(angle));
  }
  CHECK(exp_error < 1.5);
  CHECK(log_error < 1.5);
  CHECK(sin_error < 1.5);
  CHECK(pow_error < 16);
  CHECK(digest == 0xa67fd0fa49a9fac9u);  // the same on every machine
}

TEST_CASE("elementary functions at their ends", "[core]") {
  constexpr double kInfinity = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();
  CHECK(elementary::exp(0) == 1);
  CHECK(elementary::exp(-kInfinity) == 0);
  CHECK(elementary::exp(kInfinity) == kInfinity);
  CHECK(elementary::exp(710) == kInfinity);
  CHECK(elementary::exp(-745) == std::exp(-745.0));  // denormal
  CHECK(std::isnan(elementary::exp(kNan)));
  CHECK(elementary::log(1) == 0);
  CHECK(elementary::log(0) == -kInfinity);
  CHECK(elementary::log(kInfinity) == kInfinity);
  CHECK(std::isnan(elementary::log(-1)));
  CHECK(elementary::log(5e-324) == std::log(5e-324));
  CHECK(elementary::pow(0, 0) == 1);
  CHECK(elementary::pow(0, 2) == 0);
  CHECK(elementary::pow(7, 1) > 6.999999999);
  CHECK(elementary::sin(0) == 0);
  CHECK(elementary::cos(0) == 1);
  CHECK(elementary::sin(1e-300) == 1e-300);
  CHECK(std::isnan(elementary::sin(kInfinity)));
  CHECK(std::isnan(elementary::cos(1e300)));
}
