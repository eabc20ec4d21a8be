/// Addresses of tensors: "-", "file", "file.h5:group/name".
#pragma once
#include <string>

namespace pipeformer {

struct Address {
  std::string file;   ///< "-" for a standard stream.
  std::string group;  ///< Path inside an HDF5 file; empty: the root, or there was no colon.
};

/// Splits at the last colon before which an existing file stands, or a name that ends in .h5 or .hdf5; an existing file
/// whose own name has a colon is that file. A part of a file on standard input is "/dev/stdin:group".
Address split_address(const std::string& text);

bool has_hdf5_suffix(const std::string& path);

}  // namespace pipeformer
