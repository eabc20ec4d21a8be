/// Principal components (Pearson 1901; Hotelling 1933) of rows of numbers, and their coordinates along them.
#pragma once
#include <cstdint>
#include <vector>

#include "core/matrix.hpp"

namespace pipeformer {

struct PrincipalComponents {
  std::int64_t count = 0, width = 0;
  std::vector<float> mean;                 ///< (width)
  std::vector<float> components;           ///< (count, width), of length 1; the largest entry of each is positive.
  std::vector<double> explained_variance;  ///< (count) Of the coordinates, over N - 1.
  std::vector<double> explained_variance_ratio;  ///< (count) Their share of the variance of all columns; 0 of none.
};

/// The first `count` components of the rows of x, finite: eigenvectors of their covariance (width, width), in double.
/// The same bits on every processor and with any threads. Needs memory for three such matrices, and at least count + 1
/// rows; components that belong to no variance are any directions.
PrincipalComponents principal_components(const MatrixView& x, std::int64_t count);

/// y (rows, count) = (x - mean) components^T, row by row. `count` is at most components.count.
void project_rows(const MatrixView& x, const PrincipalComponents& components, std::int64_t count, float* y);

}  // namespace pipeformer
