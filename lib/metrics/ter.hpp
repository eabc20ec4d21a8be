/// The translation edit rate (Snover et al. 2006, "A Study of Translation Edit Rate with Targeted Human Annotation") as
/// sacreBLEU 2 computes it, which follows Tercom.
#pragma once
#include "metrics/metric.hpp"
#include "metrics/ngrams.hpp"
#include "metrics/words.hpp"

namespace pipeformer {

/// The least number of edits (insertions, deletions, substitutions of words, and shifts of runs of words, each one)
/// that the greedy search of the paper finds: it takes the shift that lowers the edit distance most, while there is
/// one. Tercom's limits: runs of at most 10 words, moved over at most 50; edit distances in a beam of 25 words on each
/// side of the diagonal; and sacreBLEU's: 1000 shifts tried.
std::int64_t translation_edits(Symbols hypothesis, const Symbols& reference);

/// TER in percent: edits over words of the reference. Of several references the fewest edits count, over the mean
/// length. Lower is better; more than 100 where there are more edits than words.
class Ter : public SegmentMetric {
 public:
  explicit Ter(const TerNormalization& normalization = {}) : SegmentMetric(2), normalization_(normalization) {}
  double score_of(std::span<const double> sums) const override;

 protected:
  void count(const Segment&, std::span<double> statistics) const override;
  std::string report_of(std::span<const double> sums) const override;

 private:
  TerNormalization normalization_;
};

}  // namespace pipeformer
