/// Attention of few queries, whose keys and values are read where they are kept: packing them would take longer than
/// the products. An element is one chain in ascending order, as in a panel's product: the bits are the same.
#pragma once
#include "ops/kernels/table_row.hpp"

namespace pipeformer {
namespace {

static_assert(kScoreColumns % kWideLanes == 0 && kScoreColumns % kLanes == 0);

template <int N>
struct Constant {
  static constexpr int value = N;
};

/// Calls part(Constant<n>, first) for rows [first, first + n) until `rows` of them are done, n at most kFewRows.
template <class Part>
inline void for_few_rows(std::int64_t rows, Part part) {
  std::int64_t r = 0;
  for (; r + kFewRows <= rows; r += kFewRows) part(Constant<kFewRows>(), r);
  if (rows - r == 3) part(Constant<3>(), r);
  if (rows - r == 2) part(Constant<2>(), r);
  if (rows - r == 1) part(Constant<1>(), r);
}

/// Rows [first, first + n) of head h.
template <class View>
inline View part_of(const OfHeads<View>& x, std::int64_t h, std::int64_t first, std::int64_t n) {
  return {x.first.data + h * x.step + first * x.first.stride, n, x.first.columns, x.first.stride};
}

/// Keys [first, first + kLanes) of the head whose vectors begin `begin` bytes after the rows: a vector for each of the
/// places [k, k + kLanes), or as far as `width`.
template <class Row>
inline void load_keys(const KeptVectors& keys, std::int64_t begin, std::int64_t first, std::int64_t k,
                      std::int64_t width, Vec (&places)[kLanes]) {
  const std::byte* const* rows = keys.rows + first;
  if (k + kLanes <= width)
#pragma GCC unroll 16
    for (int j = 0; j < kLanes; ++j) places[j] = Row::at(rows[j] + begin, 0).get(k);
  else
    for (int j = 0; j < kLanes; ++j) places[j] = Row::at(rows[j] + begin, 0).get_part(k, width - k);
  transpose(places);
}

/// Of one head: several in turn wait less for their sums, but more for memory, which gives a row's lines together.
template <int Rows, class Row>
void score_keys(const MatrixView& q, const KeptVectors& keys, std::int64_t begin, const MutableMatrixView& c) {
  const std::int64_t width = q.columns;
  for (std::int64_t first = 0; first < keys.count; first += kLanes) {
    Vec sum[Rows] = {};
    for (std::int64_t k = 0; k < width; k += kLanes) {
      Vec places[kLanes];
      load_keys<Row>(keys, begin, first, k, width, places);
      const auto add = [&](int i) {
        for (int r = 0; r < Rows; ++r) sum[r] = fused(places[i], q.data[r * q.stride + k + i], sum[r]);
      };
      if (k + kLanes <= width)
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) add(i);
      else
        for (int i = 0; i < width - k; ++i) add(i);
    }
    const std::int64_t rest = keys.count - first;
    for (int r = 0; r < Rows; ++r)
      if (rest >= kLanes)
        store(c.data + r * c.stride + first, sum[r]);
      else
        store_part(c.data + r * c.stride + first, sum[r], rest);
  }
}

void score_heads(std::int64_t heads, const OfHeads<MatrixView>& q, const KeptVectors& keys,
                 const OfHeads<MutableMatrixView>& scores) {
  with_rows_of(keys.type, [&](auto row) {
    for (std::int64_t h = 0; h < heads; ++h)
      for_few_rows(q.first.rows, [&](auto n, std::int64_t r) {
        score_keys<n.value, decltype(row)>(part_of(q, h, r, n.value), keys, keys.begin + h * keys.step,
                                           part_of(scores, h, r, n.value));
      });
  });
}

/// Scores of rows q of one head against Count vectors of keys, which begin at `keys`; not Whole: only n of them.
template <int Rows, int Count, bool Whole>
inline void score_lanes(const MatrixView& q, const float* keys, std::int64_t stride, std::int64_t n, float* c,
                        std::int64_t c_stride) {
  Vec sum[Rows][Count] = {};
#pragma GCC unroll 4
  for (std::int64_t k = 0; k < q.columns; ++k, keys += stride) {
    Vec x[Count];
    for (int v = 0; v < Count; ++v) x[v] = Whole ? load(keys + v * kLanes) : load_part(keys, n);
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r)
      for (int v = 0; v < Count; ++v) sum[r][v] = fused(x[v], q.data[r * q.stride + k], sum[r][v]);
  }
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Count; ++v) {
      float* y = c + r * c_stride + v * kLanes;
      if (Whole)
        store(y, sum[r][v]);
      else
        store_part(y, sum[r][v], n);
    }
}

/// Heads one after another, as their keys lie in memory.
void score_transposed(std::int64_t heads, const OfHeads<MatrixView>& q, const OfHeads<MatrixView>& keys,
                      const OfHeads<MutableMatrixView>& scores) {
  const std::int64_t n = keys.first.columns, stride = keys.first.stride;
  for (std::int64_t h = 0; h < heads; ++h)
    for_few_rows(q.first.rows, [&](auto rows, std::int64_t r) {
      const auto part = part_of(q, h, r, rows.value);
      const auto to = part_of(scores, h, r, rows.value);
      const float* key = keys.first.data + h * keys.step;
      std::int64_t j = 0;
      for (; j + 2 * kLanes <= n; j += 2 * kLanes)
        score_lanes<rows.value, 2, true>(part, key + j, stride, n, to.data + j, to.stride);
      for (; j + kLanes <= n; j += kLanes)
        score_lanes<rows.value, 1, true>(part, key + j, stride, n, to.data + j, to.stride);
      if (j < n) score_lanes<rows.value, 1, false>(part, key + j, stride, n - j, to.data + j, to.stride);
    });
}

/// Count vectors of columns of a head, from `column` on; Whole: of which none is cut.
template <int Rows, int Count, bool Whole, class Row>
void mix_columns(const MatrixView& weights, const KeptVectors& values, std::int64_t begin, std::int64_t column,
                 const MutableMatrixView& c, bool accumulate) {
  Vec sum[Rows][Count] = {};
  const std::int64_t rest = c.columns - column;
  for (std::int64_t j = 0; j < values.count; ++j) {
    const Row row = Row::at(values.rows[j] + begin, 0);
#pragma GCC unroll 4
    for (int v = 0; v < Count; ++v) {
      const Vec x = Whole ? row.get(column + v * kLanes) : row.get_part(column, rest);
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r) sum[r][v] = fused(x, weights.data[r * weights.stride + j], sum[r][v]);
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Count; ++v) {
      float* y = c.data + r * c.stride + column + v * kLanes;
      if (Whole)
        store(y, accumulate ? load(y) + sum[r][v] : sum[r][v]);
      else
        store_part(y, accumulate ? load_part(y, rest) + sum[r][v] : sum[r][v], rest);
    }
}

template <int Rows, class Row>
void mix_values(const MatrixView& weights, const KeptVectors& values, std::int64_t begin, const MutableMatrixView& c,
                bool accumulate) {
  // As many sums side by side as leave registers for the operands.
  constexpr int kCount = sizeof(Vec) == 32 && Rows > 2 ? 2 : 4;
  const std::int64_t n = c.columns;
  std::int64_t j = 0;
  for (; j + kCount * kLanes <= n; j += kCount * kLanes)
    mix_columns<Rows, kCount, true, Row>(weights, values, begin, j, c, accumulate);
  for (; j + 2 * kLanes <= n; j += 2 * kLanes)
    mix_columns<Rows, 2, true, Row>(weights, values, begin, j, c, accumulate);
  for (; j + kLanes <= n; j += kLanes) mix_columns<Rows, 1, true, Row>(weights, values, begin, j, c, accumulate);
  if (j < n) mix_columns<Rows, 1, false, Row>(weights, values, begin, j, c, accumulate);
}

void mix_heads(std::int64_t heads, const OfHeads<MatrixView>& weights, const KeptVectors& values,
               const OfHeads<MutableMatrixView>& c, bool accumulate) {
  with_rows_of(values.type, [&](auto row) {
    for (std::int64_t h = 0; h < heads; ++h)
      for_few_rows(weights.first.rows, [&](auto n, std::int64_t r) {
        mix_values<n.value, decltype(row)>(part_of(weights, h, r, n.value), values, values.begin + h * values.step,
                                           part_of(c, h, r, n.value), accumulate);
      });
  });
}

}  // namespace
}  // namespace pipeformer
