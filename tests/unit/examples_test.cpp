#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>
#include <set>

#include "core/random.hpp"
#include "files.hpp"
#include "io/stream.hpp"
#include "train/epoch_plan.hpp"

using namespace pipeformer;

namespace {

/// A stream of ids (T,) of these lengths.
std::string ids_of_lengths(const std::string& path, const std::vector<std::int64_t>& lengths) {
  const auto writer = RecordWriter::open(path);
  for (const std::int64_t length : lengths) {
    std::vector<std::int32_t> ids(static_cast<std::size_t>(length));
    std::iota(ids.begin(), ids.end(), 3);
    writer->write(Array::of<std::int32_t>({length}, ids));
  }
  writer->close();
  return path;
}

Configuration language_model() {
  Configuration c;
  c.kind = ModelKind::decoder_only;
  c.target_vocabulary = 1000;
  return c;
}

/// Examples of given lengths.
class Lengths : public Examples {
 public:
  explicit Lengths(std::vector<std::int64_t> lengths) : lengths_(std::move(lengths)) {
    for (std::size_t i = 0; i < lengths_.size(); ++i) all_.push_back(static_cast<std::int64_t>(i));
  }
  std::int64_t tokens(std::int64_t i) const override { return lengths_[static_cast<std::size_t>(i)]; }
  void append(std::int64_t, std::uint64_t, ExampleBatch&) const override {}

 private:
  std::vector<std::int64_t> lengths_;
};

}  // namespace

TEST_CASE("an epoch has every example once, in batches that are not too large", "[train]") {
  const test::TemporaryDirectory directory;
  std::vector<std::int64_t> lengths(101);
  for (std::size_t i = 0; i < lengths.size(); ++i) lengths[i] = static_cast<std::int64_t>(i * i % 31);
  const auto examples =
      language_examples(RecordSet::open({ids_of_lengths(directory / "x.npy", lengths)}), language_model(), 0, 0);
  std::set<std::vector<std::int64_t>> orders;
  for (const std::int64_t window : {0, 1, 10, 64, 5000}) {
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
      const EpochPlan plan = plan_epoch(*examples, {40, window}, 7, epoch);
      CHECK(plan_epoch(*examples, {40, window}, 7, epoch).order == plan.order);
      orders.insert(plan.order);
      std::vector<std::int64_t> sorted = plan.order;
      std::sort(sorted.begin(), sorted.end());
      CHECK(sorted == examples->all());
      REQUIRE(plan.ends.back() == 101);
      std::int64_t first = 0, uneven = 0;
      for (const std::int64_t end : plan.ends) {
        REQUIRE(end > first);
        std::int64_t tokens = 0, shortest = 1000, longest = 0;
        for (; first < end; ++first) {
          const std::int64_t count = examples->tokens(plan.order[static_cast<std::size_t>(first)]);
          tokens += count;
          shortest = std::min(shortest, count);
          longest = std::max(longest, count);
        }
        CHECK(tokens <= 40);
        uneven += longest - shortest;
      }
      // Sorting makes batches even; over all examples at once nearly entirely so.
      CHECK((window == 5000) == (uneven < 40));
    }
  }
  CHECK(orders.size() == 15);  // each epoch has its own
}

TEST_CASE("windows of a running text: full, side by side, from a random beginning", "[train]") {
  const test::TemporaryDirectory directory;
  const auto examples =
      language_examples(RecordSet::open({ids_of_lengths(directory / "x.npy", {100})}), language_model(), 7, 0);
  CHECK(examples->all().size() == 15);
  CHECK(examples->tokens(98) == 2);
  std::set<std::int64_t> beginnings;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto windows = examples->epoch(seed);
    beginnings.insert(windows.front());
    for (std::size_t i = 0; i < windows.size(); ++i) CHECK(windows[i] == windows[0] + 7 * static_cast<std::int64_t>(i));
    CHECK(windows.back() + 7 <= 100);
    CHECK(windows.back() + 14 > 100);
  }
  CHECK(beginnings == std::set<std::int64_t>{0, 1, 2, 3, 4, 5, 6});
  ExampleBatch batch;
  examples->append(98, 0, batch);
  CHECK(batch.target_ids == std::vector<std::int32_t>{1, 101});  // begin, and what stands at 98
  CHECK(batch.labels == std::vector<std::int32_t>{101, 102});
}

TEST_CASE("leading axes are sequences, empty ones too, and errors name the record that holds them", "[train]") {
  const test::TemporaryDirectory directory;
  const auto write = [&](const char* name, const Shape& shape) {
    const auto writer = RecordWriter::open(directory / name);
    for (int i = 0; i < 2; ++i)
      writer->write(Array::of<float>(shape, std::vector<float>(static_cast<std::size_t>(element_count(shape)), 0.5f)));
    writer->close();
    return directory / name;
  };
  const std::string plain = write("plain.npy", {5, 3}), dense = write("dense.npy", {2, 3, 4, 3});
  const std::string nothing = write("nothing.npy", {2, 0, 3});
  const RecordSet set = RecordSet::open({plain, dense, nothing});
  REQUIRE(set.records() == 2 + 12 + 4);
  CHECK(set.width() == 3);
  CHECK(set.length(1) == 5);
  CHECK(set.length(2) == 4);
  CHECK(set.length(17) == 0);
  CHECK(set.vectors(3) == set.vectors(2) + 12);
  CHECK(set.where(1) == plain + ": record 1");
  CHECK(set.where(7) == dense + ": record 0");
  CHECK(set.where(8) == dense + ": record 1");
  CHECK(set.where(14) == nothing + ": record 0");
  CHECK(set.fingerprint() != RecordSet::open({plain, dense}).fingerprint());
}

TEST_CASE("the parts of a batch are the batch, in order, of about equal tokens", "[train]") {
  Random random(3);
  std::vector<std::int64_t> lengths;
  for (int i = 0; i < 500; ++i) lengths.push_back(static_cast<std::int64_t>(random.below(40)));
  const Lengths examples(lengths);
  const EpochPlan plan = plan_epoch(examples, {200, 0}, 1, 0);
  REQUIRE(plan.batches() > 20);
  for (const std::int64_t parts : {1, 2, 3, 8, 300}) {
    for (std::int64_t b = 0; b < plan.batches(); ++b) {
      std::int64_t at = plan.begin(b);
      const std::int64_t total = batch_tokens(examples, plan, b);
      const std::vector<std::int64_t> cuts = cut_batch(examples, plan, b, parts);
      REQUIRE(cuts.size() == static_cast<std::size_t>(parts) + 1);
      for (std::size_t p = 0; p + 1 < cuts.size(); ++p) {
        CHECK(cuts[p] == at);
        std::int64_t tokens = 0;
        for (; at < cuts[p + 1]; ++at) tokens += examples.tokens(plan.order[static_cast<std::size_t>(at)]);
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
    const std::vector<std::int64_t> cuts = cut_batch(examples, plan, 0, 4);
    REQUIRE(cuts.size() == 5);
    CHECK(std::is_sorted(cuts.begin(), cuts.end()));
    CHECK(cuts.front() == 0);
    CHECK(cuts.back() == static_cast<std::int64_t>(lengths.size()));
  }
}

TEST_CASE("a part of a batch that holds empty records of vectors alone is one of vectors", "[train]") {
  const test::TemporaryDirectory directory;
  const auto writer = RecordWriter::open(directory / "x.npy");
  writer->write(Array::of<float>({0, 4}, std::vector<float>{}));
  writer->write(Array::of<float>({1, 4}, std::vector<float>(4, 1.0f)));
  writer->close();
  Configuration c;
  c.kind = ModelKind::encoder_only;
  c.input_width = 4;
  c.class_tokens = 1;
  const auto examples = classification_examples(RecordSet::open({directory / "x.npy"}), {0, 1}, "labels", c, 0);
  for (const std::int64_t example : {0, 1}) {
    ExampleBatch batch;
    examples->append(example, 1, batch);
    CHECK(batch.view().source.kind == Transformer::Source::Kind::vectors);
  }
}
