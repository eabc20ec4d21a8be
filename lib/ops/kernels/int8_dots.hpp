/// Products of 8-bit integers with instructions that multiply and add them by vectors: each struct is a way to
/// multiply, of which int8_panel makes products. Sum is a vector of sums of kColumns / kVectors columns, perhaps
/// several for each; Row what four elements of a row of A become, Weights those of some columns.
#pragma once
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(PIPEFORMER_NEON)
#include <arm_neon.h>
#endif

#include "ops/kernels/int8_rows.hpp"

namespace pipeformer {
namespace {

/// What a tile reads: rows of A at a, `stride` elements apart, and columns of a panel.
struct Int8Operands {
  const void* a;
  std::int64_t stride, quads;
  const std::int8_t* panel;
  const std::int8_t* starts;  ///< What the sums start with where A is kept too large, 32 bits each.
  const std::int8_t* ahead;   ///< What is asked for on the way, ...
  std::int64_t step;          ///< ... so many bytes with each quad.
};

/// Scales and bias of the columns of a panel; of one that is not full, or has no bias, filled up with zeros.
struct PanelColumns {
  PanelColumns(int columns, const float* given_scales, const float* given_bias)
      : scales(given_scales), bias(given_bias ? given_bias : own_bias) {
    if (columns == kInt8Panel) return;
    for (int j = 0; j < columns; ++j) own_scales[j] = given_scales[j];
    for (int j = 0; given_bias && j < columns; ++j) own_bias[j] = given_bias[j];
    scales = own_scales;
    bias = own_bias;
  }
  PanelColumns(const PanelColumns&) = delete;
  PanelColumns& operator=(const PanelColumns&) = delete;
  const float *scales, *bias;

 private:
  float own_scales[kInt8Panel] = {}, own_bias[kInt8Panel] = {};
};

/// Where a tile goes, and by what it is multiplied.
struct Int8Output {
  const float *row_scales, *column_scales, *bias;
  float* c;
  std::int64_t ldc;
};

/// Sums that are of whole columns, kLanes of them, become floats.
template <int kLanes>
inline void put_columns(const std::int32_t (&sums)[kLanes], float row_scale, const float* column_scales,
                        const float* bias, float* c) {
  for (int j = 0; j < kLanes; ++j)
    c[j] = __builtin_fmaf(static_cast<float>(sums[j]), row_scale * column_scales[j], bias[j]);
}

/// Rows of sums, kInt8Panel each, become floats.
inline void put_rows(const std::int32_t* sums, const float* row_scales, const PanelColumns& by,
                     const MutableMatrixView& c) {
  for (std::int64_t r = 0; r < c.rows; ++r, sums += kInt8Panel) {
    float edge[kInt8Panel], *to = c.data + r * c.stride, *whole = c.columns == kInt8Panel ? to : edge;
    put_columns(reinterpret_cast<const std::int32_t(&)[kInt8Panel]>(*sums), row_scales[r], by.scales, by.bias, whole);
    for (std::int64_t j = 0; whole == edge && j < c.columns; ++j) to[j] = edge[j];
  }
}

#if defined(__AVX512F__)
// Not the intrinsics of what these are for: GCC 12 warns of their undefined lanes.
typedef std::int32_t Ints __attribute__((vector_size(64)));
typedef float Floats __attribute__((vector_size(64)));

inline void put_columns(__m512i sums, float row_scale, const float* column_scales, const float* bias, float* c) {
  const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(row_scale), _mm512_loadu_ps(column_scales));
  const auto wide = reinterpret_cast<__m512>(__builtin_convertvector(reinterpret_cast<Ints>(sums), Floats));
  _mm512_storeu_ps(c, _mm512_fmadd_ps(wide, scale, _mm512_loadu_ps(bias)));
}

/// AVX-512 VNNI: four products of unsigned and signed bytes added to 32 bits. A is kept 128 too large; what the sums
/// start with takes that back. (The instruction is written out: the processor is asked at run time.)
struct Dot512 {
  using Element = std::uint8_t;
  using Sum = __m512i;
  static constexpr int kOffset = 128, kRows = 12, kVectors = 2, kColumns = 32;
  static __m512i weights(const std::int8_t* panel, int v) { return _mm512_loadu_si512(panel + v * 64); }
  static __m512i row(const Element* a) {
    std::int32_t four;
    __builtin_memcpy(&four, a, sizeof four);
    return _mm512_set1_epi32(four);
  }
  static void add(Sum& sum, __m512i a, __m512i w) { asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(w)); }
  static void put(const Sum (&sums)[kVectors], const Int8Output& to, float scale) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v)
      put_columns(sums[v], scale, to.column_scales + v * 16, to.bias + v * 16, to.c + v * 16);
  }
};

/// AVX-512: pairs of products of 16 bits; two sums a column.
struct Pairs512 {
  using Element = std::int16_t;
  using Sum = __m512i;
  static constexpr int kOffset = 0, kRows = 12, kVectors = 2, kColumns = 16;
  static __m512i weights(const std::int8_t* panel, int v) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel + v * 32)));
  }
  static __m512i row(const Element* a) {
    std::int64_t four;
    __builtin_memcpy(&four, a, sizeof four);
    return _mm512_set1_epi64(four);
  }
  static void add(Sum& sum, __m512i a, __m512i w) {
    __m512i pairs;
    asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+v"(sum), "=&v"(pairs) : "v"(a), "v"(w));
  }
  static void put(const Sum (&sums)[kVectors], const Int8Output& to, float scale) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    put_columns(_mm512_add_epi32(_mm512_permutex2var_epi32(sums[0], even, sums[1]),
                                 _mm512_permutex2var_epi32(sums[0], odd, sums[1])),
                scale, to.column_scales, to.bias, to.c);
  }
};

#elif defined(__AVX2__)
inline void put_columns(__m256i sums, float row_scale, const float* column_scales, const float* bias, float* c) {
  const __m256 scale = _mm256_mul_ps(_mm256_set1_ps(row_scale), _mm256_loadu_ps(column_scales));
  _mm256_storeu_ps(c, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), scale, _mm256_loadu_ps(bias)));
}

/// AVX-VNNI, as Dot512.
struct Dot256 {
  using Element = std::uint8_t;
  using Sum = __m256i;
  static constexpr int kOffset = 128, kRows = 6, kVectors = 2, kColumns = 16;
  static __m256i weights(const std::int8_t* panel, int v) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel + v * 32));
  }
  static __m256i row(const Element* a) {
    std::int32_t four;
    __builtin_memcpy(&four, a, sizeof four);
    return _mm256_set1_epi32(four);
  }
  static void add(Sum& sum, __m256i a, __m256i w) { asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(w)); }
  static void put(const Sum (&sums)[kVectors], const Int8Output& to, float scale) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v)
      put_columns(sums[v], scale, to.column_scales + v * 8, to.bias + v * 8, to.c + v * 8);
  }
};

/// AVX2, as Pairs512. Both instructions are written out together, since GCC otherwise begins with all of one kind and
/// runs out of registers. (The product of bytes that AVX2 has would need absolute values and signs, and is no faster.)
struct Pairs256 {
  using Element = std::int16_t;
  using Sum = __m256i;
  static constexpr int kOffset = 0, kRows = 6, kVectors = 2, kColumns = 8;
  static __m256i weights(const std::int8_t* panel, int v) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(panel + v * 16)));
  }
  static __m256i row(const Element* a) {
    std::int64_t four;
    __builtin_memcpy(&four, a, sizeof four);
    return _mm256_set1_epi64x(four);
  }
  static void add(Sum& sum, __m256i a, __m256i w) {
    __m256i pairs;
    asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(pairs) : "x"(a), "x"(w));
  }
  static void put(const Sum (&sums)[kVectors], const Int8Output& to, float scale) {
    // Neighbours added: columns 0 1 4 5 2 3 6 7.
    put_columns(_mm256_permute4x64_epi64(_mm256_hadd_epi32(sums[0], sums[1]), _MM_SHUFFLE(3, 1, 2, 0)), scale,
                to.column_scales, to.bias, to.c);
  }
};

#elif defined(__SSE2__)
/// SSE2, as Pairs512.
struct Pairs128 {
  using Element = std::int16_t;
  using Sum = __m128i;
  static constexpr int kOffset = 0, kRows = 5, kVectors = 2, kColumns = 4;
  static __m128i weights(const std::int8_t* panel, int v) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(panel + v * 8));
    return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
  }
  static __m128i row(const Element* a) {
    std::int64_t four;
    __builtin_memcpy(&four, a, sizeof four);
    return _mm_set1_epi64x(four);
  }
  static void add(Sum& sum, __m128i a, __m128i w) { sum = _mm_add_epi32(sum, _mm_madd_epi16(a, w)); }
  static void put(const Sum (&sums)[kVectors], const Int8Output& to, float scale) {
    for (int v = 0; v < kVectors; v += 2) {
      const __m128 a = _mm_castsi128_ps(sums[v]), b = _mm_castsi128_ps(sums[v + 1]);
      std::int32_t columns[4];
      _mm_storeu_si128(reinterpret_cast<__m128i*>(columns),
                       _mm_add_epi32(_mm_castps_si128(_mm_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0))),
                                     _mm_castps_si128(_mm_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)))));
      put_columns(columns, scale, to.column_scales + v * 2, to.bias + v * 2, to.c + v * 2);
    }
  }
};
#elif defined(PIPEFORMER_NEON)
#if defined(__ARM_FEATURE_DOTPROD) || !defined(__clang__)
/// Arm's dot product of bytes, optional from Armv8.2 on: written out, since the processor is asked at run time (clang
/// assembles it only where it compiles for such a processor).
#define PIPEFORMER_DOT_NEON
struct DotNeon {
  using Element = std::int8_t;
  using Sum = int32x4_t;
  static constexpr int kOffset = 0, kRows = 6, kVectors = 4, kColumns = 16;
  static int8x16_t weights(const std::int8_t* panel, int v) { return vld1q_s8(panel + v * 16); }
  static int8x16_t row(const Element* a) {
    std::int32_t four;
    __builtin_memcpy(&four, a, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
  }
  static void add(Sum& sum, int8x16_t a, int8x16_t w) {
#if defined(__ARM_FEATURE_DOTPROD)
    sum = vdotq_s32(sum, a, w);
#else
    asm(".arch armv8.2-a+dotprod\n\tsdot %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(a), "w"(w));
#endif
  }
  static void put(const Sum (&sums)[kVectors], const Int8Output& to, float scale) {
    for (int v = 0; v < kVectors; ++v) {
      std::int32_t columns[4];
      vst1q_s32(columns, sums[v]);
      put_columns(columns, scale, to.column_scales + v * 4, to.bias + v * 4, to.c + v * 4);
    }
  }
};
#endif

/// Arm without it: products of 16 bits, neighbours added; two sums a column.
struct PairsNeon {
  using Element = std::int8_t;
  using Sum = int32x4_t;
  static constexpr int kOffset = 0, kRows = 3, kVectors = 4, kColumns = 8;
  static int8x8_t weights(const std::int8_t* panel, int v) { return vld1_s8(panel + v * 8); }
  static int8x8_t row(const Element* a) {
    std::int32_t four;
    __builtin_memcpy(&four, a, sizeof four);
    return vreinterpret_s8_s32(vdup_n_s32(four));
  }
  static void add(Sum& sum, int8x8_t a, int8x8_t w) { sum = vpadalq_s16(sum, vmull_s8(a, w)); }
  static void put(const Sum (&sums)[kVectors], const Int8Output& to, float scale) {
    for (int v = 0; v < kVectors; v += 2) {
      std::int32_t columns[4];
      vst1q_s32(columns, vpaddq_s32(sums[v], sums[v + 1]));
      put_columns(columns, scale, to.column_scales + v * 2, to.bias + v * 2, to.c + v * 2);
    }
  }
};
#endif

/// No instructions in particular.
struct PlainInt8 {
  using Element = std::int8_t;
  struct Quad {
    std::int8_t at[kQuad];
  };
  using Sum = std::int32_t;
  static constexpr int kOffset = 0, kRows = 4, kVectors = 4, kColumns = 4;
  static Quad weights(const std::int8_t* panel, int v) { return row(panel + v * kQuad); }
  static Quad row(const Element* a) {
    Quad four;
    __builtin_memcpy(&four, a, sizeof four);
    return four;
  }
  static void add(Sum& sum, Quad a, Quad w) {
    for (int i = 0; i < kQuad; ++i) sum += a.at[i] * w.at[i];
  }
  static void put(const Sum (&sums)[kVectors], const Int8Output& to, float scale) {
    put_columns(sums, scale, to.column_scales, to.bias, to.c);
  }
};

/// On the way `Lines` cache lines are asked for with each quad: the panel that follows comes from memory while this
/// one's rows are computed. So are, with the first quads, the lines that the result goes to.
template <class M, int Rows, int Lines>
void int8_tile(const Int8Operands& from, const Int8Output& out) {
  typename M::Sum sums[Rows][M::kVectors] = {};
  if constexpr (M::kOffset != 0)
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < M::kVectors; ++v) sums[r][v] = M::weights(from.starts, v);
  // A pointer to every fourth row: a distance for each would take more registers than there are.
  constexpr int kFour = 4, kFours = (Rows + kFour - 1) / kFour;
  const typename M::Element* fours[kFours];
#pragma GCC unroll 4
  for (int i = 0; i < kFours; ++i) fours[i] = static_cast<const typename M::Element*>(from.a) + i * kFour * from.stride;
  const std::int8_t *panel = from.panel, *ahead = from.ahead;
  const float* result = out.c;
  for (std::int64_t q = 0; q < from.quads; ++q, panel += kInt8Panel * kQuad, ahead += from.step) {
#pragma GCC unroll 2
    for (int line = 0; line < Lines; ++line) __builtin_prefetch(ahead + line * kCacheLine, 0, 2);
    for (int j = 0; j < M::kColumns; j += kCacheLine / 4) __builtin_prefetch(result + j, 1);
    result += q < Rows - 1 ? out.ldc : 0;
    decltype(M::weights(panel, 0)) w[M::kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < M::kVectors; ++v) w[v] = M::weights(panel, v);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const auto x = M::row(fours[r / kFour] + r % kFour * from.stride);
#pragma GCC unroll 4
      for (int v = 0; v < M::kVectors; ++v) M::add(sums[r][v], x, w[v]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kFours; ++i) fours[i] += kQuad;
  }
  Int8Output to = out;
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r, to.c += to.ldc) M::put(sums[r], to, to.row_scales[r]);
}

template <class M, int Lines, int Rows = M::kRows>
inline void int8_tile_of(int rows, const Int8Operands& from, const Int8Output& to) {
  if constexpr (Rows > 0) {
    if (rows == Rows) return int8_tile<M, Rows, Lines>(from, to);
    int8_tile_of<M, Lines, Rows - 1>(rows, from, to);
  }
}

/// All rows of A by one panel; each tile asks for its share of the next one: all of it at once is more than memory
/// gives meanwhile.
template <class M>
void int8_panel(const Int8Rows& a, const std::byte* panel, const float* scales, const float* bias,
                const MutableMatrixView& c) {
  constexpr int kLines = kInt8Panel * kQuad / kCacheLine;  // of a quad
  const int columns = static_cast<int>(c.columns);
  const PanelColumns by(columns, scales, bias);
  float edge[M::kRows * kInt8Panel];
  const auto* starts = reinterpret_cast<const std::int8_t*>(panel);
  const auto* weights = reinterpret_cast<const std::int8_t*>(panel + kInt8Panel * sizeof(std::int32_t));
  // Tiles are as high as each other, or one row higher: there is no thin last one.
  const int all = static_cast<int>(a.rows), tiles = (all + M::kRows - 1) / M::kRows;
  const int low = all / tiles, high = all % tiles, step = (kLines * kCacheLine + tiles - 1) / tiles;
  for (int first = 0; first < columns; first += M::kColumns) {
    const bool whole = columns - first >= M::kColumns;
    std::int64_t row = 0;
    for (int t = 0; t < tiles; ++t) {
      const int height = low + (t < high ? 1 : 0);
      float* c_tile = c.data + row * c.stride + first;
      const auto tile = first > 0 ? int8_tile_of<M, 0> : tiles == 1 ? int8_tile_of<M, kLines> : int8_tile_of<M, 1>;
      tile(height,
           {static_cast<const typename M::Element*>(a.q) + row * a.stride, a.stride, a.quads, weights + first * kQuad,
            starts + first * sizeof(std::int32_t), weights + a.quads * (kLines * kCacheLine + t * step), step},
           {a.scales + row, by.scales + first, by.bias + first, whole ? c_tile : edge, whole ? c.stride : kInt8Panel});
      for (int r = 0; r < height && !whole; ++r)
        for (int j = 0; first + j < columns; ++j) c_tile[r * c.stride + j] = edge[r * kInt8Panel + j];
      row += height;
    }
  }
}

}  // namespace
}  // namespace pipeformer
