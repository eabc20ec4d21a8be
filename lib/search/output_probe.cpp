#include "search/output_probe.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/threads.hpp"
#include "ops/kernel_types.hpp"

namespace pipeformer {

void OutputProbe::matrix(Tap tap, const TapMatrix& seen) const {
  if (view_.also && view_.also->wants(tap)) view_.also->matrix(tap, seen);
  if (tap.id != view_.weights.id) return;
  if (seen.head == 0 && seen.first == 0) {
    finish_alignment();
    aligned_.emplace_back().alignment.resize(static_cast<std::size_t>(seen.queries), 0);
    sums_.assign(static_cast<std::size_t>(seen.queries * seen.keys), 0);
    keys_ = seen.keys;
  }
  float* sums = sums_.data() + seen.first * seen.keys;
  for (std::int64_t i = 0; i < seen.rows * seen.keys; ++i) sums[i] += seen.x[i];
}

void OutputProbe::finish_alignment() const {
  if (keys_ == 0) return;
  auto row = sums_.begin();
  for (std::int32_t& position : aligned_.back().alignment) {
    position = static_cast<std::int32_t>(std::max_element(row, row + keys_) - row);
    row += keys_;
  }
  keys_ = 0;
}

void OutputProbe::rows(Tap tap, const TapRows& seen) const {
  if (view_.also && view_.also->wants(tap)) view_.also->rows(tap, seen);
  if (tap.id != view_.logits.id) return;
  const auto count = static_cast<std::size_t>(view_.alternatives);
  for (std::int64_t s = 0; s < seen.ragged.sequences(); ++s) {
    const std::int64_t rows = seen.ragged.length(s);
    Seen& ranked = ranked_.emplace_back();
    ranked.tokens.resize(static_cast<std::size_t>(rows) * count, -1);
    ranked.log_probabilities.resize(ranked.tokens.size(), -std::numeric_limits<float>::infinity());
    parallel_for(rows, 1, [&](std::int64_t r, std::int64_t end) {
      std::vector<float> maxima(static_cast<std::size_t>((seen.width + kMaximaBlock - 1) / kMaximaBlock));
      std::vector<Candidate> best;
      for (; r < end; ++r) {
        RowOfLogits logits{seen.x + (seen.ragged.begin(s) + r) * seen.width, 0, maxima.data()};
        if (!logits.measure(seen.width)) continue;  // for_logits says so
        best_candidates(seen.width, logits.values, logits.block_maxima, view_.alternatives, best);
        for (std::size_t i = 0, at = static_cast<std::size_t>(r) * count; i < best.size(); ++i, ++at) {
          ranked.tokens[at] = best[i].id;
          ranked.log_probabilities[at] = static_cast<float>(best[i].logit - logits.log_sum);
        }
      }
    });
  }
}

std::vector<OutputProbe::Seen> OutputProbe::take() const {
  finish_alignment();
  std::vector<Seen> all = std::exchange(ranked_, {});
  all.resize(std::max(all.size(), aligned_.size()));
  for (std::size_t i = 0; i < aligned_.size(); ++i) all[i].alignment = std::move(aligned_[i].alignment);
  aligned_.clear();
  return all;
}

}  // namespace pipeformer
