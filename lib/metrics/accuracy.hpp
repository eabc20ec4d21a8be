/// The share of lines that are right.
#pragma once
#include <algorithm>

#include "metrics/metric.hpp"

namespace pipeformer {

/// Lines that equal a reference byte for byte, in percent.
class Accuracy : public SegmentMetric {
 public:
  Accuracy() : SegmentMetric(2) {}
  double score_of(std::span<const double> sums) const override { return 100.0 * ratio(sums[0], sums[1]); }

 protected:
  void count(const Segment& segment, std::span<double> statistics) const override {
    const auto& right = segment.references;
    statistics[0] = std::find(right.begin(), right.end(), segment.hypothesis) != right.end() ? 1.0 : 0.0;
    statistics[1] = 1.0;
  }
  std::string report_of(std::span<const double> sums) const override {
    return formatted("accuracy %.2f (%.0f of %.0f)", score_of(sums), sums[0], sums[1]);
  }
};

}  // namespace pipeformer
