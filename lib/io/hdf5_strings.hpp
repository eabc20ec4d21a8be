/// Variable-length strings of HDF5 attributes, read without the HDF5 library. Up to version 1.10 it trusts the lengths
/// and indices of the file's global heap, so that four changed bytes make it write past its memory. Here every number
/// is compared with what the file holds before it is used.
///
/// Source: HDF5 File Format Specification 3.0, sections III.E (global heap), IV.A.1 (object headers), IV.A.2.m
/// (attributes).
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace pipeformer {

/// Bytes of a file; throws Error for a range that does not lie in it.
using FileBytes = std::function<std::vector<std::uint8_t>(std::uint64_t offset, std::uint64_t size)>;

/// The one string of an attribute whose type the library says is a variable-length string, of the object whose header
/// is at `header`. Lengths and offsets of the file must be 8 bytes long. Throws Error (without the file's name) when
/// header or heap are damaged, or hold the attribute in a form that is not read here: shared, or in dense storage.
std::string variable_length_attribute(const FileBytes&, std::uint64_t header, const std::string& name);

}  // namespace pipeformer
