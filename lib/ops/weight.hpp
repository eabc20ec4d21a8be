/// Weights as they are stored. Elements of 16 bits are widened, exactly, where they are used: all arithmetic is
/// float32, so a model of 16-bit weights gives the bits of the same model widened. Elements of 8 bits are symmetric
/// integers with one scale a row, w = q * scale; products with them quantise the other side as well and add integers
/// (lib/ops/int8_product.hpp).
#pragma once
#include <cstddef>
#include <cstdint>

namespace pipeformer {

enum class WeightType : std::uint8_t { float32, float16, bfloat16, int8 };

constexpr std::int64_t element_size(WeightType type) {
  return type == WeightType::float32 ? 4 : type == WeightType::int8 ? 1 : 2;
}

/// The longest row of a weight of 8 bits whose products a sum of 32 bits holds, whatever they are.
constexpr std::int64_t kInt8Depth = 0x7fffffff / (127 * 128);

/// A weight (rows, columns), rows one after another, that lives elsewhere: PyTorch's [out, in], or a table of
/// embeddings.
struct WeightView {
  const void* data = nullptr;
  std::int64_t rows = 0, columns = 0;
  WeightType type = WeightType::float32;
  const float* scales = nullptr;  ///< int8: of each row.
  bool mapped = false;            ///< `data` lies in a file that is mapped read-only.

  WeightView() = default;
  WeightView(const void* d, WeightType t, std::int64_t r, std::int64_t c) : data(d), rows(r), columns(c), type(t) {}
  WeightView(const float* d, std::int64_t r, std::int64_t c) : data(d), rows(r), columns(c) {}

  const std::byte* row(std::int64_t r) const {
    return static_cast<const std::byte*>(data) + r * columns * element_size(type);
  }
  /// The elements of a float32 weight.
  const float* values() const { return static_cast<const float*>(data); }
};

/// y (n) = n stored elements of 16 or 32 bits, widened.
void widen(WeightType, std::int64_t n, const void* stored, float* y);
/// y (columns) = row r, widened; of int8, each element times the row's scale.
void widen_row(const WeightView&, std::int64_t r, float* y);

/// A row x (n) in 8 bits: q = x * 127 / max|x| to the nearest integer (even ones first), of the exact product with the
/// rounded quotient. Returns the scale max|x| / 127; NaN when x holds NaN or infinity. Rows of activations become the
/// same.
float quantise(std::int64_t n, const float* x, std::int8_t* q);

/// The right side B of a product as the kernels read it: panels of columns (lib/ops/gemm.hpp).
struct PackedView {
  const void* data = nullptr;
  WeightType type = WeightType::float32;
  const float* scales = nullptr;  ///< int8: of each column.
  explicit operator bool() const { return data != nullptr; }
};

}  // namespace pipeformer
