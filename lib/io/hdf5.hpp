/// HDF5 files. They are written with the HDF5 library, which only hdf5.cpp sees, and read without it (hdf5_bytes.hpp
/// says why); everyone else sees arrays, attributes and offsets.
///
/// Files are written with the default (oldest) format bounds, without object times (the same run writes the same
/// bytes), with contiguous little-endian datasets aligned to 64 bytes, so that a model can be mapped into memory. Paths
/// are "group/name"; a leading '/' is allowed, "" is the root. Every failure is an Error that begins with the file's
/// name.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/array.hpp"

namespace pipeformer {

/// A scalar attribute, as h5py reads it: numpy.bool_, int64, float64, bytes (UTF-8 of fixed length).
using Attribute = std::variant<bool, std::int64_t, double, std::string>;

/// True when bytes begin as an HDF5 file begins.
bool looks_like_hdf5(std::span<const std::byte>);

class Hdf5Reading;

/// One dataset of an open file (which it keeps open).
class Hdf5Dataset {
 public:
  DType dtype() const;  ///< As it will be read: int8, int16 and uint16 as i4, uint32 and uint64 as i8 (range-checked).
  const Shape& shape() const;
  std::int64_t rows() const;  ///< The first axis; 1 for rank 0.
  /// Position in the file of the first element, when the elements lie there exactly as an Array of dtype() holds them
  /// (contiguous, little-endian, not filtered, not in an image); nothing otherwise.
  std::optional<std::uint64_t> file_offset() const;
  /// bfloat16 (a float of 16 bits: sign 1, exponent 8, fraction 7) is read as f4, exactly. NumPy has no such type, so
  /// it exists in files only: by this a model's weights can be mapped as they are. As file_offset(), of the 16-bit
  /// elements; nothing when the file holds another type.
  std::optional<std::uint64_t> bfloat16_offset() const;
  bool is_bfloat16() const;
  /// The same for int8, which is read as i4: quantised weights are mapped by this.
  std::optional<std::uint64_t> int8_offset() const;
  bool is_int8() const;
  Array read() const;
  /// Rows begin .. end (of the first axis) into memory of (end - begin) rows.
  void read_rows(std::int64_t begin, std::int64_t end, std::byte* to) const;

 private:
  friend class Hdf5File;
  /// Throws Error, which `name` begins, when there is none or it cannot be read.
  Hdf5Dataset(std::shared_ptr<const Hdf5Reading>, std::string name, const std::string& path);
  struct State;
  std::shared_ptr<const State> state_;
};

/// A dataset written row by row without an end known: contiguous when little is written, else in chunks of about 1 MiB.
class Hdf5Appender {
 public:
  void append(const std::byte* rows, std::int64_t count);
  std::int64_t rows() const;
  /// Writes what is left. Must be called before the file is closed.
  void finish();

 private:
  friend class Hdf5File;
  struct State;
  std::shared_ptr<State> state_;
};

/// What stands below a group.
struct Hdf5Entry {
  enum class Kind { group, dataset, other };
  std::string name;
  Kind kind = Kind::other;
  std::string remark;  ///< Why something else is neither: a link to another file, a damaged object.
};

/// All elements of an attribute, of those that are read.
struct AttributeValues {
  std::string name;
  std::string problem;  ///< Why it cannot be read; empty when it can.
  std::vector<std::variant<bool, std::int64_t, std::uint64_t, double, std::string>> values;  ///< uint64: above i8.
};

/// A file is either read or written: what reads is for files that were opened, what writes for those that were created.
class Hdf5File {
 public:
  /// Opens a file for reading; "-" and special files (pipes, FIFOs) are read whole and opened as an image.
  static Hdf5File open(const std::string& path);
  /// Opens the bytes of a whole file. They are copied.
  static Hdf5File open_image(std::span<const std::byte> bytes, const std::string& name);
  /// A new file, written under a temporary name until close(). "-" and special files (pipes) are written as an image at
  /// close(), from memory. Throws UsageError when that would go to a terminal.
  ///
  /// With a `group`, what is written at or below it becomes, at close(), that group (or dataset) of the file that is at
  /// the path then: what was there under this name is replaced, everything else stays. Throws Error when that file is
  /// no HDF5 file, or something above the group is no group.
  static Hdf5File create(const std::string& path, const std::string& group = "");

  const std::string& name() const;
  /// The bytes of a file that is mapped, which Hdf5Dataset::file_offset() counts in: as long as it is open.
  std::span<const std::byte> mapped() const;
  int descriptor() const;  ///< Of such a file, to read from.
  /// Finishes a created file: without it, nothing is left. Does nothing for a file opened for reading.
  void close();

  bool has_group(const std::string& path) const;
  bool has_dataset(const std::string& path) const;
  std::vector<Hdf5Entry> entries(const std::string& path = "") const;     ///< All that is directly below, by name.
  std::vector<std::string> groups(const std::string& path = "") const;    ///< Names directly below, sorted by bytes.
  std::vector<std::string> datasets(const std::string& path = "") const;  ///< The same for datasets.

  /// For a path to nothing: " (did you mean 'encoder/0'?)", the nearest that there is; empty when nothing is near.
  std::string nearest(const std::string& path) const;

  /// Where the object lies in the file: two paths with one address are one object.
  std::uint64_t object_address(const std::string& path) const;

  Hdf5Dataset dataset(const std::string& path) const;
  Array read(const std::string& path) const { return dataset(path).read(); }

  /// A contiguous dataset; parents are made. b1 becomes h5py's boolean enum, f2 IEEE half.
  void write(const std::string& path, const Array&);
  void write(const std::string& path, DType, const Shape&, const void* elements);
  /// The same for bfloat16 elements, 16 bits each. h5py reads them as float32.
  void write_bfloat16(const std::string& path, const Shape&, const void* elements);
  void write_int8(const std::string& path, const Shape&, const void* elements);
  void make_group(const std::string& path);
  /// `row` is the shape of one row: the dataset is (rows, row...).
  Hdf5Appender append_to(const std::string& path, DType, const Shape& row);

  /// Attributes, by default of the root. Integers of any size, float of any size, booleans of h5py, strings of fixed or
  /// variable length are read; anything that is no scalar is not listed.
  void set_attribute(const std::string& name, const Attribute&, const std::string& path = "");
  std::optional<Attribute> attribute(const std::string& name, const std::string& path = "") const;
  std::map<std::string, Attribute> attributes(const std::string& path = "") const;
  std::vector<AttributeValues> attribute_values(const std::string& path = "") const;  ///< Of all, sorted by name.

 private:
  friend class Hdf5Appender;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace pipeformer
