/// Products of 8-bit integers with the matrix instructions of Arm (i8mm, optional from Armv8.2 on): four sums, of two
/// rows of A by two columns, += eight products each. Written out, since the processor is asked at run time.
#pragma once
#include "ops/kernels/int8_dots.hpp"

namespace pipeformer {
namespace {

constexpr int kPairs = 4;                // of rows, that a tile has at most, ...
constexpr int kMatrixColumns = 8;        // ... and its columns
constexpr int kMatrixDepth = 2 * kQuad;  // k's of one step

inline void multiply_matrices(int32x4_t& sums, int8x16_t rows, int8x16_t columns) {
#if defined(__ARM_FEATURE_MATMUL_INT8)
  sums = vmmlaq_s32(sums, rows, columns);
#else
  asm(".arch armv8.2-a+i8mm\n\tsmmla %0.4s, %1.16b, %2.16b" : "+w"(sums) : "w"(rows), "w"(columns));
#endif
}

/// Sums of 2 Pairs rows, at row[0], row[1], ..., by kMatrixColumns columns; those of a row are kInt8Panel apart.
template <int Pairs>
void sum_matrices(const std::int8_t* const* row, std::int64_t quads, const std::int8_t* panel, std::int32_t* sums) {
  constexpr int kTwos = kMatrixColumns / 2;
  int32x4_t total[Pairs][kTwos] = {};
  for (std::int64_t k = 0; k < quads * kQuad; k += kMatrixDepth, panel += kMatrixDepth * kInt8Panel) {
    int8x16_t columns[kTwos];  // all eight k's of a column side by side
#pragma GCC unroll 2
    for (int v = 0; v < kTwos / 2; ++v) {
      const int32x4_t first = vreinterpretq_s32_s8(vld1q_s8(panel + v * 16));
      const int32x4_t second = vreinterpretq_s32_s8(vld1q_s8(panel + kQuad * kInt8Panel + v * 16));
      columns[2 * v] = vreinterpretq_s8_s32(vzip1q_s32(first, second));
      columns[2 * v + 1] = vreinterpretq_s8_s32(vzip2q_s32(first, second));
    }
#pragma GCC unroll 4
    for (int p = 0; p < Pairs; ++p) {
      const int8x16_t rows = vcombine_s8(vld1_s8(row[2 * p] + k), vld1_s8(row[2 * p + 1] + k));
#pragma GCC unroll 4
      for (int v = 0; v < kTwos; ++v) multiply_matrices(total[p][v], rows, columns[v]);
    }
  }
  for (int p = 0; p < Pairs; ++p)
    for (int v = 0; v < kTwos; ++v) {
      vst1_s32(sums + 2 * p * kInt8Panel + 2 * v, vget_low_s32(total[p][v]));
      vst1_s32(sums + (2 * p + 1) * kInt8Panel + 2 * v, vget_high_s32(total[p][v]));
    }
}

template <int Pairs = kPairs>
inline void sum_matrices_of(int pairs, const std::int8_t* const* row, std::int64_t quads, const std::int8_t* panel,
                            std::int32_t* sums) {
  if constexpr (Pairs > 0) {
    if (pairs == Pairs) return sum_matrices<Pairs>(row, quads, panel, sums);
    sum_matrices_of<Pairs - 1>(pairs, row, quads, panel, sums);
  }
}

/// All rows of A by one panel. A single row has no second one to make a matrix with.
void int8_panel_by_matrices(const Int8Rows& a, const std::byte* panel, const float* scales, const float* bias,
                            const MutableMatrixView& c) {
  if (a.rows == 1) return int8_panel<DotNeon>(a, panel, scales, bias, c);
  const PanelColumns by(static_cast<int>(c.columns), scales, bias);
  const auto* weights = reinterpret_cast<const std::int8_t*>(panel + kInt8Panel * sizeof(std::int32_t));
  std::int32_t sums[2 * kPairs * kInt8Panel] = {};
  for (std::int64_t first = 0; first < a.rows; first += 2 * kPairs) {
    const std::int64_t height = a.rows - first < 2 * kPairs ? a.rows - first : 2 * kPairs;
    const std::int8_t* row[2 * kPairs];
    for (std::int64_t r = 0; r < 2 * kPairs; ++r)  // an odd one out is its own neighbour
      row[r] = static_cast<const std::int8_t*>(a.q) + (first + (r < height ? r : height - 1)) * a.stride;
    for (int column = 0; column < c.columns; column += kMatrixColumns)
      sum_matrices_of(static_cast<int>(height + 1) / 2, row, a.quads, weights + column * kQuad, sums + column);
    put_rows(sums, a.scales + first, by, {c.data + first * c.stride, height, c.columns, c.stride});
  }
}

}  // namespace
}  // namespace pipeformer
