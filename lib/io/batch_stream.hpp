/// Streams read in batches, several of them in lock step: what a tool loops over.
#pragma once
#include <limits>
#include <memory>
#include <span>
#include <string>

#include "io/batch.hpp"

namespace pipeformer {

/// A stream and the batch that it is read into. Copies read on in the same stream.
struct BatchStream {
  BatchStream(const std::string& address, Accept accept) : BatchStream(RecordReader::open(address), accept) {}
  BatchStream(std::unique_ptr<RecordReader> stream, Accept accept) : reader(std::move(stream)), accept(accept) {}

  std::shared_ptr<RecordReader> reader;
  Accept accept;
  Batch batch;

  /// "x.npy: record 3": the record that holds this row of the batch.
  std::string where(std::int64_t row) const;
  /// The same for record r of the batch.
  std::string where_record(std::int64_t r) const;
  /// Throws Error "x.npy: record 0: width 5 does not match WHOSE width 6" unless the vectors of the batch have this
  /// width.
  void expect_width(std::int64_t width, const std::string& whose) const;
  /// Throws Error naming both streams unless the records of both batches have the same shapes.
  void expect_shapes_of(const BatchStream& other) const;
};

/// Reads the next batch of every stream: one record of each in turn, so that streams that come from one source by way
/// of `tee` cannot wait for each other, until the first has an extent of about max_rows. False when all
/// are at their end. The records before a failure record are a batch; the next call throws UpstreamFailure.
/// Throws Error naming both streams when one ends before the others or a record's leading axes are not those of the
/// first stream's.
/// At most max_records of each.
bool read_batches(std::span<BatchStream* const> streams, std::int64_t max_rows,
                  std::int64_t max_records = std::numeric_limits<std::int64_t>::max());

/// Passes over the first `count` records of every stream, or all when there are fewer, unread where that can be.
/// Returns the number of sequences that those of the first stream hold.
std::int64_t skip_records(std::span<BatchStream* const> streams, std::int64_t count);

}  // namespace pipeformer
