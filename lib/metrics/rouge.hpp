/// ROUGE (Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries") as Google's rouge_score computes it.
#pragma once
#include "metrics/metric.hpp"

namespace pipeformer {

struct RougeOptions {
  bool stemmer = false;  ///< Words of more than three letters as their stems (metrics/porter_stemmer.hpp).
  std::string sentence_break = "<n>";  ///< What stands between sentences, for the summary level.
};

/// Words are what stays of a line in lower case when all but a-z and 0-9 separates. Precision and recall of what a line
/// shares with its reference, and F of both:
///   unigrams, bigrams  shared n-grams, each at most as often as in the reference
///   lcs                the longest common subsequence of words
///   lcs_summary        sentences apart: for each of the reference the union of its longest common subsequences with
///   all
///                      of the line, no word counting more often than there are of it
/// The mean over the lines, in percent; the score is F. Of several references the one with the highest F counts.
enum class RougeKind { unigrams, bigrams, lcs, lcs_summary };

class Rouge : public SegmentMetric {
 public:
  Rouge(RougeKind kind, const RougeOptions& options) : SegmentMetric(4), kind_(kind), options_(options) {}
  double score_of(std::span<const double> sums) const override { return 100.0 * ratio(sums[2], sums[3]); }

 protected:
  void count(const Segment&, std::span<double> statistics) const override;
  std::string report_of(std::span<const double> sums) const override;

 private:
  RougeKind kind_;
  RougeOptions options_;
};

}  // namespace pipeformer
