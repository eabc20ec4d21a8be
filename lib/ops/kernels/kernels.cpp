/// Compiled once for each instruction set (PIPEFORMER_ISA names it); see kernels.hpp for what each function does.
#include "ops/kernels/kernels.hpp"

#include "ops/kernels/gemm_tile.hpp"
#include "ops/kernels/int4.hpp"
#include "ops/kernels/int8.hpp"
#include "ops/kernels/math.hpp"

#define PIPEFORMER_JOIN2(a, b) a##b
#define PIPEFORMER_JOIN(a, b) PIPEFORMER_JOIN2(a, b)
#define PIPEFORMER_STRING2(a) #a
#define PIPEFORMER_STRING(a) PIPEFORMER_STRING2(a)

namespace pipeformer {
namespace {

/// Calls body(i, load, store) for each vector of a row, the last one perhaps partial. load(p) and store(p, v) take the
/// row's base.
template <class Body>
inline void for_vectors(std::int64_t n, Body body) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    body([i](const float* p, float = 0.0f) { return load(p + i); }, [i](float* p, Vec v) { store(p + i, v); }, i);
  if (i < n)
    body([i, n](const float* p, float fill = 0.0f) { return load_part(p + i, n - i, fill); },
         [i, n](float* p, Vec v) { store_part(p + i, v, n - i); }, i);
}

/// The same in steps of a Wide, for what sums over the row: body(load, store).
template <class Body>
inline void for_wide(std::int64_t n, Body body) {
  std::int64_t i = 0;
  for (; i + kWideLanes <= n; i += kWideLanes)
    body([i](const float* p, float = 0.0f) { return load_wide(p + i); },
         [i](float* p, const Wide& v) { store(p + i, v); });
  if (i < n)
    body([i, n](const float* p, float fill = 0.0f) { return load_wide_part(p + i, n - i, fill); },
         [i, n](float* p, const Wide& v) { store_part(p + i, v, n - i); });
}

// --- packing ---

/// Calls body(step, v) for steps 0 .. steps of `depth` places from k on: v holds place k + step of kLanes rows (zero
/// for a row that is not there).
template <class Row, class Body>
inline void for_columns(const Row (&row)[kLanes], std::int64_t k, std::int64_t depth, Body body) {
  Vec block[kLanes];
  const std::int64_t steps = depth - k;
  if (steps >= kLanes) {
#pragma GCC unroll 16
    for (int j = 0; j < kLanes; ++j) block[j] = row[j].p ? row[j].get(k) : Vec{};
    transpose(block);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) body(i, block[i]);
  } else {
    for (int j = 0; j < kLanes; ++j) block[j] = row[j].p ? row[j].get_part(k, steps) : Vec{};
    transpose(block);
    for (int i = 0; i < steps; ++i) body(i, block[i]);
  }
}

/// Rows first .. first + kLanes of w; none beyond n.
template <class Row>
inline void rows_from(std::int64_t first, std::int64_t n, const TableRows& w, Row (&row)[kLanes]) {
  for (int j = 0; j < kLanes; ++j) row[j] = first + j < n ? row_of<Row>(w, first + j) : Row{};
}

template <class Row>
void pack_transposed_rows(std::int64_t n, std::int64_t depth, const TableRows& w, float* out) {
  for (std::int64_t first = 0; first < n; first += kLanes) {  // kLanes columns of a panel at a time
    float* to = out + first / kPanel * kPanel * depth + first % kPanel;
    Row row[kLanes];
    rows_from(first, n, w, row);
    for (std::int64_t k = 0; k < depth; k += kLanes, to += kLanes * kPanel)
      for_columns(row, k, depth, [&](std::int64_t i, Vec v) { store(to + i * kPanel, v); });
  }
  // Lanes of the last panel that hold no column at all.
  for (std::int64_t first = (n + kLanes - 1) / kLanes * kLanes; first % kPanel != 0; first += kLanes)
    for (std::int64_t k = 0; k < depth; ++k)
      store(out + first / kPanel * kPanel * depth + first % kPanel + k * kPanel, Vec{});
}
void pack_transposed(std::int64_t n, std::int64_t depth, const TableRows& w, float* out) {
  with_rows_of(w.type, [&](auto row) { pack_transposed_rows<decltype(row)>(n, depth, w, out); });
}

/// As pack_transposed, in squares of 32 x 32 elements, so that both sides stay in the first-level cache.
void pack_transposed_16(std::int64_t n, std::int64_t depth, const std::uint16_t* w, std::int64_t ld,
                        std::uint16_t* out) {
  constexpr std::int64_t kSquare = 32;
  for (std::int64_t p = 0; p < n; p += kPanel, out += kPanel * depth) {
    const std::int64_t columns = n - p < kPanel ? n - p : kPanel;
    for (std::int64_t k0 = 0; k0 < depth; k0 += kSquare) {
      const std::int64_t k1 = k0 + kSquare < depth ? k0 + kSquare : depth;
      for (std::int64_t j = 0; j < columns; ++j) {
        const std::uint16_t* row = w + (p + j) * ld;
        for (std::int64_t k = k0; k < k1; ++k) out[k * kPanel + j] = row[k];
      }
      for (std::int64_t k = k0; columns < kPanel && k < k1; ++k)
        for (std::int64_t j = columns; j < kPanel; ++j) out[k * kPanel + j] = 0;
    }
  }
}

template <class Row>
void widen_row(std::int64_t n, const std::uint16_t* x, float* y) {
  const Row row = Row::at(x, 0);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, row.get(i));
  if (i < n) store_part(y + i, row.get_part(i, n - i), n - i);
}

/// Rounded in integers, but for what is subnormal: there the sum with 0.5 has no bits for more than the type has.
inline std::uint16_t half_of(float x) {
  const auto bits = __builtin_bit_cast(std::uint32_t, x);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  const std::uint32_t normal = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  const std::uint32_t small = __builtin_bit_cast(std::uint32_t, __builtin_bit_cast(float, magnitude) + 0.5f) -
                              __builtin_bit_cast(std::uint32_t, 0.5f);
  const std::uint32_t rounded = (bits >> 16 & 0x8000u) | (magnitude < 0x38800000u ? small : normal);
  return static_cast<std::uint16_t>(magnitude >= 0x477ff000u ? 0x7e00u : rounded);
}
inline std::uint16_t bfloat16_of(float x) {
  const auto bits = __builtin_bit_cast(std::uint32_t, x);
  const std::uint32_t magnitude = bits & 0x7fffffffu, rounded = (magnitude + 0x7fffu + (magnitude >> 16 & 1u)) >> 16;
  return static_cast<std::uint16_t>(rounded >= 0x7f80u ? 0x7fc0u : (bits >> 16 & 0x8000u) | rounded);
}

void narrow(WeightType type, std::int64_t n, const float* x, void* to) {
  auto* halves = static_cast<std::uint16_t*>(to);
  switch (type) {
    case WeightType::float32:
      __builtin_memcpy(to, x, static_cast<std::size_t>(n) * sizeof(float));
      break;
    case WeightType::float16:
      for (std::int64_t i = 0; i < n; ++i) halves[i] = half_of(x[i]);
      break;
    case WeightType::bfloat16:
      for (std::int64_t i = 0; i < n; ++i) halves[i] = bfloat16_of(x[i]);
      break;
    case WeightType::int8: {
      auto* elements = static_cast<std::int8_t*>(to) + sizeof(float);
      const float by = quantise_int8(n, x, elements);
      __builtin_memcpy(to, &by, sizeof by);
      break;
    }
    case WeightType::int4:  // of weights only
      break;
  }
}

template <class Row, int Rows>
void dot_few_rows(const MatrixView& a, const TableRows& w, const MutableMatrixView& c) {
  const std::int64_t n = c.columns, depth = a.columns;
  for (std::int64_t first = 0; first < n; first += kLanes) {
    Row row[kLanes];
    rows_from(first, n, w, row);
    Vec acc[Rows] = {};
    for (std::int64_t k = 0; k < depth; k += kLanes)
      for_columns(row, k, depth, [&](std::int64_t i, Vec v) {
        for (int r = 0; r < Rows; ++r) acc[r] = fused(v, a.data[r * a.stride + k + i], acc[r]);
      });
    for (int r = 0; r < Rows; ++r) store(c.data + r * c.stride + first, acc[r]);
  }
}
void dot_few(const MatrixView& a, const TableRows& w, const MutableMatrixView& c) {
  with_rows_of(w.type, [&](auto row) {
    using Row = decltype(row);
    constexpr decltype(&dot_few_rows<Row, 1>) few[kFewRows] = {&dot_few_rows<Row, 1>, &dot_few_rows<Row, 2>,
                                                               &dot_few_rows<Row, 3>, &dot_few_rows<Row, 4>};
    few[c.rows - 1](a, w, c);
  });
}

template <class Row>
void pack_rows(std::int64_t depth, std::int64_t n, const TableRows& b, float* out) {
  for (std::int64_t first = 0; first < n; first += kPanel, out += depth * kPanel) {
    const int columns = static_cast<int>(n - first < kPanel ? n - first : kPanel);
    for (std::int64_t k = 0; k < depth; ++k) {
      const Row row = row_of<Row>(b, k);
      float* to = out + k * kPanel;
      for (int v = 0; v < kPanelVectors; ++v) {
        const int rest = columns - v * kLanes;
        store(to + v * kLanes, rest >= kLanes ? row.get(first + v * kLanes)
                               : rest > 0     ? row.get_part(first + v * kLanes, rest)
                                              : Vec{});
      }
    }
  }
}
void pack(std::int64_t depth, std::int64_t n, const TableRows& b, float* out) {
  with_rows_of(b.type, [&](auto row) { pack_rows<decltype(row)>(depth, n, b, out); });
}

// --- elementwise ---

void add_bias(std::int64_t rows, std::int64_t n, const float* bias, float* y, std::int64_t ld) {
  for (std::int64_t r = 0; r < rows; ++r, y += ld)
    for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, get(y) + get(bias)); });
}
void add(std::int64_t n, const float* a, const float* b, float* y) {
  for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, get(a) + get(b)); });
}
void multiply(std::int64_t n, const float* a, const float* b, float* y) {
  for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, get(a) * get(b)); });
}
void axpy(std::int64_t n, float alpha, const float* x, float* y) {
  for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, fused(get(x), alpha, get(y))); });
}
void scale(std::int64_t n, float alpha, float* y) {
  for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, get(y) * alpha); });
}
double sum_squares(std::int64_t n, const float* x) {
  double total = 0.0;
  for (std::int64_t i = 0; i < n;) {  // float sums of short stretches, added in double
    const std::int64_t stretch = n - i < 1024 ? n - i : 1024;
    Wide sum;
    for_wide(stretch, [&](auto get, auto) {
      const Wide v = get(x + i);
      sum = fused(v, v, sum);
    });
    total += static_cast<double>(sum_lanes(sum));
    i += stretch;
  }
  return total;
}

// --- softmax ---

const float kMinusInfinity = -__builtin_inff(), kLowest = -__FLT_MAX__;

/// Rows are independent chains of dependent steps; several are computed side by side to fill the processor.
template <int Rows>
void softmax_group(const MutableMatrixView& block, float factor, const std::int64_t* seen, float* maximum, float* sum,
                   float* correction) {
  float* scores = block.data;
  const std::int64_t n = block.columns, ld = block.stride;
  Wide top[Rows], total[Rows];
  for (int r = 0; r < Rows; ++r) {
    float* row = scores + r * ld;
    top[r] = splat_wide(maximum[r]);
    for (std::int64_t i = 0; i < n; i += kWideLanes) {
      Wide v = splat_wide(kMinusInfinity);
      if (i + kWideLanes <= seen[r])
        v = load_wide(row + i) * factor;
      else if (i < seen[r])
        v = keep_first(load_wide(row + i) * factor, seen[r] - i, kMinusInfinity);
      store(row + i, v);
      top[r] = max(top[r], v);
    }
  }
  Vec before{}, after{};
  float shift[Rows];
  for (int r = 0; r < Rows; ++r) {
    const float m = max_lanes(top[r]);
    before[r] = maximum[r];
    // Everything masked so far: exp(-inf - 0) = 0.
    shift[r] = m == kMinusInfinity ? 0.0f : m;
    after[r] = m;
    maximum[r] = m;
  }
  for (std::int64_t i = 0; i < n; i += kWideLanes)
    for (int r = 0; r < Rows; ++r) {
      const Wide e = exp(load_wide(scores + r * ld + i) - shift[r]);
      store(scores + r * ld + i, e);
      total[r] = total[r] + e;
    }
  const Vec change = exp(before - after);
  for (int r = 0; r < Rows; ++r) {
    correction[r] = maximum[r] == kMinusInfinity ? 1.0f : change[r];
    sum[r] = sum[r] * correction[r] + sum_lanes(total[r]);
  }
}
void softmax_rows(const MutableMatrixView& scores, float factor, const std::int64_t* seen, float* maximum, float* sum,
                  float* correction) {
  constexpr int kGroup = 4;
  MutableMatrixView rest = scores;
  std::int64_t r = 0;
  for (; r + kGroup <= scores.rows; r += kGroup, rest.data += kGroup * rest.stride)
    softmax_group<kGroup>(rest, factor, seen + r, maximum + r, sum + r, correction + r);
  for (; r < scores.rows; ++r, rest.data += rest.stride)
    softmax_group<1>(rest, factor, seen + r, maximum + r, sum + r, correction + r);
}
void exp_shifted(std::int64_t n, float shift, float* scores) {
  for_vectors(n, [&](auto get, auto put, std::int64_t) { put(scores, exp(get(scores) - shift)); });
}
float dot(std::int64_t n, const float* p, const float* q) {
  Wide sum;
  for_wide(n, [&](auto get, auto) { sum = fused(get(p), get(q), sum); });
  return sum_lanes(sum);
}
void softmax_backward(std::int64_t n, const float* p, float delta, float factor, float* dp) {
  for_vectors(n, [&](auto get, auto put, std::int64_t) { put(dp, get(p) * (get(dp) - delta) * factor); });
}

// --- dropout ---

inline UintVec hash(UintVec x) {  // the finaliser of MurmurHash3 (Appleby), a bijection of 32 bits
  x ^= x >> 16;
  x *= 0x85ebca6bu;
  x ^= x >> 13;
  x *= 0xc2b2ae35u;
  x ^= x >> 16;
  return x;
}
void dropout(std::int64_t n, std::uint32_t key, std::uint32_t threshold, float factor, const float* x, float* y) {
  UintVec lane{};
  for (int i = 0; i < kLanes; ++i) lane[i] = static_cast<std::uint32_t>(i);
  for_vectors(n, [&](auto get, auto put, std::int64_t i) {
    const UintVec bits = hash((lane + static_cast<std::uint32_t>(i)) * 0x9e3779b9u + key);
    put(y, bits < threshold ? Vec{} : get(x) * factor);
  });
}

// --- norms ---

RowStatistics layer_norm(std::int64_t n, const float* x, const float* gamma, const float* beta, float epsilon,
                         float* y) {
  Wide sum;
  for_wide(n, [&](auto get, auto) { sum = sum + get(x); });
  const float mu = sum_lanes(sum) / static_cast<float>(n);
  Wide squares;
  for_wide(n, [&](auto get, auto) {
    const Wide d = get(x, mu) - mu;
    squares = fused(d, d, squares);
  });
  const float r = 1.0f / __builtin_sqrtf(sum_lanes(squares) / static_cast<float>(n) + epsilon);
  for_vectors(n, [&](auto get, auto put, std::int64_t) {
    const Vec normal = (get(x) - mu) * r;
    put(y, beta ? fused(normal, get(gamma), get(beta)) : normal * get(gamma));
  });
  return {mu, r};
}
RowStatistics rms_norm(std::int64_t n, const float* x, const float* gamma, float epsilon, float* y) {
  Wide squares;
  for_wide(n, [&](auto get, auto) {
    const Wide v = get(x);
    squares = fused(v, v, squares);
  });
  const float r = 1.0f / __builtin_sqrtf(sum_lanes(squares) / static_cast<float>(n) + epsilon);
  for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, get(x) * r * get(gamma)); });
  return {0.0f, r};
}
void norm_backward(std::int64_t n, const float* x, const float* gamma, RowStatistics row, bool centred, const float* dy,
                   float* dx) {
  const float mean = row.mean, rstd = row.rstd;
  // With g = dy * gamma and xhat = (x - mean) * rstd:  dx = rstd * (g - mean(g) - xhat * mean(g * xhat)); RMS has no
  // mean(g).
  Wide sum_g, sum_gx;
  for_wide(n, [&](auto get, auto) {
    const Wide g = get(dy) * get(gamma);
    sum_g = sum_g + g;
    sum_gx = fused(g, (get(x, mean) - mean) * rstd, sum_gx);
  });
  const float mean_g = centred ? sum_lanes(sum_g) / static_cast<float>(n) : 0.0f;
  const float mean_gx = sum_lanes(sum_gx) / static_cast<float>(n);
  for_vectors(n, [&](auto get, auto put, std::int64_t) {
    const Vec g = get(dy) * get(gamma);
    put(dx, rstd * fused((get(x) - mean) * rstd, -mean_gx, g - mean_g));
  });
}
void norm_parameters_backward(const MatrixView& in, const float* dy, const float* mean, const float* rstd,
                              float* dgamma, float* dbeta) {
  const std::int64_t n = in.columns;
  const float* x = in.data;
  for (std::int64_t r = 0; r < in.rows; ++r, x += in.stride, dy += in.stride) {
    const float mu = mean ? mean[r] : 0.0f, s = rstd[r];
    for_vectors(n, [&](auto get, auto put, std::int64_t) {
      const Vec g = get(dy);
      put(dgamma, fused(g, (get(x) - mu) * s, get(dgamma)));
      if (dbeta) put(dbeta, get(dbeta) + g);
    });
  }
}
void column_sums(std::int64_t rows, std::int64_t n, const float* x, std::int64_t ld, float* sums) {
  for (std::int64_t r = 0; r < rows; ++r, x += ld)
    for_vectors(n, [&](auto get, auto put, std::int64_t) { put(sums, get(sums) + get(x)); });
}

// --- activations ---

constexpr float kSqrtHalf = 0.70710678f;        // 1 / sqrt(2)
constexpr float kInverseSqrt2Pi = 0.39894228f;  // 1 / sqrt(2 pi)
constexpr float kTanhScale = 0.79788456f;       // sqrt(2 / pi)
constexpr float kTanhCubic = 0.044715f;
constexpr float kQuickScale = 1.702f;

inline Vec tanh_argument(Vec v) {  // sqrt(2 / pi) (v + 0.044715 v^3)
  return kTanhScale * fused(v * v * v, kTanhCubic, v);
}
inline Vec one_minus_square(Vec t) {
  return fused_negative(t, t, splat(1.0f));
}

void activation(Activation kind, std::int64_t n, const float* x, float* y) {
  switch (kind) {
    case Activation::identity:
      for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, get(x)); });
      break;
    case Activation::relu:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x);
        put(y, v > Vec{} ? v : (v == v ? Vec{} : v));  // NaN stays NaN: it must not be hidden
      });
      break;
    case Activation::gelu:  // Hendrycks, Gimpel 2016: x Phi(x)
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x);
        put(y, 0.5f * v * (1.0f + erf(v * kSqrtHalf)));
      });
      break;
    case Activation::gelu_tanh:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x);
        put(y, 0.5f * v * (1.0f + tanh(tanh_argument(v))));
      });
      break;
    case Activation::silu:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x);
        put(y, v * sigmoid(v));
      });
      break;
    case Activation::quick_gelu:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x);
        put(y, v * sigmoid(kQuickScale * v));
      });
      break;
    case Activation::tanh:
      for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, tanh(get(x))); });
      break;
  }
}
void activation_backward(Activation kind, std::int64_t n, const float* x, const float* dy, float* dx) {
  switch (kind) {
    case Activation::identity:
      for_vectors(n, [&](auto get, auto put, std::int64_t) { put(dx, get(dy)); });
      break;
    case Activation::relu:
      for_vectors(n, [&](auto get, auto put, std::int64_t) { put(dx, get(x) > Vec{} ? get(dy) : Vec{}); });
      break;
    case Activation::gelu:  // Phi(x) + x phi(x)
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x);
        const Vec cdf = 0.5f * (1.0f + erf(v * kSqrtHalf));
        put(dx, get(dy) * fused(v * kInverseSqrt2Pi, exp(-0.5f * v * v), cdf));
      });
      break;
    case Activation::gelu_tanh:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x);
        const Vec t = tanh(tanh_argument(v));
        const Vec inner = kTanhScale * fused(v * v, 3.0f * kTanhCubic, splat(1.0f));
        put(dx, get(dy) * fused(0.5f * v * one_minus_square(t), inner, 0.5f * (1.0f + t)));
      });
      break;
    case Activation::silu:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x), s = sigmoid(v);
        put(dx, get(dy) * s * fused(v, 1.0f - s, 1.0f));
      });
      break;
    case Activation::quick_gelu:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec v = get(x), s = sigmoid(kQuickScale * v);
        put(dx, get(dy) * s * fused(kQuickScale * v, 1.0f - s, 1.0f));
      });
      break;
    case Activation::tanh:
      for_vectors(n, [&](auto get, auto put, std::int64_t) {
        const Vec t = tanh(get(x));
        put(dx, get(dy) * one_minus_square(t));
      });
      break;
  }
}

// --- cross-entropy ---

std::int64_t find_above(std::int64_t first, std::int64_t n, float threshold, const float* x) {
  while (first + kLanes <= n && !(max_lanes(load(x + first)) > threshold)) first += kLanes;
  while (first < n && !(x[first] > threshold)) ++first;
  return first;
}

/// The maximum of x, and those of its blocks; with SeesNaN it is NaN when an element is.
template <bool SeesNaN>
inline float maxima_of(std::int64_t n, const float* x, float* block_maxima) {
  Vec top = splat(kMinusInfinity), zeros = splat(0.0f);
  for (std::int64_t first = 0; first < n; first += kMaximaBlock) {
    const std::int64_t count = n - first < kMaximaBlock ? n - first : kMaximaBlock;
    Vec highest = splat(kMinusInfinity);
    for_vectors(count, [&](auto get, auto, std::int64_t) {
      const Vec v = get(x + first, kMinusInfinity);
      highest = max(highest, v);
      if (SeesNaN) zeros = zeros + max(splat(kLowest), v) * 0.0f;
    });
    if (block_maxima) block_maxima[first / kMaximaBlock] = max_lanes(highest);
    top = max(top, highest);
  }
  return max_lanes(top) + (SeesNaN ? sum_lanes(zeros) : 0.0f);
}

float maxima(std::int64_t n, const float* x, float* block_maxima) {
  return maxima_of<true>(n, x, block_maxima);
}

void log_sum_exp(std::int64_t n, const float* x, float* maximum, float* sum, float* block_maxima) {
  const float m = maxima_of<false>(n, x, block_maxima);
  Wide total;
  for_wide(n, [&](auto get, auto) { total = total + exp(get(x, kMinusInfinity) - m); });
  *maximum = m;
  *sum = sum_lanes(total);
}
float cross_entropy_row(std::int64_t n, float maximum, float sum, float smoothing, std::int64_t target, float factor,
                        float* logits) {
  const float inverse = factor / sum, share = factor * smoothing / static_cast<float>(n);
  Wide total;
  for_wide(n, [&](auto get, auto put) {
    const Wide v = get(logits);
    total = total + v;
    put(logits, fused(exp(v - maximum), splat_wide(inverse), splat_wide(-share)));
  });
  logits[target] -= factor * (1.0f - smoothing);
  return sum_lanes(total);
}

// --- optimiser ---

void adam(std::int64_t n, const AdamStep& s, const float* gradient, float* weight, float* m, float* v) {
  const float step = s.learning_rate / s.correction1, root = 1.0f / __builtin_sqrtf(s.correction2);
  for_vectors(n, [&](auto get, auto put, std::int64_t) {
    const Vec w = get(weight);
    Vec g = get(gradient) * s.gradient_scale;
    if (s.l2 != 0.0f) g = fused(w, s.l2, g);
    if (s.l1 != 0.0f) g += w > Vec{} ? splat(s.l1) : (w < Vec{} ? splat(-s.l1) : Vec{});
    const Vec m1 = fused(get(m), s.beta1, (1.0f - s.beta1) * g);
    const Vec v1 = fused(get(v), s.beta2, (1.0f - s.beta2) * g * g);
    put(m, m1);
    put(v, v1);
    const Vec decayed = fused(w, -s.learning_rate * s.decay, w);
    put(weight, decayed - step * m1 / fused(sqrt(v1), splat(root), s.epsilon));
  });
}

}  // namespace

extern const Kernels PIPEFORMER_JOIN(kernels_, PIPEFORMER_ISA);
const Kernels PIPEFORMER_JOIN(kernels_, PIPEFORMER_ISA) = {
    .name = PIPEFORMER_STRING(PIPEFORMER_ISA),
    .panel = kPanel,
    .pack_transposed = pack_transposed,
    .pack = pack,
    .pack_transposed_16 = pack_transposed_16,
    .widen_float16 = widen_row<HalfRow>,
    .widen_bfloat16 = widen_row<BfloatRow>,
    .narrow = narrow,
    .gemm_panel = gemm_panel<true, FloatRow>,
    .gemm_panel_float16 = gemm_panel<true, HalfRow>,
    .gemm_panel_bfloat16 = gemm_panel<true, BfloatRow>,
    .gemm_panel_transposed = gemm_panel<false, FloatRow>,
    .gemm_few = gemm_few,
    .dot_few = dot_few,
    .add_bias = add_bias,
    .add = add,
    .axpy = axpy,
    .scale = scale,
    .sum_squares = sum_squares,
    .softmax_rows = softmax_rows,
    .exp_shifted = exp_shifted,
    .dot = dot,
    .softmax_backward = softmax_backward,
    .dropout = dropout,
    .layer_norm = layer_norm,
    .rms_norm = rms_norm,
    .norm_backward = norm_backward,
    .norm_parameters_backward = norm_parameters_backward,
    .column_sums = column_sums,
    .activation = activation,
    .activation_backward = activation_backward,
    .multiply = multiply,
    .find_above = find_above,
    .maxima = maxima,
    .log_sum_exp = log_sum_exp,
    .cross_entropy_row = cross_entropy_row,
    .adam = adam,
    .quantise_int8 = quantise_int8,
    .int8 = int8_ways,
    .int4 = &int4_kernels,
};

}  // namespace pipeformer
