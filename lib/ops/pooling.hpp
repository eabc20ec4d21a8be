/// From the rows of a batch to those that are read out, and the way back.
#pragma once
#include <cstdint>

#include "core/ragged.hpp"

namespace pipeformer {

/// y (n, d): row i is x[index[i]]; zeros where index is -1.
void gather_rows(std::int64_t n, std::int64_t d, const std::int32_t* index, const float* x, float* y);
/// dx[index[i]] += dy[i], in order; -1 is left out.
void gather_rows_backward(std::int64_t n, std::int64_t d, const std::int32_t* index, const float* dy, float* dx);

/// y (sequences, d): the mean of each sequence's rows; zeros for an empty one.
void mean_rows(const Ragged&, std::int64_t d, const float* x, float* y);
/// dx (rows, d) overwritten: each row of a sequence of n gets dy / n.
void mean_rows_backward(const Ragged&, std::int64_t d, const float* dy, float* dx);

/// y (sequences, d): the largest of each sequence's rows, column by column, and the row that it stood in, of the first
/// when there are several; zeros and -1 for an empty sequence.
void max_rows(const Ragged&, std::int64_t d, const float* x, float* y, std::int32_t* rows);
/// dx[rows[s][c]][c] += dy[s][c], n sequences.
void max_rows_backward(std::int64_t n, std::int64_t d, const std::int32_t* rows, const float* dy, float* dx);

/// Each row of x (rows, d) divided by its Euclidean length, at least 1e-12 (torch.nn.functional.normalize), in place.
/// lengths (rows) may be null; backward needs them.
void normalize_rows(std::int64_t rows, std::int64_t d, float* x, float* lengths = nullptr);
/// From y, the normalized rows: dx = (dy - y (y . dy)) / length. dx may be dy.
void normalize_rows_backward(std::int64_t rows, std::int64_t d, const float* y, const float* lengths, const float* dy,
                             float* dx);

/// x (rows, c), logits, become the probabilities softmax(x), in place. A row of -inf alone becomes zeros.
void softmax_rows(std::int64_t rows, std::int64_t c, float* x);

}  // namespace pipeformer
