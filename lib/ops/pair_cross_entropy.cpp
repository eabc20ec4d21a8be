#include "ops/pair_cross_entropy.hpp"

#include <algorithm>
#include <vector>

#include "core/elementary.hpp"
#include "core/threads.hpp"
#include "ops/gemm.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t kQueriesAtOnce = 256;

/// One direction: each query looks for the candidate with its own number.
struct OneWay {
  std::int64_t count, width;
  const float *queries, *candidates;
  float factor;
  float *d_queries, *d_candidates;  ///< Null: no gradients.
};

struct PairAnswer {
  double loss, nll, d_log_scale;
  std::int64_t better;  ///< Candidates that stand before the right one.
};

/// Of products x (n) with the candidates, which become the gradient of what they are multiplied by, when it is wanted.
PairAnswer answer_of(std::int64_t n, std::int64_t target, float factor, const CrossEntropyForm& form, bool gradient,
                     float* x) {
  thread_local std::vector<float> logits;
  for (std::int64_t i = 0; i < n; ++i) x[i] *= factor;
  const float at_target = x[target];
  PairAnswer answer{};
  for (std::int64_t i = 0; i < n; ++i) answer.better += x[i] > at_target || (x[i] == at_target && i < target);
  float maximum = 0, sum = 0;
  kernels().log_sum_exp(n, x, &maximum, &sum, nullptr);
  const double lse = static_cast<double>(maximum) + elementary::log(static_cast<double>(sum));
  double all = 0;
  if (gradient) {
    logits.assign(x, x + n);
    all = kernels().cross_entropy_row(n, maximum, sum, form.smoothing, target, form.scale, x);
    for (std::int64_t i = 0; i < n; ++i) {
      answer.d_log_scale += static_cast<double>(x[i]) * static_cast<double>(logits[static_cast<std::size_t>(i)]);
      x[i] *= factor;
    }
  } else if (form.smoothing > 0) {
    for (std::int64_t i = 0; i < n; ++i) all += static_cast<double>(x[i]);
  }
  answer.nll = lse - static_cast<double>(at_target);
  answer.loss =
      lse - (1.0 - form.smoothing) * static_cast<double>(at_target) - form.smoothing / static_cast<double>(n) * all;
  return answer;
}

/// Returns the gradient of log_scale.
double look_up(const OneWay& way, const CrossEntropyForm& form, Workspace& workspace, LossSums& total,
               std::array<std::int64_t, 3>& found) {
  const WorkspaceScope scope(workspace);
  const std::int64_t n = way.count, d = way.width, most = std::min(kQueriesAtOnce, n);
  float* logits = workspace.get(most * n);
  auto* answers = workspace.get<PairAnswer>(most);
  double d_log_scale = 0;
  for (std::int64_t first = 0; first < n; first += most) {
    const std::int64_t m = std::min(most, n - first);
    const MatrixView queries{way.queries + first * d, m, d};
    product_nt(queries, {way.candidates, n, d}, nullptr, {logits, m, n});
    parallel_for(m, 4, [&](std::int64_t r, std::int64_t end) {
      for (; r < end; ++r)
        answers[r] = answer_of(n, first + r, way.factor, form, way.d_queries != nullptr, logits + r * n);
    });
    for (std::int64_t r = 0; r < m; ++r) {
      const PairAnswer& answer = answers[r];
      total.add({answer.loss, answer.nll, answer.better == 0 ? 1 : 0, 1, 1});
      for (std::size_t k = 0; k < found.size(); ++k) found[k] += answer.better < kRecallDepths[k];
      d_log_scale += answer.d_log_scale;
    }
    if (!way.d_queries) continue;
    product_nn({logits, m, n}, {way.candidates, n, d}, {way.d_queries + first * d, m, d}, true);
    product_tn({logits, m, n}, queries, {way.d_candidates, n, d});
  }
  return d_log_scale;
}

}  // namespace

PairCrossEntropy pair_cross_entropy(const PairVectors& v, const CrossEntropyForm& form, Workspace& workspace,
                                    const PairGradients* gradients) {
  const auto factor = static_cast<float>(elementary::exp(static_cast<double>(v.log_scale)));
  float *d_source = gradients ? gradients->source : nullptr, *d_target = gradients ? gradients->target : nullptr;
  PairCrossEntropy result;
  const double forth = look_up({v.pairs, v.width, v.source, v.target, factor, d_source, d_target}, form, workspace,
                               result.total, result.targets_found);
  const double back = look_up({v.pairs, v.width, v.target, v.source, factor, d_target, d_source}, form, workspace,
                              result.total, result.sources_found);
  if (gradients) *gradients->log_scale += static_cast<float>(forth + back);
  return result;
}

}  // namespace pipeformer
