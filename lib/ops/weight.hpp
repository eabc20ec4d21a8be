/// Weights as they are stored. Elements of 16 bits are widened, exactly, where they are used: all arithmetic is
/// float32, so a model of 16-bit weights gives the bits of the same model widened. Elements of 8 bits are symmetric
/// integers with one scale a row, w = q * scale; those of 4 bits, -8 to 7, have a scale for each 32 of a row. Products
/// with them quantise the other side as well and add integers (lib/ops/integer_product.hpp).
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ops/kernel_types.hpp"

namespace pipeformer {

/// Bytes of a row. Of int4 a byte holds two elements, each 8 too large, the first one in its low half.
constexpr std::int64_t row_bytes(WeightType type, std::int64_t columns) {
  return type == WeightType::int4 ? (columns + 1) / 2 : columns * element_size(type);
}
/// Scales of a row.
constexpr std::int64_t row_scales(WeightType type, std::int64_t columns) {
  return type == WeightType::int8 ? 1 : type == WeightType::int4 ? (columns + kInt4Group - 1) / kInt4Group : 0;
}

/// The longest row of a weight of 8 bits whose products a sum of 32 bits holds, whatever they are.
constexpr std::int64_t kInt8Depth = 0x7fffffff / (127 * 128);

/// A weight (rows, columns), rows one after another, that lives elsewhere: PyTorch's [out, in], or a table of
/// embeddings.
struct WeightView {
  const void* data = nullptr;
  std::int64_t rows = 0, columns = 0;
  WeightType type = WeightType::float32;
  const float* scales = nullptr;  ///< (rows, row_scales) of integers.
  int file = -1;                  ///< The descriptor of a file that is mapped, where `data` lies in it, ...
  std::int64_t offset = 0;        ///< ... from here on.

  WeightView() = default;
  WeightView(const void* d, WeightType t, std::int64_t r, std::int64_t c) : data(d), rows(r), columns(c), type(t) {}
  WeightView(const float* d, std::int64_t r, std::int64_t c) : data(d), rows(r), columns(c) {}

  const std::byte* row(std::int64_t r) const {
    return static_cast<const std::byte*>(data) + r * row_bytes(type, columns);
  }
  /// The elements of a float32 weight.
  const float* values() const { return static_cast<const float*>(data); }
};

/// Rows [first, first + count) to be read once, soon. Those of a mapped file are read from it into memory of the
/// calling thread, where the next call puts others: less time than the first touch of each page of a mapping takes, and
/// no pages that stay.
const std::byte* rows_once(const WeightView&, std::int64_t first, std::int64_t count);
/// Calls body(first, count, rows) for rows [first, last) in pieces that stay in the processor's caches meanwhile, each
/// but the last of a multiple of `step` rows.
template <class Body>
void for_rows_once(const WeightView& w, std::int64_t first, std::int64_t last, std::int64_t step, Body body) {
  constexpr std::int64_t kBytes = std::int64_t{256} << 10;
  const std::int64_t bytes = std::max<std::int64_t>(1, step * row_bytes(w.type, w.columns));
  const std::int64_t piece = std::max<std::int64_t>(1, kBytes / bytes) * step;
  for (; first < last; first += piece) {
    const std::int64_t count = std::min(piece, last - first);
    body(first, count, rows_once(w, first, count));
  }
}

/// y (n) = n stored elements of 16 or 32 bits, widened.
void widen(WeightType, std::int64_t n, const void* stored, float* y);
/// y (columns) = row r, widened; of integers, each element times its scale.
void widen_row(const WeightView&, std::int64_t r, float* y);

/// A row x (n) in 8 bits: q = x * 127 / max|x| to the nearest integer (even ones first), of the exact product with the
/// rounded quotient. Returns the scale max|x| / 127; NaN when x holds NaN or infinity. Rows of activations become the
/// same.
float quantise(std::int64_t n, const float* x, std::int8_t* q);

/// A row x (n) in 4 bits: for each 32 elements the scale, of several, that leaves the least sum of squared errors, and
/// row_bytes of elements. NaN and infinity give a scale of NaN.
void quantise_int4(std::int64_t n, const float* x, std::uint8_t* q, float* scales);

/// The right side B of a product as the kernels read it: panels of columns (lib/ops/gemm.hpp).
struct PackedView {
  const void* data = nullptr;
  WeightType type = WeightType::float32;
  const float* scales = nullptr;  ///< int8: of each column. (The panels of int4 hold theirs.)
  explicit operator bool() const { return data != nullptr; }
};

}  // namespace pipeformer
