/// Training data: streams of id records held ragged in memory, and the order in which an epoch goes through them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/ragged.hpp"

namespace pipeformer {

/// All records of one id stream, one after another.
struct IdStream {
  std::vector<std::int32_t> ids;
  std::vector<std::int64_t> offsets{0};

  std::int64_t records() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::int64_t length(std::int64_t r) const {
    return offsets[static_cast<std::size_t>(r) + 1] - offsets[static_cast<std::size_t>(r)];
  }
  const std::int32_t* record(std::int64_t r) const { return ids.data() + offsets[static_cast<std::size_t>(r)]; }

  /// Reads a whole stream; each record is (T,). Throws Error naming the record for another rank or an id outside the
  /// vocabulary.
  static IdStream load(const std::string& address, std::int64_t vocabulary);
};

/// Pairs of records, source[i] with target[i].
struct PairCorpus {
  IdStream source, target;
  std::int64_t pairs() const { return target.records(); }
  /// A number that another corpus almost surely does not have.
  std::int64_t fingerprint() const;
  /// Throws Error naming both streams when their counts differ, or when they are empty.
  static PairCorpus load(const std::string& source, const std::string& target, std::int64_t source_vocabulary,
                         std::int64_t target_vocabulary);
};

/// A batch as the model takes it: for target record y_1 .. y_n the decoder reads begin, y_1 .. y_n and predicts y_1 ..
/// y_n, end.
struct PairBatch {
  std::vector<std::int32_t> source, target, labels;
  std::vector<std::int64_t> source_offsets, target_offsets;
  void clear();
  void append(const PairCorpus&, std::int64_t pair, std::int32_t begin_id, std::int32_t end_id);
  std::int64_t target_tokens() const { return static_cast<std::int64_t>(labels.size()); }
  std::int64_t pairs() const { return static_cast<std::int64_t>(target_offsets.size()) - 1; }
};

/// The order of one epoch: a permutation of the pairs that depends on the seed and the epoch only.
std::vector<std::int64_t> epoch_order(std::int64_t pairs, std::uint64_t seed, std::int64_t epoch);

/// The pairs [first, return value) of an order that make the next batch: as many as hold at most `tokens` target tokens
/// (ends counted), at least one. Ragged batches need no sorting by length.
std::int64_t batch_end(const PairCorpus&, const std::vector<std::int64_t>& order, std::int64_t first,
                       std::int64_t tokens);

}  // namespace pipeformer
