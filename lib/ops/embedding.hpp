/// Embedding look-up and positions (Vaswani et al. 2017, sections 3.4 and 3.5).
#pragma once
#include <cstdint>
#include <vector>

#include "core/array.hpp"
#include "core/ragged.hpp"

namespace pipeformer {

/// y (n, d) = table[ids] * scale, table (vocabulary, d). Ids must have been checked.
void embedding(std::int64_t n, std::int64_t d, const std::int32_t* ids, const float* table, float scale, float* y);
/// d_table[ids] += dy * scale, the rows of one id added in the order of the batch, whatever the threads.
void embedding_backward(std::int64_t n, std::int64_t d, const std::int32_t* ids, const float* dy, float scale,
                        std::int64_t vocabulary, float* d_table);

/// Sinusoidal positions (positions, d), float32 from a float64 computation:
///   PE(pos, 2i) = sin(pos / 10000^(2i / d)),  PE(pos, 2i + 1) = cos(pos / 10000^(2i / d))
/// interleaved as in the paper, or halved: all sines, then all cosines (tensor2tensor, fairseq, Marian). d is even.
Buffer<float> sinusoidal_table(std::int64_t positions, std::int64_t d, bool halved);

/// y = x + table[position within its sequence + first]. x and y (rows, d), y may be x; table has enough positions.
void add_positions(const Ragged&, std::int64_t d, std::int64_t first, const float* table, const float* x, float* y);
/// d_table[position] += dy, summed over sequences in order.
void add_positions_backward(const Ragged&, std::int64_t d, const float* dy, float* d_table);

/// Rotary positions (Su et al. 2021) on every head of x (rows, heads * width) with row stride `stride`, in place: the
/// pair (i, i + width / 2) is turned by position * 10000^(-2i / width). `inverse` turns back (the backward pass). Row r
/// is at position positions[r].
void rotate(std::int64_t rows, std::int64_t heads, std::int64_t width, const std::int32_t* positions, bool inverse,
            float* x, std::int64_t stride);

}  // namespace pipeformer
