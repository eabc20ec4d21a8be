/// A vector of floats of the width this translation unit is compiled for, in the compiler's own vector extension, so
/// that one source serves AVX-512, AVX2, SSE2 and Arm NEON. Only kernels.cpp's parts include this; nothing here is
/// visible outside.
#pragma once
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

// aligned(4): loads and stores may be unaligned; may_alias: buffers are plain floats elsewhere.
typedef float Vec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef float Full __attribute__((vector_size(kLanes * 4)));  // what builtins take
typedef std::int32_t IntVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef std::uint32_t UintVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));

inline Vec load(const float* p) {
  return *reinterpret_cast<const Vec*>(p);
}
inline void store(float* p, Vec v) {
  *reinterpret_cast<Vec*>(p) = v;
}
inline Vec splat(float x) {
  return x - Vec{};
}

// Tails are handled by the same vector code as full vectors (missing lanes hold `fill`), so that an element's bits do
// not depend on whether its row ends there.
inline Vec load_part(const float* p, std::int64_t n, float fill = 0.0f) {
  Vec v = splat(fill);
  for (std::int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
inline void store_part(float* p, Vec v, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) p[i] = v[i];
}

inline float sum_lanes(Vec v) {
  // Pairwise, in an order that depends on the number of lanes only.
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width >= 1; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  return lanes[0];
}
inline float max_lanes(Vec v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width >= 1; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
  return lanes[0];
}
inline Vec max(Vec a, Vec b) {
  return a > b ? a : b;
}

}  // namespace
}  // namespace pipeformer
