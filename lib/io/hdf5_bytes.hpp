/// The bytes of an HDF5 file that is read. The file is not trusted: every number of it is compared with what the file
/// holds before it is used. This and the other hdf5_*.hpp read the format without the HDF5 library, which (up to
/// version 1.10 at least) writes past its memory for a few changed bytes. Errors here do not name the file.
///
/// Source of all of them: HDF5 File Format Specification, version 3.0.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace pipeformer::hdf5 {

using Bytes = std::span<const std::byte>;

/// An address that says "nothing is stored".
constexpr std::uint64_t undefined = ~std::uint64_t{0};

/// How many bytes the addresses and the lengths of a file take: 2, 4 or 8.
struct Widths {
  unsigned address = 8, length = 8;
};

/// Takes little-endian numbers one after another from bytes that may end too early, which is an Error.
class Cursor {
 public:
  Cursor(Bytes bytes, Widths widths) : bytes_(bytes), widths_(widths) {}
  std::size_t left() const { return bytes_.size(); }
  Bytes take(std::uint64_t size);
  void skip(std::uint64_t size) { take(size); }
  std::uint64_t number(std::size_t size);  ///< Of 1 to 8 bytes.
  std::uint64_t address();                 ///< `undefined` when all its bits are set.
  std::uint64_t length() { return number(widths_.length); }
  void signature(const char* four);
  /// A version; throws Error when it is none of least .. most.
  unsigned version(unsigned least, unsigned most);
  /// Bytes up to a zero, which is taken too.
  std::string text();

 private:
  Bytes bytes_;
  Widths widths_;
};

/// A file from its base address on, which all its addresses count from.
struct Extent {
  Bytes bytes;
  Widths widths;

  /// `size` bytes at an address; throws Error when they do not lie in the file.
  Bytes at(std::uint64_t address, std::uint64_t size) const;
  /// From an address to the end of the file.
  Cursor from(std::uint64_t address) const;
  /// As at(), of a block whose last four bytes are the checksum of the others, which must be right.
  Cursor checked(std::uint64_t address, std::uint64_t size) const;
  Cursor cursor(Bytes part) const { return {part, widths}; }
};

/// The blocks of one structure do not overlap, so that together they are no longer than the file. Ends the walk over
/// one whose blocks contain each other.
class Budget {
 public:
  explicit Budget(const Extent& file) : left_(file.bytes.size()) {}
  void take(std::uint64_t size);

 private:
  std::uint64_t left_;
};

/// Bytes that it takes to hold numbers up to this one.
unsigned bytes_for(std::uint64_t most);
/// Floor of the logarithm to base 2; 0 for 0.
unsigned log2_of(std::uint64_t);

}  // namespace pipeformer::hdf5
