/// The safetensors format (https://github.com/huggingface/safetensors, "Format"): the length of a header (8 bytes,
/// little-endian), the header (JSON: for each tensor dtype, shape and data_offsets), and the elements of all tensors,
/// in C order, little-endian, one tensor after another without gaps.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "io/output_file.hpp"
#include "io/tensor_table.hpp"

namespace pipeformer {

/// The tensors of a file, in the order of the header. Everything that the header promises is checked against the bytes
/// that there are; throws Error ("tensor 'x': ..."), without the file's name.
std::vector<TensorEntry> read_safetensors_table(std::span<const std::byte> file);

/// True when bytes may be the beginning of a safetensors file.
bool looks_like_safetensors(std::span<const std::byte>);

struct NewTensor {
  std::string name;
  TensorType type;
  Shape shape;
};

/// Writes a safetensors file tensor by tensor. The same tensors give the same bytes, in whatever order they are
/// announced, and those that safetensors' own library writes for them: larger elements first, then by name, the header
/// filled up with spaces to a multiple of 8; metadata {"format": "pt"}, which readers of PyTorch models ask for.
class SafetensorsWriter {
 public:
  /// Writes the header, to a temporary file that close() renames. Throws Error for a name twice.
  SafetensorsWriter(const std::string& path, std::vector<NewTensor> tensors);

  /// The tensors in the order in which write() takes their elements.
  const std::vector<NewTensor>& tensors() const { return tensors_; }
  /// The elements of the next tensor, in C order; in one piece or in several.
  void write(std::span<const std::byte> elements);
  /// Throws Error when elements are missing, or when closing fails. Must be called for the file to exist.
  void close();

 private:
  std::string path_;
  std::vector<NewTensor> tensors_;
  std::uint64_t missing_ = 0;  ///< Bytes that are still to come.
  OutputFile out_;
};

}  // namespace pipeformer
