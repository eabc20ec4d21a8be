/// From hidden states to the next token: rows of logits in chunks, the best of a row, a draw from a row.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "layers/context.hpp"
#include "models/readout.hpp"

namespace pipeformer {

struct RowOfLogits {
  float* values;  ///< (vocabulary); may be written to.
  /// log sum exp(values), as they were computed; 0 when they need not be `normalized`.
  double log_sum;
  /// Bounds: no value of the b-th block of kMaximaBlock (ops/logits.hpp) is above the b-th of these.
  float* block_maxima;
  bool normalized = true;
  /// Makes the maxima of n values, and log_sum where it is wanted. False: they are not finite.
  bool measure(std::int64_t n);
};

/// Computes the logits of hidden (rows, width) in chunks of rows, so that those of a whole batch never exist, and calls
/// body for each row, on any thread. Throws RowError when a row is not finite. normalized: log_sum is wanted.
void for_logits(Context&, const OutputHead& head, const Ragged& ragged, const float* hidden,
                const std::function<void(std::int64_t row, const RowOfLogits&)>& body, bool normalized = true);

struct Candidate {
  std::int32_t id;
  float logit;
};

/// The k largest of x (n), largest first, of equals the lower id first. -infinity never counts, so there may be fewer.
/// block_maxima: as in RowOfLogits, or null.
void best_candidates(std::int64_t n, const float* x, const float* block_maxima, std::int64_t k,
                     std::vector<Candidate>& best);

struct Sampling {
  double temperature = 1;  ///< Logits are divided by it.
  std::int64_t top_k = 0;  ///< Only the k most probable tokens; 0: all.
  double top_p = 1;        ///< Then only the most probable that together reach this probability (Holtzman et al. 2020).
};

/// A draw from softmax(logits / temperature), logits (n), cut as the settings say; u is uniform in [0, 1).
/// block_maxima: as in RowOfLogits, or null. -1: all logits are -infinity.
std::int32_t draw(const Sampling&, std::int64_t n, const float* logits, const float* block_maxima, double u);

}  // namespace pipeformer
