/// The innermost piece of every matrix product: a tile of C, a few rows by one panel of columns, in registers.
///
/// Each element of C is one chain of multiply-adds over k in ascending order, whatever the tile's height or the
/// element's place in it: this is what makes a row's result independent of the rest of the batch (law 4).
#pragma once
#include "ops/kernels/kernels.hpp"
#include "ops/kernels/simd.hpp"
#include "ops/kernels/table_row.hpp"

namespace pipeformer {
namespace {

// A panel is at least as wide as a Wide, whose kernels work on whole panels of scores.
constexpr int kPanelVectors = kParts > 2 ? kParts : 2;
constexpr int kPanel = kPanelVectors * kLanes;  // columns of a packed panel of B
#if defined(__AVX512F__)
constexpr int kTileRows = 12;
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int kTileRows = 6;
#elif defined(PIPEFORMER_NEON)
constexpr int kTileRows = 6;
#else
constexpr int kTileRows = 2;
#endif

/// C[i, j] (+)= sum over k of A[i, k] * panel[k * kPanel + j] + bias[j] (null: none), rows i < Rows, columns j < those
/// of C. KContiguous says that A is stored as it is, otherwise it is stored transposed; Row, what the elements of the
/// panel are stored as. Of what comes next, `ahead`, a line is fetched with each k: spread over the whole tile, so that
/// no product waits for memory. Nor does it wait to store: with each of the first k's a row of C is fetched.
template <int Rows, bool KContiguous, class Row>
void gemm_tile(const MatrixView& from, const void* stored, const std::byte* ahead, const float* bias,
               const MutableMatrixView& to, bool accumulate) {
  const std::int64_t depth = KContiguous ? from.columns : from.rows, stride = from.stride, ldc = to.stride;
  const float* a = from.data;
  float* c = to.data;
  const int columns = static_cast<int>(to.columns);
  Row panel = Row::at(stored, 0);
  Vec acc[Rows][kPanelVectors] = {};
  constexpr int kGroup = 3;  // rows addressed from one pointer: p, p + s, p + 2s are x86 addressing modes
  constexpr int kGroups = (Rows + kGroup - 1) / kGroup;
  const float* group[kGroups];
  for (int g = 0; g < kGroups; ++g) group[g] = KContiguous ? a + g * kGroup * stride : a + g * kGroup;
  const float* result = c;
  for (std::int64_t k = 0; k < depth; ++k) {
    for (int j = 0; j < kPanel; j += kCacheLine / 4) __builtin_prefetch(result + j, 1);
    result += k < Rows - 1 ? ldc : 0;
    Vec b[kPanelVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) b[v] = panel.get(v * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const Vec x = splat(KContiguous ? group[i / kGroup][(i % kGroup) * stride] : group[i / kGroup][i % kGroup]);
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) acc[i][v] = fused(x, b[v], acc[i][v]);
    }
    __builtin_prefetch(ahead, 0, 2);
    ahead += kCacheLine;
    panel.p += kPanel;
#pragma GCC unroll 8
    for (int g = 0; g < kGroups; ++g) group[g] += KContiguous ? 1 : stride;
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i, c += ldc) {
    if (columns == kPanel) {
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) {
        Vec sum = accumulate ? load(c + v * kLanes) + acc[i][v] : acc[i][v];
        if (bias) sum = sum + load(bias + v * kLanes);
        store(c + v * kLanes, sum);
      }
    } else {
      float row[kPanel];
      for (int v = 0; v < kPanelVectors; ++v) store(row + v * kLanes, acc[i][v]);
      for (int j = 0; j < columns; ++j) {
        const float sum = accumulate ? c[j] + row[j] : row[j];
        c[j] = bias ? sum + bias[j] : sum;
      }
    }
  }
}

using GemmTile = decltype(&gemm_tile<1, true, FloatRow>);

template <bool KContiguous, class Row, int... Rows>
constexpr GemmTile pick_tile(int rows) {
  constexpr GemmTile table[] = {&gemm_tile<Rows, KContiguous, Row>...};
  return table[rows - 1];
}

template <bool KContiguous, class Row>
GemmTile tile_for(int rows) {
#if defined(__AVX512F__)
  return pick_tile<KContiguous, Row, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12>(rows);
#elif defined(PIPEFORMER_NEON) || (defined(__AVX2__) && defined(__FMA__))
  return pick_tile<KContiguous, Row, 1, 2, 3, 4, 5, 6>(rows);
#else
  return pick_tile<KContiguous, Row, 1, 2>(rows);
#endif
}

/// Rows of C by one panel, all tiles; the first two of them fetch the next panel, half of its lines each (all of a
/// panel of 16 bits the first).
template <bool KContiguous, class Row>
void gemm_panel(const MatrixView& a, const void* panel, const void* ahead, const float* bias,
                const MutableMatrixView& c, bool accumulate) {
  const std::int64_t depth = KContiguous ? a.columns : a.rows;
  // Even heights, no thin last tile: the first ones may have a row more. Divisions of 32 bits, which take less time.
  const int rows = static_cast<int>(c.rows), tiles = (rows + kTileRows - 1) / kTileRows;
  const int least = rows / tiles, higher = rows - least * tiles;
  const auto* next = static_cast<const std::byte*>(ahead);
  MatrixView from = a;
  MutableMatrixView to = c;
  for (int t = 0; t < tiles; ++t) {
    const int height = t < higher ? least + 1 : least;
    tile_for<KContiguous, Row>(height)(from, panel, next + (t & 1) * depth * kCacheLine, bias, to, accumulate);
    from.data += KContiguous ? height * a.stride : height;
    to.data += height * c.stride;
  }
}

}  // namespace
}  // namespace pipeformer
