/// Products of 8-bit integers. A row of A is quantised to q = x * 127 / max|x| in -127 .. 127, sums of q times weights
/// are taken over k in 32 bits, exactly, and leave the registers as floats only:
///   C = sum * (scale of the row * scale of the column) + bias,
/// the first product rounded, then one fused multiply-add. Every way gives the same bits: the instructions for 8-bit
/// dot products of AVX-512, AVX and Arm, those for 16 bits of AVX-512, AVX2, SSE2 and Arm, and plain loops
/// (int8_dots.hpp); the tile registers of AMX (int8_tiles.hpp); the matrix instructions of Arm (int8_matrices.hpp).
#pragma once
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(PIPEFORMER_NEON)
#include <sys/auxv.h>
#endif

#include "ops/kernels/int8_dots.hpp"
#if defined(__AVX512F__)
#include "ops/kernels/int8_tiles.hpp"
#elif defined(PIPEFORMER_DOT_NEON)
#include "ops/kernels/int8_matrices.hpp"
#endif

namespace pipeformer {
namespace {

template <class Element, int Offset>
void quantise_for_int8(const MatrixView& x, const Int8Rows& to) {
  auto* q = static_cast<Element*>(to.q);
  for (std::int64_t r = 0; r < x.rows; ++r)
    to.scales[r] = quantise_row(x.columns, to.quads * kQuad, x.data + r * x.stride, Offset, q + r * to.stride);
}

/// A way whose rows and panels are filled up to groups of so many k's.
template <class Element, int Offset, int Group>
constexpr IntegerKernels int8_way(decltype(IntegerKernels::multiply) multiply) {
  return {.panel = kInt8Panel,
          .element = static_cast<int>(sizeof(Element)),
          .group = Group,
          .row_elements = int8_row_elements<Group>,
          .panel_bytes = int8_panel_bytes<Group>,
          .widen = widen_int8,
          .pack = pack_int8<Group, Offset>,
          .quantise = quantise_for_int8<Element, Offset>,
          .multiply = multiply};
}

template <class M>
constexpr IntegerKernels int8_dots = int8_way<typename M::Element, M::kOffset, kQuad>(int8_panel<M>);
#if defined(__AVX512F__)
constexpr IntegerKernels int8_tiles = int8_way<std::int8_t, 0, kAmxDepth>(int8_panel_by_tiles);
#elif defined(PIPEFORMER_DOT_NEON)
constexpr IntegerKernels int8_matrices = int8_way<std::int8_t, 0, kMatrixDepth>(int8_panel_by_matrices);
#endif

/// The ways that this processor has, the fastest first; null beyond the last.
const IntegerKernels* int8_ways(int number) {
#if defined(__AVX512F__)
  static const bool has_tiles = tiles_are_there();
  if (!has_tiles) ++number;
  if (number == 0) return &int8_tiles;
  if (!__builtin_cpu_supports("avx512vnni")) ++number;
  if (number == 1) return &int8_dots<Dot512>;
  if (number == 2) return &int8_dots<Pairs512>;
  number -= 3;
#elif defined(__AVX2__)
  static const bool has_avx_vnni = [] {  // asked once: a virtual machine takes long to answer
    unsigned a = 0, b = 0, c = 0, d = 0;
    constexpr unsigned kAvxVnni = 1u << 4;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & kAvxVnni);
  }();
  if (!has_avx_vnni) ++number;
  if (number == 0) return &int8_dots<Dot256>;
  if (number == 1) return &int8_dots<Pairs256>;
  number -= 2;
#elif defined(__SSE2__)
  if (number == 0) return &int8_dots<Pairs128>;
  --number;
#elif defined(PIPEFORMER_NEON)
#if defined(PIPEFORMER_DOT_NEON)
  if (!(getauxval(AT_HWCAP2) & HWCAP2_I8MM)) ++number;
  if (number == 0) return &int8_matrices;
  --number;
  if (!(getauxval(AT_HWCAP) & HWCAP_ASIMDDP)) ++number;
  if (number == 0) return &int8_dots<DotNeon>;
  --number;
#endif
  if (number == 0) return &int8_dots<PairsNeon>;
  --number;
#endif
  return number == 0 ? &int8_dots<PlainInt8> : nullptr;
}

}  // namespace
}  // namespace pipeformer
