#include "ops/principal_components.hpp"

#include <algorithm>
#include <utility>

#include "core/symmetric_eigen.hpp"
#include "core/threads.hpp"
#include "ops/gemm.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t kCentredRows = 64;  // rows that are centred at a time

std::vector<double> column_means(const MatrixView& x) {
  std::vector<double> mean(static_cast<std::size_t>(x.columns));
  for (std::int64_t r = 0; r < x.rows; ++r)
    for (std::int64_t c = 0; c < x.columns; ++c) mean[static_cast<std::size_t>(c)] += x.data[r * x.stride + c];
  for (double& m : mean) m /= static_cast<double>(x.rows);
  return mean;
}

/// (columns, columns), with rows - 1: every element one sum over the rows in their order.
std::vector<double> covariance(const MatrixView& x, const std::vector<double>& mean) {
  const std::int64_t n = x.columns;
  std::vector<double> sums(static_cast<std::size_t>(n * n));
  std::vector<double> centred(static_cast<std::size_t>(kCentredRows * n));
  for (std::int64_t first = 0; first < x.rows; first += kCentredRows) {
    const std::int64_t rows = std::min(kCentredRows, x.rows - first);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < n; ++c)
        centred[static_cast<std::size_t>(r * n + c)] =
            x.data[(first + r) * x.stride + c] - mean[static_cast<std::size_t>(c)];
    parallel_for(n, 16, [&](std::int64_t i, std::int64_t end) {
      for (; i < end; ++i) {
        double* row = sums.data() + i * n;
        for (std::int64_t r = 0; r < rows; ++r) {
          const double* values = centred.data() + r * n;
          for (std::int64_t j = i; j < n; ++j) row[j] += values[i] * values[j];
        }
      }
    });
  }
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = i; j < n; ++j) {
      double& upper = sums[static_cast<std::size_t>(i * n + j)];
      upper /= static_cast<double>(x.rows - 1);
      sums[static_cast<std::size_t>(j * n + i)] = upper;
    }
  return sums;
}

}  // namespace

PrincipalComponents principal_components(const MatrixView& x, std::int64_t count) {
  const std::vector<double> mean = column_means(x);
  std::vector<double> matrix = covariance(x, mean);
  double all = 0;
  for (std::int64_t i = 0; i < x.columns; ++i) all += matrix[static_cast<std::size_t>(i * x.columns + i)];
  const SymmetricEigen eigen = symmetric_eigen(std::move(matrix), x.columns);

  PrincipalComponents result{count, x.columns, {}, {}, {}, {}};
  for (const double m : mean) result.mean.push_back(static_cast<float>(m));
  for (std::int64_t i = 0; i < count * x.columns; ++i)
    result.components.push_back(static_cast<float>(eigen.vectors[static_cast<std::size_t>(i)]));
  for (std::int64_t i = 0; i < count; ++i) {
    const double variance = std::max(eigen.values[static_cast<std::size_t>(i)], 0.0);  // rounding may leave less
    result.explained_variance.push_back(variance);
    result.explained_variance_ratio.push_back(all > 0 ? variance / all : 0);
  }
  return result;
}

void project_rows(const MatrixView& x, const PrincipalComponents& components, std::int64_t count, float* y) {
  Buffer<float> centred(static_cast<std::size_t>(x.rows * x.columns));
  for (std::int64_t r = 0; r < x.rows; ++r)
    for (std::int64_t c = 0; c < x.columns; ++c)
      centred[static_cast<std::size_t>(r * x.columns + c)] =
          x.data[r * x.stride + c] - components.mean[static_cast<std::size_t>(c)];
  product_nt({centred.data(), x.rows, x.columns}, {components.components.data(), count, x.columns}, nullptr,
             {y, x.rows, count});
}

}  // namespace pipeformer
