/// Metrics of labels: counts of right and predicted labels, and what follows from them.
#pragma once
#include <deque>
#include <unordered_map>

#include "metrics/metric.hpp"

namespace pipeformer {

/// How often each label was predicted for each right one.
class Confusion {
 public:
  void add(std::string_view right, std::string_view predicted);

  /// The labels that occur: in the order of their numbers when all are integers, else in that of their bytes.
  std::vector<std::string> labels() const;
  /// (labels, labels): element [r, p] tells how often p was predicted where r is right.
  std::vector<std::int64_t> matrix() const;

 private:
  std::uint32_t number(std::string_view label);
  std::vector<std::uint32_t> order() const;
  std::deque<std::string> names_;
  std::unordered_map<std::string_view, std::uint32_t> numbers_;
  std::unordered_map<std::uint64_t, std::int64_t> counts_;
};

/// Precision, recall and F1 of one label, from a confusion matrix. What cannot be told (no such label predicted, none
/// right) is 0.
struct LabelScores {
  std::string label;
  std::int64_t right = 0, predicted = 0, support = 0;  ///< Support: how often it is the right one.
  double precision() const { return ratio(static_cast<double>(right), static_cast<double>(predicted)); }
  double recall() const { return ratio(static_cast<double>(right), static_cast<double>(support)); }
  double f1() const { return ratio(2.0 * static_cast<double>(right), static_cast<double>(predicted + support)); }
  /// Intersection over union.
  double iou() const { return ratio(static_cast<double>(right), static_cast<double>(predicted + support - right)); }
};
std::vector<LabelScores> label_scores(const Confusion&);

struct AverageRow {
  std::string name;
  double precision = 0.0, recall = 0.0, f1 = 0.0;
};
/// Lines, each begun with a newline: the labels, their averages (micro: of all decisions; macro: the mean over labels;
/// weighted: by support), and more rows.
std::string label_table(const std::vector<LabelScores>& scores, const std::vector<AverageRow>& more = {});
double micro_f1(const std::vector<LabelScores>& scores);

/// What follows from how often each label was taken for which.
class ConfusionMetric : public Metric {
 public:
  const Confusion* confusion() const override { return &confusion_; }

 protected:
  Confusion confusion_;
};

/// Each line a label: precision, recall, F1 and support of each, their averages (the micro average is the accuracy),
/// and the confusion matrix, as scikit-learn's classification_report has them. The score is macro F1, in percent.
class Classification : public ConfusionMetric {
 public:
  void add(std::span<const Segment> segments) override;
  double score() const override;
  std::string report() const override;
};

/// Each line a map of labels (of words, of an image's patches), as many as its reference: the mean over the labels that
/// occur of intersection over union, in percent, each counted over all lines (Everingham et al. 2010).
class MeanIou : public ConfusionMetric {
 public:
  void add(std::span<const Segment> segments) override;
  double score() const override;
  std::string report() const override;
};

/// Each line several labels, as many as its reference: the share of labels that are right, in percent.
class TokenAccuracy : public SegmentMetric {
 public:
  TokenAccuracy() : SegmentMetric(2) {}
  double score_of(std::span<const double> sums) const override { return 100.0 * ratio(sums[0], sums[1]); }

 protected:
  void count(const Segment&, std::span<double> statistics) const override;
  std::string report_of(std::span<const double> sums) const override;
};

/// The labels of a line, separated by white space.
std::vector<std::string_view> split_labels(std::string_view line);

/// Those of a line and those of its reference; throws Error when their numbers differ.
struct LabelPairs {
  std::vector<std::string_view> predicted, right;
  explicit LabelPairs(const Segment&);
};

}  // namespace pipeformer
