/// Optimisation over one contiguous arena of parameters: learning rate schedules; Adam, AdamW and SGD; averages.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "models/model_file.hpp"

namespace pipeformer {

/// Learning rate by step, counted from 1. All kinds rise linearly to the peak over the warm-up:
///   inverse-sqrt: peak * sqrt(warmup / step) after it (Vaswani et al. 2017, equation 3, with its peak as the
///   parameter) constant: peak;  linear: falls to the floor at the last step;  cosine: the same along half a cosine
struct Schedule {
  std::string kind = "inverse-sqrt";
  double peak = 1e-3;
  std::int64_t warmup = 4000;
  std::int64_t last_step = 0;  ///< Only for linear and cosine; 0: their end is a time.
  double floor = 0;            ///< Where linear and cosine end.
  /// share: of the time that is over, for linear and cosine without last_step; they then fall from the beginning, and
  /// the warm-up multiplies what they give.
  double rate(std::int64_t step, double share = 0) const;
};

struct OptimizerSettings {
  /// adam: Kingma, Ba 2015. adamw: Loshchilov, Hutter 2019. sgd: with momentum, as torch.optim.SGD.
  std::string kind = "adam";
  double beta1 = 0.9, beta2 = 0.98, epsilon = 1e-9;
  double momentum = 0.9;      ///< Only sgd.
  double l1 = 0, l2 = 0;      ///< Penalties l1 * |w| + l2 / 2 * w^2 in the loss.
  double weight_decay = 0.0;  ///< Only adamw: w -= rate * weight_decay * w before each step.
};

/// Parameters that are treated alike: consecutive ones of an arena.
struct ParameterGroup {
  std::int64_t offset, size;
  double rate = 1;        ///< Multiplies the learning rate; 0: frozen.
  bool penalised = true;  ///< Penalties and weight decay; not for biases and norms (parameters of one axis).
};

/// The groups of an arena. factors: (pattern, factor) in the manner of the shell ("encoder/*"), the last one that
/// matches a name counts. Throws Error for a pattern that matches nothing.
std::vector<ParameterGroup> parameter_groups(const ParameterArena&,
                                             const std::vector<std::pair<std::string, double>>& factors);

/// The 2-norm of the gradients, the same bits for any number of threads.
double gradient_norm(std::int64_t n, const float* gradients);

class Optimizer {
 public:
  Optimizer(std::int64_t size, const OptimizerSettings&, std::vector<ParameterGroup>);
  /// Sets the gradients of frozen parameters to zero, so that they do not count in a norm.
  void forget_frozen(float* gradients) const;
  /// One step, counted from 1: gradients are multiplied by `scale` (clipping) on the way.
  void step(std::int64_t step, double learning_rate, double scale, float* values, const float* gradients);
  /// average = decay * average + (1 - decay) * values, with decay at most (1 + step) / (10 + step), so that the first
  /// values do not linger. Frozen parameters stay as they are.
  void update_average(double decay, std::int64_t step, const float* values, float* average) const;
  const std::vector<ParameterGroup>& groups() const { return groups_; }
  /// What a checkpoint keeps, by name, each of the arena's size: first_moment, second_moment; or momentum.
  std::vector<std::pair<std::string, Buffer<float>*>> state();

 private:
  void adam(std::int64_t step, double rate, double scale, const ParameterGroup&, float* values, const float* gradients);
  void sgd(double rate, double scale, const ParameterGroup&, float* values, const float* gradients);
  OptimizerSettings settings_;
  std::vector<ParameterGroup> groups_;
  Buffer<float> m_, v_;
};

}  // namespace pipeformer
