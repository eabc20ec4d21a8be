/// Examples without labels: translations, language models, masked language models, pairs that are compared.
#include <algorithm>

#include "train/example_records.hpp"

namespace pipeformer {
namespace {

/// What a decoder reads and predicts of one target. Without a begin id (-1) nothing predicts the first token; an end id
/// of -1 is left out of the loss.
void append_target(const RecordSet& records, std::int64_t r, std::int32_t begin, std::int32_t end,
                   ExampleBatch& batch) {
  const std::int32_t* ids = records.ids(r);
  const std::int64_t length = records.length(r), unpredicted = begin < 0 ? 1 : 0;
  if (begin >= 0) batch.target_ids.push_back(begin);
  append_ids(records, r, batch.target_ids);
  batch.labels.insert(batch.labels.end(), ids + std::min(unpredicted, length), ids + length);
  if (begin >= 0 || length > 0) batch.labels.push_back(end);
  batch.target_offsets.push_back(static_cast<std::int64_t>(batch.target_ids.size()));
}

class Translation : public Pairs {
 public:
  Translation(RecordSet source, RecordSet target, const Configuration& c, std::int64_t max_length)
      : Pairs(std::move(source), std::move(target), max_length,
              [&](const RecordSet& sources, const RecordSet& targets, std::int64_t i) {
                expect_room(sources, i, 0, c, false);
                expect_room(targets, i, 1, c, true);
              }),
        begin_(static_cast<std::int32_t>(c.begin_id)),
        end_(static_cast<std::int32_t>(c.end_id)) {}
  std::int64_t tokens(std::int64_t i) const override { return target_.length(i) + 1; }
  void append(std::int64_t i, std::uint64_t, ExampleBatch& batch) const override {
    append_source(source_, i, batch);
    append_target(target_, i, begin_, end_, batch);
  }

 private:
  std::int32_t begin_, end_;
};

class LanguageLines : public Lines {
 public:
  LanguageLines(RecordSet records, const Configuration& c, std::int64_t max_length)
      : Lines(std::move(records), 1, c, max_length),
        begin_(static_cast<std::int32_t>(c.begin_id)),
        end_(static_cast<std::int32_t>(c.end_id)) {}
  std::int64_t tokens(std::int64_t i) const override { return records_.length(i) + 1; }
  void append(std::int64_t i, std::uint64_t, ExampleBatch& batch) const override {
    append_target(records_, i, begin_, end_, batch);
  }

 private:
  std::int32_t begin_, end_;
};

/// Numbers are positions in the running text.
class LanguageWindows : public Examples {
 public:
  LanguageWindows(RecordSet records, const Configuration& c, std::int64_t context)
      : records_(std::move(records)), begin_(static_cast<std::int32_t>(c.begin_id)), context_(context) {
    require(context <= c.longest(true).value_or(context), "--context ", context, " is longer than the model's ",
            c.decoder.max_positions, " learned positions");
    if (records_.records() == 1) {
      text_ = {records_.ids(0), static_cast<std::size_t>(records_.length(0))};
    } else {
      for (std::int64_t r = 0; r < records_.records(); ++r) {
        append_ids(records_, r, joined_);
        joined_.push_back(static_cast<std::int32_t>(c.end_id));
      }
      text_ = joined_;
    }
    require(!text_.empty(), records_.name(), ": a text of no tokens");
    for (std::int64_t at = 0; at < size(); at += context_) all_.push_back(at);
    fingerprint_ = with_option(records_.fingerprint(), context);
  }
  std::vector<std::int64_t> epoch(std::uint64_t seed) const override {
    // Full windows only, from a random beginning, so that over the epochs each token is seen after many contexts.
    const std::int64_t spare = size() - context_;
    if (spare <= 0) return {0};
    std::vector<std::int64_t> windows;
    const auto bound = static_cast<std::uint64_t>(std::min(context_, spare + 1));
    for (auto at = static_cast<std::int64_t>(Random(seed).below(bound)); at <= spare; at += context_)
      windows.push_back(at);
    return windows;
  }
  std::int64_t tokens(std::int64_t at) const override { return std::min(context_, size() - at); }
  void append(std::int64_t at, std::uint64_t, ExampleBatch& batch) const override {
    const auto first = text_.begin() + at, last = first + tokens(at);
    batch.target_ids.push_back(begin_);
    batch.target_ids.insert(batch.target_ids.end(), first, last - 1);
    batch.labels.insert(batch.labels.end(), first, last);
    batch.target_offsets.push_back(static_cast<std::int64_t>(batch.target_ids.size()));
  }

 private:
  std::int64_t size() const { return static_cast<std::int64_t>(text_.size()); }
  RecordSet records_;
  std::vector<std::int32_t> joined_;  ///< When there are several records.
  std::span<const std::int32_t> text_;
  std::int32_t begin_;
  std::int64_t context_;
};

class Masked : public Lines {
 public:
  Masked(RecordSet records, const Configuration& c, double rate, std::int64_t max_length)
      : Lines(std::move(records), 0, c, max_length),
        rate_(rate),
        mask_(static_cast<std::int32_t>(c.mask_id)),
        vocabulary_(static_cast<std::uint64_t>(c.source_vocabulary)) {
    fingerprint_ = derive_seed(fingerprint_, std::bit_cast<std::uint64_t>(rate));
  }
  std::int64_t tokens(std::int64_t i) const override { return records_.length(i); }
  void append(std::int64_t i, std::uint64_t seed, ExampleBatch& batch) const override {
    const std::int64_t begin = batch.source_offsets.back(), length = records_.length(i);
    append_source(records_, i, batch);
    if (length == 0) return;
    Random random(seed);
    const auto one = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(length)));
    const auto count = std::max<std::int64_t>(1, static_cast<std::int64_t>(rate_ * static_cast<double>(length)));
    // Selection sampling (Knuth, volume 2, algorithm 3.4.2 S): `count` positions in ascending order.
    for (std::int64_t t = 0, left = count; t < length && left > 0; ++t) {
      if (count == 1 ? t != one : random.uniform() * static_cast<double>(length - t) >= static_cast<double>(left))
        continue;
      --left;
      std::int32_t& id = batch.source_ids[static_cast<std::size_t>(begin + t)];
      batch.labels.push_back(id);
      batch.rows.push_back(static_cast<std::int32_t>(begin + t));
      const double draw = random.uniform();
      if (draw < 0.8)
        id = mask_;
      else if (draw < 0.9)
        id = static_cast<std::int32_t>(random.below(vocabulary_));
    }
  }

 private:
  double rate_;
  std::int32_t mask_;
  std::uint64_t vocabulary_;
};

class ComparedPairs : public Pairs {
 public:
  ComparedPairs(RecordSet source, RecordSet target, const Configuration& sources_reader,
                const Configuration& targets_reader, std::int64_t max_length)
      : Pairs(std::move(source), std::move(target), max_length,
              [&](const RecordSet& sources, const RecordSet& targets, std::int64_t i) {
                expect_room(sources, i, sources_reader.class_tokens, sources_reader, false);
                expect_room(targets, i, 0, targets_reader, false);
                expect_end(sources, i, sources_reader);
                expect_end(targets, i, targets_reader);
              }),
        extra_(sources_reader.class_tokens) {
    fingerprint_ = derive_seed(fingerprint_, 0x7061697273);  // "pairs"
  }
  std::int64_t tokens(std::int64_t i) const override { return source_.length(i) + extra_ + target_.length(i); }
  void append(std::int64_t i, std::uint64_t, ExampleBatch& batch) const override {
    batch.pairs = true;
    append_source(source_, i, batch);
    append_ids(target_, i, batch.target_ids);
    batch.target_offsets.push_back(static_cast<std::int64_t>(batch.target_ids.size()));
  }

 private:
  std::int64_t extra_;
};

}  // namespace

std::unique_ptr<Examples> translation_examples(RecordSet source, RecordSet target, const Configuration& configuration,
                                               std::int64_t max_length) {
  return std::make_unique<Translation>(std::move(source), std::move(target), configuration, max_length);
}

std::unique_ptr<Examples> language_examples(RecordSet records, const Configuration& configuration, std::int64_t context,
                                            std::int64_t max_length) {
  if (context > 0) return std::make_unique<LanguageWindows>(std::move(records), configuration, context);
  return std::make_unique<LanguageLines>(std::move(records), configuration, max_length);
}

std::unique_ptr<Examples> masked_examples(RecordSet records, const Configuration& configuration, double rate,
                                          std::int64_t max_length) {
  return std::make_unique<Masked>(std::move(records), configuration, rate, max_length);
}

std::unique_ptr<Examples> pair_examples(RecordSet source, RecordSet target, const Configuration& sources,
                                        const Configuration& targets, std::int64_t max_length) {
  return std::make_unique<ComparedPairs>(std::move(source), std::move(target), sources, targets, max_length);
}

}  // namespace pipeformer
