/// A vector of floats of the width this translation unit is compiled for, in the compiler's own vector extension, so
/// that one source serves AVX-512, AVX2, SSE2 and Arm NEON. Only kernels.cpp's parts include this; nothing here is
/// visible outside.
///
/// Every instruction set gives the same bits (law 4). What is done lane by lane does so whatever the width; a sum over
/// lanes is taken over the 16 of a Wide. The compiler may not fuse a product and a sum by itself (-ffp-contract=off):
/// where one rounding is meant, fused() says so.
#pragma once
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#elif defined(PIPEFORMER_NEON)
#include <arm_neon.h>
#endif

#include <cstdint>

namespace pipeformer {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__) && defined(__FMA__)
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

/// a * b + c, rounded once.
inline Vec fused(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__) && defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#elif defined(PIPEFORMER_NEON)
  return vfmaq_f32(c, a, b);
#else
  // The product is exact in double. The sum is rounded to odd there (Boldo, Melquiond 2008): with an odd last bit
  // whenever it is not exact, so that rounding it once more, to float, is as if there had been one rounding.
  typedef double Pair __attribute__((vector_size(16)));
  typedef std::int64_t IntPair __attribute__((vector_size(16)));
  const auto half = [](Pair x, Pair y, Pair z) {
    const Pair product = x * y, sum = product + z, z_part = sum - product;
    const Pair error = (product - (sum - z_part)) + (z - z_part);  // Knuth's TwoSum; NaN when the sum is not finite
    const IntPair bits = (IntPair)sum, inexact = (error < 0.0) | (error > 0.0), even = (bits & 1) - 1;
    const IntPair towards_error = (((IntPair)error ^ bits) < 0) | 1;
    return (Pair)(bits + (towards_error & inexact & even));
  };
  const Pair low = half(Pair{a[0], a[1]}, Pair{b[0], b[1]}, Pair{c[0], c[1]});
  const Pair high = half(Pair{a[2], a[3]}, Pair{b[2], b[3]}, Pair{c[2], c[3]});
  return Vec{static_cast<float>(low[0]), static_cast<float>(low[1]), static_cast<float>(high[0]),
             static_cast<float>(high[1])};
#endif
}
inline Vec fused(Vec a, float b, Vec c) {
  return fused(a, splat(b), c);
}
inline Vec fused(Vec a, Vec b, float c) {
  return fused(a, b, splat(c));
}
/// c - a * b, rounded once.
inline Vec fused_negative(Vec a, Vec b, Vec c) {
  return fused(-a, b, c);
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

template <int... Lane>
constexpr IntVec lane_numbers(LaneList<Lane...>) {
  return IntVec{Lane...};
}
constexpr IntVec kLaneNumbers = lane_numbers(AllLanes());

// Tails are handled by the same vector code as full vectors (missing lanes hold `fill`), so that an element's bits do
// not depend on whether its row ends there.
inline Vec load_part(const float* p, std::int64_t n, float fill = 0.0f) {
#if defined(__AVX512F__)
  return _mm512_mask_loadu_ps(splat(fill), static_cast<__mmask16>((1u << n) - 1), p);
#elif defined(__AVX2__) && defined(__FMA__)
  const __m256i wanted = (__m256i)(kLaneNumbers < static_cast<std::int32_t>(n));
  return _mm256_blendv_ps(splat(fill), _mm256_maskload_ps(p, wanted), (__m256)wanted);
#else
  Vec v = splat(fill);
  for (std::int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
#endif
}
inline void store_part(float* p, Vec v, std::int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
#elif defined(__AVX2__) && defined(__FMA__)
  _mm256_maskstore_ps(p, (__m256i)(kLaneNumbers < static_cast<std::int32_t>(n)), v);
#else
  for (std::int64_t i = 0; i < n; ++i) p[i] = v[i];
#endif
}

/// The first n lanes, and `fill` in the others.
inline Vec keep_first(Vec v, std::int64_t n, float fill) {
  return kLaneNumbers < static_cast<std::int32_t>(n) ? v : splat(fill);
}

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
/// The larger; b when either is NaN.
inline Vec max(Vec a, Vec b) {
#if defined(__AVX512F__)
  return _mm512_maskz_max_ps(0xffff, a, b);
#elif defined(__AVX2__) && defined(__FMA__)
  return _mm256_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
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

/// The virtual vector that sums over a row are defined on: 16 lanes, in as many vectors as that takes.
constexpr int kWideLanes = 16;
constexpr int kParts = kWideLanes / kLanes;
struct Wide {
  Vec part[kParts] = {};
};

/// f of each part: f(Vec...) -> Vec.
template <class F, class... Operands>
inline Wide each_part(F f, const Operands&... operands) {
  Wide result;
#pragma GCC unroll 4
  for (int p = 0; p < kParts; ++p) result.part[p] = f(operands.part[p]...);
  return result;
}
inline Wide splat_wide(float x) {
  Wide result;
  for (int p = 0; p < kParts; ++p) result.part[p] = splat(x);
  return result;
}
inline Wide load_wide(const float* p) {
  Wide result;
#pragma GCC unroll 4
  for (int i = 0; i < kParts; ++i) result.part[i] = load(p + i * kLanes);
  return result;
}
inline void store(float* p, const Wide& v) {
#pragma GCC unroll 4
  for (int i = 0; i < kParts; ++i) store(p + i * kLanes, v.part[i]);
}
inline Wide load_wide_part(const float* p, std::int64_t n, float fill = 0.0f) {
  Wide result;
  for (int i = 0; i < kParts; ++i) {
    const std::int64_t rest = n - i * kLanes;
    result.part[i] = rest >= kLanes ? load(p + i * kLanes)
                     : rest > 0     ? load_part(p + i * kLanes, rest, fill)
                                    : splat(fill);
  }
  return result;
}
inline void store_part(float* p, const Wide& v, std::int64_t n) {
  for (int i = 0; i < kParts; ++i) {
    const std::int64_t rest = n - i * kLanes;
    if (rest >= kLanes)
      store(p + i * kLanes, v.part[i]);
    else if (rest > 0)
      store_part(p + i * kLanes, v.part[i], rest);
  }
}
inline Wide operator+(const Wide& a, const Wide& b) {
  return each_part([](Vec x, Vec y) { return x + y; }, a, b);
}
inline Wide operator*(const Wide& a, const Wide& b) {
  return each_part([](Vec x, Vec y) { return x * y; }, a, b);
}
inline Wide operator-(const Wide& a, float b) {
  return each_part([b](Vec x) { return x - b; }, a);
}
inline Wide operator*(const Wide& a, float b) {
  return each_part([b](Vec x) { return x * b; }, a);
}
inline Wide keep_first(const Wide& v, std::int64_t n, float fill) {
  Wide result;
  for (int i = 0; i < kParts; ++i) result.part[i] = keep_first(v.part[i], n - i * kLanes, fill);
  return result;
}
inline Wide fused(const Wide& a, const Wide& b, const Wide& c) {
  return each_part([](Vec x, Vec y, Vec z) { return fused(x, y, z); }, a, b, c);
}
inline Wide max(const Wide& a, const Wide& b) {
  return each_part([](Vec x, Vec y) { return max(x, y); }, a, b);
}
// Halves are combined while there is more than one part, then lanes: the same tree of 16 leaves for every width.
template <class Combine>
inline Vec combine_parts(Wide v, Combine combine) {
  for (int width = kParts / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) v.part[i] = combine(v.part[i], v.part[i + width]);
  return v.part[0];
}
inline float sum_lanes(const Wide& v) {
  return sum_lanes(combine_parts(v, [](Vec a, Vec b) { return a + b; }));
}
inline float max_lanes(const Wide& v) {
  return max_lanes(combine_parts(v, [](Vec a, Vec b) { return max(a, b); }));
}

}  // namespace
}  // namespace pipeformer
