#include "train/optimizer.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/elementary.hpp"
#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/adam.hpp"

namespace pipeformer {
namespace {
constexpr std::int64_t kPiece =
    65536;  // a multiple of every vector width, so that pieces do not change an element's bits
}

double Schedule::rate(std::int64_t step, double share) const {
  const auto t = static_cast<double>(step), w = static_cast<double>(std::max<std::int64_t>(warmup, 1));
  const bool timed = last_step == 0 && (kind == "linear" || kind == "cosine");
  const double rise = step < warmup ? t / w : 1.0;
  if (step < warmup && !timed) return peak * t / w;
  const double left =
      timed ? std::clamp(1.0 - share, 0.0, 1.0)
      : last_step > warmup
          ? std::clamp((static_cast<double>(last_step) - t) / static_cast<double>(last_step - warmup), 0.0, 1.0)
          : 1.0;
  if (kind == "inverse-sqrt") return peak * std::sqrt(w / t);
  if (kind == "constant") return peak;
  if (kind == "linear") return rise * (floor + (peak - floor) * left);
  if (kind == "cosine") return rise * (floor + (peak - floor) * 0.5 * (1.0 - elementary::cos(std::numbers::pi * left)));
  throw Error(cat("unknown schedule '", kind, "'"));
}

std::vector<ParameterGroup> parameter_groups(const ParameterArena& arena,
                                             const std::vector<std::pair<std::string, double>>& factors) {
  std::vector<ParameterGroup> groups;
  std::vector<bool> used(factors.size());
  for (const ParameterArena::Entry& entry : arena.entries()) {
    ParameterGroup group{entry.offset, entry.size, 1, entry.shape.size() > 1};
    for (std::size_t i = 0; i < factors.size(); ++i) {
      if (fnmatch(factors[i].first.c_str(), entry.name.c_str(), 0) != 0) continue;
      group.rate = factors[i].second;
      used[i] = true;
    }
    if (!groups.empty() && groups.back().rate == group.rate && groups.back().penalised == group.penalised)
      groups.back().size = entry.offset + entry.size - groups.back().offset;
    else
      groups.push_back(group);
  }
  for (std::size_t i = 0; i < factors.size(); ++i)
    require(used[i], "no parameter of the model matches '", factors[i].first, "'");
  return groups;
}

double gradient_norm(std::int64_t n, const float* gradients) {
  return std::sqrt(sum_squares(n, gradients));
}

Optimizer::Optimizer(std::int64_t size, const OptimizerSettings& settings, std::vector<ParameterGroup> groups)
    : settings_(settings), groups_(std::move(groups)) {
  for (const auto& [name, moment] : state()) moment->assign(static_cast<std::size_t>(size), 0.0f);
}

std::vector<std::pair<std::string, Buffer<float>*>> Optimizer::state() {
  if (settings_.kind == "sgd") return {{"momentum", &m_}};
  return {{"first_moment", &m_}, {"second_moment", &v_}};
}

void Optimizer::forget_frozen(float* gradients) const {
  for (const ParameterGroup& group : groups_)
    if (group.rate == 0) std::fill_n(gradients + group.offset, group.size, 0.0f);
}

void Optimizer::step(std::int64_t step, double learning_rate, double scale, float* values, const float* gradients) {
  for (const ParameterGroup& group : groups_) {
    if (group.rate == 0) continue;
    if (settings_.kind == "sgd")
      sgd(learning_rate * group.rate, scale, group, values, gradients);
    else
      adam(step, learning_rate * group.rate, scale, group, values, gradients);
  }
}

void Optimizer::adam(std::int64_t step, double rate, double scale, const ParameterGroup& group, float* values,
                     const float* gradients) {
  AdamStep s{};
  s.learning_rate = static_cast<float>(rate);
  s.beta1 = static_cast<float>(settings_.beta1);
  s.beta2 = static_cast<float>(settings_.beta2);
  s.epsilon = static_cast<float>(settings_.epsilon);
  s.correction1 = static_cast<float>(1.0 - elementary::pow(settings_.beta1, static_cast<double>(step)));
  s.correction2 = static_cast<float>(1.0 - elementary::pow(settings_.beta2, static_cast<double>(step)));
  if (group.penalised) {
    s.l1 = static_cast<float>(settings_.l1);
    s.l2 = static_cast<float>(settings_.l2);
    s.decay = static_cast<float>(settings_.weight_decay);
  }
  s.gradient_scale = static_cast<float>(scale);
  const std::int64_t at = group.offset;
  pipeformer::adam(group.size, s, gradients + at, values + at, m_.data() + at, v_.data() + at);
}

void Optimizer::sgd(double rate, double scale, const ParameterGroup& group, float* values, const float* gradients) {
  const auto learning_rate = static_cast<float>(rate), gradient_scale = static_cast<float>(scale);
  const auto momentum = static_cast<float>(settings_.momentum);
  const float l1 = group.penalised ? static_cast<float>(settings_.l1) : 0.0f;
  const float l2 = group.penalised ? static_cast<float>(settings_.l2) : 0.0f;
  parallel_for(group.size, kPiece, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = group.offset + begin; i < group.offset + end; ++i) {
      const float w = values[i];
      const float g = gradients[i] * gradient_scale + l2 * w + (w > 0 ? l1 : w < 0 ? -l1 : 0.0f);
      m_[static_cast<std::size_t>(i)] = momentum * m_[static_cast<std::size_t>(i)] + g;
      values[i] = w - learning_rate * m_[static_cast<std::size_t>(i)];
    }
  });
}

void Optimizer::update_average(double decay, std::int64_t step, const float* values, float* average) const {
  const auto t = static_cast<double>(step);
  const auto keep = static_cast<float>(std::min(decay, (1 + t) / (10 + t)));
  for (const ParameterGroup& group : groups_)
    if (group.rate != 0)
      parallel_for(group.size, kPiece, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = group.offset + begin; i < group.offset + end; ++i)
          average[i] = keep * average[i] + (1.0f - keep) * values[i];
      });
}

}  // namespace pipeformer
