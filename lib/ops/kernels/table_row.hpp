/// A row of a table (TableRows) as vectors of floats, whatever its elements are stored as. Widening is exact; elements
/// of 8 bits become q * scale, rounded once.
#pragma once
#include "ops/kernels/kernels.hpp"
#include "ops/kernels/simd.hpp"

namespace pipeformer {
namespace {

typedef std::uint16_t HalfVec __attribute__((vector_size(kLanes * 2)));
typedef std::int8_t ByteVec __attribute__((vector_size(kLanes)));

template <class V, class T>
inline V load_as(const T* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

/// The first n of kLanes elements, and zeros.
template <class V, class T>
inline V load_first(const T* p, std::int64_t n) {
  V v{};
  for (std::int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}

// GCC takes __builtin_convertvector of narrow elements one by one.
inline UintVec widened(HalfVec x) {
#if defined(__AVX512F__)
  return (UintVec)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)x);
#elif defined(__AVX2__)
  return (UintVec)_mm256_cvtepu16_epi32((__m128i)x);
#elif defined(PIPEFORMER_NEON)
  return vmovl_u16((uint16x4_t)x);
#else
  return __builtin_convertvector(x, UintVec);
#endif
}

inline IntVec widened(ByteVec x) {
#if defined(__AVX512F__)
  return (IntVec)_mm512_maskz_cvtepi8_epi32(0xffff, (__m128i)x);
#elif defined(__AVX2__)
  return (IntVec)_mm256_cvtepi8_epi32(_mm_cvtsi64_si128((long long)x));
#elif defined(PIPEFORMER_NEON)
  return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32((std::uint32_t)x)))));
#else
  return __builtin_convertvector(x, IntVec);
#endif
}

inline Vec widened_half(HalfVec x) {
#if defined(__AVX512F__)
  return _mm512_maskz_cvtph_ps(0xffff, (__m256i)x);
#elif defined(__F16C__)
  return _mm256_cvtph_ps((__m128i)x);
#else
  // The exponent of a binary16 is 112 less than that of the binary32 with the same bits in place; the product is exact
  // for subnormal numbers too. Infinity and NaN, which becomes a quiet one, are put right afterwards.
  const UintVec bits = widened(x), magnitude = bits & 0x7fffu;
  const Vec scaled = (Vec)(magnitude << 13) * 0x1p112f;
  const UintVec special =
      ((UintVec)(magnitude >= 0x7c00u) & 0x7f800000u) | ((UintVec)(magnitude > 0x7c00u) & 0x400000u);
  return (Vec)((UintVec)scaled | special | (bits & 0x8000u) << 16);
#endif
}

struct FloatRow {
  const float* p = nullptr;  ///< Null: there is no such row.
  static FloatRow at(const void* table, std::int64_t element) { return {static_cast<const float*>(table) + element}; }
  Vec get(std::int64_t k) const { return load(p + k); }
  Vec get_part(std::int64_t k, std::int64_t n) const { return load_part(p + k, n); }
};

struct HalfRow {
  const std::uint16_t* p = nullptr;
  static HalfRow at(const void* table, std::int64_t element) {
    return {static_cast<const std::uint16_t*>(table) + element};
  }
  Vec get(std::int64_t k) const { return widened_half(load_as<HalfVec>(p + k)); }
  Vec get_part(std::int64_t k, std::int64_t n) const { return widened_half(load_first<HalfVec>(p + k, n)); }
};

struct BfloatRow {
  const std::uint16_t* p = nullptr;
  static BfloatRow at(const void* table, std::int64_t element) {
    return {static_cast<const std::uint16_t*>(table) + element};
  }
  static Vec vector(HalfVec x) { return (Vec)(widened(x) << 16); }
  Vec get(std::int64_t k) const { return vector(load_as<HalfVec>(p + k)); }
  Vec get_part(std::int64_t k, std::int64_t n) const { return vector(load_first<HalfVec>(p + k, n)); }
};

struct ByteRow {
  const std::int8_t* p = nullptr;
  float scale = 0;
  static ByteRow at(const void* table, std::int64_t element) {
    const auto* row = static_cast<const std::int8_t*>(table) + element;
    return {row + sizeof(float), load_as<float>(row)};
  }
  Vec vector(ByteVec x) const { return __builtin_convertvector(widened(x), Vec) * scale; }
  Vec get(std::int64_t k) const { return vector(load_as<ByteVec>(p + k)); }
  Vec get_part(std::int64_t k, std::int64_t n) const { return vector(load_first<ByteVec>(p + k, n)); }
};

template <class Row>
inline Row row_of(const TableRows& table, std::int64_t r) {
  return Row::at(table.data, (table.index ? table.index[r] : r) * table.stride);
}

/// f(Row{}), Row of the type that the table's rows have.
template <class F>
inline void with_rows_of(WeightType type, F f) {
  switch (type) {
    case WeightType::float32:
      return f(FloatRow{});
    case WeightType::float16:
      return f(HalfRow{});
    case WeightType::bfloat16:
      return f(BfloatRow{});
    case WeightType::int8:
      return f(ByteRow{});
    case WeightType::int4:  // of weights only
      return;
  }
}

}  // namespace
}  // namespace pipeformer
