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

void CrossEntropy::add(const CrossEntropy& other) {
  loss += other.loss;
  negative_log_likelihood += other.negative_log_likelihood;
  correct += other.correct;
  rows += other.rows;
}

CrossEntropy cross_entropy(const OutputProjection& output, std::int64_t rows, const float* hidden,
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
  struct Row {
    double loss, nll;
    bool counted, correct;
  };
  Row* results = workspace.get<Row>(std::min(chunk, rows));
  CrossEntropy total;
  for (std::int64_t first = 0; first < rows; first += chunk) {
    const std::int64_t n = std::min(chunk, rows - first);
    product_packed({hidden + first * d, n, d}, packed, output.bias, {logits, n, vocabulary});
    parallel_for(n, 4, [&](std::int64_t r, std::int64_t end) {
      for (; r < end; ++r) {
        float* x = logits + r * vocabulary;
        const std::int32_t target = targets[first + r];
        if (target < 0) {
          if (d_hidden) std::fill_n(x, vocabulary, 0.0f);
          results[r] = {0, 0, false, false};
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
          if (form.soft_cap > 0) soft_cap_backward(vocabulary, tangents.data(), x);
        } else if (smoothing > 0) {
          for (std::int64_t v = 0; v < vocabulary; ++v) all += x[v];
        }
        results[r] = {lse - (1.0 - smoothing) * at_target - smoothing / static_cast<double>(vocabulary) * all,
                      lse - at_target, true, at_target >= static_cast<double>(maximum)};
      }
    });
    for (std::int64_t r = 0; r < n; ++r) {
      total.loss += results[r].loss;
      total.negative_log_likelihood += results[r].nll;
      total.correct += results[r].correct;
      total.rows += results[r].counted;
    }
    if (!d_hidden) continue;
    product_packed({logits, n, vocabulary}, packed_back, nullptr, {d_hidden + first * d, n, d});
    product_tn({logits, n, vocabulary}, {hidden + first * d, n, d}, {output.d_weight, vocabulary, d});
    if (output.d_bias) column_sums({logits, n, vocabulary}, output.d_bias);
  }
  return total;
}

}  // namespace pipeformer
