/// Ragged batches: the sequences of several records, rows one after another, plus offsets; no padding anywhere (law 2).
/// Leading axes of a record are batch axes: a record (B, T, D) is B sequences of T rows, and comes back as one record.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/array.hpp"
#include "core/ragged.hpp"
#include "io/stream.hpp"

namespace pipeformer {

struct Batch {
  bool ids = false;  ///< Records are ids (..., T) int32, in `tokens`; else vectors (..., T, D) float32, in `rows`.
  std::int64_t width = 0;                ///< D; of ids 0, or K where each position has K of them.
  Buffer<float> rows;                    ///< (offsets.back(), D)
  Buffer<std::int32_t> tokens;           ///< (offsets.back(),), or (offsets.back(), K)
  std::vector<std::int64_t> offsets{0};  ///< [sequences + 1]: sequence s is rows offsets[s] .. offsets[s + 1].
  std::vector<Shape> shapes;             ///< The shape of each record as it was read.
  std::int64_t first_record = 0;         ///< Index in its stream of the first record.

  std::int64_t sequences() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::int64_t positions() const { return offsets.back(); }
  std::int64_t records() const { return static_cast<std::int64_t>(shapes.size()); }
  /// What it takes to hold: its rows, or its sequences or records when those are more (empty ones have no rows).
  std::int64_t extent() const { return std::max({positions(), sequences(), records()}); }
  Ragged ragged() const { return {offsets}; }
  /// Of record r of the batch: the axes before T, and T.
  Shape leading_axes(std::int64_t r) const;
  std::int64_t length(std::int64_t r) const;
};

/// What kinds of records a tool takes: ids (..., T), vectors (..., T, D), either; rows: vectors of which one may be
/// alone,
/// (..., D), for a tool that computes each by itself. A vector alone is a sequence of one. id_rows: several ids for
/// each position, (..., T, K).
enum class Accept { ids, vectors, rows, either, id_rows };

/// Reads records until the batch has an extent of about `max_rows`, or `max_records` records, (at least one record).
/// False at the end of the stream. Each record must be of an accepted kind and all of one stream of the same kind and
/// width; throws Error naming the record otherwise. The records before a failure record are a batch; the next call
/// throws.
bool read_batch(RecordReader&, Batch&, Accept, std::int64_t max_rows, std::int64_t max_records);

/// Empties a batch, to be filled with the next records of a stream.
void clear_batch(Batch&, const RecordReader&);

/// Reads and appends one record, with the same checks. False at the end of the stream.
bool read_record(RecordReader&, Batch&, Accept);

/// Takes back the last record.
void drop_last_record(Batch&);

/// Appends one record (already checked and converted: i4 or f4) to a batch.
void append_record(Batch&, const Array& record);

/// The layout of a batch whose sequences have got other lengths (a class token more). Those of one record must agree.
Batch with_lengths(const Batch&, const Ragged&);

class Packer;
class Unpacker;
/// A batch on its way to another process, and there.
void pack(Packer&, const Batch&);
void unpack(Unpacker&, Batch&);

/// Writes one record per record of `layout`, with its leading axes and its T: vectors (..., T, width) from rows, or
/// (..., T) when width is 0. NaN is written as one NaN (core/one_nan.hpp).
void write_rows(RecordWriter&, const Batch& layout, const float* rows, std::int64_t width);
void write_ids(RecordWriter&, const Batch& layout, const std::int32_t* ids);

/// Writes attention weights, one record (..., heads, Tq, Tk) for each record of `queries` and its leading axes; without
/// `heads_axis` (heads is 1 then) (..., Tq, Tk). matrices: [sequence * heads + head] -> (Tq, Tk).
void write_weights(RecordWriter&, const Batch& queries, const Batch& keys, std::int64_t heads, bool heads_axis,
                   const float* const* matrices);

}  // namespace pipeformer
