/// Optimisation over one contiguous arena of parameters.
#pragma once
#include <cstdint>
#include <string>

#include "core/array.hpp"

namespace pipeformer {

/// Learning rate by step, counted from 1. All kinds rise linearly to the peak over the warm-up:
///   inverse-sqrt: peak * sqrt(warmup / step) after it (Vaswani et al. 2017, equation 3, with its peak as the
///   parameter) constant: peak;  linear: falls to 0 at the last step;  cosine: falls to 0 along half a cosine
struct Schedule {
  std::string kind = "inverse-sqrt";
  double peak = 1e-3;
  std::int64_t warmup = 4000;
  std::int64_t last_step = 0;  ///< Only for linear and cosine.
  double rate(std::int64_t step) const;
};

struct AdamSettings {
  double beta1 = 0.9, beta2 = 0.98, epsilon = 1e-9;
  double l1 = 0, l2 = 0;  ///< Penalties l1 * |w| + l2 / 2 * w^2 in the loss.
};

/// The 2-norm of the gradients, the same bits for any number of threads.
double gradient_norm(std::int64_t n, const float* gradients);

/// Adam (Kingma, Ba 2015) with its two moments, each an arena like the parameters.
class Adam {
 public:
  Adam(std::int64_t size, const AdamSettings&);
  /// One step, counted from 1: gradients are multiplied by `scale` (clipping), then set to zero for the next batch.
  void step(std::int64_t step, double learning_rate, double scale, float* values, float* gradients);
  float* first_moment() { return m_.data(); }
  float* second_moment() { return v_.data(); }
  std::int64_t size() const { return static_cast<std::int64_t>(m_.size()); }

 private:
  AdamSettings settings_;
  Buffer<float> m_, v_;
};

}  // namespace pipeformer
