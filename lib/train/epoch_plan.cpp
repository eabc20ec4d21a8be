#include "train/epoch_plan.hpp"

#include <algorithm>

#include "core/random.hpp"

namespace pipeformer {
namespace {

/// Cuts an order into batches.
EpochPlan cut(const Examples& examples, std::vector<std::int64_t> order, std::int64_t tokens) {
  EpochPlan plan;
  plan.order = std::move(order);
  std::int64_t total = 0;
  for (std::size_t i = 0; i < plan.order.size(); ++i) {
    const std::int64_t count = examples.tokens(plan.order[i]);
    if (total > 0 && total + count > tokens) {
      plan.ends.push_back(static_cast<std::int64_t>(i));
      total = 0;
    }
    total += count;
  }
  plan.ends.push_back(static_cast<std::int64_t>(plan.order.size()));
  return plan;
}

void shuffle(std::vector<std::int64_t>& order, Random& random) {  // Fisher-Yates
  for (std::size_t i = order.size(); i-- > 1;)
    std::swap(order[i], order[static_cast<std::size_t>(random.below(static_cast<std::uint64_t>(i + 1)))]);
}

/// The batches of a plan in a random order.
EpochPlan shuffled_batches(const EpochPlan& plan, Random& random) {
  std::vector<std::int64_t> batches(plan.ends.size());
  for (std::size_t b = 0; b < batches.size(); ++b) batches[b] = static_cast<std::int64_t>(b);
  shuffle(batches, random);
  EpochPlan mixed;
  for (const std::int64_t b : batches) {
    mixed.order.insert(mixed.order.end(), plan.order.begin() + plan.begin(b), plan.order.begin() + plan.end(b));
    mixed.ends.push_back(static_cast<std::int64_t>(mixed.order.size()));
  }
  return mixed;
}

}  // namespace

EpochPlan plan_epoch(const Examples& examples, const BatchSettings& settings, std::uint64_t seed, std::int64_t epoch) {
  const std::uint64_t order_seed =
      derive_seed(derive_seed(seed, 0x6f72646572), static_cast<std::uint64_t>(epoch));  // "order"
  std::vector<std::int64_t> order = examples.epoch(derive_seed(order_seed, 1));
  Random random(order_seed);
  shuffle(order, random);
  if (settings.sort_window == 0) return cut(examples, std::move(order), settings.tokens);
  for (std::size_t at = 0; at < order.size(); at += static_cast<std::size_t>(settings.sort_window)) {
    const auto first = order.begin() + static_cast<std::ptrdiff_t>(at);
    const auto last = order.begin() + static_cast<std::ptrdiff_t>(
                                          std::min(order.size(), at + static_cast<std::size_t>(settings.sort_window)));
    std::stable_sort(first, last,
                     [&](std::int64_t a, std::int64_t b) { return examples.tokens(a) < examples.tokens(b); });
  }
  return shuffled_batches(cut(examples, std::move(order), settings.tokens), random);
}

EpochPlan plan_validation(const Examples& examples, std::int64_t tokens) {
  return cut(examples, examples.all(), tokens);
}

std::int64_t batch_tokens(const Examples& examples, const EpochPlan& plan, std::int64_t batch) {
  std::int64_t total = 0;
  for (std::int64_t i = plan.begin(batch); i < plan.end(batch); ++i)
    total += examples.tokens(plan.order[static_cast<std::size_t>(i)]);
  return total;
}

std::vector<std::int64_t> cut_batch(const Examples& examples, const EpochPlan& plan, std::int64_t batch,
                                    std::int64_t parts) {
  const std::int64_t total = std::max<std::int64_t>(batch_tokens(examples, plan, batch), 1);
  std::vector<std::int64_t> cuts{plan.begin(batch)};
  std::int64_t before = 0;
  for (std::int64_t i = plan.begin(batch); i < plan.end(batch); ++i) {
    // An example belongs to the part that its middle falls into.
    const std::int64_t tokens = examples.tokens(plan.order[static_cast<std::size_t>(i)]);
    const std::int64_t owner = std::min((2 * before + tokens) * parts / (2 * total), parts - 1);
    while (static_cast<std::int64_t>(cuts.size()) <= owner) cuts.push_back(i);
    before += tokens;
  }
  cuts.resize(static_cast<std::size_t>(parts) + 1, plan.end(batch));
  return cuts;
}

}  // namespace pipeformer
