#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

#include "core/threads.hpp"
#include "ops/attention_parts.hpp"
#include "ops/pooling.hpp"

namespace pipeformer {

using namespace attending;

namespace {

constexpr std::int64_t kHeldScores = std::int64_t{1} << 18;

/// Calls f(head, first query, queries) for all heads of all sequences in parts of which not too many scores are held; a
/// sequence without queries has one, too.
void for_parts(const AttentionShape& shape, const AttentionInput& in,
               const std::function<void(const Head&, std::int64_t first, std::int64_t rows)>& f) {
  for (std::int64_t s = 0; s < in.queries.sequences(); ++s) {
    const std::int64_t queries = in.queries.length(s), keys = in.keys.length(s);
    const std::int64_t most = std::clamp<std::int64_t>(kHeldScores / std::max<std::int64_t>(keys, 1), 1, kQueryChunk);
    const std::int64_t parts = std::max<std::int64_t>((queries + most - 1) / most, 1);
    for (std::int64_t task = 0; task < shape.heads * parts; ++task) {
      const std::int64_t first = task % parts * most;
      f(Head{shape, in, s, task / parts}, first, std::min(most, queries - first));
    }
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
    head.pack_keys(j0, block, packed_keys);
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
  thread_local std::vector<const std::byte*> rows;
  const std::int64_t keys = head.keys();
  rows.resize(static_cast<std::size_t>(round_up(keys, kScoreColumns)));
  kernels().mix_heads(1, {{weights, 1, keys}, 0}, find_vectors(head.values_from(0), keys, dv, rows.data()),
                      {{out, 1, dv, stride}, 0}, false);
}

/// The value of key j, of those that are float32.
const float* value_row(const Head& head, std::int64_t j) {
  const TableRows rows = head.values_from(j);
  return static_cast<const float*>(rows.data) + (rows.index ? rows.index[0] : 0) * rows.stride;
}

/// Dropout of weights x (rows, keys) of the queries from `first` on.
void drop_weights(const Head& head, std::int64_t first, std::int64_t rows, float* x) {
  const std::int64_t keys = head.keys();
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < keys; j += kKeyBlock)
      head.drop(first + i, j, std::min(kKeyBlock, keys - j), x + i * keys + j);
}

}  // namespace

void attention_look(const AttentionShape& shape, const AttentionInput& in, const AttentionLook& look, float* out) {
  std::vector<float> x, kept;
  std::vector<char> changed;
  for_parts(shape, in, [&](const Head& head, std::int64_t first, std::int64_t rows) {
    const std::int64_t keys = head.keys();
    x.resize(static_cast<std::size_t>(rows * keys));
    changed.assign(static_cast<std::size_t>(rows), false);
    /// Shows x to a step and notes the rows that it changed.
    const auto show = [&](const AttentionLook::Step& step) {
      if (!step) return;
      kept = x;
      step({head.sequence, head.head, first, rows, keys, x.data()});
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
      drop_weights(head, first, rows, x.data());
    }
    show(look.weights);
    parallel_for(rows, kQueryBlock, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        if (changed[static_cast<std::size_t>(i)] && keys > 0) weigh_values(head, first + i, x.data() + i * keys, out);
    });
  });
}

void attention_look_backward(const AttentionShape& shape, const AttentionInput& in, const float* out,
                             const float* d_out, const AttentionLook& look) {
  const std::int64_t dv = shape.value_width, stride = shape.heads * dv;
  std::vector<float> weights, d;
  for_parts(shape, in, [&](const Head& head, std::int64_t first, std::int64_t rows) {
    const std::int64_t keys = head.keys();
    weights.resize(static_cast<std::size_t>(rows * keys));
    d.resize(static_cast<std::size_t>(rows * keys));
    const std::int64_t offset = (in.queries.begin(head.sequence) + first) * stride + head.head * dv;
    const auto each_row = [&](const auto& f) {
      parallel_for(rows, kQueryBlock, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) f(i, d_out + offset + i * stride, d.data() + i * keys);
      });
    };
    each_row([&](std::int64_t, const float* d_o, float* d_row) {
      for (std::int64_t j = 0; j < keys; ++j) d_row[j] = kernels().dot(dv, d_o, value_row(head, j));
    });
    const auto show = [&](const AttentionLook::Step& step) {
      if (step) step({head.sequence, head.head, first, rows, keys, d.data()});
    };
    show(look.weights);
    if (!look.scores) return;
    parallel_for(rows, kQueryBlock, [&](std::int64_t begin, std::int64_t end) {
      score_rows(head, first + begin, first + end, weights.data() + begin * keys);
    });
    softmax_rows(rows, keys, weights.data());
    drop_weights(head, first, rows, d.data());  // the gradient passes the mask that the weights passed
    each_row([&](std::int64_t i, const float* d_o, float* d_row) {
      const float delta = kernels().dot(dv, d_o, out + offset + i * stride);
      kernels().softmax_backward(keys, weights.data() + i * keys, delta, 1.0f, d_row);
    });
    show(look.scores);
  });
}

}  // namespace pipeformer
