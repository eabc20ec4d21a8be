#include "ops/output_losses.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/elementary.hpp"
#include "core/threads.hpp"

namespace pipeformer {
namespace {

/// What one element adds, and the gradient of its loss.
struct OutputLoss {
  double loss, gradient;
  bool correct;
};

/// of(i, column): of element i. The sum goes in the order of the elements, whatever the threads.
template <class Of>
LossSums sum_elements(std::int64_t rows, std::int64_t n, float scale, float* d_x, const Of& of) {
  std::vector<LossSums> sums(static_cast<std::size_t>(rows));
  parallel_for(rows, 64, [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r) {
      LossSums& sum = sums[static_cast<std::size_t>(r)];
      for (std::int64_t column = 0; column < n; ++column) {
        const OutputLoss one = of(r * n + column, column);
        sum.add({one.loss, one.loss, one.correct, 1, 1});
        if (d_x) d_x[r * n + column] = static_cast<float>(one.gradient * static_cast<double>(scale));
      }
    }
  });
  LossSums total;
  for (const LossSums& row : sums) total.add(row);
  return total;
}

}  // namespace

LossSums squared_error(std::int64_t rows, std::int64_t n, const float* x, const float* targets,
                       const CrossEntropyForm& form, float* d_x) {
  return sum_elements(rows, n, form.scale, d_x, [&](std::int64_t i, std::int64_t) {
    const double off = static_cast<double>(x[i]) - static_cast<double>(targets[i]);
    return OutputLoss{off * off, 2 * off, false};
  });
}

LossSums binary_cross_entropy(std::int64_t rows, std::int64_t n, const float* x, const float* targets,
                              const CrossEntropyForm& form, float* d_x) {
  return sum_elements(rows, n, form.scale, d_x, [&](std::int64_t i, std::int64_t column) {
    const double logit = x[i], target = targets[i], small = elementary::exp(-std::abs(logit));
    const double weight = form.weights ? static_cast<double>(form.weights[column]) : 1;
    // -ln s(x) = max(-x, 0) + ln(1 + e^-|x|), and -ln(1 - s(x)) is x more.
    const double of_one = std::max(-logit, 0.0) + elementary::log(1 + small), of_zero = of_one + logit;
    const double s = (logit >= 0 ? 1 : small) / (1 + small);
    return OutputLoss{weight * target * of_one + (1 - target) * of_zero, (1 - target) * s - weight * target * (1 - s),
                      (logit > 0) == (target > 0.5)};
  });
}

void sigmoid(std::int64_t count, float* x) {
  parallel_for(count, 1024, [&](std::int64_t i, std::int64_t end) {
    for (; i < end; ++i) x[i] = static_cast<float>(1 / (1 + elementary::exp(-static_cast<double>(x[i]))));
  });
}

}  // namespace pipeformer
