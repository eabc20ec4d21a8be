/// Products of weights of 4 bits, in groups of 32 k's with a scale each, with rows of 8 bits (int8.hpp). For a row and
/// a column the sums of a group are exact integers; the groups are added in ascending order, each by one fused
/// multiply-add, and
///   C = (sum over groups of sum * scale of the group) * scale of the row + bias,
/// one fused multiply-add more. AVX2 and plain loops give the same bits.
///
/// A packed panel: for each group the scales of its columns, then four blocks of 16 bytes a column in fours: block b
/// holds k's 4 b .. 4 b + 3 of each column in the low halves of its bytes, and those 16 further in the high halves, 8
/// too large. Missing k's and columns have the scale 0 or the weight 0.
#pragma once
#include "ops/kernels/int8.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t kGroup = kInt4Group;
constexpr std::int64_t kBlocks = kGroup / 8;                 // of a group in a panel
constexpr std::int64_t kGroupElements = kGroup + kQuad;      // of a row: with -8 times their sum, 32 bits
constexpr std::int64_t kGroupBytes = kInt8Panel * (4 + 16);  // of a panel

inline std::int64_t int4_groups(std::int64_t depth) {
  return (depth + kGroup - 1) / kGroup;
}
std::int64_t int4_row_elements(std::int64_t depth) {
  return int4_groups(depth) * kGroupElements;
}
std::int64_t int4_panel_bytes(std::int64_t depth) {
  return int4_groups(depth) * kGroupBytes;
}

/// Element k of a stored row, 0 .. 15.
inline int nibble(const std::uint8_t* row, std::int64_t k) {
  return row[k / 2] >> (k % 2 * 4) & 15;
}

void widen_int4(std::int64_t n, const void* q, const float* scales, float* y) {
  const auto* row = static_cast<const std::uint8_t*>(q);
  for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(nibble(row, i) - 8) * scales[i / kGroup];
}

void pack_int4(std::int64_t n, std::int64_t depth, const void* w, const float* scales, std::byte* out) {
  const std::int64_t groups = int4_groups(depth), row_bytes = (depth + 1) / 2;
  const auto* rows = static_cast<const std::uint8_t*>(w);
  for (std::int64_t first = 0; first < n; first += kInt8Panel)
    for (std::int64_t g = 0; g < groups; ++g, out += kGroupBytes) {
      auto* to = reinterpret_cast<std::uint8_t*>(out + kInt8Panel * 4);
      for (std::int64_t j = 0; j < kInt8Panel; ++j) {
        const bool there = first + j < n;
        const float scale = there ? scales[(first + j) * groups + g] : 0.0f;
        __builtin_memcpy(out + j * 4, &scale, sizeof scale);
        const std::uint8_t* row = rows + (there ? first + j : 0) * row_bytes;
        const auto at = [&](std::int64_t k) { return there && k < depth ? nibble(row, k) : 8; };
        for (std::int64_t k = 0; k < kGroup / 2; ++k) {
          const int low = at(g * kGroup + k), high = at(g * kGroup + k + kGroup / 2);
          to[(k / kQuad * kInt8Panel + j) * kQuad + k % kQuad] = static_cast<std::uint8_t>(low | high << 4);
        }
      }
    }
}

/// Rows of 8 bits, each group followed by -8 times the sum of its elements: what makes up for weights 8 too large.
void quantise_for_int4(const MatrixView& x, const Int8Rows& to) {
  for (std::int64_t r = 0; r < x.rows; ++r) {
    auto* row = static_cast<std::int8_t*>(to.q) + r * to.stride;
    const float* from = x.data + r * x.stride;
    const Quantiser by = quantiser_of(x.columns, from);
    to.scales[r] = by.scale;
    for (std::int64_t k0 = 0; k0 < x.columns; k0 += kGroup, row += kGroupElements) {
      const std::int64_t n = x.columns - k0 < kGroup ? x.columns - k0 : kGroup;
      std::int32_t sum = 0;
      for (std::int64_t k = 0; k < kGroup; ++k) row[k] = 0;
      for (std::int64_t k = 0; by.finite && k < n; ++k) row[k] = static_cast<std::int8_t>(quantised(from[k0 + k], by));
      for (std::int64_t k = 0; k < kGroup; ++k) sum += row[k];
      sum *= -8;
      __builtin_memcpy(row + kGroup, &sum, sizeof sum);
    }
  }
}

/// A tile: Rows rows by the columns of a panel.
struct Int4Tile {
  const std::int8_t* a;
  std::int64_t stride, groups;
  const std::byte* panel;
  const float *row_scales, *bias;  ///< bias: of a whole panel
  float* c;                        ///< (Rows, a whole panel), kInt8Panel apart
};

#if defined(__AVX2__)
/// Products of unsigned and signed bytes, of which a sum of 16 bits holds 16: 15 * 127 * 16 = 30480.
template <int Rows>
void int4_tile(const Int4Tile& t) {
  constexpr int kVectors = kInt8Panel / 8;
  const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  __m256 sums[Rows][kVectors];
  for (auto& row : sums)
    for (__m256& sum : row) sum = _mm256_setzero_ps();
  const std::byte* panel = t.panel;
  const std::int8_t* a = t.a;
  const std::int64_t following = t.groups * kGroupBytes;
  for (std::int64_t g = 0; g < t.groups; ++g, panel += kGroupBytes, a += kGroupElements) {
    for (std::int64_t line = 0; line < kGroupBytes; line += 64) __builtin_prefetch(panel + following + line, 0, 2);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      __m256i pairs[Rows];
      for (__m256i& p : pairs) p = _mm256_setzero_si256();
#pragma GCC unroll 4
      for (int b = 0; b < kBlocks; ++b) {
        const __m256i both = _mm256_loadu_si256(
            reinterpret_cast<const __m256i*>(panel + kInt8Panel * 4 + b * kInt8Panel * kQuad + v * 32));
        const __m256i first = _mm256_and_si256(both, low), second = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
#pragma GCC unroll 4
        for (int r = 0; r < Rows; ++r) {
          std::int32_t near = 0, far = 0;
          __builtin_memcpy(&near, a + r * t.stride + b * kQuad, sizeof near);
          __builtin_memcpy(&far, a + r * t.stride + b * kQuad + kGroup / 2, sizeof far);
          pairs[r] = _mm256_add_epi16(pairs[r], _mm256_maddubs_epi16(first, _mm256_set1_epi32(near)));
          pairs[r] = _mm256_add_epi16(pairs[r], _mm256_maddubs_epi16(second, _mm256_set1_epi32(far)));
        }
      }
      const __m256 scales = _mm256_loadu_ps(reinterpret_cast<const float*>(panel) + v * 8);
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r) {
        std::int32_t extra = 0;
        __builtin_memcpy(&extra, a + r * t.stride + kGroup, sizeof extra);
        const __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(pairs[r], ones), _mm256_set1_epi32(extra));
        sums[r][v] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scales, sums[r][v]);
      }
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < kVectors; ++v)
      _mm256_storeu_ps(t.c + r * kInt8Panel + v * 8,
                       _mm256_fmadd_ps(sums[r][v], _mm256_set1_ps(t.row_scales[r]), _mm256_loadu_ps(t.bias + v * 8)));
}
constexpr int kInt4Rows = 4;
#else
template <int Rows>
void int4_tile(const Int4Tile& t) {
  for (int r = 0; r < Rows; ++r)
    for (int j = 0; j < kInt8Panel; ++j) {
      float total = 0;
      for (std::int64_t g = 0; g < t.groups; ++g) {
        const std::byte* panel = t.panel + g * kGroupBytes;
        const std::int8_t* a = t.a + r * t.stride + g * kGroupElements;
        std::int32_t sum = 0;
        float scale = 0;
        __builtin_memcpy(&sum, a + kGroup, sizeof sum);
        __builtin_memcpy(&scale, panel + j * 4, sizeof scale);
        const auto* w = reinterpret_cast<const std::uint8_t*>(panel + kInt8Panel * 4);
        for (int k = 0; k < kGroup / 2; ++k) {
          const int both = w[(k / kQuad * kInt8Panel + j) * kQuad + k % kQuad];
          sum += a[k] * (both & 15) + a[k + kGroup / 2] * (both >> 4);
        }
        total = __builtin_fmaf(static_cast<float>(sum), scale, total);
      }
      t.c[r * kInt8Panel + j] = __builtin_fmaf(total, t.row_scales[r], t.bias[j]);
    }
}
constexpr int kInt4Rows = 1;
#endif

template <int Rows = kInt4Rows>
inline void int4_tile(int rows, const Int4Tile& t) {
  if constexpr (Rows > 0) {
    if (rows == Rows) return int4_tile<Rows>(t);
    int4_tile<Rows - 1>(rows, t);
  }
}

/// All rows of A by one panel; the scales of columns are in it.
void int4_panel(const Int8Rows& a, const std::byte* panel, const float*, const float* bias,
                const MutableMatrixView& c) {
  float column_bias[kInt8Panel] = {}, tile[kInt4Rows * kInt8Panel];
  for (std::int64_t j = 0; bias && j < c.columns; ++j) column_bias[j] = bias[j];
  for (std::int64_t row = 0; row < a.rows; row += kInt4Rows) {
    const int height = static_cast<int>(a.rows - row < kInt4Rows ? a.rows - row : kInt4Rows);
    int4_tile(height, {static_cast<const std::int8_t*>(a.q) + row * a.stride, a.stride, a.quads * kQuad / kGroup, panel,
                       a.scales + row, column_bias, tile});
    for (int r = 0; r < height; ++r)
      for (std::int64_t j = 0; j < c.columns; ++j) c.data[(row + r) * c.stride + j] = tile[r * kInt8Panel + j];
  }
}

constexpr IntegerKernels int4_kernels{.panel = kInt8Panel,
                                      .element = 1,
                                      .group = kGroup,
                                      .row_elements = int4_row_elements,
                                      .panel_bytes = int4_panel_bytes,
                                      .widen = widen_int4,
                                      .pack = pack_int4,
                                      .quantise = quantise_for_int4,
                                      .multiply = int4_panel};

}  // namespace
}  // namespace pipeformer
