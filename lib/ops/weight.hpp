/// Weights as they are stored. Elements of 16 bits are widened, exactly, where they are used: all arithmetic is
/// float32, so a model of 16-bit weights gives the bits of the same model widened.
#pragma once
#include <cstddef>
#include <cstdint>

namespace pipeformer {

enum class WeightType : std::uint8_t { float32, float16, bfloat16 };

constexpr std::int64_t element_size(WeightType type) {
  return type == WeightType::float32 ? 4 : 2;
}

/// A weight (rows, columns), rows one after another, that lives elsewhere: PyTorch's [out, in], or a table of
/// embeddings.
struct WeightView {
  const void* data = nullptr;
  std::int64_t rows = 0, columns = 0;
  WeightType type = WeightType::float32;

  WeightView() = default;
  WeightView(const void* d, WeightType t, std::int64_t r, std::int64_t c) : data(d), rows(r), columns(c), type(t) {}
  WeightView(const float* d, std::int64_t r, std::int64_t c) : data(d), rows(r), columns(c) {}

  const std::byte* row(std::int64_t r) const {
    return static_cast<const std::byte*>(data) + r * columns * element_size(type);
  }
  /// The elements of a float32 weight.
  const float* values() const { return static_cast<const float*>(data); }
};

/// y (n) = n stored elements, widened.
void widen(WeightType, std::int64_t n, const void* stored, float* y);

/// The right side B of a product as the kernels read it: panels of columns (lib/ops/gemm.hpp).
struct PackedView {
  const void* data = nullptr;
  WeightType type = WeightType::float32;
  explicit operator bool() const { return data != nullptr; }
};

}  // namespace pipeformer
