/// What a checkpoint of other people's says about one of its tensors: the common result of the readers of safetensors
/// (io/safetensors.hpp) and of PyTorch's state dicts (io/state_dict.hpp), which io/tensor_folder.hpp makes one thing
/// of.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/array.hpp"

namespace pipeformer {

/// Element types of tensors that can be read, by safetensors' names and in its library's order. bfloat16 exists in
/// model files only.
enum class TensorType : std::uint8_t { BOOL, U8, F16, BF16, I32, F32, F64, I64 };

const char* tensor_type_name(TensorType);  ///< "F16", "BF16", ...
std::size_t tensor_type_size(TensorType);  ///< Bytes of an element.
bool is_floating(TensorType);              ///< F16, BF16, F32 or F64.
std::optional<TensorType> tensor_type_from_name(std::string_view);

/// Bits of an element of any type that safetensors defines, also of those that we do not read; 0 for an unknown name.
std::size_t tensor_type_bits(std::string_view name);

struct TensorEntry {
  std::string name;
  std::string type;  ///< As safetensors names it; not necessarily one of TensorType.
  Shape shape;
  Shape strides;             ///< In elements; empty: C order without gaps. Never negative.
  std::uint64_t offset = 0;  ///< In the file, of the first element. Need not be aligned.
  std::uint64_t size = 0;    ///< In bytes, from the first element to the end of the last one.
};

}  // namespace pipeformer
