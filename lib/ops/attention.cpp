#include "ops/attention.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "core/threads.hpp"
#include "ops/attention_parts.hpp"

namespace pipeformer {

using namespace attending;

namespace {

void forward_chunk(const Head& head, std::int64_t first_query, std::int64_t last_query, float* out, float* log_sum) {
  const AttentionShape& shape = head.shape;
  const Kernels& kernel = kernels();
  const std::int64_t width = kernel.panel, out_stride = shape.heads * shape.value_width;
  const std::int64_t row0 = head.in.queries.begin(head.sequence), keys = head.keys();
  out += row0 * out_stride + head.head * shape.value_width;
  const std::int64_t count = last_query - first_query;
  Scratch& scratch = Scratch::get();
  float* maximum = at_least(scratch.state, 2 * count);
  float* sum = maximum + count;
  std::fill(maximum, maximum + count, kMinusInfinity);
  std::fill(sum, sum + count, 0.0f);
  float* scores = at_least(scratch.scores, kQueryBlock * kKeyBlock);
  const std::int64_t dv = shape.value_width, dk = shape.key_width;

  std::int64_t most_visible = 0;
  for (std::int64_t i = first_query; i < last_query; ++i) {
    most_visible = std::max(most_visible, head.visible(i));
    if (keys == 0) std::fill_n(out + i * out_stride, dv, 0.0f);
  }
  const std::int64_t begin = head.first_block(first_query);
  for (std::int64_t j0 = begin; j0 < keys && (j0 == begin || j0 < most_visible); j0 += kKeyBlock) {
    const std::int64_t block = std::min(kKeyBlock, keys - j0);
    float* packed_keys = at_least(scratch.keys, round_up(kKeyBlock, width) * dk);
    float* packed_values = at_least(scratch.values, kKeyBlock * round_up(dv, width));
    head.pack_keys(j0, block, packed_keys);
    kernel.pack(block, dv, head.values_from(j0), packed_values);
    for (std::int64_t i0 = first_query; i0 < last_query; i0 += kQueryBlock) {
      const std::int64_t i1 = std::min(last_query, i0 + kQueryBlock);
      const std::int64_t seen = std::min(block, std::max(head.visible(i0), head.visible(i1 - 1)) - j0);
      if (j0 > begin && (seen <= 0 || j0 + block <= head.first_visible(i0))) continue;
      const std::int64_t columns = std::max<std::int64_t>(seen, 1), padded = round_up(columns, width);
      product({head.query(i0), i1 - i0, dk, head.in.query_stride}, packed_keys, {scores, i1 - i0, padded, kKeyBlock},
              false);
      float correction[kQueryBlock];
      std::int64_t seen_by[kQueryBlock];
      for (std::int64_t i = i0; i < i1; ++i) {
        seen_by[i - i0] = std::clamp<std::int64_t>(head.visible(i) - j0, 0, columns);
        if (head.shifts_scores()) head.finish_scores(i, j0, columns, padded, scores + (i - i0) * kKeyBlock);
      }
      kernel.softmax_rows({scores, i1 - i0, padded, kKeyBlock}, head.shifts_scores() ? 1.0f : shape.scale, seen_by,
                          maximum + i0 - first_query, sum + i0 - first_query, correction);
      for (std::int64_t i = i0; i < i1; ++i) {
        if (j0 > begin && correction[i - i0] != 1.0f) kernel.scale(dv, correction[i - i0], out + i * out_stride);
        head.drop(i, j0, padded, scores + (i - i0) * kKeyBlock);
      }
      const MatrixView block_weights(scores, i1 - i0, columns, kKeyBlock);
      const MutableMatrixView to(out + i0 * out_stride, i1 - i0, dv, out_stride);
      // V has `block` packed rows a panel; only the first `columns` take part.
      for (std::int64_t p = 0; p * width < dv; ++p)
        kernel.gemm_panel(block_weights, packed_values + p * block * width, packed_values + (p + 1) * block * width,
                          nullptr, columns_of(to, p), j0 > begin);
    }
  }
  for (std::int64_t i = first_query; i < last_query; ++i)
    head.finish_row(i, maximum[i - first_query], sum[i - first_query], out + i * out_stride, log_sum);
}

/// All gradients of one key/value head of one sequence: its query heads one after another, so that dK and dV add up in
/// one order. by_distance, when given: [head] -> the sequence's own gradients of the distance biases, of distances
/// -(Tk - 1) to Tq - 1; added to.
void backward_head(Head head, const float* out, const float* log_sum, const float* d_out, const AttentionGradients& d,
                   float* by_distance) {
  const AttentionShape& shape = head.shape;
  const AttentionInput& in = head.in;
  const Kernels& kernel = kernels();
  const std::int64_t width = kernel.panel, dk = shape.key_width, dv = shape.value_width, out_stride = shape.heads * dv;
  const std::int64_t queries = head.queries(), keys = head.keys();
  const std::int64_t query_row = in.queries.begin(head.sequence), key_row = in.keys.begin(head.sequence);
  const std::int64_t group = shape.heads / shape.kv_heads, kv = head.kv_head();
  float* dk_rows = d.key + key_row * in.key_stride + kv * dk;
  float* dv_rows = d.value + key_row * in.value_stride + kv * dv;
  if (queries == 0) {
    for (std::int64_t j = 0; j < keys; ++j) {
      std::fill_n(dk_rows + j * in.key_stride, dk, 0.0f);
      std::fill_n(dv_rows + j * in.value_stride, dv, 0.0f);
    }
    return;
  }
  Scratch& scratch = Scratch::get();
  float* delta = at_least(scratch.state, queries);
  float* p = at_least(scratch.scores, 2 * kQueryBlock * kKeyBlock);
  float* dropped = p + kQueryBlock * kKeyBlock;
  float* ds = at_least(scratch.d_scores, kQueryBlock * kKeyBlock);
  for (std::int64_t member = 0; member < group; ++member) {
    head.head = kv * group + member;
    const float* o = out + query_row * out_stride + head.head * dv;
    const float* d_o = d_out + query_row * out_stride + head.head * dv;
    float* dq = d.query + query_row * in.query_stride + head.head * dk;
    for (std::int64_t i = 0; i < queries; ++i) {
      delta[i] = kernel.dot(dv, d_o + i * out_stride, o + i * out_stride);
      if (keys == 0) std::fill_n(dq + i * in.query_stride, dk, 0.0f);
    }
    for (std::int64_t j0 = 0; j0 < keys; j0 += kKeyBlock) {
      const std::int64_t block = std::min(kKeyBlock, keys - j0);
      float* packed_keys = at_least(scratch.keys, round_up(kKeyBlock, width) * dk);
      float* packed_values = at_least(scratch.value_columns, round_up(kKeyBlock, width) * dv);
      float* key_rows = at_least(scratch.key_rows, kKeyBlock * round_up(dk, width));
      kernel.pack_transposed(block, dk, head.keys_from(j0), packed_keys);
      kernel.pack_transposed(block, dv, head.values_from(j0), packed_values);
      kernel.pack(block, dk, head.keys_from(j0), key_rows);
      bool first = member == 0;  // dK and dV of this block are stored at first, then added to
      for (std::int64_t i0 = 0; i0 < queries; i0 += kQueryBlock) {
        const std::int64_t i1 = std::min(queries, i0 + kQueryBlock), rows = i1 - i0;
        // All keys of the block take part (masked ones with weight zero), so that every dK and dV row is written.
        const std::int64_t padded = round_up(block, width);
        const bool nothing =
            std::max(head.visible(i0), head.visible(i1 - 1)) <= j0 || j0 + block <= head.first_visible(i0);
        if (nothing && !first && j0 > 0) continue;
        product({head.query(i0), rows, dk, in.query_stride}, packed_keys, {p, rows, padded, kKeyBlock}, false);
        product({d_o + i0 * out_stride, rows, dv, out_stride}, packed_values, {ds, rows, padded, kKeyBlock}, false);
        for (std::int64_t i = i0; i < i1; ++i) {
          float* row = p + (i - i0) * kKeyBlock;
          float* d_row = ds + (i - i0) * kKeyBlock;
          float tangents[kKeyBlock];
          std::fill_n(tangents, shape.soft_cap > 0 ? block : 0, 0.0f);
          head.finish_scores(i, j0, block, padded, row, tangents);
          kernel.exp_shifted(padded, log_sum[(query_row + i) * shape.heads + head.head], row);
          head.drop(i, j0, padded, d_row);  // dP passes the same mask as P did
          if (by_distance) {
            kernel.softmax_backward(padded, row, delta[i], 1.0f, d_row);
            float* sums = by_distance + head.head * (queries + keys - 1) + keys - 1 + j0 - head.last_key(i);
            kernel.add(block, sums, d_row, sums);
            kernel.scale(padded, shape.scale, d_row);
          } else {
            kernel.softmax_backward(padded, row, delta[i], shape.scale, d_row);
          }
          if (shape.soft_cap > 0) soft_cap_backward(block, tangents, d_row);
          float* dropped_row = dropped + (i - i0) * kKeyBlock;
          std::memcpy(dropped_row, row, static_cast<std::size_t>(padded) * sizeof(float));
          head.drop(i, j0, padded, dropped_row);
        }
        float* packed_do = at_least(scratch.d_out, kQueryBlock * round_up(dv, width));
        float* packed_q = at_least(scratch.queries, kQueryBlock * round_up(dk, width));
        kernel.pack(rows, dv, {d_o + i0 * out_stride, out_stride}, packed_do);
        kernel.pack(rows, dk, {head.query(i0), in.query_stride}, packed_q);
        product_transposed({dropped, rows, block, kKeyBlock}, packed_do,
                           {dv_rows + j0 * in.value_stride, block, dv, in.value_stride}, !first);
        product_transposed({ds, rows, block, kKeyBlock}, packed_q,
                           {dk_rows + j0 * in.key_stride, block, dk, in.key_stride}, !first);
        product({ds, rows, block, kKeyBlock}, key_rows, {dq + i0 * in.query_stride, rows, dk, in.query_stride}, j0 > 0);
        first = false;
      }
    }
  }
}

}  // namespace

void attention_forward(const AttentionShape& shape, const AttentionInput& in, float* out, float* log_sum) {
  struct Task {
    std::int64_t sequence, first, last;
  };
  thread_local std::vector<Task> tasks;
  tasks.clear();
  const std::int64_t sequences = in.queries.sequences();
  std::int64_t longest = 0;
  for (std::int64_t s = 0; s < sequences; ++s) {
    for (std::int64_t i = 0; i < in.queries.length(s); i += kQueryChunk)
      tasks.push_back({s, i, std::min(in.queries.length(s), i + kQueryChunk)});
    longest = std::max(longest, in.queries.length(s) * in.keys.length(s));
  }
  const std::vector<Task>& list = tasks;
  const std::int64_t total = static_cast<std::int64_t>(list.size()) * shape.heads;
  parallel_for(total, longest > 4096 ? 1 : std::clamp<std::int64_t>(total / 16, 1, 32),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t n = begin, next = n; n < end; n = next) {
                   const Task& task = list[static_cast<std::size_t>(n / shape.heads)];
                   const Head head{shape, in, task.sequence, n % shape.heads};
                   const bool few = task.last - task.first <= kFewRows;
                   next = few ? std::min({end, n + kFewHeads, n - head.head + shape.heads}) : n + 1;
                   if (few)
                     forward_few(head, next - n, task.first, task.last, out, log_sum);
                   else
                     forward_chunk(head, task.first, task.last, out, log_sum);
                 }
               });
}

void attention_backward(const AttentionShape& shape, const AttentionInput& in, const float* out, const float* log_sum,
                        const float* d_out, const AttentionGradients& d) {
  const std::int64_t sequences = in.queries.sequences(), total = sequences * shape.kv_heads;
  // Each sequence sums the gradients of its own distances, fewer than its queries and keys together; these sums are
  // added in the order of the sequences.
  const auto sums_begin = [&](std::int64_t s) { return shape.heads * (in.queries.begin(s) + in.keys.begin(s)); };
  thread_local Buffer<float> sums;
  float* by_distance = nullptr;
  if (d.distance_bias) {
    const std::int64_t size = shape.heads * (in.queries.rows() + in.keys.rows());
    by_distance = at_least(sums, size);
    std::fill_n(by_distance, size, 0.0f);
  }
  parallel_for(total, std::clamp<std::int64_t>(total / 64, 1, 16), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const Head head{shape, in, n / shape.kv_heads, n % shape.kv_heads * (shape.heads / shape.kv_heads)};
      backward_head(head, out, log_sum, d_out, d, by_distance ? by_distance + sums_begin(head.sequence) : nullptr);
    }
  });
  for (std::int64_t s = 0; by_distance && s < sequences; ++s) {
    const std::int64_t queries = in.queries.length(s), keys = in.keys.length(s), distances = queries + keys - 1;
    if (queries == 0 || keys == 0) continue;
    for (std::int64_t h = 0; h < shape.heads; ++h) {
      float* to = d.distance_bias + h * in.masks.distance.stride + in.masks.distance.zero - (keys - 1);
      kernels().add(distances, to, by_distance + sums_begin(s) + h * distances, to);
    }
  }
}

}  // namespace pipeformer
