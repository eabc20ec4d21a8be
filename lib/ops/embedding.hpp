/// Embedding look-up and positions (Vaswani et al. 2017, sections 3.4 and 3.5).
#pragma once
#include <compare>
#include <cstdint>
#include <vector>

#include "core/array.hpp"
#include "core/ragged.hpp"
#include "ops/weight.hpp"

namespace pipeformer {

/// y (n, d) = table[ids] * scale, table (vocabulary, d). Ids must have been checked.
void embedding(std::int64_t n, const std::int32_t* ids, const WeightView& table, float scale, float* y);
/// d_table[ids] += dy * scale, the rows of one id added in the order of the batch, whatever the threads.
void embedding_backward(std::int64_t n, std::int64_t d, const std::int32_t* ids, const float* dy, float scale,
                        std::int64_t vocabulary, float* d_table);

/// How sines and cosines of the frequencies 10000^(-2i / d) stand in a row: interleaved as in the paper; halved: all
/// sines, then all cosines (tensor2tensor, Marian); fairseq: halved, with frequencies 10000^(-i / (d / 2 - 1)).
enum class Sinusoid { interleaved, halved, fairseq };

/// Sinusoidal positions `first`, first + 1, ...: (count, d), float32 from a float64 computation:
///   PE(pos, 2i) = sin(pos / 10000^(2i / d)),  PE(pos, 2i + 1) = cos(pos / 10000^(2i / d)).        d is even.
Buffer<float> sinusoidal_table(std::int64_t first, std::int64_t count, std::int64_t d, Sinusoid form);
/// The positions that it can be asked for are below this (core/elementary.hpp).
constexpr std::int64_t kSinusoidalPositions = std::int64_t{1} << 27;

/// y = x + table[position within its sequence]. x and y (rows, d), y may be x; table has enough positions.
void add_positions(const Ragged&, std::int64_t d, const float* table, const float* x, float* y);
/// d_table[position] += dy, summed over sequences in order.
void add_positions_backward(const Ragged&, std::int64_t d, const float* dy, float* d_table);

/// How rotary positions were stretched to a longer context than the original one. linear: all angles divided by the
/// factor (Chen et al. 2023); llama3: only those of slow frequencies, with a passage between low_frequency and
/// high_frequency turns in the original context (Llama 3.1); yarn: likewise, with a passage over the columns between
/// those two (Peng et al. 2024); dynamic: a sequence beyond the original context has a base of its own (Peng et al.
/// 2024, "dynamic NTK"); longrope: a divisor for each frequency, others for sequences beyond the original context (Ding
/// et al. 2024).
enum class RotaryScaling { none, linear, llama3, yarn, dynamic, longrope };

/// Rotary positions (Su et al. 2021): the pair (i, i + width / 2) of the first `width` columns of a head is turned by
/// position * base^(-2i / width); interleaved: the pair (2i, 2i + 1).
struct RotarySpec {
  double base = 10000;
  std::int64_t width = 0;  ///< Even; the columns beyond it stay as they are.
  bool interleaved = false;
  RotaryScaling scaling = RotaryScaling::none;
  double factor = 1, low_frequency = 1, high_frequency = 4;
  std::int64_t original_context = 8192;
  double attention_factor = 1;                          ///< The columns that are turned are multiplied by it.
  std::vector<double> short_factors{}, long_factors{};  ///< longrope: width / 2 divisors each.
  auto operator<=>(const RotarySpec&) const = default;

  /// Whether the angles depend on the length of the sequence.
  bool by_length() const { return scaling == RotaryScaling::dynamic || scaling == RotaryScaling::longrope; }
  /// What turns the positions of a sequence of this length, by_length() no more.
  RotarySpec at_length(std::int64_t length) const;
};

/// Heads side by side in rows: x (rows, heads * width) with row stride `stride`.
struct HeadRows {
  std::int64_t rows, heads, width, stride;
};

/// The positions of rows in their sequences, and the lengths of these.
struct RowPositions {
  const std::int32_t* position = nullptr;
  const std::int32_t* length = nullptr;  ///< Null: a row is the last of its sequence.
};

/// Turns every head of x in place, each row by its position. `inverse` is the transposed map (the backward pass).
void rotate(const RotarySpec&, const HeadRows&, const RowPositions&, bool inverse, float* x);

/// The same by angles that are given, in radians, for each of a head's pairs: angles (positions, pairs), of which row
/// positions[r] turns row r.
struct RotaryAngles {
  const float* angles = nullptr;
  std::int64_t positions = 0, pairs = 0;
  bool interleaved = false;  ///< As RotarySpec has it.
};
void rotate_by(const RotaryAngles&, const HeadRows&, const std::int32_t* positions, float* x);

}  // namespace pipeformer
