/// Masks, biases and lengths for attention scores, read from streams beside the queries.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "io/batch_stream.hpp"
#include "ops/attention.hpp"

namespace pipeformer {

/// A mask (bool, 1 = may attend) or bias (floating) stream has one record for each record of queries, or one record
/// that serves all of them. Its shape broadcasts, as NumPy's do, to that of the scores: (..., Tq, Tk), with heads (...,
/// heads, Tq, Tk); Tq and Tk themselves must be equal. Lengths are integers with the leading axes of the record: how
/// many of its Tk keys exist.
class MaskStreams {
 public:
  MaskStreams(const std::optional<std::string>& mask, const std::optional<std::string>& bias,
              const std::optional<std::string>& lengths);

  bool any() const;  ///< False: there are no masks, no biases and no lengths.
  /// The masks of the next batch; valid until the next call. heads_axis: scores have one. Throws Error naming files
  /// and record.
  AttentionMasks next(const BatchStream& queries, const BatchStream& keys, std::int64_t heads, bool heads_axis);
  /// After the last batch: throws Error when records are left over.
  void finish(const BatchStream& queries);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace pipeformer
