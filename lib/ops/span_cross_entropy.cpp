#include "ops/span_cross_entropy.hpp"

#include <vector>

#include "core/elementary.hpp"
#include "core/threads.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer {

LossSums span_cross_entropy(const Ragged& ragged, const float* logits, const std::int32_t* targets,
                            const CrossEntropyForm& form, float* d_logits) {
  struct Answer {
    double loss = 0, nll = 0;
    bool correct = false;
  };
  std::vector<Answer> answers(static_cast<std::size_t>(2 * ragged.sequences()));
  parallel_for(2 * ragged.sequences(), 1, [&](std::int64_t i, std::int64_t end) {
    thread_local std::vector<float> column;
    for (; i < end; ++i) {
      const std::int64_t first = ragged.begin(i / 2), length = ragged.length(i / 2), k = i % 2;
      const std::int32_t target = targets[i];
      column.assign(static_cast<std::size_t>(length), 0);
      float* x = column.data();
      if (target >= 0) {
        for (std::int64_t t = 0; t < length; ++t) x[t] = logits[2 * (first + t) + k];
        float maximum = 0, sum = 0;
        kernels().log_sum_exp(length, x, &maximum, &sum, nullptr);
        const double lse = static_cast<double>(maximum) + elementary::log(static_cast<double>(sum));
        const double at_target = x[target];
        double all = 0;
        if (d_logits)
          all = kernels().cross_entropy_row(length, maximum, sum, form.smoothing, target, form.scale, x);
        else if (form.smoothing > 0)
          for (std::int64_t t = 0; t < length; ++t) all += x[t];
        answers[static_cast<std::size_t>(i)] = {
            lse - (1.0 - form.smoothing) * at_target - form.smoothing / static_cast<double>(length) * all,
            lse - at_target, at_target >= static_cast<double>(maximum)};
      }
      if (d_logits)
        for (std::int64_t t = 0; t < length; ++t) d_logits[2 * (first + t) + k] = x[t];
    }
  });
  LossSums total;
  for (std::size_t i = 0; i < answers.size(); i += 2) {
    if (targets[i] < 0) continue;
    const Answer &from = answers[i], &to = answers[i + 1];
    total.loss += from.loss + to.loss;
    total.negative_log_likelihood += from.nll + to.nll;
    total.correct += from.correct && to.correct ? 2 : 0;
    total.rows += 2;
    total.weight += 2;
  }
  return total;
}

}  // namespace pipeformer
