/// BLEU (Papineni et al. 2002) as sacreBLEU 2 computes it.
#pragma once
#include "metrics/metric.hpp"
#include "metrics/words.hpp"

namespace pipeformer {

/// What becomes of a precision without matches (Chen and Cherry 2014): `exp` takes 1 / (2^k candidates) for the k-th
/// such order (mteval-v13a), `floor` value / candidates; `add_k` adds the value to the matches and the candidates of
/// all orders but the first, `none` leaves 0.
enum class BleuSmoothing { exp, floor, add_k, none };

struct BleuOptions {
  BleuTokens tokens = BleuTokens::mteval13a;
  BleuSmoothing smoothing = BleuSmoothing::exp;
  double smoothing_value = 0.0;  ///< Of floor (sacreBLEU's default is 0.1) and add_k (1).
  /// The mean is over the orders that the hypothesis is long enough for; for single sentences.
  bool effective_order = false;
};

/// Corpus BLEU, n = 1..4:  100 BP exp(mean_n log p_n),  p_n = matches_n / candidates_n over all segments. A match is an
/// n-gram of the hypothesis that a reference has, counted at most as often as the reference has it that has it most
/// often. BP = 1 when hyp_length >= ref_length, else exp(1 - ref_length / hyp_length); of several references the length
/// that is closest to the hypothesis's counts, the shorter of two. 0 when nothing matches.
class Bleu : public SegmentMetric {
 public:
  static constexpr std::size_t max_order = 4;
  explicit Bleu(const BleuOptions& options = {}) : SegmentMetric(2 * max_order + 2), options_(options) {}

  /// In percent, smoothed; order 1..4. 0 when nothing matches at all, or no hypothesis is that long.
  double precision(std::span<const double> sums, std::size_t order) const;
  double score_of(std::span<const double> sums) const override;

 protected:
  void count(const Segment&, std::span<double> statistics) const override;
  std::string report_of(std::span<const double> sums) const override;

 private:
  BleuOptions options_;
};

}  // namespace pipeformer
