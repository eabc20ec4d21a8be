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

Buffer<float> sinusoidal_table(std::int64_t first, std::int64_t count, std::int64_t d, Sinusoid form) {
  Buffer<float> table(static_cast<std::size_t>(count * d));
  const std::int64_t half = d / 2;
  const double step = form == Sinusoid::fairseq ? -1.0 / static_cast<double>(half - 1) : -2.0 / static_cast<double>(d);
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < half; ++i)
    frequencies.push_back(elementary::exp(static_cast<double>(i) * (step * elementary::log(10000.0))));
  const bool interleaved = form == Sinusoid::interleaved;
  parallel_for(count, 16, [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r)
      for (std::int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(first + r) * frequencies[static_cast<std::size_t>(i)];
        float* row = table.data() + r * d;
        row[interleaved ? 2 * i : i] = static_cast<float>(elementary::sin(angle));
        row[interleaved ? 2 * i + 1 : half + i] = static_cast<float>(elementary::cos(angle));
      }
  });
  return table;
}

void add_positions(const Ragged& ragged, std::int64_t d, const float* table, const float* x, float* y) {
  parallel_for(ragged.sequences(), 8, [&](std::int64_t s, std::int64_t end) {
    for (; s < end; ++s)
      for (std::int64_t t = 0; t < ragged.length(s); ++t) {
        const std::int64_t row = (ragged.begin(s) + t) * d;
        kernels().add(d, x + row, table + t * d, y + row);
      }
  });
}

void add_positions_backward(const Ragged& ragged, std::int64_t d, const float* dy, float* d_table) {
  for (std::int64_t s = 0; s < ragged.sequences(); ++s)
    for (std::int64_t t = 0; t < ragged.length(s); ++t)
      kernels().axpy(d, 1.0f, dy + (ragged.begin(s) + t) * d, d_table + t * d);
}

namespace {

/// The share of pair i's own frequency that yarn keeps, 1 - that of the stretched one: 1 up to the pair that makes
/// high_frequency turns in the original context, 0 from that of low_frequency turns on.
double kept_by_yarn(const RotarySpec& spec, std::int64_t i) {
  const double width = static_cast<double>(spec.width);
  const auto pair_of = [&](double turns) {
    return width * elementary::log(static_cast<double>(spec.original_context) / (turns * 2 * std::numbers::pi)) /
           (2 * elementary::log(spec.base));
  };
  const double low = std::max(std::floor(pair_of(spec.high_frequency)), 0.0);
  double high = std::min(std::ceil(pair_of(spec.low_frequency)), width - 1);
  if (high == low) high += 0.001;
  return 1 - std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
}

/// The angle of pair i between two positions.
double frequency(const RotarySpec& spec, std::int64_t i) {
  const double plain = elementary::pow(spec.base, -2.0 * static_cast<double>(i) / static_cast<double>(spec.width));
  double kept = 0;
  switch (spec.scaling) {
    case RotaryScaling::none:
    case RotaryScaling::dynamic:
      return plain;
    case RotaryScaling::linear:
      return plain / spec.factor;
    case RotaryScaling::longrope:
      return plain / spec.short_factors.at(static_cast<std::size_t>(i));
    case RotaryScaling::llama3: {
      const double turns = static_cast<double>(spec.original_context) * plain / (2 * std::numbers::pi);
      kept = std::clamp((turns - spec.low_frequency) / (spec.high_frequency - spec.low_frequency), 0.0, 1.0);
      break;
    }
    case RotaryScaling::yarn:
      kept = kept_by_yarn(spec, i);
      break;
  }
  return (1 - kept) * plain / spec.factor + kept * plain;
}

std::vector<double> frequencies_of(const RotarySpec& spec) {
  std::vector<double> all;
  for (std::int64_t i = 0; i < spec.width / 2; ++i) all.push_back(frequency(spec, i));
  return all;
}

/// The cosines of a position's width / 2 angles, then their sines.
void fill_angles(const RotarySpec& spec, const std::vector<double>& frequencies, std::int64_t position, float* row) {
  const std::size_t half = frequencies.size();
  for (std::size_t i = 0; i < half; ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    row[i] = static_cast<float>(elementary::cos(angle) * spec.attention_factor);
    row[half + i] = static_cast<float>(elementary::sin(angle) * spec.attention_factor);
  }
}

/// Those of all positions, (positions, width). Kept from call to call, since computing them takes far longer than
/// turning a row.
std::shared_ptr<const Buffer<float>> rotary_table(const RotarySpec& spec, std::int64_t positions) {
  static std::mutex mutex;
  static std::map<RotarySpec, std::shared_ptr<const Buffer<float>>> tables;
  const std::lock_guard lock(mutex);
  auto& table = tables[spec];
  const std::int64_t width = spec.width;
  const std::int64_t known = table ? static_cast<std::int64_t>(table->size()) / width : 0;
  if (known >= positions) return table;
  const std::int64_t wanted = std::max(positions, 2 * known);
  auto grown = std::make_shared<Buffer<float>>(static_cast<std::size_t>(wanted * width));
  if (table) std::copy(table->begin(), table->end(), grown->begin());
  const std::vector<double> frequencies = frequencies_of(spec);
  parallel_for(wanted - known, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t position = known + begin; position < known + end; ++position)
      fill_angles(spec, frequencies, position, grown->data() + position * width);
  });
  return table = grown;
}

/// Turns the heads of one row by the cosines and sines of its `half` angles.
void turn_row(bool interleaved, std::int64_t half, const HeadRows& heads, const float* cosine, float sign, float* x) {
  const float* sine = cosine + half;
  for (std::int64_t h = 0; h < heads.heads; ++h) {
    float* head = x + h * heads.width;
    if (interleaved) {
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

/// A table is not worth its memory for angles that no other length shares.
void turn_without_table(const RotarySpec& spec, const HeadRows& heads, const std::int32_t* positions, float sign,
                        float* x) {
  const std::vector<double> frequencies = frequencies_of(spec);
  parallel_for(heads.rows, 16, [&](std::int64_t r, std::int64_t end) {
    std::vector<float> angles(static_cast<std::size_t>(spec.width));
    for (; r < end; ++r) {
      fill_angles(spec, frequencies, positions[r], angles.data());
      turn_row(spec.interleaved, spec.width / 2, heads, angles.data(), sign, x + r * heads.stride);
    }
  });
}

void turn_with_table(const RotarySpec& spec, const HeadRows& heads, const std::int32_t* positions, float sign,
                     float* x) {
  const auto table = rotary_table(spec, *std::max_element(positions, positions + heads.rows) + 1);
  parallel_for(heads.rows, 16, [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r)
      turn_row(spec.interleaved, spec.width / 2, heads, table->data() + positions[r] * spec.width, sign,
               x + r * heads.stride);
  });
}

}  // namespace

RotarySpec RotarySpec::at_length(std::int64_t length) const {
  RotarySpec spec = *this;
  const bool beyond = length > original_context;
  if (scaling == RotaryScaling::longrope) {
    if (beyond) spec.short_factors = long_factors;
    spec.long_factors = spec.short_factors;
  } else if (scaling == RotaryScaling::dynamic) {
    spec.scaling = RotaryScaling::none;
    const double times = static_cast<double>(length) / static_cast<double>(original_context),
                 d = static_cast<double>(width);
    if (beyond) spec.base *= elementary::pow(factor * times - (factor - 1), d / (d - 2));
  }
  return spec;
}

void rotate(const RotarySpec& spec, const HeadRows& heads, const RowPositions& rows, bool inverse, float* x) {
  if (heads.rows == 0) return;
  const float sign = inverse ? -1.0f : 1.0f;
  if (!spec.by_length()) return turn_with_table(spec, heads, rows.position, sign, x);
  const auto length_at = [&](std::int64_t r) { return rows.length ? rows.length[r] : rows.position[r] + 1; };
  for (std::int64_t begin = 0, end = 0; begin < heads.rows; begin = end) {  // rows of one length together
    const std::int64_t length = length_at(begin);
    for (end = begin; end < heads.rows && length_at(end) == length;) ++end;
    const HeadRows part{end - begin, heads.heads, heads.width, heads.stride};
    const bool own = spec.scaling == RotaryScaling::dynamic && length > spec.original_context;
    (own ? turn_without_table : turn_with_table)(spec.at_length(length), part, rows.position + begin, sign,
                                                 x + begin * heads.stride);
  }
}

void rotate_by(const RotaryAngles& by, const HeadRows& heads, const std::int32_t* positions, float* x) {
  parallel_for(heads.rows, 16, [&](std::int64_t r, std::int64_t end) {
    const auto half = static_cast<std::size_t>(by.pairs);
    std::vector<float> turns(2 * half);
    for (; r < end; ++r) {
      const float* angles = by.angles + positions[r] * by.pairs;
      for (std::size_t i = 0; i < half; ++i) {
        turns[i] = static_cast<float>(elementary::cos(static_cast<double>(angles[i])));
        turns[half + i] = static_cast<float>(elementary::sin(static_cast<double>(angles[i])));
      }
      turn_row(by.interleaved, by.pairs, heads, turns.data(), 1.0f, x + r * heads.stride);
    }
  });
}

}  // namespace pipeformer
