/// Attention of few queries, whose keys and values are read where they are kept: packing them would take longer than
/// the products.
#pragma once
#include "ops/kernels/packing.hpp"

namespace pipeformer {
namespace {

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

/// The vectors of one head, as Row reads them.
template <class Row>
struct Vectors {
  const std::byte* const* rows;
  std::int64_t count, offset;
  Row operator[](std::int64_t j) const { return Row::at(rows[j] + offset, 0); }
};

/// f(Vectors) for each head.
template <class F>
inline void for_heads(std::int64_t heads, const KeptVectors& kept, F f) {
  with_rows_of(kept.type, [&](auto row) {
    for (std::int64_t h = 0; h < heads; ++h)
      f(h, Vectors<decltype(row)>{kept.rows, kept.count, kept.begin + h * kept.step});
  });
}

template <int Rows, class Row>
void score_keys(const MatrixView& q, const Vectors<Row>& keys, const MutableMatrixView& c) {
  for (std::int64_t first = 0; first < keys.count; first += kLanes) {
    Row row[kLanes];
    for (int j = 0; j < kLanes; ++j) row[j] = keys[first + j];
    Vec acc[Rows] = {};
    for (std::int64_t k = 0; k < q.columns; k += kLanes)
      for_columns<false>(row, k, q.columns, [&](std::int64_t i, Vec v) {
        for (int r = 0; r < Rows; ++r) acc[r] = fused(v, q.data[r * q.stride + k + i], acc[r]);
      });
    const std::int64_t rest = keys.count - first;
    for (int r = 0; r < Rows; ++r)
      if (rest >= kLanes)
        store(c.data + r * c.stride + first, acc[r]);
      else
        store_part(c.data + r * c.stride + first, acc[r], rest);
  }
}

void score_heads(std::int64_t heads, const OfHeads<MatrixView>& q, const KeptVectors& keys,
                 const OfHeads<MutableMatrixView>& scores) {
  for_heads(heads, keys, [&](std::int64_t h, const auto& own) {
    for_few_rows(q.first.rows, [&](auto n, std::int64_t r) {
      score_keys<n.value>(part_of(q, h, r, n.value), own, part_of(scores, h, r, n.value));
    });
  });
}

/// Count vectors of columns from `column` on; Whole: of which none is cut.
template <int Rows, int Count, bool Whole, class Row>
void mix_columns(const MatrixView& weights, const Vectors<Row>& values, std::int64_t column, const MutableMatrixView& c,
                 bool accumulate) {
  Vec acc[Rows][Count] = {};
  const std::int64_t rest = c.columns - column;
  for (std::int64_t j = 0; j < values.count; ++j) {
    const Row row = values[j];
#pragma GCC unroll 4
    for (int v = 0; v < Count; ++v) {
      const Vec x = Whole ? row.get(column + v * kLanes) : row.get_part(column, rest);
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r) acc[r][v] = fused(x, weights.data[r * weights.stride + j], acc[r][v]);
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Count; ++v) {
      float* to = c.data + r * c.stride + column + v * kLanes;
      if (Whole)
        store(to, accumulate ? load(to) + acc[r][v] : acc[r][v]);
      else
        store_part(to, accumulate ? load_part(to, rest) + acc[r][v] : acc[r][v], rest);
    }
}

template <int Rows, class Row>
void mix_values(const MatrixView& weights, const Vectors<Row>& values, const MutableMatrixView& c, bool accumulate) {
  // Several chains of sums at a time, and registers left for the operands.
  constexpr int kCount = sizeof(Vec) == 32 && Rows > 2 ? 2 : 4;
  std::int64_t j = 0;
  for (; j + kCount * kLanes <= c.columns; j += kCount * kLanes)
    mix_columns<Rows, kCount, true>(weights, values, j, c, accumulate);
  for (; j + 2 * kLanes <= c.columns; j += 2 * kLanes) mix_columns<Rows, 2, true>(weights, values, j, c, accumulate);
  if (j + kLanes <= c.columns) {
    mix_columns<Rows, 1, true>(weights, values, j, c, accumulate);
    j += kLanes;
  }
  if (j < c.columns) mix_columns<Rows, 1, false>(weights, values, j, c, accumulate);
}

void mix_heads(std::int64_t heads, const OfHeads<MatrixView>& weights, const KeptVectors& values,
               const OfHeads<MutableMatrixView>& c, bool accumulate) {
  for_heads(heads, values, [&](std::int64_t h, const auto& own) {
    for_few_rows(weights.first.rows, [&](auto n, std::int64_t r) {
      mix_values<n.value>(part_of(weights, h, r, n.value), own, part_of(c, h, r, n.value), accumulate);
    });
  });
}

}  // namespace
}  // namespace pipeformer
