#include "train/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer {
namespace {
constexpr std::int64_t kPiece =
    65536;  // a multiple of every vector width, so that pieces do not change an element's bits
}

double Schedule::rate(std::int64_t step) const {
  const auto t = static_cast<double>(step), w = static_cast<double>(std::max<std::int64_t>(warmup, 1));
  if (step < warmup) return peak * t / w;
  const double left =
      last_step > warmup
          ? std::clamp((static_cast<double>(last_step) - t) / static_cast<double>(last_step - warmup), 0.0, 1.0)
          : 1.0;
  if (kind == "inverse-sqrt") return peak * std::sqrt(w / t);
  if (kind == "constant") return peak;
  if (kind == "linear") return peak * left;
  if (kind == "cosine") return peak * 0.5 * (1.0 - std::cos(std::numbers::pi * left));
  throw Error(cat("unknown schedule '", kind, "'"));
}

double gradient_norm(std::int64_t n, const float* gradients) {
  std::vector<double> sums(static_cast<std::size_t>((n + kPiece - 1) / kPiece));
  parallel_for(n, kPiece, [&](std::int64_t begin, std::int64_t end) {
    sums[static_cast<std::size_t>(begin / kPiece)] = kernels().sum_squares(end - begin, gradients + begin);
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return std::sqrt(total);
}

Adam::Adam(std::int64_t size, const AdamSettings& settings)
    : settings_(settings), m_(static_cast<std::size_t>(size)), v_(static_cast<std::size_t>(size)) {
  std::fill(m_.begin(), m_.end(), 0.0f);
  std::fill(v_.begin(), v_.end(), 0.0f);
}

void Adam::step(std::int64_t step, double learning_rate, double scale, float* values, float* gradients) {
  AdamStep s{};
  s.learning_rate = static_cast<float>(learning_rate);
  s.beta1 = static_cast<float>(settings_.beta1);
  s.beta2 = static_cast<float>(settings_.beta2);
  s.epsilon = static_cast<float>(settings_.epsilon);
  s.correction1 = static_cast<float>(1.0 - std::pow(settings_.beta1, static_cast<double>(step)));
  s.correction2 = static_cast<float>(1.0 - std::pow(settings_.beta2, static_cast<double>(step)));
  s.l1 = static_cast<float>(settings_.l1);
  s.l2 = static_cast<float>(settings_.l2);
  s.gradient_scale = static_cast<float>(scale);
  parallel_for(size(), kPiece, [&](std::int64_t begin, std::int64_t end) {
    kernels().adam(end - begin, s, gradients + begin, values + begin, m_.data() + begin, v_.data() + begin);
    std::fill(gradients + begin, gradients + end, 0.0f);
  });
}

}  // namespace pipeformer
