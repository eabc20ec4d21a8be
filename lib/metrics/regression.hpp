/// Numbers against numbers: correlations and errors.
#pragma once
#include "metrics/metric.hpp"

namespace pipeformer {

enum class RegressionKind { pearson, spearman, mse, rmse, mae };

/// Each line one or more numbers, as many as its reference; all count alike.
///   pearson   the correlation of the values, -1 to 1; NaN when a side does not vary
///   spearman  the same of their ranks, equal values having the mean of their ranks
///   mse, rmse, mae  the mean squared error, its root, the mean absolute error
class Regression : public Metric {
 public:
  explicit Regression(RegressionKind kind) : kind_(kind) {}
  void add(std::span<const Segment> segments) override;
  double score() const override;
  std::string report() const override;

 private:
  void add_pair(double predicted, double right);
  RegressionKind kind_;
  std::int64_t count_ = 0;
  double squares_ = 0.0, absolute_ = 0.0;
  /// Means, and sums of products of deviations from them, updated value by value (Welford 1962).
  double mean_predicted_ = 0.0, mean_right_ = 0.0, predicted_ = 0.0, right_ = 0.0, both_ = 0.0;
  std::vector<double> all_predicted_, all_right_;  ///< For ranks only.
};

}  // namespace pipeformer
