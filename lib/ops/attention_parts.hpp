/// What the sources of attention share: one head of one sequence, its scores from raw products, and products with
/// packed panels.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/elementary.hpp"
#include "core/matrix.hpp"
#include "core/random.hpp"
#include "ops/attention.hpp"
#include "ops/elementwise.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer::attending {

constexpr std::int64_t kKeyBlock = 256;    // keys of one step of the running softmax
constexpr std::int64_t kQueryBlock = 24;   // queries whose scores are held at a time
constexpr std::int64_t kQueryChunk = 512;  // queries of one task
constexpr std::int64_t kFewHeads = 16;     // heads that are taken together where each has few queries
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

inline std::int64_t round_up(std::int64_t n, std::int64_t unit) {
  return (n + unit - 1) / unit * unit;
}

/// One head of one sequence: where its rows are and which keys a query may see.
struct Head {
  const AttentionShape& shape;
  const AttentionInput& in;
  std::int64_t sequence, head;

  std::int64_t kv_head() const { return shape.kv_heads == shape.heads ? head : head * shape.kv_heads / shape.heads; }
  std::int64_t queries() const { return in.queries.length(sequence); }
  std::int64_t keys() const { return in.keys.length(sequence); }
  const float* query(std::int64_t i) const {
    return in.query + (in.queries.begin(sequence) + i) * in.query_stride + head * shape.key_width;
  }
  /// Keys and values from position j on.
  TableRows keys_from(std::int64_t j) const {
    return rows_from(j, vectors_of(kv_head(), in.key, shape.key_width), in.key_stride);
  }
  TableRows values_from(std::int64_t j) const {
    return rows_from(j, vectors_of(kv_head(), in.value, shape.value_width), in.value_stride);
  }
  /// (key_width, keys - j), of transposed keys.
  MatrixView transposed_keys_from(std::int64_t j) const {
    const auto* key = static_cast<const float*>(in.key) + in.keys.begin(sequence) * in.key_stride;
    return {key + kv_head() * shape.key_width * keys() + j, shape.key_width, keys() - j, keys()};
  }
  /// The `count` keys from j on as panels.
  void pack_keys(std::int64_t j, std::int64_t count, float* to) const {
    if (!in.transposed_keys) return kernels().pack_transposed(count, shape.key_width, keys_from(j), to);
    const MatrixView keys = transposed_keys_from(j);
    kernels().pack(shape.key_width, count, {keys.data, keys.stride}, to);
  }
  const std::byte* vectors_of(std::int64_t kv, const void* table, std::int64_t width) const {
    return static_cast<const std::byte*>(table) + kv * kept_bytes(in.kept, width);
  }
  TableRows rows_from(std::int64_t j, const std::byte* table, std::int64_t stride) const {
    const std::int64_t row = in.keys.begin(sequence) + j;
    if (in.key_index) return {table, stride, in.key_index + row, in.kept};
    return {table + row * stride * element_size(in.kept), stride, nullptr, in.kept};
  }
  /// Keys [0, visible(i)) may be attended to by query i, before the mask.
  std::int64_t visible(std::int64_t i) const {
    std::int64_t n = keys();
    if (in.masks.key_lengths) n = std::min(n, in.masks.key_lengths[sequence]);
    return shape.causal ? std::clamp<std::int64_t>(last_key(i) + 1, 0, n) : n;
  }
  /// The key that stands where query i stands: of the last query it is the last, unless both count from the first.
  std::int64_t last_key(std::int64_t i) const { return shape.upper_left ? i : i + keys() - queries(); }
  /// Keys before this one are outside the window of query i.
  std::int64_t first_visible(std::int64_t i) const {
    return shape.causal && shape.window > 0 ? std::max<std::int64_t>(last_key(i) + 1 - shape.window, 0) : 0;
  }
  /// The block of keys that queries from i on begin with: those before it are outside the windows of all of them.
  std::int64_t first_block(std::int64_t i) const {
    return std::min(first_visible(i), std::max<std::int64_t>(keys() - 1, 0)) / kKeyBlock * kKeyBlock;
  }
  bool shifts_scores() const {
    return in.masks.bias || in.masks.mask || in.masks.distance.values || shape.soft_cap > 0 ||
           (shape.causal && shape.window > 0);
  }
  /// The distance biases of query i, from key `first` on.
  std::int64_t distance_offset(std::int64_t i, std::int64_t first) const {
    return head * in.masks.distance.stride + in.masks.distance.zero + first - last_key(i);
  }
  /// Scaled, biased and masked scores of query i against keys [first, first + count), from raw products; filled up with
  /// -inf to `padded`. tangents, when given, takes the hyperbolic tangents of a soft cap.
  void finish_scores(std::int64_t i, std::int64_t first, std::int64_t count, std::int64_t padded, float* scores,
                     float* tangents = nullptr) const {
    const std::int64_t n = std::clamp<std::int64_t>(visible(i) - first, 0, count);
    kernels().scale(n, shape.scale, scores);
    if (shape.soft_cap > 0) soft_cap(n, shape.soft_cap, scores, tangents);
    const std::size_t which = static_cast<std::size_t>(sequence * shape.heads + head);
    if (in.masks.bias) kernels().add(n, scores, in.masks.bias[which] + i * keys() + first, scores);
    if (in.masks.distance.values && n > 0)
      kernels().add(n, scores, in.masks.distance.values + distance_offset(i, first), scores);
    const std::int64_t outside = std::clamp<std::int64_t>(first_visible(i) - first, 0, n);
    std::fill(scores, scores + outside, kMinusInfinity);
    if (in.masks.mask) {
      const std::uint8_t* mask = in.masks.mask[which] + i * keys() + first;
      for (std::int64_t j = 0; j < n; ++j)
        if (!mask[j]) scores[j] = kMinusInfinity;
    }
    std::fill(scores + n, scores + padded, kMinusInfinity);
  }
  /// The result of query i from what was added up of it, and the logarithm of its sum when log_sum is given.
  void finish_row(std::int64_t i, float maximum, float sum, float* out, float* log_sum) const {
    const bool some = sum > 0.0f || std::isnan(sum);
    kernels().scale(shape.value_width, some ? 1.0f / sum : 0.0f, out);
    if (log_sum)
      log_sum[(in.queries.begin(sequence) + i) * shape.heads + head] =
          some ? maximum + static_cast<float>(elementary::log(static_cast<double>(sum)))
               : std::numeric_limits<float>::infinity();
  }
  void drop(std::int64_t i, std::int64_t first, std::int64_t n, float* p) const {
    if (shape.dropout == 0.0f) return;
    const std::uint64_t seed =
        derive_seed(derive_seed(shape.dropout_seed, static_cast<std::uint64_t>(shape.first_sequence + sequence)),
                    static_cast<std::uint64_t>(head * queries() + i));
    kernels().dropout(n, static_cast<std::uint32_t>(seed) + static_cast<std::uint32_t>(first) * 0x9e3779b9u,
                      static_cast<std::uint32_t>(shape.dropout * 4294967296.0), 1.0f / (1.0f - shape.dropout), p, p);
  }
};

/// Buffers of one thread, grown once.
struct Scratch {
  Buffer<float> keys, values, key_rows, value_columns, scores, d_scores, queries, d_out, state;
  static Scratch& get() {
    thread_local Scratch scratch;
    return scratch;
  }
};

/// The columns of panel p.
inline MutableMatrixView columns_of(const MutableMatrixView& c, std::int64_t p) {
  const std::int64_t width = kernels().panel;
  return {c.data + p * width, c.rows, std::min(width, c.columns - p * width), c.stride};
}

/// c (rows, n) (+)= a (rows, depth) * packed panels.
inline void product(const MatrixView& a, const float* panels, const MutableMatrixView& c, bool accumulate) {
  const std::int64_t width = kernels().panel, depth = a.columns;
  for (std::int64_t p = 0; p * width < c.columns; ++p)
    kernels().gemm_panel(a, panels + p * depth * width, panels + (p + 1) * depth * width, nullptr, columns_of(c, p),
                         accumulate);
}
/// c (rows, n) (+)= a^T * packed panels, a (depth, rows).
inline void product_transposed(const MatrixView& a, const float* panels, const MutableMatrixView& c, bool accumulate) {
  const std::int64_t width = kernels().panel, depth = a.rows;
  for (std::int64_t p = 0; p * width < c.columns; ++p)
    kernels().gemm_panel_transposed(a, panels + p * depth * width, panels + (p + 1) * depth * width, nullptr,
                                    columns_of(c, p), accumulate);
}

/// The vectors of the first `count` rows of a table of keys or values, each of `width`; `rows` has room for as many,
/// rounded up to a multiple of kScoreColumns.
inline KeptVectors find_vectors(const TableRows& table, std::int64_t count, std::int64_t width,
                                const std::byte** rows) {
  const std::int64_t stride = table.stride * element_size(table.type);
  const auto* const data = static_cast<const std::byte*>(table.data);
  for (std::int64_t j = 0; j < count; ++j) {
    rows[j] = data + (table.index ? table.index[j] : j) * stride;
    asm volatile("");  // keeps the compiler from vectors, which multiply 64 bits in many steps before AVX-512
  }
  if (count > 0) std::fill(rows + count, rows + round_up(count, kScoreColumns), rows[0]);
  return {rows, count, 0, kept_bytes(table.type, width), table.type};
}

/// Queries [first_query, last_query), at most kFewRows of them, of `heads` heads (at most kFewHeads) from `first` on:
/// attention_forward where packing keys and values would take longer than the products.
void forward_few(const Head& first, std::int64_t heads, std::int64_t first_query, std::int64_t last_query, float* out,
                 float* log_sum);

}  // namespace pipeformer::attending
