/// Eigenvalues and eigenvectors of a symmetric matrix in double, by one sequence of exactly rounded operations,
/// whatever the processor: LAPACK's results depend on the library's kernels.
#pragma once
#include <cstdint>
#include <vector>

namespace pipeformer {

struct SymmetricEigen {
  std::vector<double> values;   ///< (n), the largest first.
  std::vector<double> vectors;  ///< (n, n): row i, of length 1, belongs to value i; its largest entry is positive.
};

/// Householder's reduction to a tridiagonal matrix, then implicit QR steps with Wilkinson's shift (Golub, Van Loan
/// 2013, sections 8.3.1 to 8.3.5): about 7 n^3 multiply-adds. Errors of values are a few units in the last place of the
/// largest. a (n, n) is symmetric and finite, its squares too; throws Error when the steps do not converge.
SymmetricEigen symmetric_eigen(std::vector<double> a, std::int64_t n);

}  // namespace pipeformer
