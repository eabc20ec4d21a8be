/// The order in which an epoch goes through examples, and where it is cut into batches.
#pragma once
#include <cstdint>
#include <vector>

#include "train/examples.hpp"

namespace pipeformer {

/// The batches of one epoch: examples in the order of training, cut after each batch.
struct EpochPlan {
  std::vector<std::int64_t> order;
  std::vector<std::int64_t> ends;  ///< order[ends[b - 1]] .. order[ends[b]] is batch b.
  std::int64_t batches() const { return static_cast<std::int64_t>(ends.size()); }
  std::int64_t begin(std::int64_t batch) const { return batch == 0 ? 0 : end(batch - 1); }
  std::int64_t end(std::int64_t batch) const { return ends[static_cast<std::size_t>(batch)]; }
};

struct BatchSettings {
  std::int64_t tokens = 4096;    ///< Most tokens of a batch (at least one example).
  std::int64_t sort_window = 0;  ///< So many shuffled examples are sorted by length, so that batches are even; 0: none.
};

/// A function of the seed and the epoch only.
EpochPlan plan_epoch(const Examples&, const BatchSettings&, std::uint64_t seed, std::int64_t epoch);
/// All examples in the order of the data.
EpochPlan plan_validation(const Examples&, std::int64_t tokens);

/// What --batch-tokens counts in a batch.
std::int64_t batch_tokens(const Examples&, const EpochPlan&, std::int64_t batch);

/// Cuts a batch into parts of consecutive examples with about as many tokens each: part p is order[cuts[p]] ..
/// order[cuts[p + 1]]. A part may be empty.
std::vector<std::int64_t> cut_batch(const Examples&, const EpochPlan&, std::int64_t batch, std::int64_t parts);

}  // namespace pipeformer
