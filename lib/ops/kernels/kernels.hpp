/// The SIMD kernels: one table of functions for each instruction set, chosen once at run time. Everything here works on
/// plain row-major float32 buffers, on one thread; lib/ops cuts the work and hands it to the team.
///
/// In every kernel an element's value depends on its own row only, computed in an order fixed by the position inside
/// the row, never on how many rows there are (law 4).
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/matrix.hpp"
#include "ops/kernel_types.hpp"

namespace pipeformer {

constexpr int kCacheLine = 64;     ///< Bytes.
constexpr int kFewRows = 4;        ///< With so many rows or less, packing B takes longer than the product.
constexpr int kScoreColumns = 16;  ///< Rows of scores are filled up to a multiple of so many.

/// With so many rows or less, a weight of that type is multiplied as it stands where it is not packed already.
constexpr int few_rows(WeightType type) {
  return type == WeightType::int4 ? 0 : type == WeightType::int8 ? 1 : kFewRows;
}

/// Has the processor bring the cache line at p into its cache of that level; any address will do, nothing is read.
template <int Level>
inline void ask_for_line(const void* p) {
  __builtin_prefetch(p, 0, 4 - Level);
  asm volatile("");  // GCC leaves out calls of functions that do nothing else
}

/// Rows that lie anywhere in a table: row r begins row(r) * stride elements after data, row(r) = index ? index[r] : r.
/// Elements of fewer bits are widened, exactly, as they are read; a row of 8-bit elements begins with its scale
/// (ops/kept_vectors.hpp).
struct TableRows {
  const void* data;
  std::int64_t stride;
  const std::int32_t* index = nullptr;
  WeightType type = WeightType::float32;
};

/// Keys or values of some heads, `count` of each: that of head h in row j begins at rows[j] + begin + h * step.
struct KeptVectors {
  const std::byte* const* rows;  ///< [count], filled up to a multiple of kScoreColumns with any row.
  std::int64_t count, begin, step;
  WeightType type;
};

/// A matrix of each of some heads: the first head's; the next begins `step` floats further.
template <class View>
struct OfHeads {
  View first;
  std::int64_t step;
};

/// What a norm found in a row: its mean (0 of RMS), and one over the deviation or the root of the mean square.
struct RowStatistics {
  float mean, rstd;
};

/// Rows quantised to 8 bits, each padded with zeros to whole quads.
struct Int8Rows {
  void* q;  ///< Elements of IntegerKernels::element bytes, rows `stride` elements apart.
  float* scales;
  std::int64_t rows, quads, stride;
};

/// Products of rows of 8 bits with weights of 8 bits (lib/ops/kernels/int8.hpp) or of 4 (int4.hpp).
struct IntegerKernels {
  int panel;    ///< Columns of a packed panel.
  int element;  ///< Bytes of an element of Int8Rows.
  int group;    ///< A row is filled up with zeros to a multiple of so many elements.
  std::int64_t (*row_elements)(std::int64_t depth);  ///< That a row of Int8Rows takes.
  std::int64_t (*panel_bytes)(std::int64_t depth);
  void (*widen)(std::int64_t n, const void* q, const float* scales, float* y);  ///< y = q * scale
  /// Packs rows r < n of w, each depth long, as columns of panels; scales of int8 may be null.
  void (*pack)(std::int64_t n, std::int64_t depth, const void* w, const float* scales, std::byte* out);
  void (*quantise)(const MatrixView& x, const Int8Rows& to);
  /// C (rows, columns) = A * panel * scales + bias, one row at least, columns at most those of a panel; bias may be
  /// null, and scales are those of int8.
  void (*multiply)(const Int8Rows& a, const std::byte* panel, const float* scales, const float* bias,
                   const MutableMatrixView& c);
};

struct Kernels {
  const char* name;
  int panel;  ///< Columns of a packed panel of B.

  /// Packs rows r < n of w, each depth long, as columns of panels: out[p][k][j] = w[row(p * panel + j)][k], missing
  /// columns zero. n may be any number.
  void (*pack_transposed)(std::int64_t n, std::int64_t depth, const TableRows& w, float* out);
  /// Packs b (depth rows of n) as it is: out[p][k][j] = b[row(k)][p * panel + j].
  void (*pack)(std::int64_t depth, std::int64_t n, const TableRows& b, float* out);

  /// out (depth, n) = x (n, depth), transposed; x has row stride `stride`.
  void (*transpose_rows)(std::int64_t n, std::int64_t depth, const float* x, std::int64_t stride, float* out);

  /// pack_transposed for elements of 16 bits.
  void (*pack_transposed_16)(std::int64_t n, std::int64_t depth, const std::uint16_t* w, std::int64_t ld,
                             std::uint16_t* out);
  /// y (n) = the float32 of IEEE binary16, of bfloat16; exact.
  void (*widen_float16)(std::int64_t n, const std::uint16_t* x, float* y);
  void (*widen_bfloat16)(std::int64_t n, const std::uint16_t* x, float* y);
  /// x (n) in another type, as TableRows reads it: rounded to nearest even; of 8 bits the scale, then the elements.
  /// What is too large for the type becomes NaN, not infinity, so that a softmax does not hide it.
  void (*narrow)(WeightType, std::int64_t n, const float* x, void* to);

  /// C (rows, columns) (+)= A (rows, depth) * panel + bias, one row at least, columns at most those of a panel; bias
  /// may be null. `ahead` is the panel that comes next: it is fetched into the cache meanwhile (any address will do,
  /// nothing is read).
  using GemmPanel = void (*)(const MatrixView& a, const void* panel, const void* ahead, const float* bias,
                             const MutableMatrixView& c, bool accumulate);
  GemmPanel gemm_panel;                               ///< Panels of floats, ...
  GemmPanel gemm_panel_float16, gemm_panel_bfloat16;  ///< ... of 16 bits, widened in registers.
  GemmPanel gemm_panel_transposed;                    ///< The first, for A stored transposed: a (depth, rows).

  /// C (rows, n) = A (rows, depth) W^T, at most kFewRows rows, W (n, depth) as it stands. The bits are those of
  /// gemm_panel for each `chain` elements of the depth, added in order.
  void (*dot_few)(const MatrixView& a, const TableRows& w, std::int64_t chain, const MutableMatrixView& c);

  void (*add_bias)(std::int64_t rows, std::int64_t n, const float* bias, float* y, std::int64_t ld);
  void (*add)(std::int64_t n, const float* a, const float* b, float* y);
  void (*axpy)(std::int64_t n, float alpha, const float* x, float* y);  ///< y += alpha * x
  void (*scale)(std::int64_t n, float alpha, float* y);
  double (*sum_squares)(std::int64_t n, const float* x);

  /// Scores of some heads: scores (rows, keys) = q (rows, width) K^T, with the bits of gemm_panel. It pays for few
  /// rows.
  void (*score_heads)(std::int64_t heads, const OfHeads<MatrixView>& q, const KeptVectors& keys,
                      const OfHeads<MutableMatrixView>& scores);
  /// The same where each head's keys stand transposed, as (width, keys): nothing moves between lanes.
  void (*score_transposed)(std::int64_t heads, const OfHeads<MatrixView>& q, const OfHeads<MatrixView>& keys,
                           const OfHeads<MutableMatrixView>& scores);
  /// c (rows, width) (+)= weights (rows, keys) V of some heads, likewise.
  void (*mix_heads)(std::int64_t heads, const OfHeads<MatrixView>& weights, const KeptVectors& values,
                    const OfHeads<MutableMatrixView>& c, bool accumulate);
  /// One block of attention scores turned into weights (Milakov, Gimelshein 2018, the running softmax), row by row:
  /// a row has a multiple of kScoreColumns columns, of which the first seen[r] count. They become
  /// exp(scale * scores - m'), m' = max(m, scale * scores), the others 0; correction[r] = exp(m - m'); the maxima m and
  /// sums l are updated.
  void (*softmax_rows)(const MutableMatrixView& scores, float scale, const std::int64_t* seen, float* maximum,
                       float* sum, float* correction);
  /// scores (n) become exp(scores - shift).
  void (*exp_shifted)(std::int64_t n, float shift, float* scores);
  /// x (n), finite and none below 0, become ln x.
  void (*logarithms)(std::int64_t n, float* x);
  /// p (n): returns the sum of p * q.
  float (*dot)(std::int64_t n, const float* p, const float* q);
  /// ds = p * (dp - delta) * scale; dp is overwritten.
  void (*softmax_backward)(std::int64_t n, const float* p, float delta, float scale, float* dp);

  /// y = x * keep / (1 - p), keep drawn from (key, index + i); in place allowed. threshold = p * 2^32.
  void (*dropout)(std::int64_t n, std::uint32_t key, std::uint32_t threshold, float scale, const float* x, float* y);

  /// y = (x - mean) / sqrt(var + epsilon) * gamma + beta for rows of n; beta may be null. RMS, without beta: y = x /
  /// sqrt(mean(x^2) + epsilon) * gamma. mean (rows) and rstd (rows) take what RowStatistics says.
  using NormRows = void (*)(std::int64_t rows, std::int64_t n, const float* x, const float* gamma, const float* beta,
                            float epsilon, float* y, float* mean, float* rstd);
  NormRows layer_norm, rms_norm;
  /// dx = gradient through the norm of one row; `centred` is false for RMS.
  void (*norm_backward)(std::int64_t n, const float* x, const float* gamma, RowStatistics, bool centred,
                        const float* dy, float* dx);
  /// dgamma += sum over rows of dy * (x - mean) * rstd, dbeta += sum of dy; dy is laid out as x; dbeta may be null.
  void (*norm_parameters_backward)(const MatrixView& x, const float* dy, const float* mean, const float* rstd,
                                   float* dgamma, float* dbeta);
  void (*column_sums)(std::int64_t rows, std::int64_t n, const float* x, std::int64_t ld,
                      float* sums);  ///< sums += columns

  void (*activation)(Activation, std::int64_t n, const float* x, float* y);
  void (*activation_backward)(Activation, std::int64_t n, const float* x, const float* dy,
                              float* dx);  ///< dx = dy * f'(x)
  void (*multiply)(std::int64_t n, const float* a, const float* b, float* y);

  /// The first element from `first` on that is above the threshold; n when there is none.
  std::int64_t (*find_above)(std::int64_t first, std::int64_t n, float threshold, const float* x);
  /// The maximum of a row of logits, NaN when one of them is NaN or plus infinity; block_maxima takes that of each
  /// kMaximaBlock elements.
  float (*maxima)(std::int64_t n, const float* x, float* block_maxima);
  /// Maximum and sum of exp(x - maximum) of a row of logits; block_maxima may be null.
  void (*log_sum_exp)(std::int64_t n, const float* x, float* maximum, float* sum, float* block_maxima);
  /// logits become the gradient of label-smoothed cross-entropy: scale * (softmax - (1 - e) [target] - e / n); returns
  /// the sum of logits first, which the loss needs.
  float (*cross_entropy_row)(std::int64_t n, float maximum, float sum, float smoothing, std::int64_t target,
                             float scale, float* logits);

  void (*adam)(std::int64_t n, const AdamStep&, const float* gradient, float* weight, float* m, float* v);

  /// q (n) = x * 127 / max|x| to the nearest; returns the scale max|x| / 127, NaN for a row with NaN or infinity.
  float (*quantise_int8)(std::int64_t n, const float* x, std::int8_t* q);
  /// The ways to multiply 8-bit integers, all with the same bits: number 0 is the fastest that the processor has, null
  /// comes after the last.
  const IntegerKernels* (*int8)(int number);
  /// c (n) = W a * (scale * scales) + bias, one row of A in 8 bits and W (n, depth) of 8 bits as it stands; bias may be
  /// null.
  void (*int8_row)(std::int64_t n, std::int64_t depth, const std::int16_t* a, float scale, const std::int8_t* w,
                   const float* scales, const float* bias, float* c);
  const IntegerKernels* int4;  ///< The way to multiply weights of 4 bits.
};

/// The best table for this processor; PIPEFORMER_ISA=avx512|avx2|neon|generic in the environment forces one. All give
/// the same bits.
const Kernels& kernels();

/// Every table that this processor can run, best first; null after the last.
const Kernels* const* available_kernels();

}  // namespace pipeformer
