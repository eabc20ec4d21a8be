/// The nearest of many vectors, exactly: every product is taken, in blocks, and the best are kept as they come, so that
/// the matrix of all scores never exists.
#pragma once
#include <cstdint>
#include <vector>

#include "core/array.hpp"
#include "core/matrix.hpp"

namespace pipeformer {

/// cosine: x . y / (|x| |y|), 0 where either is 0; dot: x . y; euclidean: |x - y|, of which the smallest is the best.
enum class VectorMetric { cosine, dot, euclidean };

struct Hit {
  std::int32_t id;
  float score;
};

class NearestRows {
 public:
  /// base (rows, width), finite.
  NearestRows(Buffer<float> base, std::int64_t width, VectorMetric);

  std::int64_t rows() const { return rows_; }
  std::int64_t width() const { return width_; }
  /// For each row of queries (m, width) the k best rows of the base, the best first, of equals the one with the lower
  /// number: hits (m, k). k is at most rows(), or with `same` rows() - 1: then query i is number *same + i of the base
  /// and does not find itself. The hits of a query do not depend on others, nor on threads. Throws RowError for a query
  /// whose scores are not finite.
  std::vector<Hit> search(const MatrixView& queries, std::int64_t k, const std::int64_t* same = nullptr) const;

 private:
  struct Selection;
  void measure(const float* query, std::int64_t k, Selection&) const;
  float distance(const float* query, std::int64_t row) const;

  VectorMetric metric_;
  std::int64_t width_, rows_;
  Buffer<float> base_;  ///< For cosines: with rows of length 1.
  Buffer<float> bias_;  ///< For distances: -|y|^2 / 2, which a product x . y becomes comparable by.
  double longest_ = 0;  ///< For distances: the largest |y|.
};

}  // namespace pipeformer
