// How a batch is cut among ranks: all of it, in order, about evenly.
#include "train/examples.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "core/random.hpp"

using namespace pipeformer;

namespace {

/// Examples of given lengths.
class Lengths : public Examples {
 public:
  explicit Lengths(std::vector<std::int64_t> lengths) : lengths_(std::move(lengths)) {
    for (std::size_t i = 0; i < lengths_.size(); ++i) all_.push_back(static_cast<std::int64_t>(i));
  }
  std::int64_t tokens(std::int64_t i) const override { return lengths_[static_cast<std::size_t>(i)]; }
  void append(std::int64_t, std::uint64_t, ExampleBatch&) const override {}
  std::uint64_t fingerprint() const override { return 0; }

 private:
  std::vector<std::int64_t> lengths_;
};

}  // namespace

TEST_CASE("the parts of a batch are the batch, in order, of about equal tokens", "[train]") {
  Random random(3);
  std::vector<std::int64_t> lengths;
  for (int i = 0; i < 500; ++i) lengths.push_back(static_cast<std::int64_t>(random.below(40)));
  const Lengths examples(lengths);
  const EpochPlan plan = plan_epoch(examples, {200, 0}, 1, 0);
  REQUIRE(plan.batches() > 20);
  for (const std::int64_t parts : {1, 2, 3, 8, 300}) {
    for (std::int64_t b = 0; b < plan.batches(); ++b) {
      std::int64_t at = plan.begin(b), total = 0;
      for (std::int64_t i = at; i < plan.end(b); ++i) total += examples.tokens(plan.order[static_cast<std::size_t>(i)]);
      for (std::int64_t p = 0; p < parts; ++p) {
        const PartOfBatch part = part_of_batch(examples, plan, b, p, parts);
        CHECK(part.begin == at);
        CHECK(part.tokens == total);
        std::int64_t tokens = 0;
        for (; at < part.end; ++at) tokens += examples.tokens(plan.order[static_cast<std::size_t>(at)]);
        CHECK(std::abs(static_cast<double>(tokens) - static_cast<double>(total) / static_cast<double>(parts)) <= 40);
      }
      CHECK(at == plan.end(b));
    }
  }
}

TEST_CASE("a batch of one example, and one of nothing but empty ones, is not lost", "[train]") {
  for (const std::vector<std::int64_t>& lengths : {std::vector<std::int64_t>{7}, std::vector<std::int64_t>{0, 0, 0}}) {
    const Lengths examples(lengths);
    const EpochPlan plan = plan_validation(examples, 100);
    REQUIRE(plan.batches() == 1);
    std::int64_t at = 0;
    for (std::int64_t p = 0; p < 4; ++p) {
      const PartOfBatch part = part_of_batch(examples, plan, 0, p, 4);
      CHECK(part.begin == at);
      at = part.end;
    }
    CHECK(at == static_cast<std::int64_t>(lengths.size()));
  }
}
