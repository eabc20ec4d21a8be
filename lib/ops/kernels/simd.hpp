/// A vector of floats of the width this translation unit is compiled for, in the compiler's own vector extension, so
/// that one source serves AVX-512, AVX2, SSE2 and Arm NEON. Only kernels.cpp's parts include this; nothing here is
/// visible outside.
#pragma once
#if defined(__AVX__)
#include <immintrin.h>
#endif

#include <cstdint>

namespace pipeformer {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef std::int32_t IntVec __attribute__((vector_size(kLanes * 4)));
typedef std::uint32_t UintVec __attribute__((vector_size(kLanes * 4)));
// In memory a vector may begin at any float (aligned(4)) of what are plain floats elsewhere (may_alias).
typedef float VecInMemory __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));

inline Vec load(const float* p) {
  return *reinterpret_cast<const VecInMemory*>(p);
}
inline void store(float* p, Vec v) {
  *reinterpret_cast<VecInMemory*>(p) = v;
}
inline Vec splat(float x) {
  return x - Vec{};
}

// Tails are handled by the same vector code as full vectors (missing lanes hold `fill`), so that an element's bits do
// not depend on whether its row ends there.
inline Vec load_part(const float* p, std::int64_t n, float fill = 0.0f) {
#if defined(__AVX512F__)
  return _mm512_mask_loadu_ps(splat(fill), static_cast<__mmask16>((1u << n) - 1), p);
#else
  Vec v = splat(fill);
  for (std::int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
#endif
}
inline void store_part(float* p, Vec v, std::int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
#else
  for (std::int64_t i = 0; i < n; ++i) p[i] = v[i];
#endif
}

/// The first n lanes, and `fill` in the others.
inline Vec keep_first(Vec v, std::int64_t n, float fill) {
  IntVec lane{};
  for (int i = 0; i < kLanes; ++i) lane[i] = i;
  return lane < static_cast<std::int32_t>(n) ? v : splat(fill);
}

// The numbers of all lanes as a pack: the builtin of GCC and clang wants every index of a permutation as a constant.
template <int... Lane>
struct LaneList {};
template <int Count, int... Lane>
struct FirstLanes : FirstLanes<Count - 1, Count - 1, Lane...> {};
template <int... Lane>
struct FirstLanes<0, Lane...> {
  typedef LaneList<Lane...> List;
};
typedef FirstLanes<kLanes>::List AllLanes;

template <int Distance, int... Lane>
inline Vec rotate(Vec v, LaneList<Lane...>) {
  return __builtin_shufflevector(v, v, (Lane + Distance) % kLanes...);
}
/// Lane i of the result is lane i + Distance, modulo their number.
template <int Distance>
inline Vec rotate(Vec v) {
  return rotate<Distance>(v, AllLanes());
}
// Lanes are reduced pairwise, the upper half with the lower: an order that depends on their number only.
template <int Width = kLanes / 2>
inline float sum_lanes(Vec v) {
  if constexpr (Width == 0)
    return v[0];
  else
    return sum_lanes<Width / 2>(v + rotate<Width>(v));
}
inline Vec max(Vec a, Vec b) {
  return a > b ? a : b;
}
template <int Width = kLanes / 2>
inline float max_lanes(Vec v) {
  if constexpr (Width == 0)
    return v[0];
  else
    return max_lanes<Width / 2>(max(v, rotate<Width>(v)));
}

/// One step of a transposition: swaps the lanes of a that have the bit Distance with those of b that lack it.
template <int Distance, int... Lane>
inline void exchange(Vec& a, Vec& b, LaneList<Lane...>) {
  const Vec first = __builtin_shufflevector(a, b, (Lane & Distance ? kLanes + Lane - Distance : Lane)...);
  b = __builtin_shufflevector(a, b, (Lane & Distance ? kLanes + Lane : Lane + Distance)...);
  a = first;
}
/// Transposes kLanes rows of kLanes, in registers.
template <int Distance = kLanes / 2>
inline void transpose(Vec (&rows)[kLanes]) {
  if constexpr (Distance > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i)
      if (!(i & Distance)) exchange<Distance>(rows[i], rows[i + Distance], AllLanes());
    transpose<Distance / 2>(rows);
  }
}

}  // namespace
}  // namespace pipeformer
