/// Types of HDF5 elements, and how they become ours: sections IV.A.2.b (data spaces) and IV.A.2.d (data types).
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/array.hpp"
#include "io/hdf5_bytes.hpp"

namespace pipeformer::hdf5 {

enum class TypeClass {
  integer = 0,
  real = 1,
  time = 2,
  string = 3,
  bits = 4,
  opaque = 5,
  compound = 6,
  reference = 7,
  enumeration = 8,
  variable = 9,
  array = 10
};

/// The type of an element as a file describes it. Only what is read here is looked at: of other classes it is the class
/// and the size.
struct Datatype {
  TypeClass kind = TypeClass::opaque;
  std::size_t size = 0;
  bool usual = false;  ///< An integer or IEEE-like float that can be read; or an enumeration of such integers.
  // Integers, floats, enumerations:
  bool big_endian = false, is_signed = false;
  unsigned first_bit = 0, bits = 0;
  // Floats: the value is (-1)^sign 1.mantissa 2^(exponent - bias).
  unsigned sign_at = 0, exponent_at = 0, exponent_bits = 0, mantissa_at = 0, mantissa_bits = 0;
  std::uint32_t bias = 0;
  bool boolean = false;          ///< An enumeration of FALSE = 0 and TRUE = 1.
  bool variable_string = false;  ///< Length (4), address of a global heap, index in it (4).
  bool space_padded = false;     ///< A string of fixed length.

  /// What elements are read as; nothing for those that are not read.
  std::optional<DType> dtype() const;
  bool is_bfloat16() const;
  bool is_int8() const;  ///< A signed byte, of no enumeration.
  /// Elements lie in the file exactly as an Array of dtype() holds them.
  bool as_in_memory() const;
  /// For messages: "strings", "compounds (or complex numbers)".
  const char* name() const;

  std::uint64_t unsigned_value(const std::byte* element) const;
  std::int64_t signed_value(const std::byte* element) const;
  double real_value(const std::byte* element) const;
  std::string fixed_string(const std::byte* element) const;
};

Datatype read_datatype(Cursor);

/// Elements become those of `to`, which is what dtype() says. Throws Error for an integer that i8 does not hold, and
/// for a boolean that is neither 0 nor 1.
void convert_elements(const Datatype&, const std::byte* from, std::int64_t count, std::byte* to);

/// Extents of a dataset or an attribute.
struct Dataspace {
  bool null = false;  ///< No elements, and no shape.
  std::vector<std::uint64_t> dims, most;
  /// The number of elements; throws Error when it overflows.
  std::uint64_t count() const;
};

Dataspace read_dataspace(Cursor);

}  // namespace pipeformer::hdf5
