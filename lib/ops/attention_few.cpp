#include <algorithm>

#include "ops/attention_parts.hpp"

namespace pipeformer::attending {
namespace {

/// Products that are taken together. Where each head has keys of its own, those of all heads, a row for each query.
/// Heads that share their keys are the rows of one product, for one query after another.
struct Group {
  std::int64_t head, query;     ///< The first ones, counted from those of the step.
  std::int64_t products, rows;  ///< How many, and the rows of each.
  bool shared;                  ///< The rows are heads, not queries.
};

template <class F>
void for_groups(const Head& first, std::int64_t heads, std::int64_t queries, F f) {
  const std::int64_t share = first.shape.heads / first.shape.kv_heads;
  if (share == 1) return f(Group{0, 0, heads, queries, false});
  for (std::int64_t h = 0; h < heads;) {
    const std::int64_t rows = std::min(heads - h, share - (first.head + h) % share);
    for (std::int64_t i = 0; i < queries; ++i) f(Group{h, i, 1, rows, true});
    h += rows;
  }
}

/// The rows of a group in x, which has a vector of n for each query and head.
template <class View, class Float>
OfHeads<View> rows_of(const Group& g, Float* x, std::int64_t n, std::int64_t query_step, std::int64_t head_step) {
  return {{x + g.query * query_step + g.head * head_step, g.rows, n, g.shared ? head_step : query_step}, head_step};
}

}  // namespace

void forward_few(const Head& first, std::int64_t heads, std::int64_t first_query, std::int64_t last_query, float* out,
                 float* log_sum) {
  // A head has little to do and each step waits for the one before: the heads go through each step together.
  constexpr std::int64_t kMostRows = kFewHeads * kFewRows;
  const AttentionShape& shape = first.shape;
  const Kernels& kernel = kernels();
  const std::int64_t count = last_query - first_query, rows = heads * count, keys = first.keys();
  const std::int64_t dk = shape.key_width, dv = shape.value_width, out_stride = shape.heads * dv;
  const std::int64_t head_step = count * kKeyBlock;  // scores of one head
  const bool transposed = first.in.transposed_keys;
  float* scores = at_least(Scratch::get().scores, rows * kKeyBlock);
  float maximum[kMostRows], sum[kMostRows], correction[kMostRows];
  std::int64_t seen[kMostRows];
  std::fill_n(maximum, rows, kMinusInfinity);
  std::fill_n(sum, rows, 0.0f);
  float* result = out + (first.in.queries.begin(first.sequence) + first_query) * out_stride + first.head * dv;
  const auto head_of = [&](std::int64_t h) { return Head{shape, first.in, first.sequence, first.head + h}; };
  const auto for_rows = [&](auto f) {
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t i = 0; i < count; ++i)
        f(h, i, h * count + i, scores + (h * count + i) * kKeyBlock, result + i * out_stride + h * dv);
  };
  const auto vectors_of = [&](const KeptVectors& all, const Group& g) {
    KeptVectors own = all;
    own.begin = (head_of(g.head).kv_head() - first.kv_head()) * all.step;
    return own;
  };

  std::int64_t most_visible = 0;
  for (std::int64_t i = first_query; i < last_query; ++i) most_visible = std::max(most_visible, first.visible(i));
  if (keys == 0) for_rows([&](auto, auto, auto, float*, float* to) { std::fill_n(to, dv, 0.0f); });
  const std::int64_t begin = first.first_block(first_query);
  for (std::int64_t j0 = begin; j0 < keys && (j0 == begin || j0 < most_visible); j0 += kKeyBlock) {
    const std::int64_t columns = std::clamp<std::int64_t>(most_visible - j0, 1, std::min(kKeyBlock, keys - j0));
    const std::int64_t padded = round_up(columns, kScoreColumns);
    const bool added = j0 > begin;
    const std::byte *key_rows[kKeyBlock], *value_rows[kKeyBlock];
    const KeptVectors keys_here = find_vectors(first.keys_from(j0), transposed ? 0 : columns, dk, key_rows),
                      values_here = find_vectors(first.values_from(j0), columns, dv, value_rows);
    for_groups(first, heads, count, [&](const Group& g) {
      const auto q = rows_of<MatrixView>(g, first.query(first_query), dk, first.in.query_stride, dk);
      const auto to = rows_of<MutableMatrixView>(g, scores, columns, kKeyBlock, head_step);
      if (!transposed) return kernel.score_heads(g.products, q, vectors_of(keys_here, g), to);
      MatrixView own = head_of(g.head).transposed_keys_from(j0);
      own.columns = columns;
      kernel.score_transposed(g.products, q, {own, dk * keys}, to);
    });
    for_rows([&](std::int64_t h, std::int64_t i, std::int64_t row, float* own, float*) {
      seen[row] = std::clamp<std::int64_t>(first.visible(first_query + i) - j0, 0, columns);
      if (first.shifts_scores()) head_of(h).finish_scores(first_query + i, j0, columns, padded, own);
    });
    kernel.softmax_rows({scores, rows, padded, kKeyBlock}, first.shifts_scores() ? 1.0f : shape.scale, seen, maximum,
                        sum, correction);
    if (added || shape.dropout > 0)
      for_rows([&](std::int64_t h, std::int64_t i, std::int64_t row, float* own, float* to) {
        if (added && correction[row] != 1.0f) kernel.scale(dv, correction[row], to);
        head_of(h).drop(first_query + i, j0, padded, own);
      });
    for_groups(first, heads, count, [&](const Group& g) {
      kernel.mix_heads(g.products, rows_of<MatrixView>(g, scores, columns, kKeyBlock, head_step),
                       vectors_of(values_here, g), rows_of<MutableMatrixView>(g, result, dv, out_stride, dv), added);
    });
  }
  for_rows([&](std::int64_t h, std::int64_t i, std::int64_t row, float*, float* to) {
    head_of(h).finish_row(first_query + i, maximum[row], sum[row], to, log_sum);
  });
}

}  // namespace pipeformer::attending
