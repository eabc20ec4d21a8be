/// Several labels a line, in any order, or none.
#pragma once
#include <map>

#include "metrics/labels.hpp"

namespace pipeformer {

/// Each line the labels that hold, separated by spaces: precision, recall, F1 and support of each label and their
/// averages (samples: the mean over lines), and the share of lines with all labels right, as scikit-learn's
/// classification_report and accuracy_score have them. The score is micro F1, in percent.
class MultiLabel : public Metric {
 public:
  void add(std::span<const Segment> segments) override;
  double score() const override { return 100.0 * micro_f1(scores()); }
  std::string report() const override;

 private:
  std::vector<LabelScores> scores() const;
  std::map<std::string, LabelScores, std::less<>> labels_;
  AverageRow sums_;  ///< Over lines.
  std::int64_t lines_ = 0, equal_ = 0;
};

}  // namespace pipeformer
