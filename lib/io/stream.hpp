/// Record streams: what flows through a pipe. A record is one Array; a stream is NPY arrays back to back until end of
/// file, or, at rest, an HDF5 group with `data` and `offsets` (or a plain dataset: one record). An empty input is a
/// stream of no records. An NPZ archive is a stream of its arrays (io/npz.hpp).
///
/// HDF5 output: records of rank 1 or more become `data` (rows concatenated on axis 0) and `offsets` below the address,
/// even when there is only one; they must agree in dtype and in the axes after the first, unless
/// OutputOptions::any_shape. A record of rank 0 must be alone and becomes one dataset: at the address, or `data` when
/// the address is the root. A stream of no records is an empty f4 `data`. HDF5 from a pipe is buffered whole; a large
/// HDF5 file is read in blocks.
///
/// Addresses: "-" standard stream, "x.npy", "x.npz:name", "x.h5", "x.h5:group/name" (default name: the root;
/// "/dev/stdin:group" on a pipe). The input format is sniffed from the first bytes; a pipe or FIFO is read by us, never
/// by H5Fopen.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "core/array.hpp"
#include "core/error.hpp"

namespace pipeformer {

class ByteSource;

/// A record without its elements: what it is, and where in its file they lie.
struct RecordLocation {
  DType dtype = DType::f4;
  Shape shape;
  /// Of the first element, in bytes, when the file holds the elements exactly as an Array of `dtype` does; nothing when
  /// it does not (compressed, another byte order, a type that is converted on reading, a pipe).
  std::optional<std::uint64_t> offset;
};

class RecordReader {
 public:
  /// Opens an address. Throws Error naming the address: missing file, not NPY or HDF5, no such group, bad offsets. A
  /// pipe is looked into at the first record only: a tool with several inputs opens them all before it waits for one.
  static std::unique_ptr<RecordReader> open(const std::string& address);
  /// The same for an address that is open already, of which nothing was consumed.
  static std::unique_ptr<RecordReader> open(const std::string& address, std::unique_ptr<ByteSource> source);
  virtual ~RecordReader() = default;

  /// Reads the next record; false at a clean end. Throws Error ("in.npy: record 3: truncated: ...").
  virtual bool next(Array& record);
  /// The same for a record whose elements are passed over, unread and unchecked but for their number.
  virtual bool locate(RecordLocation& place);

  /// The address as the user typed it; "(stdin)" for "-".
  const std::string& name() const { return name_; }
  /// Number of records read so far; the index (from 0) of the current record is count() - 1.
  std::int64_t count() const { return count_; }
  /// The file holds bfloat16, which is read as f4.
  virtual bool bfloat16() const { return false; }
  /// "in.npy: record 16": the prefix of every message about the current record.
  std::string where() const;

  /// The current record must hold ids: an integer dtype, converted to i4 (range-checked); or vectors: floating,
  /// converted to f4. Throws Error naming the record otherwise.
  void expect_ids(Array& record) const;
  void expect_floats(Array& record) const;
  /// The current record (ids or vectors, as `ids` says) must have the width (last axis; 0 for ids) that the stream's
  /// first one had. Throws Error naming both.
  void expect_like_first(bool ids, std::int64_t width);

 protected:
  explicit RecordReader(std::string name) : name_(std::move(name)) {}
  virtual bool read(Array& record) = 0;
  /// Says where the next record is, without reading it where that can be done.
  virtual bool skip(RecordLocation& place);
  std::string name_;
  std::int64_t count_ = 0;

 private:
  template <class Record>
  bool advance(bool (RecordReader::*step)(Record&), Record& record);
  std::optional<std::pair<bool, std::int64_t>> first_;  ///< Kind and width of the first record.
};

struct OutputOptions {
  /// "npy", "npz" or "h5"; nothing: by suffix (.npy, .npz, .h5, .hdf5), NPY on standard output.
  std::optional<std::string> format;
  std::optional<DType> dtype;  ///< Stored type for floating records; nothing: as given.
  /// HDF5: records may differ in every axis (attention weights); their elements lie flat in `data`, their shapes in
  /// `shapes`.
  bool any_shape = false;
  bool deflate = false;  ///< NPZ: compressed, as numpy.savez_compressed does.
};

/// "npy", "npz" or "h5": what an output of this address will be. Throws UsageError for an unknown format, and an
/// unknown suffix without a format.
std::string output_format(const std::string& address, const OutputOptions& options);

class RecordWriter {
 public:
  /// Opens "-" or a file address for writing. A regular file is written under a temporary name and renamed by close();
  /// destroyed without close(), nothing is left. "x.h5:group" makes the stream that group of the file, in place of
  /// what the group held; all else in the file stays. "x.h5" is a new file.
  /// Throws UsageError for an unknown suffix without a format, or when binary data would go to a terminal.
  static std::unique_ptr<RecordWriter> open(const std::string& address, const OutputOptions& options = {});
  virtual ~RecordWriter() = default;

  void write(const Array& record) { write(record.dtype, record.shape, record.bytes.data()); }
  /// The same for elements that live elsewhere: element_count(shape) of them, in C order.
  void write(DType dtype, const Shape& shape, const void* elements);
  /// Hands buffered records on to the next process of a pipe. Small records are buffered until then; write_rows and
  /// write_ids flush once for each batch.
  virtual void flush() {}
  /// Flushes, closes and renames; throws Error when any of it fails (full disk). Must be called last.
  virtual void close() = 0;

  const std::string& name() const { return name_; }  ///< As the user typed it; "(stdout)" for "-".
  std::int64_t count() const { return count_; }      ///< Records written so far.

 protected:
  RecordWriter(std::string name, std::optional<DType> dtype) : name_(std::move(name)), dtype_(dtype) {}
  virtual void put(DType dtype, const Shape& shape, const std::byte* elements) = 0;

 private:
  std::string name_;
  std::optional<DType> dtype_;
  std::int64_t count_ = 0;
};

/// Reads one record that must be the only one of its stream (a mask, a weight matrix, an image).
Array read_single(const std::string& address);

/// Where the next record of a stream goes.
struct NextRecord {
  RecordReader* reader;
  Array* record;
};

/// Reads a record from each stream, in lock step. Returns false when all end together; throws Error naming two streams
/// and counts when one ends before another.
bool next_together(std::span<const NextRecord> streams);

}  // namespace pipeformer
