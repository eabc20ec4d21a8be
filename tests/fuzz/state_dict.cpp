// PyTorch's state dicts, zip archives and pickles: what the table names lies in the file.
#include "io/state_dict.hpp"

#include "fuzz.hpp"

using namespace pipeformer;

void fuzz(std::span<const std::byte> bytes) {
  looks_like_state_dict(bytes);
  for (const TensorEntry& tensor : read_state_dict_table(bytes))
    if (tensor.offset > bytes.size() || tensor.size > bytes.size() - tensor.offset) std::abort();
}
