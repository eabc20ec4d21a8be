/// Rows and weights of 8 bits as the products read them (int8.hpp). A row of A is quantised to q = x * 127 / max|x| in
/// -127 .. 127. A packed panel of weights: what the sums of its columns start with, 32 bits each, then for each four
/// k's the columns one after another, four bytes each. Missing k's, up to whole groups of them, and columns are zero.
#pragma once
#include "ops/kernels/kernels.hpp"
#include "ops/kernels/simd.hpp"

namespace pipeformer {
namespace {

#if defined(__AVX512F__)
constexpr int kInt8Panel = 32;
#else
constexpr int kInt8Panel = 16;
#endif
constexpr int kQuad = 4;               // k's that lie together
constexpr std::int64_t kAhead = 8192;  // bytes: the processor's own reading ahead ends with each page

// --- quantising ---

struct Quantiser {
  bool finite;
  float lift;    ///< A power of two that multiplies numbers so small that 127 / max|x| would overflow.
  float factor;  ///< 127 / max|x|, lifted
  float scale;   ///< max|x| / 127
};

/// NaN and infinity come out as bits above those of all numbers.
inline Quantiser quantiser_of(std::int64_t n, const float* x) {
  std::int32_t top = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int32_t bits = __builtin_bit_cast(std::int32_t, x[i]) & 0x7fffffff;
    top = bits > top ? bits : top;
  }
  if (top >= 0x7f800000) return {false, 0, 0, __builtin_nanf("")};
  const float largest = __builtin_bit_cast(float, top), lift = largest < 0x1p-64f ? 0x1p64f : 1.0f;
  return {true, lift, top == 0 ? 0.0f : 127.0f / (largest * lift), largest / 127.0f};
}

/// The integer nearest to x * factor, even ones first, of the exact product: what is added to it leaves no bits for a
/// fraction.
inline std::int32_t quantised(float x, const Quantiser& by) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_bit_cast(std::int32_t, __builtin_fmaf(x * by.lift, by.factor, 0x1.8p23f)) -
         __builtin_bit_cast(std::int32_t, 0x1.8p23f);
#else  // the product of two floats is exact in double
  const double product = static_cast<double>(x * by.lift) * static_cast<double>(by.factor);
  return static_cast<std::int32_t>(__builtin_bit_cast(std::int64_t, product + 0x1.8p52) -
                                   __builtin_bit_cast(std::int64_t, 0x1.8p52));
#endif
}

/// q (n) + offset, and `offset` up to `padded`. A row with NaN or infinity is zeros with a scale of NaN.
template <class T>
float quantise_row(std::int64_t n, std::int64_t padded, const float* x, int offset, T* q) {
  const Quantiser by = quantiser_of(n, x);
  if (by.finite)
    for (std::int64_t i = 0; i < n; ++i) q[i] = static_cast<T>(quantised(x[i], by) + offset);
  for (std::int64_t i = by.finite ? n : 0; i < padded; ++i) q[i] = static_cast<T>(offset);
  return by.scale;
}

float quantise_int8(std::int64_t n, const float* x, std::int8_t* q) {
  return quantise_row(n, n, x, 0, q);
}

void widen_int8(std::int64_t n, const void* stored, const float* scale, float* y) {
  const auto* q = static_cast<const std::int8_t*>(stored);
  const float by = *scale;
  for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(q[i]) * by;
}

/// With k's in groups of Group.
template <int Group>
std::int64_t int8_row_elements(std::int64_t depth) {
  return (depth + Group - 1) / Group * Group;
}
template <int Group>
std::int64_t int8_panel_bytes(std::int64_t depth) {
  return kInt8Panel * (static_cast<std::int64_t>(sizeof(std::int32_t)) + int8_row_elements<Group>(depth));
}

// --- packing ---

inline std::int32_t sum_int8(std::int64_t n, const std::int8_t* x) {
  constexpr std::int64_t kStretch = 128;  // of which a sum has 16 bits
  std::int32_t total = 0;
  for (std::int64_t i = 0; i < n; i += kStretch) {
    const std::int64_t end = i + kStretch < n ? i + kStretch : n;
    std::int16_t sum = 0;
    for (std::int64_t k = i; k < end; ++k) sum = static_cast<std::int16_t>(sum + x[k]);
    total += sum;
  }
  return total;
}

/// As many quads as a vector has lanes, of as many rows `stride` apart, become that many quads of a panel.
inline void transpose_quads(const std::int8_t* rows, std::int64_t stride, std::int8_t* panel) {
  Vec quads[kLanes];  // moved only, whatever numbers the bits would be
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) __builtin_memcpy(&quads[i], rows + i * stride, sizeof quads[i]);
  transpose(quads);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) __builtin_memcpy(panel + i * kInt8Panel * kQuad, &quads[i], sizeof quads[i]);
}

/// Sums start with what takes back the Offset of the rows.
template <int Group, int Offset>
void pack_int8(std::int64_t n, std::int64_t depth, const void* stored, const float*, std::byte* out) {
  const auto* w = static_cast<const std::int8_t*>(stored);
  const std::int64_t quads = int8_row_elements<Group>(depth) / kQuad;
  for (std::int64_t first = 0; first < n; first += kInt8Panel) {
    const std::int64_t columns = n - first < kInt8Panel ? n - first : kInt8Panel;
    auto* starts = reinterpret_cast<std::int32_t*>(out);
    auto* to = reinterpret_cast<std::int8_t*>(out + kInt8Panel * sizeof(std::int32_t));
    out += kInt8Panel * (static_cast<std::int64_t>(sizeof(std::int32_t)) + quads * kQuad);
    for (std::int64_t j = 0; j < kInt8Panel; ++j) {
      const std::int8_t* row = w + (first + (j < columns ? j : 0)) * depth;
      for (std::int64_t k = 0; k < depth; k += kCacheLine) ask_for_line<2>(row + kAhead + k);
      starts[j] = Offset != 0 && j < columns
                      ? static_cast<std::int32_t>(-Offset * static_cast<std::uint32_t>(sum_int8(depth, row)))
                      : 0;
    }
    constexpr std::int64_t kSquare = 16;  // quads of a column: a cache line is read whole while it is there
    const std::int64_t whole = depth / kQuad;
    const auto put = [&](std::int64_t q, std::int64_t j) {
      std::int32_t four = 0;
      const std::int64_t left = j < columns ? depth - q * kQuad : 0;
      if (left > 0) __builtin_memcpy(&four, w + (first + j) * depth + q * kQuad, left < kQuad ? left : kQuad);
      __builtin_memcpy(to + (q * kInt8Panel + j) * kQuad, &four, kQuad);
    };
    for (std::int64_t q0 = 0; q0 < quads; q0 += kSquare) {
      const std::int64_t q1 = q0 + kSquare < quads ? q0 + kSquare : quads;
      for (std::int64_t j = 0; j < kInt8Panel; j += kLanes) {
        std::int64_t q = q0;
        if (j + kLanes <= columns)
          for (; q + kLanes <= q1 && q + kLanes <= whole; q += kLanes)
            transpose_quads(w + (first + j) * depth + q * kQuad, depth, to + (q * kInt8Panel + j) * kQuad);
        for (; q < q1; ++q)
          for (std::int64_t column = j; column < j + kLanes; ++column) put(q, column);
      }
    }
  }
}

}  // namespace
}  // namespace pipeformer
