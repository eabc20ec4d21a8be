#include "io/tensor_table.hpp"

namespace pipeformer {
namespace {

constexpr struct {
  std::string_view name;
  std::size_t bits;
} types[] = {{"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},   {"I8", 8},    {"F8_E5M2", 8},
             {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16}, {"BF16", 16}, {"I32", 32},
             {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},    {"I64", 64}, {"U64", 64}};

constexpr const char* names[] = {"BOOL", "U8", "F16", "BF16", "I32", "F32", "F64", "I64"};

}  // namespace

const char* tensor_type_name(TensorType type) {
  return names[static_cast<std::size_t>(type)];
}

std::size_t tensor_type_size(TensorType type) {
  return tensor_type_bits(tensor_type_name(type)) / 8;
}

bool is_floating(TensorType type) {
  return type == TensorType::F16 || type == TensorType::BF16 || type == TensorType::F32 || type == TensorType::F64;
}

std::optional<TensorType> tensor_type_from_name(std::string_view name) {
  for (std::size_t i = 0; i < std::size(names); ++i) {
    if (name == names[i]) return static_cast<TensorType>(i);
  }
  return std::nullopt;
}

std::size_t tensor_type_bits(std::string_view name) {
  for (const auto& type : types) {
    if (name == type.name) return type.bits;
  }
  return 0;
}

}  // namespace pipeformer
