/// The NPY format (NumPy's numpy/lib/format.py documents it), one array or several back to back, on files and pipes
/// alike.
///
/// Written: version 1.0, C order, little-endian, the same bytes that numpy.save writes. Read: versions 1 to 3, keys in
/// any order, either byte order, Fortran order (transposed), f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1; i1, i2 and u2 become
/// i4, u4 and u8 become i8. Pickled objects, structured, complex, text and time types are refused by name.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "core/array.hpp"
#include "io/byte_source.hpp"
#include "io/output_file.hpp"

namespace pipeformer {

/// Reads one array into `array`, whose memory is reused. False when the source is at its end; throws Error when the
/// bytes are no NPY array or end within one ("truncated: ..."). A header that promises too much costs no memory: data
/// are read in pieces.
bool read_npy(ByteSource&, Array& array);

/// As read_npy, but passes over the elements, whose values are not checked; a file is not read there. `offset` is their
/// position in the file (ByteSource::position) when they lie there exactly as an Array of `dtype` holds them, nothing
/// otherwise (another byte order, type or order of axes).
bool skip_npy(ByteSource&, DType& dtype, Shape& shape, std::optional<std::uint64_t>& offset);

/// The magic, version and header that stand before the elements.
std::string npy_header(DType, const Shape&);

void write_npy(OutputFile&, DType, const Shape&, const std::byte* elements);

/// True when bytes begin as an NPY array begins.
bool looks_like_npy(std::span<const std::byte>);

}  // namespace pipeformer
