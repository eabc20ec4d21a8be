/// Statistics of arrays and of whole streams: what peek prints.
#pragma once
#include <cstdint>
#include <limits>

#include "core/array.hpp"

namespace pipeformer {

/// What one pass over some elements leaves. NaN is counted in `nan` and ignored by everything else, so min, max, mean
/// and std are NumPy's nanmin, nanmax, nanmean and nanstd (population, ddof = 0). Infinities do take part: with one of
/// them the mean is infinite or NaN and std is NaN, as in NumPy. Without elements min, max, mean and std are NaN.
struct Statistics {
  std::int64_t count = 0;                                 ///< Elements, NaN included.
  std::int64_t nan = 0;                                   ///< Elements that are NaN.
  std::int64_t infinite = 0;                              ///< Elements that are + or - infinity.
  std::int64_t zeros = 0;                                 ///< Elements equal to zero (both signs).
  double min = std::numeric_limits<double>::quiet_NaN();  ///< Exact for all dtypes but i8 beyond 2^53.
  double max = std::numeric_limits<double>::quiet_NaN();
  double mean = std::numeric_limits<double>::quiet_NaN();
  double squares = 0;  ///< Sum of (x - mean)^2.

  double std() const;
  bool finite() const { return nan == 0 && infinite == 0; }

  /// Adds other elements (Chan, Golub, LeVeque 1979: pairwise update of mean and squares), so that a stream of any
  /// length is summed up one record at a time.
  void merge(const Statistics& other);
};

/// Statistics of an array of any dtype and shape, accumulated in float64.
Statistics statistics(const Array&);

}  // namespace pipeformer
