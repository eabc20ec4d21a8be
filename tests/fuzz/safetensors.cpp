// The table of a safetensors file: what it names lies in the file.
#include "io/safetensors.hpp"

#include "fuzz.hpp"

using namespace pipeformer;

void fuzz(std::span<const std::byte> bytes) {
  looks_like_safetensors(bytes);
  for (const TensorEntry& tensor : read_safetensors_table(bytes))
    if (tensor.offset > bytes.size() || tensor.size > bytes.size() - tensor.offset) std::abort();
}
