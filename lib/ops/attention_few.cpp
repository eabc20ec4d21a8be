#include <algorithm>

#include "ops/attention_parts.hpp"

namespace pipeformer::attending {

void forward_few(const Head& first, std::int64_t heads, std::int64_t first_query, std::int64_t last_query, float* out,
                 float* log_sum) {
  // A head has little to do and each step waits for the one before: the heads go through each step together.
  constexpr std::int64_t kMostRows = kFewHeads * kFewRows;
  const AttentionShape& shape = first.shape;
  const Kernels& kernel = kernels();
  const std::int64_t count = last_query - first_query, rows = heads * count, keys = first.keys();
  const std::int64_t dk = shape.key_width, dv = shape.value_width, out_stride = shape.heads * dv;
  float* scores = at_least(Scratch::get().scores, rows * kKeyBlock);
  float maximum[kMostRows], sum[kMostRows], correction[kMostRows];
  std::int64_t seen[kMostRows];
  std::fill_n(maximum, rows, kMinusInfinity);
  std::fill_n(sum, rows, 0.0f);
  const auto head_of = [&](std::int64_t h) { return Head{shape, first.in, first.sequence, first.head + h}; };
  const auto result_of = [&](std::int64_t h) {
    return out + (first.in.queries.begin(first.sequence) + first_query) * out_stride + (first.head + h) * dv;
  };
  const auto scores_of = [&](std::int64_t h) { return scores + h * count * kKeyBlock; };

  std::int64_t most_visible = 0;
  for (std::int64_t i = first_query; i < last_query; ++i) most_visible = std::max(most_visible, first.visible(i));
  for (std::int64_t h = 0; h < heads && keys == 0; ++h)
    for (std::int64_t i = 0; i < count; ++i) std::fill_n(result_of(h) + i * out_stride, dv, 0.0f);
  const std::int64_t begin = first.first_block(first_query);
  for (std::int64_t j0 = begin; j0 < keys && (j0 == begin || j0 < most_visible); j0 += kKeyBlock) {
    const std::int64_t columns = std::clamp<std::int64_t>(most_visible - j0, 1, std::min(kKeyBlock, keys - j0));
    const std::int64_t padded = round_up(columns, kernel.panel);
    const bool added = j0 > begin;
    for (std::int64_t h = 0; h < heads; ++h) {
      const Head head = head_of(h);
      kernel.dot_few({head.query(first_query), count, dk, head.in.query_stride}, head.keys_from(j0), dk,
                     {scores_of(h), count, columns, kKeyBlock});
      for (std::int64_t i = 0; i < count; ++i) {
        seen[h * count + i] = std::clamp<std::int64_t>(head.visible(first_query + i) - j0, 0, columns);
        if (head.shifts_scores())
          head.finish_scores(first_query + i, j0, columns, padded, scores_of(h) + i * kKeyBlock);
      }
    }
    kernel.softmax_rows({scores, rows, padded, kKeyBlock}, first.shifts_scores() ? 1.0f : shape.scale, seen, maximum,
                        sum, correction);
    for (std::int64_t h = 0; h < heads; ++h) {
      const Head head = head_of(h);
      for (std::int64_t i = 0; i < count; ++i) {
        const float factor = correction[h * count + i];
        if (added && factor != 1.0f) kernel.scale(dv, factor, result_of(h) + i * out_stride);
        head.drop(first_query + i, j0, padded, scores_of(h) + i * kKeyBlock);
      }
      kernel.gemm_few({scores_of(h), count, columns, kKeyBlock}, head.values_from(j0),
                      {result_of(h), count, dv, out_stride}, added);
    }
  }
  for (std::int64_t h = 0; h < heads; ++h)
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t row = h * count + i;
      head_of(h).finish_row(first_query + i, maximum[row], sum[row], result_of(h) + i * out_stride, log_sum);
    }
}

}  // namespace pipeformer::attending
