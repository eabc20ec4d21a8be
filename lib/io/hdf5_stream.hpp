/// Record streams in HDF5 files; opened through RecordReader and RecordWriter.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "io/address.hpp"
#include "io/byte_source.hpp"
#include "io/hdf5.hpp"
#include "io/stream.hpp"

namespace pipeformer {

/// `source` stands at the beginning of the file that the address names; it is read whole when it is no regular file.
std::unique_ptr<RecordReader> open_hdf5_reader(const std::string& name, const Address&, ByteSource& source);
/// The same for a group or dataset of a file that is open.
std::unique_ptr<RecordReader> open_hdf5_reader(const std::string& name, const Hdf5File&, const std::string& group);
std::unique_ptr<RecordWriter> open_hdf5_writer(const std::string& name, const Address&, const OutputOptions&);

/// A stream that is being written below a group of an HDF5 file: `data` and `offsets`. Records agree in dtype and in
/// the axes after the first; or, with `any_shape`, in their rank only: then `data` has one axis (all elements), offsets
/// count elements, and `shapes` (records, rank) holds each record's shape.
class Hdf5Stream {
 public:
  /// `name` begins error messages.
  Hdf5Stream(const Hdf5File& file, std::string group, std::string name, bool any_shape = false);
  /// Rank 1 or more.
  void append(DType, const Shape&, const std::byte* elements);
  /// The same in pieces: a record is begun, its elements are put in their order (so many rows, or elements with
  /// any_shape), and it is ended.
  void begin(DType, const Shape&);
  void put(const std::byte* elements, std::int64_t count) { data_->append(elements, count); }
  void end();
  /// Must be called before the file is closed. Makes a stream of no records when nothing was appended.
  void finish();
  std::int64_t count() const { return count_; }

 private:
  void start(DType, const Shape&);
  void put_offset();

  Hdf5File file_;
  std::string group_, name_;
  bool any_shape_;
  std::int64_t count_ = 0;
  DType dtype_ = DType::f4;
  Shape row_;
  std::optional<Hdf5Appender> data_, offsets_, shapes_;
};

}  // namespace pipeformer
