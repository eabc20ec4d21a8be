#include "ops/attention.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/elementary.hpp"
#include "core/matrix.hpp"
#include "core/random.hpp"
#include "core/threads.hpp"
#include "ops/elementwise.hpp"
#include "ops/kernels/kernels.hpp"
#include "ops/pooling.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t kKeyBlock = 256;    // keys of one step of the running softmax
constexpr std::int64_t kQueryBlock = 24;   // queries whose scores are held at a time
constexpr std::int64_t kQueryChunk = 512;  // queries of one task
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

std::int64_t round_up(std::int64_t n, std::int64_t unit) {
  return (n + unit - 1) / unit * unit;
}

/// One head of one sequence: where its rows are and which keys a query may see.
struct Head {
  const AttentionShape& shape;
  const AttentionInput& in;
  std::int64_t sequence, head;

  std::int64_t kv_head() const { return head * shape.kv_heads / shape.heads; }
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
  /// The key that stands where query i stands: the last query sees all keys.
  std::int64_t last_key(std::int64_t i) const { return i + keys() - queries(); }
  /// Keys before this one are outside the window of query i.
  std::int64_t first_visible(std::int64_t i) const {
    return shape.causal && shape.window > 0 ? std::max<std::int64_t>(last_key(i) + 1 - shape.window, 0) : 0;
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
MutableMatrixView columns_of(const MutableMatrixView& c, std::int64_t p) {
  const std::int64_t width = kernels().panel;
  return {c.data + p * width, c.rows, std::min(width, c.columns - p * width), c.stride};
}

/// c (rows, n) (+)= a (rows, depth) * packed panels.
void product(const MatrixView& a, const float* panels, const MutableMatrixView& c, bool accumulate) {
  const std::int64_t width = kernels().panel, depth = a.columns;
  for (std::int64_t p = 0; p * width < c.columns; ++p)
    kernels().gemm_panel(a, panels + p * depth * width, panels + (p + 1) * depth * width, columns_of(c, p), accumulate);
}
/// c (rows, n) (+)= a^T * packed panels, a (depth, rows).
void product_transposed(const MatrixView& a, const float* panels, const MutableMatrixView& c, bool accumulate) {
  const std::int64_t width = kernels().panel, depth = a.rows;
  for (std::int64_t p = 0; p * width < c.columns; ++p)
    kernels().gemm_panel_transposed(a, panels + p * depth * width, panels + (p + 1) * depth * width, columns_of(c, p),
                                    accumulate);
}

/// Has the processor bring vectors of `width`, `offset` bytes from the beginnings of rows, while something else is
/// computed.
void ask_for(const TableRows& rows, std::int64_t count, std::int64_t width, std::int64_t offset = 0) {
  constexpr std::int64_t kLine = 64;
  const std::int64_t stride = rows.stride * element_size(rows.type), bytes = kept_bytes(rows.type, width);
  const auto* table = static_cast<const std::byte*>(rows.data) + offset;
  for (std::int64_t r = 0; r < count; ++r) {
    const std::byte* row = table + (rows.index ? rows.index[r] : r) * stride;
    for (std::int64_t k = 0; k < bytes; k += kLine) __builtin_prefetch(row + k, 0, 3);
  }
}

void forward_chunk(const Head& head, std::int64_t first_query, std::int64_t last_query, float* out, float* log_sum) {
  const AttentionShape& shape = head.shape;
  const Kernels& kernel = kernels();
  const std::int64_t width = kernel.panel, out_stride = shape.heads * shape.value_width;
  const std::int64_t row0 = head.in.queries.begin(head.sequence), keys = head.keys();
  out += row0 * out_stride + head.head * shape.value_width;
  const std::int64_t count = last_query - first_query;
  const bool few = count <= kernel.few_rows;
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
  // Blocks before the window of the first query are outside those of the others too.
  const std::int64_t begin =
      std::min(head.first_visible(first_query), std::max<std::int64_t>(keys - 1, 0)) / kKeyBlock * kKeyBlock;
  for (std::int64_t j0 = begin; j0 < keys && (j0 == begin || j0 < most_visible); j0 += kKeyBlock) {
    const std::int64_t block = std::min(kKeyBlock, keys - j0);
    float* packed_keys = at_least(scratch.keys, round_up(kKeyBlock, width) * dk);
    float* packed_values = at_least(scratch.values, kKeyBlock * round_up(dv, width));
    if (!few) {
      kernel.pack_transposed(block, dk, head.keys_from(j0), packed_keys);
      kernel.pack(block, dv, head.values_from(j0), packed_values);
    }
    for (std::int64_t i0 = first_query; i0 < last_query; i0 += kQueryBlock) {
      const std::int64_t i1 = std::min(last_query, i0 + kQueryBlock);
      const std::int64_t seen = std::min(block, std::max(head.visible(i0), head.visible(i1 - 1)) - j0);
      if (j0 > begin && (seen <= 0 || j0 + block <= head.first_visible(i0))) continue;
      const std::int64_t columns = std::max<std::int64_t>(seen, 1), padded = round_up(columns, width);
      if (few) {
        // A single query reads a head's columns of rows that lie far apart: nothing but this sees them coming.
        ask_for(head.values_from(j0), columns, dv);
        kernel.dot_few({head.query(i0), count, dk, head.in.query_stride}, head.keys_from(j0),
                       {scores, count, columns, kKeyBlock});
        ask_for(head.keys_from(j0), columns, dk, kept_bytes(head.in.kept, dk));  // of the next head
      } else {
        product({head.query(i0), i1 - i0, dk, head.in.query_stride}, packed_keys, {scores, i1 - i0, padded, kKeyBlock},
                false);
      }
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
      if (few) {
        kernel.gemm_few(block_weights, head.values_from(j0), to, j0 > begin);
        continue;
      }
      // V has `block` packed rows a panel; only the first `columns` take part.
      for (std::int64_t p = 0; p * width < dv; ++p)
        kernel.gemm_panel(block_weights, packed_values + p * block * width, packed_values + (p + 1) * block * width,
                          columns_of(to, p), j0 > begin);
    }
  }
  for (std::int64_t i = first_query; i < last_query; ++i) {
    const float l = sum[i - first_query];
    kernel.scale(dv, l > 0.0f || std::isnan(l) ? 1.0f / l : 0.0f, out + i * out_stride);
    if (log_sum)
      log_sum[(row0 + i) * shape.heads + head.head] =
          l > 0.0f || std::isnan(l)
              ? maximum[i - first_query] + static_cast<float>(elementary::log(static_cast<double>(l)))
              : std::numeric_limits<float>::infinity();
  }
}

/// Scores (last - first, keys) of the queries [first, last).
void score_rows(const Head& head, std::int64_t first, std::int64_t last, float* to) {
  const Kernels& kernel = kernels();
  const std::int64_t width = kernel.panel, dk = head.shape.key_width, keys = head.keys();
  Scratch& scratch = Scratch::get();
  float* scores = at_least(scratch.scores, kQueryBlock * kKeyBlock);
  for (std::int64_t j0 = 0; j0 < keys; j0 += kKeyBlock) {
    const std::int64_t block = std::min(kKeyBlock, keys - j0), padded = round_up(block, width);
    float* packed_keys = at_least(scratch.keys, round_up(kKeyBlock, width) * dk);
    kernel.pack_transposed(block, dk, head.keys_from(j0), packed_keys);
    for (std::int64_t i0 = first; i0 < last; i0 += kQueryBlock) {
      const std::int64_t rows = std::min(last - i0, kQueryBlock);
      product({head.query(i0), rows, dk, head.in.query_stride}, packed_keys, {scores, rows, padded, kKeyBlock}, false);
      for (std::int64_t i = 0; i < rows; ++i) {
        head.finish_scores(i0 + i, j0, block, padded, scores + i * kKeyBlock);
        std::memcpy(to + (i0 + i - first) * keys + j0, scores + i * kKeyBlock,
                    static_cast<std::size_t>(block) * sizeof(float));
      }
    }
  }
}

/// The context of query i from weights (keys).
void weigh_values(const Head& head, std::int64_t i, const float* weights, float* out) {
  const std::int64_t dv = head.shape.value_width, stride = head.shape.heads * dv;
  out += (head.in.queries.begin(head.sequence) + i) * stride + head.head * dv;
  kernels().gemm_few({weights, 1, head.keys(), head.keys()}, head.values_from(0), {out, 1, dv, stride}, false);
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
  std::int64_t longest = 0;
  for (std::int64_t s = 0; s < in.queries.sequences(); ++s) {
    for (std::int64_t i = 0; i < in.queries.length(s); i += kQueryChunk)
      tasks.push_back({s, i, std::min(in.queries.length(s), i + kQueryChunk)});
    longest = std::max(longest, in.queries.length(s) * in.keys.length(s));
  }
  const std::vector<Task>& list = tasks;
  const std::int64_t total = static_cast<std::int64_t>(list.size()) * shape.heads;
  parallel_for(total, longest > 4096 ? 1 : std::clamp<std::int64_t>(total / 16, 1, 32),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t n = begin; n < end; ++n) {
                   const Task& task = list[static_cast<std::size_t>(n / shape.heads)];
                   const Head head{shape, in, task.sequence, n % shape.heads};
                   forward_chunk(head, task.first, task.last, out, log_sum);
                 }
               });
}

void attention_look(const AttentionShape& shape, const AttentionInput& in, const AttentionLook& look, float* out) {
  constexpr std::int64_t kHeld = std::int64_t{1} << 18;  // scores
  std::vector<float> x, kept;
  std::vector<char> changed;
  for (std::int64_t s = 0; s < in.queries.sequences(); ++s) {
    const std::int64_t queries = in.queries.length(s), keys = in.keys.length(s);
    const std::int64_t most = std::clamp<std::int64_t>(kHeld / std::max<std::int64_t>(keys, 1), 1, kQueryChunk);
    const std::int64_t parts = std::max<std::int64_t>((queries + most - 1) / most, 1);  // an empty one is seen too
    for (std::int64_t task = 0; task < shape.heads * parts; ++task) {
      const std::int64_t first = task % parts * most, rows = std::min(most, queries - first);
      const Head head{shape, in, s, task / parts};
      x.resize(static_cast<std::size_t>(rows * keys));
      changed.assign(static_cast<std::size_t>(rows), false);
      /// Shows x to a step and notes the rows that it changed.
      const auto show = [&](const AttentionLook::Step& step) {
        if (!step) return;
        kept = x;
        step({s, head.head, first, rows, keys, x.data()});
        const std::size_t bytes = static_cast<std::size_t>(keys) * sizeof(float);
        for (std::int64_t i = 0; i < rows; ++i)
          if (std::memcmp(x.data() + i * keys, kept.data() + i * keys, bytes) != 0)
            changed[static_cast<std::size_t>(i)] = true;
      };
      parallel_for(rows, kQueryBlock, [&](std::int64_t begin, std::int64_t end) {
        score_rows(head, first + begin, first + end, x.data() + begin * keys);
      });
      show(look.scores);
      if (look.weights || std::find(changed.begin(), changed.end(), true) != changed.end()) {
        softmax_rows(rows, keys, x.data());
        for (std::int64_t i = 0; i < rows; ++i)
          for (std::int64_t j = 0; j < keys; j += kKeyBlock)
            head.drop(first + i, j, std::min(kKeyBlock, keys - j), x.data() + i * keys + j);
      }
      show(look.weights);
      parallel_for(rows, kQueryBlock, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i)
          if (changed[static_cast<std::size_t>(i)] && keys > 0) weigh_values(head, first + i, x.data() + i * keys, out);
      });
    }
  }
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
