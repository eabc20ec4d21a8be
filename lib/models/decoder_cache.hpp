/// DecoderCache: a decoder stack computed one position at a time for a batch of hypotheses, as generation needs it. The
/// keys and values of each sentence's memory are computed once. Those of the past are stored once a row, and a
/// hypothesis is a list of row numbers: a beam that reorders its hypotheses moves numbers, never vectors, and
/// hypotheses with a common beginning share its rows.
///
/// The hidden states have the bits of one pass over the whole sequences (Stack::forward). Where the angles of rotary
/// positions depend on the length (RotarySpec::by_length), that is so for longrope, whose keys are computed anew when a
/// hypothesis grows beyond the original context; with dynamic scaling the keys of the past stay as they were turned, as
/// in the reference library.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "models/transformer.hpp"

namespace pipeformer {

class DecoderCache {
 public:
  static constexpr std::int64_t kManySteps = std::int64_t{1} << 31;  ///< More than are known beforehand.

  /// The memory of a cache, for the caches of later batches to use again: a steady stream allocates nothing. Two large
  /// pieces, which huge pages can serve.
  class Storage {
    friend class DecoderCache;
    Buffer<std::byte> past;    ///< (layers, 2, capacity, row_bytes_): keys and values.
    Buffer<std::byte> memory;  ///< (layers, 2, sources.rows(), row_bytes_)
  };

  /// The model and the storage must outlive the cache; a storage serves one cache at a time.
  /// Keys and values are stored as `kept`, which is to be that of the contexts, too.
  DecoderCache(const Transformer& model, Storage& storage, WeightType kept = WeightType::float32);

  /// Begins with hypothesis s for sentence s: one pass over the beginnings (begin id and what is forced; at least one
  /// id each), against memory (sources.rows(), width), which is null for a decoder-only model. Returns the hidden state
  /// after the last id of each, after the final norm: (sentences, width), in the workspace. Throws Error for an id
  /// outside the vocabulary and beyond the last learned position. Both calls leave in ctx.places where the rows that
  /// they return are, for a probe; start() finds there the numbers of the sentences.
  /// steps: step() will be called that often at most; room for more is not made.
  const float* start(Context&, const Ragged& sources, const float* memory, const Ragged& beginnings,
                     const std::int32_t* ids, std::int64_t steps = kManySteps);

  /// The next position: new hypothesis i is hypothesis parents[i] of the last call, and then tokens[i]. A parent may
  /// have any number of children, also none. Hypotheses stand in the order of their sentences. Returns (hypotheses,
  /// width), in the workspace.
  const float* step(Context&, std::span<const std::int32_t> parents, std::span<const std::int32_t> tokens);

  std::int64_t hypotheses() const { return static_cast<std::int64_t>(sentence_.size()); }
  std::int64_t stored_rows() const {
    return capacity_;
  }  ///< Rows that there is room for; rows without a living hypothesis are used again.

 private:
  /// Rows that no hypothesis refers to, the first ones: what was never written takes no memory. each_step: how many
  /// more a step will need.
  void take_rows(std::int64_t count, std::int64_t each_step, std::vector<std::int32_t>& rows);
  void grow(std::int64_t capacity);
  std::size_t layers() const { return model_.decoder().layers().size(); }
  /// Of a layer in storage_: rows of the past, of the memory.
  KeyValues past(std::size_t layer) const { return pair(storage_.past, layer, capacity_); }
  /// Many queries read these keys, nobody adds to them.
  KeyValues memory(std::size_t layer) const {
    KeyValues kv = pair(storage_.memory, layer, memory_rows_);
    kv.transposed_keys = kept_ == WeightType::float32;
    return kv;
  }
  KeyValues pair(Buffer<std::byte>&, std::size_t layer, std::int64_t rows) const;
  void keep_past(std::size_t layer, const KeyValues& from, const std::vector<std::int32_t>& rows);
  /// One pass over whole sequences, whose keys and values are kept in `rows`, those of the memory in storage_. last
  /// (sequences, width): what the layers give of the last position of each. memory may be null.
  void pass(Context&, const TransformerLayer::Surroundings&, const Ragged&, const std::int32_t* ids,
            const std::vector<std::int32_t>& rows, float* last);
  /// The hypotheses that the last token took beyond the original context, once more from their beginning; y
  /// (hypotheses, width) is what the layers gave of all, and what they give now.
  void pass_again(Context&, float* y);

  const Transformer& model_;
  WeightType kept_;
  std::int64_t row_bytes_;  ///< Of a row of keys, or of values.
  Storage& storage_;
  std::int64_t renewed_length_ = 0;  ///< Hypotheses of this length are computed anew; 0: none are.
  std::vector<std::int32_t> ids_;    ///< [capacity]: of each row of the past.
  std::int64_t memory_rows_ = 0;
  std::vector<std::int64_t> source_offsets_;
  std::vector<std::int32_t> sentence_;      ///< [hypotheses]
  std::vector<std::int32_t> past_;          ///< Row numbers of all hypotheses, one hypothesis after another.
  std::vector<std::int64_t> past_offsets_;  ///< [hypotheses + 1]
  std::vector<std::int32_t> positions_;     ///< [hypotheses] Of the last call's rows, for the step and for a probe, ...
  std::vector<std::int64_t> numbers_;       ///< ... and the numbers of their sentences in the stream.
  std::vector<std::int64_t> sentence_numbers_;
  std::int64_t capacity_ = 0, steps_left_ = 0;
};

}  // namespace pipeformer
