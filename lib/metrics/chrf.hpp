/// chrF (Popović 2015) and chrF++ (Popović 2017) as sacreBLEU 2 computes them.
#pragma once
#include "metrics/metric.hpp"

namespace pipeformer {

struct ChrfOptions {
  int char_order = 6;          ///< Longest n-gram of characters.
  int word_order = 0;          ///< Longest n-gram of words; 2 is chrF++.
  double beta = 2.0;           ///< How much more recall weighs than precision.
  bool whitespace = false;     ///< White space is among the characters.
  bool eps_smoothing = false;  ///< The mean of all orders' F-scores, orders that a side lacks counting as almost 0.
};

/// Corpus chrF: precision and recall of the n-grams of characters (and of words, with ASCII punctuation at their ends
/// apart), averaged over the orders that both sides have, then combined into F_beta. Of several references the one with
/// the highest score of the segment counts. A segment's n-grams of an order count only where its reference has any.
class Chrf : public SegmentMetric {
 public:
  explicit Chrf(const ChrfOptions& options = {})
      : SegmentMetric(3 * static_cast<std::size_t>(options.char_order + options.word_order)), options_(options) {}
  double score_of(std::span<const double> sums) const override;

 protected:
  void count(const Segment&, std::span<double> statistics) const override;
  std::string report_of(std::span<const double> sums) const override;

 private:
  ChrfOptions options_;
};

}  // namespace pipeformer
