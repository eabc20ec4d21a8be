/// B of a product as panels of columns, and elements of 16 and 8 bits widened and narrowed.
#pragma once
#include "ops/kernels/gemm_tile.hpp"
#include "ops/kernels/int8_rows.hpp"
#include "ops/kernels/table_row.hpp"

namespace pipeformer {
namespace {

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

/// Brings place k of the rows that come after these, if any: where rows are short, the processor has hardly seen that
/// they are read in order when they end.
template <class Row>
inline void ask_for_next(const Row (&row)[kLanes], std::int64_t first, std::int64_t n, const TableRows& w,
                         std::int64_t k) {
  if (w.index || first + kLanes >= n) return;
  for (int j = 0; j < kLanes; ++j) ask_for_line<2>(row[0].p + (kLanes + j) * w.stride + k);
}

template <class Row>
void pack_transposed_rows(std::int64_t n, std::int64_t depth, const TableRows& w, float* out) {
  for (std::int64_t first = 0; first < n; first += kLanes) {  // kLanes columns of a panel at a time
    float* to = out + first / kPanel * kPanel * depth + first % kPanel;
    Row row[kLanes];
    rows_from(first, n, w, row);
    for (std::int64_t k = 0; k < depth; k += kLanes, to += kLanes * kPanel) {
      ask_for_next(row, first, n, w, k);
      for_columns(row, k, depth, [&](std::int64_t i, Vec v) { store(to + i * kPanel, v); });
    }
  }
  // Lanes of the last panel that hold no column at all.
  for (std::int64_t first = (n + kLanes - 1) / kLanes * kLanes; first % kPanel != 0; first += kLanes)
    for (std::int64_t k = 0; k < depth; ++k)
      store(out + first / kPanel * kPanel * depth + first % kPanel + k * kPanel, Vec{});
}
void pack_transposed(std::int64_t n, std::int64_t depth, const TableRows& w, float* out) {
  with_rows_of(w.type, [&](auto row) { pack_transposed_rows<decltype(row)>(n, depth, w, out); });
}

void transpose_rows(std::int64_t n, std::int64_t depth, const float* x, std::int64_t stride, float* out) {
  const TableRows table{x, stride};
  for (std::int64_t first = 0; first < n; first += kLanes) {
    const std::int64_t rest = n - first;
    FloatRow row[kLanes];
    rows_from(first, n, table, row);
    for (std::int64_t k = 0; k < depth; k += kLanes)
      for_columns(row, k, depth, [&](std::int64_t i, Vec v) {
        float* to = out + (k + i) * n + first;
        if (rest >= kLanes)
          store(to, v);
        else
          store_part(to, v, rest);
      });
  }
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
void dot_few_rows(const MatrixView& a, const TableRows& w, std::int64_t chain, const MutableMatrixView& c) {
  const std::int64_t n = c.columns, depth = a.columns;
  for (std::int64_t first = 0; first < n; first += kLanes) {
    Row row[kLanes];
    rows_from(first, n, w, row);
    Vec sum[Rows] = {};
    for (std::int64_t begin = 0; begin < depth; begin += chain) {
      const std::int64_t end = begin + chain < depth ? begin + chain : depth;
      Vec acc[Rows] = {};
      for (std::int64_t k = begin; k < end; k += kLanes) {
        ask_for_next(row, first, n, w, k);
        for_columns(row, k, end, [&](std::int64_t i, Vec v) {
          for (int r = 0; r < Rows; ++r) acc[r] = fused(v, a.data[r * a.stride + k + i], acc[r]);
        });
      }
      for (int r = 0; r < Rows; ++r) sum[r] = begin > 0 ? sum[r] + acc[r] : acc[r];
    }
    for (int r = 0; r < Rows; ++r)
      if (n - first >= kLanes)
        store(c.data + r * c.stride + first, sum[r]);
      else
        store_part(c.data + r * c.stride + first, sum[r], n - first);
  }
}
void dot_few(const MatrixView& a, const TableRows& w, std::int64_t chain, const MutableMatrixView& c) {
  with_rows_of(w.type, [&](auto row) {
    using Row = decltype(row);
    constexpr decltype(&dot_few_rows<Row, 1>) few[kFewRows] = {&dot_few_rows<Row, 1>, &dot_few_rows<Row, 2>,
                                                               &dot_few_rows<Row, 3>, &dot_few_rows<Row, 4>};
    few[c.rows - 1](a, w, chain, c);
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

}  // namespace
}  // namespace pipeformer
