/// A whole stream at random access without reading it into memory: what training on files larger than memory needs.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/array.hpp"
#include "io/mapped_file.hpp"
#include "io/stream.hpp"

namespace pipeformer {

/// The records of one stream: ids (T, ...) int32, or vectors (T, ...) float32, which agree in the axes after the first.
///
/// A regular file whose elements lie as they do in memory is mapped: NPY of type <i4 or <f4 in C order, HDF5 that is
/// contiguous and not compressed (what this library writes of a stream above 4 MiB is not). Its headers are passed over
/// once, on opening, and its elements are read when they are touched; the file must not be changed meanwhile.
/// Everything else is read into memory, once, and converted. Either way a record costs 16 bytes beside its elements,
/// and a stream is refused for what RecordReader refuses, in the same words.
class MappedRecords {
 public:
  /// Throws Error naming the record that is truncated, of rank 0, neither integers nor floating, or of another kind or
  /// width than the first.
  static MappedRecords open(const std::string& address);

  std::int64_t records() const { return static_cast<std::int64_t>(places_.size()); }
  DType dtype() const { return dtype_; }            ///< i4 or f4; f4 when there are no records.
  const Shape& row() const { return row_; }         ///< The axes after the first; () for no records.
  std::int64_t width() const { return width_; }     ///< Their product: 1 for (T,).
  bool mapped() const { return file_ != nullptr; }  ///< False when the elements are in memory.

  /// Of record r, which must be one of the stream: T, and its T * width() elements. Throws Error for the other kind.
  std::int64_t length(std::int64_t r) const { return place(r).length; }
  const std::int32_t* ids(std::int64_t r) const;
  const float* rows(std::int64_t r) const;

  const std::string& name() const { return name_; }  ///< The address; "(stdin)" for "-".
  std::string where(std::int64_t r) const;           ///< "x.npy: record 3", to begin messages with.

 private:
  struct Place {
    std::uint64_t offset;  ///< In the file or in elements_, in bytes.
    std::int64_t length;
  };

  /// False when some record cannot be mapped.
  bool map(const std::string& path, RecordReader&);
  void read(RecordReader&);
  /// Checks the reader's current record against the first, and notes it.
  void add(RecordReader&, DType, const Shape&, std::uint64_t offset);
  const Place& place(std::int64_t r) const { return places_[static_cast<std::size_t>(r)]; }
  const std::byte* elements(std::int64_t r, DType) const;

  std::string name_;
  DType dtype_ = DType::f4;
  Shape row_;
  std::int64_t width_ = 1;
  std::vector<Place> places_;
  std::unique_ptr<MappedFile> file_;
  Buffer<std::byte> elements_;  ///< Of what is not mapped.
};

}  // namespace pipeformer
