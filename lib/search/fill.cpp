#include "search/fill.hpp"

#include <cmath>

#include "core/elementary.hpp"
#include "core/error.hpp"
#include "ops/pooling.hpp"
#include "search/candidates.hpp"

namespace pipeformer {

std::vector<FilledMask> fill_masks(Context& ctx, const Transformer& model, const Batch& batch, std::int32_t mask,
                                   std::int64_t top) {
  std::vector<FilledMask> masks;
  std::vector<std::int32_t> rows;
  for (std::int64_t row = 0; row < batch.positions(); ++row) {
    if (batch.tokens[static_cast<std::size_t>(row)] != mask) continue;
    masks.push_back({row, {}});
    rows.push_back(static_cast<std::int32_t>(row));
  }
  if (masks.empty()) return masks;
  Transformer::Encoded encoded;
  model.encode(ctx, {.ragged = batch.ragged(), .ids = batch.tokens.data()}, encoded);
  const std::int64_t width = model.configuration().width, count = std::ssize(masks);
  float* hidden = ctx.workspace.get(count * width);
  gather_rows(count, width, rows.data(), encoded.memory, hidden);
  const auto fill = [&](std::int64_t i, const RowOfLogits& logits) {
    std::vector<Candidate> best;
    best_candidates(model.head().projection().out(), logits.values, logits.block_maxima, top, best);
    for (const Candidate& candidate : best)
      masks[static_cast<std::size_t>(i)].best.push_back(
          {candidate.id, static_cast<float>(elementary::exp(candidate.logit - logits.log_sum))});
  };
  try {
    for_logits(ctx, model.head(), {one_row_each(count)}, hidden, fill);
  } catch (const RowError& error) {
    throw RowError(rows[static_cast<std::size_t>(error.row())], error.what());
  }
  return masks;
}

}  // namespace pipeformer
