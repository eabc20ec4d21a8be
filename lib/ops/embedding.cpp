#include "ops/embedding.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <numbers>
#include <vector>

#include "core/elementary.hpp"
#include "core/threads.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer {

void embedding(std::int64_t n, const std::int32_t* ids, const WeightView& table, float scale, float* y) {
  const std::int64_t d = table.columns;
  parallel_for(n, 64, [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r) {
      widen_row(table, ids[r], y + r * d);
      if (scale != 1.0f) kernels().scale(d, scale, y + r * d);
    }
  });
}

void embedding_backward(std::int64_t n, std::int64_t d, const std::int32_t* ids, const float* dy, float scale,
                        std::int64_t vocabulary, float* d_table) {
  // Each task owns a range of ids and walks the whole batch: no two tasks write one row, and a row's sum has one order.
  const std::int64_t pieces = 16, share = (vocabulary + pieces - 1) / pieces;
  parallel_for(pieces, n * d < 65536 ? pieces : 1, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin * share, last = end * share;
    for (std::int64_t r = 0; r < n; ++r)
      if (ids[r] >= first && ids[r] < last) kernels().axpy(d, scale, dy + r * d, d_table + ids[r] * d);
  });
}

Buffer<float> sinusoidal_table(std::int64_t positions, std::int64_t d, Sinusoid form) {
  Buffer<float> table(static_cast<std::size_t>(positions * d));
  const std::int64_t half = d / 2;
  const double step = form == Sinusoid::fairseq ? -1.0 / static_cast<double>(half - 1) : -2.0 / static_cast<double>(d);
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < half; ++i)
    frequencies.push_back(elementary::exp(static_cast<double>(i) * (step * elementary::log(10000.0))));
  const bool interleaved = form == Sinusoid::interleaved;
  parallel_for(positions, 16, [&](std::int64_t position, std::int64_t end) {
    for (; position < end; ++position)
      for (std::int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(position) * frequencies[static_cast<std::size_t>(i)];
        float* row = table.data() + position * d;
        row[interleaved ? 2 * i : i] = static_cast<float>(elementary::sin(angle));
        row[interleaved ? 2 * i + 1 : half + i] = static_cast<float>(elementary::cos(angle));
      }
  });
  return table;
}

void add_positions(const Ragged& ragged, std::int64_t d, std::int64_t first, const float* table, const float* x,
                   float* y) {
  parallel_for(ragged.sequences(), 8, [&](std::int64_t s, std::int64_t end) {
    for (; s < end; ++s)
      for (std::int64_t t = 0; t < ragged.length(s); ++t) {
        const std::int64_t row = (ragged.begin(s) + t) * d;
        kernels().add(d, x + row, table + (first + t) * d, y + row);
      }
  });
}

void add_positions_backward(const Ragged& ragged, std::int64_t d, const float* dy, float* d_table) {
  for (std::int64_t s = 0; s < ragged.sequences(); ++s)
    for (std::int64_t t = 0; t < ragged.length(s); ++t)
      kernels().axpy(d, 1.0f, dy + (ragged.begin(s) + t) * d, d_table + t * d);
}

namespace {

/// The angle of pair i between two positions.
double frequency(const RotarySpec& spec, std::int64_t i) {
  const double plain = elementary::pow(spec.base, -2.0 * static_cast<double>(i) / static_cast<double>(spec.width));
  if (spec.scaling == RotaryScaling::none) return plain;
  if (spec.scaling == RotaryScaling::linear) return plain / spec.factor;
  const double turns = static_cast<double>(spec.original_context) * plain / (2 * std::numbers::pi);
  const double kept = std::clamp((turns - spec.low_frequency) / (spec.high_frequency - spec.low_frequency), 0.0, 1.0);
  return (1 - kept) * plain / spec.factor + kept * plain;
}

/// For each position the cosines of its width / 2 angles, then their sines. Kept from call to call, since computing
/// them takes far longer than turning a row.
std::shared_ptr<const Buffer<float>> rotary_table(const RotarySpec& spec, std::int64_t positions) {
  static std::mutex mutex;
  static std::map<RotarySpec, std::shared_ptr<const Buffer<float>>> tables;
  const std::lock_guard lock(mutex);
  auto& table = tables[spec];
  const std::int64_t width = spec.width, half = width / 2;
  const std::int64_t known = table ? static_cast<std::int64_t>(table->size()) / width : 0;
  if (known >= positions) return table;
  const std::int64_t wanted = std::max(positions, 2 * known);
  auto grown = std::make_shared<Buffer<float>>(static_cast<std::size_t>(wanted * width));
  if (table) std::copy(table->begin(), table->end(), grown->begin());
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < half; ++i) frequencies.push_back(frequency(spec, i));
  parallel_for(wanted - known, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t position = known + begin; position < known + end; ++position)
      for (std::int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(position) * frequencies[static_cast<std::size_t>(i)];
        (*grown)[static_cast<std::size_t>(position * width + i)] = static_cast<float>(elementary::cos(angle));
        (*grown)[static_cast<std::size_t>(position * width + half + i)] = static_cast<float>(elementary::sin(angle));
      }
  });
  return table = grown;
}

}  // namespace

void rotate(const RotarySpec& spec, const HeadRows& heads, const std::int32_t* positions, bool inverse, float* x) {
  if (heads.rows == 0) return;
  const std::int64_t width = spec.width, half = width / 2;
  const auto table = rotary_table(spec, *std::max_element(positions, positions + heads.rows) + 1);
  const float sign = inverse ? -1.0f : 1.0f;
  parallel_for(heads.rows, 16, [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r) {
      const float* cosine = table->data() + positions[r] * width;
      const float* sine = cosine + half;
      for (std::int64_t h = 0; h < heads.heads; ++h) {
        float* head = x + r * heads.stride + h * heads.width;
        if (spec.interleaved) {
          for (std::int64_t i = 0; i < half; ++i) {
            const float a = head[2 * i], b = head[2 * i + 1], s = sign * sine[i];
            head[2 * i] = a * cosine[i] - b * s;
            head[2 * i + 1] = b * cosine[i] + a * s;
          }
          continue;
        }
        float* __restrict first = head;
        float* __restrict second = head + half;
        for (std::int64_t i = 0; i < half; ++i) {
          const float a = first[i], b = second[i], s = sign * sine[i];
          first[i] = a * cosine[i] - b * s;
          second[i] = b * cosine[i] + a * s;
        }
      }
    }
  });
}

}  // namespace pipeformer
