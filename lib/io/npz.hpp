/// NPZ: NPY arrays with names in a zip archive, as numpy.savez and numpy.savez_compressed write them. As a stream its
/// records are the arrays in the order of the archive, "x.npz:name" is one of them, and a stream is written as
/// arr_0, arr_1, ...: the names that numpy.savez gives. Opened through RecordReader and RecordWriter.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/address.hpp"
#include "io/byte_source.hpp"
#include "io/mapped_file.hpp"
#include "io/stream.hpp"
#include "io/zip.hpp"

namespace pipeformer {

/// True when bytes begin as an archive does, also one without entries.
bool looks_like_npz(std::span<const std::byte>);

class NpzFile {
 public:
  /// All arrays of the file, or the one that the address names. `source` stands at the beginning of the file; it is
  /// read whole when it is no regular file. Throws Error, which `name` begins.
  NpzFile(std::string name, const Address&, ByteSource& source);
  const std::string& name() const { return name_; }
  const std::vector<std::string>& names() const { return names_; }  ///< Without ".npy", in the order of the archive.
  /// Forgets all arrays but `count` from number `first` on, or those of them that there are.
  void keep(std::size_t first, std::size_t count);
  Array read(std::size_t index) const;   ///< Throws Error without the file's name.
  Array named(std::size_t index) const;  ///< The same, with the file's name.

 private:
  std::string name_;
  std::vector<std::byte> image_;
  std::unique_ptr<MappedFile> mapped_;
  std::span<const std::byte> bytes_;
  std::vector<ZipEntry> entries_;
  std::vector<std::string> names_;
};

/// `source` stands at the beginning of the file that the address names.
std::unique_ptr<RecordReader> open_npz_reader(const std::string& name, const Address&, ByteSource& source);
std::unique_ptr<RecordWriter> open_npz_writer(const std::string& path, const OutputOptions&);

/// Each array as the dataset of its name, below the address's group, "/" in it as between groups. Throws Error for a
/// name that cannot be a path.
void npz_to_hdf5(const NpzFile&, const std::string& address, const OutputOptions&);
/// Each array under its name.
void npz_to_npz(const NpzFile&, const std::string& path, const OutputOptions&);
/// Each of these datasets as the array of its path. Attributes have no place there.
void hdf5_to_npz(const std::string& file, const std::vector<std::string>& datasets, const std::string& path,
                 const OutputOptions&);

}  // namespace pipeformer
