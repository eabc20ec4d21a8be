/// Answers to questions as SQuAD 2.0's script counts them (Rajpurkar et al. 2016, 2018).
#pragma once
#include "metrics/metric.hpp"

namespace pipeformer {

/// In lower case, without ASCII punctuation, without the words a, an and the, one space between words.
std::string normalized_answer(std::string_view line);

enum class AnswerMatch { exact, f1 };

/// The share of answers that equal a right one when both are normalised, or the mean F1 of the words that they share;
/// of several right answers the best counts, in percent. An answer that normalises to nothing is no answer, and right
/// where there is none: where no reference has one.
class AnswerMatches : public SegmentMetric {
 public:
  explicit AnswerMatches(AnswerMatch match) : SegmentMetric(4), match_(match) {}
  double score_of(std::span<const double> sums) const override {
    return 100.0 * ratio(sums[0] + sums[2], sums[1] + sums[3]);
  }

 protected:
  void count(const Segment&, std::span<double> statistics) const override;
  std::string report_of(std::span<const double> sums) const override;

 private:
  AnswerMatch match_;
};

}  // namespace pipeformer
