/// Products of 8-bit integers. A row of A is quantised to q = x * 127 / max|x| in -127 .. 127, sums of q times weights
/// are taken over k in 32 bits, exactly, and leave the registers as floats only:
///   C = sum * (scale of the row * scale of the column) + bias,
/// the first product rounded, then one fused multiply-add. Every way (int8_dots.hpp: the instructions for 8-bit dot
/// products of AVX-512, AVX and Arm; those for 16 bits of AVX-512, AVX2, SSE2 and Arm; plain loops; int8_tiles.hpp: the
/// tile registers of AMX) gives the same bits.
#pragma once
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(PIPEFORMER_NEON)
#include <sys/auxv.h>
#endif

#include "ops/kernels/int8_dots.hpp"
#if defined(__AVX512F__)
#include "ops/kernels/int8_tiles.hpp"
#endif

namespace pipeformer {
namespace {

/// On the way `Lines` cache lines from `ahead` are asked for with each quad: the panel that follows comes from memory
/// while this one's rows are computed.
template <class M, int Rows, int Lines>
void int8_tile(const Int8Operands& from, const Int8Output& out) {
  typename M::Sum sums[Rows][M::kVectors] = {};
  const auto* a = static_cast<const typename M::Element*>(from.a);
  const std::int8_t* panel = from.panel;
  const std::int8_t* ahead = from.ahead;
  for (std::int64_t q = 0; q < from.quads; ++q, a += kQuad, panel += kInt8Panel * kQuad, ahead += Lines * kCacheLine) {
#pragma GCC unroll 2
    for (int line = 0; line < Lines; ++line) __builtin_prefetch(ahead + line * kCacheLine, 0, 2);
    decltype(M::weights(panel, 0)) w[M::kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < M::kVectors; ++v) w[v] = M::weights(panel, v);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const auto x = M::row(a + r * from.stride);
#pragma GCC unroll 4
      for (int v = 0; v < M::kVectors; ++v) M::add(sums[r][v], x, w[v]);
    }
  }
  Int8Output to = out;
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r, to.c += to.ldc) M::put(sums[r], from.column_sums, to, to.row_scales[r]);
}

template <class M, int Lines, int Rows = M::kRows>
inline void int8_tile_of(int rows, const Int8Operands& from, const Int8Output& to) {
  if constexpr (Rows > 0) {
    if (rows == Rows) return int8_tile<M, Rows, Lines>(from, to);
    int8_tile_of<M, Lines, Rows - 1>(rows, from, to);
  }
}

/// All rows of A by one panel; the first tiles ask for the next panel, each for a part.
template <class M>
void int8_panel(const Int8Rows& a, const std::byte* panel, const float* scales, const float* bias,
                const MutableMatrixView& c) {
  constexpr int kLines = kInt8Panel * kQuad / kCacheLine;  // of a quad
  const int columns = static_cast<int>(c.columns);
  const PanelColumns by(columns, scales, bias);
  float edge[M::kRows * kInt8Panel];
  const auto* sums = reinterpret_cast<const std::int32_t*>(panel);
  const auto* weights = reinterpret_cast<const std::int8_t*>(panel + kInt8Panel * sizeof(std::int32_t));
  const std::int64_t tiles = (a.rows + M::kRows - 1) / M::kRows, share = tiles > 1 ? 1 : kLines;
  for (int first = 0; first < columns; first += M::kColumns) {
    const bool whole = columns - first >= M::kColumns;
    std::int64_t row = 0;
    for (std::int64_t t = 0; t < tiles; ++t) {
      const int height = static_cast<int>((a.rows - row + (tiles - t) - 1) / (tiles - t));  // no thin last tile
      float* c_tile = c.data + row * c.stride + first;
      const bool asks = first == 0 && t * share < kLines;
      const auto tile = !asks ? int8_tile_of<M, 0> : share > 1 ? int8_tile_of<M, kLines> : int8_tile_of<M, 1>;
      tile(height,
           {static_cast<const typename M::Element*>(a.q) + row * a.stride, a.stride, a.quads, weights + first * kQuad,
            sums + first, weights + (a.quads * (kLines + t)) * kCacheLine},
           {a.scales + row, by.scales + first, by.bias + first, whole ? c_tile : edge, whole ? c.stride : kInt8Panel});
      for (int r = 0; r < height && !whole; ++r)
        for (int j = 0; first + j < columns; ++j) c_tile[r * c.stride + j] = edge[r * kInt8Panel + j];
      row += height;
    }
  }
}

template <class Element, int Offset>
void quantise_for_int8(const MatrixView& x, const Int8Rows& to) {
  auto* q = static_cast<Element*>(to.q);
  for (std::int64_t r = 0; r < x.rows; ++r)
    to.scales[r] = quantise_row(x.columns, to.quads * kQuad, x.data + r * x.stride, Offset, q + r * to.stride);
}

template <class M>
constexpr IntegerKernels int8_kernels{.panel = kInt8Panel,
                                      .element = static_cast<int>(sizeof(typename M::Element)),
                                      .group = kQuad,
                                      .row_elements = int8_row_elements<kQuad>,
                                      .panel_bytes = int8_panel_bytes<kQuad>,
                                      .widen = widen_int8,
                                      .pack = pack_int8<kQuad, true>,
                                      .quantise = quantise_for_int8<typename M::Element, M::kOffset>,
                                      .multiply = int8_panel<M>};

#if defined(__AVX512F__)
constexpr IntegerKernels int8_kernels_of_tiles{.panel = kInt8Panel,
                                               .element = 1,
                                               .group = kAmxDepth,
                                               .row_elements = int8_row_elements<kAmxDepth>,
                                               .panel_bytes = int8_panel_bytes<kAmxDepth>,
                                               .widen = widen_int8,
                                               .pack = pack_int8<kAmxDepth, false>,
                                               .quantise = quantise_for_int8<std::int8_t, 0>,
                                               .multiply = int8_panel_by_tiles};
#endif

/// The ways that this processor has, the fastest first; null beyond the last.
const IntegerKernels* int8_ways(int number) {
#if defined(__AVX512F__)
  static const bool has_tiles = tiles_are_there();
  if (!has_tiles) ++number;
  if (number == 0) return &int8_kernels_of_tiles;
  if (!__builtin_cpu_supports("avx512vnni")) ++number;
  if (number == 1) return &int8_kernels<Dot512>;
  if (number == 2) return &int8_kernels<Pairs512>;
  number -= 3;
#elif defined(__AVX2__)
  static const bool has_avx_vnni = [] {  // asked once: a virtual machine takes long to answer
    unsigned a = 0, b = 0, c = 0, d = 0;
    constexpr unsigned kAvxVnni = 1u << 4;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & kAvxVnni);
  }();
  if (!has_avx_vnni) ++number;
  if (number == 0) return &int8_kernels<Dot256>;
  if (number == 1) return &int8_kernels<Pairs256>;
  number -= 2;
#elif defined(__SSE2__)
  if (number == 0) return &int8_kernels<Pairs128>;
  --number;
#elif defined(PIPEFORMER_NEON)
#if defined(PIPEFORMER_DOT_NEON)
  if (!(getauxval(AT_HWCAP) & HWCAP_ASIMDDP)) ++number;
  if (number == 0) return &int8_kernels<DotNeon>;
  --number;
#endif
  if (number == 0) return &int8_kernels<PairsNeon>;
  --number;
#endif
  return number == 0 ? &int8_kernels<PlainInt8> : nullptr;
}

}  // namespace
}  // namespace pipeformer
