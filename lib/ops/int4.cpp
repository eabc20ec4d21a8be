#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/weight.hpp"

namespace pipeformer {
namespace {

/// q (n <= kInt4Group) and the scale of a group. The largest magnitude becomes -8, or a little less of it: of some
/// divisors the one that leaves the least sum of squared errors, with the scale that is best for its integers.
float quantise_group(std::int64_t n, const float* x, int* q) {
  float largest = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) {
      std::fill_n(q, n, 0);
      return std::numeric_limits<float>::quiet_NaN();
    }
    if (std::fabs(x[i]) > std::fabs(largest)) largest = x[i];
  }
  std::fill_n(q, n, 0);
  if (largest == 0) return 0;
  double least = std::numeric_limits<double>::infinity();
  float best = 0;
  for (int quarter = 0; quarter <= 12; ++quarter) {  // divisors -9 to -6
    const double step = static_cast<double>(largest) / (0.25 * quarter - 9.0);
    int tried[kInt4Group];
    double products = 0, squares = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const double nearest = std::nearbyint(static_cast<double>(x[i]) / step);
      tried[i] = static_cast<int>(std::clamp(nearest, -8.0, 7.0));
      products += static_cast<double>(x[i]) * tried[i];
      squares += static_cast<double>(tried[i]) * tried[i];
    }
    const auto scale = static_cast<float>(products / squares);  // the largest is no 0
    double error = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const double off = static_cast<double>(x[i]) - static_cast<double>(scale) * tried[i];
      error += off * off;
    }
    if (error >= least) continue;
    least = error;
    best = scale;
    std::copy_n(tried, n, q);
  }
  return best;
}

}  // namespace

void quantise_int4(std::int64_t n, const float* x, std::uint8_t* q, float* scales) {
  for (std::int64_t first = 0; first < n; first += kInt4Group) {
    int group[kInt4Group + 1];
    const std::int64_t count = std::min(kInt4Group, n - first);
    *scales++ = quantise_group(count, x + first, group);
    group[count] = 0;  // what shares a byte with the last one
    for (std::int64_t i = 0; i < count; i += 2)
      *q++ = static_cast<std::uint8_t>((group[i] + 8) | (group[i + 1] + 8) << 4);
  }
}

}  // namespace pipeformer
