#include "ops/cross_entropy.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/elementary.hpp"
#include "core/threads.hpp"
#include "ops/elementwise.hpp"
#include "ops/gemm.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer {

void LossSums::add(const LossSums& other) {
  loss += other.loss;
  negative_log_likelihood += other.negative_log_likelihood;
  correct += other.correct;
  rows += other.rows;
  weight += other.weight;
}

namespace {

/// What a row of logits adds to the sums.
struct AnswerLoss {
  double loss = 0, nll = 0, weight = 0;
  bool counted = false, correct = false;
};

/// With class weights. x: the logits, which the gradient takes the place of.
AnswerLoss weighted_answer(std::int64_t classes, std::int32_t target, const CrossEntropyForm& form, bool gradient,
                           float* x) {
  float maximum = 0, sum = 0;
  kernels().log_sum_exp(classes, x, &maximum, &sum, nullptr);
  const double lse = static_cast<double>(maximum) + elementary::log(static_cast<double>(sum));
  const double weight = form.weights[target], at_target = x[target];
  const double kept = 1.0 - static_cast<double>(form.smoothing), spread = (1.0 - kept) / static_cast<double>(classes);
  double whole = 0, all = 0;
  for (std::int64_t v = 0; v < classes; ++v) {
    whole += static_cast<double>(form.weights[v]);
    all += static_cast<double>(form.weights[v]) * (lse - static_cast<double>(x[v]));
  }
  const double nll = weight * (lse - at_target);
  if (gradient)
    for (std::int64_t v = 0; v < classes; ++v) {
      const double p = elementary::exp(static_cast<double>(x[v]) - lse);
      const double d = (kept * weight + spread * whole) * p - spread * static_cast<double>(form.weights[v]) -
                       (v == target ? kept * weight : 0);
      x[v] = static_cast<float>(static_cast<double>(form.scale) * d);
    }
  return {kept * nll + spread * all, nll, weight, true, at_target >= static_cast<double>(maximum)};
}

}  // namespace

LossSums cross_entropy(const OutputProjection& output, std::int64_t rows, const float* hidden,
                       const std::int32_t* targets, const CrossEntropyForm& form, Workspace& workspace,
                       float* d_hidden) {
  const float smoothing = form.smoothing, scale = form.scale;  // clang before 16 captures no bindings
  const std::int64_t vocabulary = output.weight.rows, d = output.weight.columns;
  // About 8 MB of logits at a time: they stay in the last-level cache between the four passes over them.
  const std::int64_t chunk = std::clamp<std::int64_t>((std::int64_t{2} << 20) / vocabulary, 16, 1024);
  const WorkspaceScope scope(workspace);
  float* logits = workspace.get(std::min(chunk, rows) * vocabulary);
  // The weight is packed once for all chunks, in both directions.
  PackedView packed = output.packed, packed_back = output.packed_back;
  if (!packed)
    packed = pack_nt(output.weight, workspace.get<std::byte>(packed_bytes(vocabulary, d, output.weight.type)));
  if (d_hidden && !packed_back)
    packed_back =
        pack_nn({output.weight.values(), vocabulary, d}, workspace.get<std::byte>(packed_bytes(d, vocabulary)));
  auto* results = workspace.get<AnswerLoss>(std::min(chunk, rows));
  LossSums total;
  for (std::int64_t first = 0; first < rows; first += chunk) {
    const std::int64_t n = std::min(chunk, rows - first);
    product_packed({hidden + first * d, n, d}, packed, output.bias, {logits, n, vocabulary});
    parallel_for(n, 4, [&](std::int64_t r, std::int64_t end) {
      for (; r < end; ++r) {
        float* x = logits + r * vocabulary;
        const std::int32_t target = targets[first + r];
        if (target < 0) {
          if (d_hidden) std::fill_n(x, vocabulary, 0.0f);
          if (form.d_logits) std::fill_n(form.d_logits + (first + r) * vocabulary, vocabulary, 0.0f);
          results[r] = {};
          continue;
        }
        if (form.weights) {
          results[r] = weighted_answer(vocabulary, target, form, d_hidden != nullptr, x);
          if (form.d_logits) std::copy_n(x, vocabulary, form.d_logits + (first + r) * vocabulary);
          continue;
        }
        thread_local std::vector<float> tangents;
        if (form.soft_cap > 0) {
          tangents.resize(static_cast<std::size_t>(vocabulary));
          soft_cap(vocabulary, form.soft_cap, x, tangents.data());
        }
        float maximum = 0, sum = 0;
        kernels().log_sum_exp(vocabulary, x, &maximum, &sum, nullptr);
        const double lse = static_cast<double>(maximum) + elementary::log(static_cast<double>(sum));
        const double at_target = x[target];
        double all = 0;
        if (d_hidden) {
          all = kernels().cross_entropy_row(vocabulary, maximum, sum, smoothing, target, scale, x);
          if (form.d_logits) std::copy_n(x, vocabulary, form.d_logits + (first + r) * vocabulary);
          if (form.soft_cap > 0) soft_cap_backward(vocabulary, tangents.data(), x);
        } else if (smoothing > 0) {
          for (std::int64_t v = 0; v < vocabulary; ++v) all += x[v];
        }
        results[r] = {lse - (1.0 - smoothing) * at_target - smoothing / static_cast<double>(vocabulary) * all,
                      lse - at_target, 1, true, at_target >= static_cast<double>(maximum)};
      }
    });
    for (std::int64_t r = 0; r < n; ++r)
      total.add({results[r].loss, results[r].nll, results[r].correct, results[r].counted, results[r].weight});
    if (!d_hidden) continue;
    product_packed({logits, n, vocabulary}, packed_back, nullptr, {d_hidden + first * d, n, d});
    product_tn({logits, n, vocabulary}, {hidden + first * d, n, d}, {output.d_weight, vocabulary, d});
    if (output.d_bias) column_sums({logits, n, vocabulary}, output.d_bias);
  }
  return total;
}

}  // namespace pipeformer
