/// Record streams: what flows through a pipe. A record is one Array; a stream is NPY arrays back to back until end of file,
/// or, at rest, an HDF5 group with `data` and `offsets` (or a plain dataset: one record).
///
/// Addresses: "-" standard stream, "x.npy", "x.h5", "x.h5:group/name" (default name: the root). The input format is sniffed
/// from the first bytes; a pipe or FIFO is read by us, never by H5Fopen.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/array.hpp"
#include "core/error.hpp"

namespace pipeformer {

class RecordReader {
 public:
  /// Opens an address. Throws Error naming the address: missing file, not NPY or HDF5, no such group, bad offsets.
  static std::unique_ptr<RecordReader> open(const std::string& address);
  virtual ~RecordReader() = default;

  /// Reads the next record; false at a clean end. Throws Error ("in.npy: record 3: truncated: ...").
  bool next(Array& record);

  /// The address as the user typed it; "(stdin)" for "-".
  const std::string& name() const { return name_; }
  /// Number of records read so far; the index (from 0) of the current record is count() - 1.
  std::int64_t count() const { return count_; }
  /// "in.npy: record 16": the prefix of every message about the current record.
  std::string where() const;

  /// The current record must hold ids: an integer dtype, converted to i4 (range-checked); or vectors: floating, converted to
  /// f4. Throws Error naming the record otherwise.
  void expect_ids(Array& record) const;
  void expect_floats(Array& record) const;

 protected:
  virtual bool read(Array& record) = 0;
  std::string name_;
  std::int64_t count_ = 0;
};

struct OutputOptions {
  std::optional<std::string> format;  ///< "npy" or "h5"; nothing: by suffix (.npy, .h5, .hdf5), NPY on standard output.
  std::optional<DType> dtype;         ///< Stored type for floating records; nothing: as given.
};

class RecordWriter {
 public:
  /// Opens "-" or a file address for writing. A regular file is written under a temporary name and renamed by close();
  /// destroyed without close(), nothing is left. "x.h5:group" writes the stream below that group of a new file.
  /// Throws UsageError for an unknown suffix without a format, or when binary data would go to a terminal.
  static std::unique_ptr<RecordWriter> open(const std::string& address, const OutputOptions& options = {});
  virtual ~RecordWriter() = default;

  virtual void write(const Array& record) = 0;
  /// Flushes, closes and renames; throws Error when any of it fails (full disk). Must be called last.
  virtual void close() = 0;
};

/// Reads one record that must be the only one of its stream (a mask, a weight matrix, an image).
Array read_single(const std::string& address);

/// Reads from both streams in lock step. Returns false when both end together; throws Error naming both streams and
/// counts when one ends first.
bool next_pair(RecordReader& a, Array& record_a, RecordReader& b, Array& record_b);

}  // namespace pipeformer
