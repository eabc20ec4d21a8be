/// What a model is trained on, task by task: examples with their right answers, gathered in batches, and the order in
/// which an epoch goes through them.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/transformer.hpp"
#include "train/labels.hpp"
#include "train/record_set.hpp"

namespace pipeformer {

/// A batch in the making; the buffers behind Transformer::Examples.
struct ExampleBatch {
  std::vector<std::int32_t> source_ids, source_types, target_ids, labels, rows;
  std::vector<float> source_vectors;
  std::vector<float> values;  ///< Of sequences that have no labels but values each (0 to 1 of labels, or numbers).
  std::vector<std::int64_t> source_offsets{0}, target_offsets{0};
  BatchOffset source_first{}, target_first{};  ///< When it is a part of a batch.

  void clear();
  /// Where the part of the batch begins that comes after this one.
  BatchOffset source_end() const {
    return {source_first.row + source_offsets.back(), source_first.sequence + sequences()};
  }
  BatchOffset target_end() const {
    return {target_first.row + target_offsets.back(), target_first.sequence + sequences()};
  }
  bool empty() const { return sequences() == 0; }
  std::int64_t sequences() const;
  Transformer::Examples view() const;
  /// Targets that an encoder reads (pairs of vectors that are compared).
  Transformer::Source target_source() const;
  bool vectors = false;  ///< Sources are vectors; a part may hold empty ones alone.
  bool spans = false;    ///< Labels are the first and the last position of a span.
  bool pairs = false;    ///< Each source asks for its target, each target for its source: there are no labels.
  std::int64_t answers() const;
  /// The sum of the answers' weights. of_classes: those of the classes that are right; empty: all 1.
  double weight(std::span<const float> of_classes) const;
};

/// What is computed at a time: examples of one batch of the epoch, whose random numbers have the seed.
struct MicroBatch {
  ExampleBatch examples;
  std::uint64_t seed = 0;
  std::int64_t batch = 0;
};

/// The examples of one task, by number. Numbers are the task's own (records, positions in a text).
class Examples {
 public:
  virtual ~Examples() = default;

  /// Each example once, in the order of the data, as validation goes through them.
  const std::vector<std::int64_t>& all() const { return all_; }
  /// The examples of a training epoch before they are shuffled; the seed is the epoch's.
  virtual std::vector<std::int64_t> epoch(std::uint64_t seed) const;
  /// How often an epoch goes through each part of the data: 2 is twice, 0.25 a quarter of it, drawn anew for each
  /// epoch. ends: of the parts, as example numbers, where these are records.
  void mix(std::vector<std::int64_t> ends, std::vector<double> times);
  /// No epoch has more examples.
  std::int64_t most_in_epoch() const;
  /// What the example counts in --batch-tokens.
  virtual std::int64_t tokens(std::int64_t example) const = 0;
  /// Appends the example. What is random about it is drawn from the seed.
  virtual void append(std::int64_t example, std::uint64_t seed, ExampleBatch&) const = 0;
  /// A number that other examples almost surely do not have: of the data, and of what the task makes of them.
  std::uint64_t fingerprint() const { return fingerprint_; }
  /// Records that are longer than the limit.
  std::int64_t skipped() const { return skipped_; }

 protected:
  std::vector<std::int64_t> all_;
  std::int64_t skipped_ = 0;
  std::uint64_t fingerprint_ = 0;

 private:
  std::vector<std::int64_t> part_ends_;
  std::vector<double> part_times_;  ///< Empty: each once.
};

/// Pairs, source[i] with target[i]: for a target y_1 .. y_n the decoder reads begin, y_1 .. y_n and predicts y_1 ..
/// y_n, end. A batch counts target tokens, the end too. Here and below max_length (0: none) leaves out records with
/// more tokens, on either side; they are counted in skipped(). Throws Error naming both streams when their counts
/// differ, and, here and below, the record that is longer than the model's learned positions.
std::unique_ptr<Examples> translation_examples(RecordSet source, RecordSet target, const Configuration&,
                                               std::int64_t max_length);

/// Lines, or, with a context, windows of so many tokens of one running text: the records one after another, each ended
/// by the end id when there are several. A window is read from begin on, as decode goes on from begin and a prompt, and
/// predicts its tokens, without an end of its own. In training the windows of an epoch begin at a random place of the
/// text, validation cuts the text from its beginning.
std::unique_ptr<Examples> language_examples(RecordSet, const Configuration&, std::int64_t context,
                                            std::int64_t max_length);

/// Masked language model (Devlin et al. 2019, section 3.1): of each record the share `rate` of the ids, at least one,
/// is predicted; of these 80 % are read as the mask id, 10 % as a random id, 10 % as they are.
std::unique_ptr<Examples> masked_examples(RecordSet, const Configuration&, double rate, std::int64_t max_length);

/// Sequences (ids or vectors) with the number of their class. Throws Error naming both when their counts differ.
std::unique_ptr<Examples> classification_examples(RecordSet, std::vector<std::int32_t> classes,
                                                  const std::string& labels_name, const Configuration&,
                                                  std::int64_t max_length);

/// Sequences (ids or vectors) with values each (Labels::values). Throws Error naming both when their counts differ.
std::unique_ptr<Examples> valued_examples(RecordSet, const Labels& labels, const std::string& labels_name,
                                          const Configuration&, std::int64_t max_length);

/// Sequences (ids or vectors) with the number of a class for each position, -1 where there is none. words: beside ids,
/// the number of each one's word, -1 of none; then the labels are those of words, and the first id of a word is asked
/// for its label; no records: labels are those of positions. Throws Error naming the record whose counts differ.
std::unique_ptr<Examples> tagging_examples(RecordSet records, const RecordSet& words, const Labels& labels,
                                           const std::string& labels_name, const Configuration&,
                                           std::int64_t max_length);

/// Sequences of ids with a span each: spans[2 * i] to spans[2 * i + 1] are its first and its last position (0 and 0
/// where there is no answer), or, with offsets beside the ids (T, 3) as tokenize writes them, the characters [begin,
/// end) of the second text that it covers, an empty range where there is none; what has no ids there has no answer
/// either. Throws Error naming the record whose span is none.
std::unique_ptr<Examples> span_examples(RecordSet records, const std::vector<std::int32_t>& spans,
                                        const MappedRecords* offsets, const std::string& labels_name,
                                        const Configuration&, std::int64_t max_length);

/// Pairs, source[i] (ids or vectors) with target[i] (ids), each read by an encoder; targets: of the one that reads the
/// targets. A batch counts the tokens of both sides.
std::unique_ptr<Examples> pair_examples(RecordSet source, RecordSet target, const Configuration& sources,
                                        const Configuration& targets, std::int64_t max_length);

}  // namespace pipeformer
