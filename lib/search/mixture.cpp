#include "search/mixture.hpp"

#include "core/threads.hpp"
#include "ops/logits.hpp"

namespace pipeformer {

void for_mixture(Context& ctx, EnsembleMean mean, std::span<const HeadInput> models, std::int64_t rows,
                 Buffer<float>& memory, const std::function<void(std::int64_t row, RowOfLogits&)>& body) {
  const std::int64_t vocabulary = models.front().head->projection().out();
  const float share = 1.0f / static_cast<float>(models.size());
  const bool logs = mean == EnsembleMean::logs;
  memory.assign(static_cast<std::size_t>(rows * vocabulary), 0.0f);
  for (const HeadInput& model : models)
    for_logits(ctx, *model.head, {one_row_each(rows)}, model.hidden, [&](std::int64_t row, const RowOfLogits& logits) {
      float* to = memory.data() + row * vocabulary;
      const auto log_sum = static_cast<float>(logits.log_sum);
      if (!logs) exp_shifted(vocabulary, log_sum, logits.values);
      for (std::int64_t i = 0; i < vocabulary; ++i)
        to[i] += share * (logs ? logits.values[i] - log_sum : logits.values[i]);
    });
  parallel_for(rows, 1, [&](std::int64_t row, std::int64_t end) {
    for (; row < end; ++row) {
      float* values = memory.data() + row * vocabulary;
      if (!logs) logarithms(vocabulary, values);
      RowOfLogits logits{values, 0, nullptr};
      body(row, logits);
    }
  });
}

}  // namespace pipeformer
