/// Whether probabilities are what they say (Guo et al. 2017, "On Calibration of Modern Neural Networks").
#pragma once
#include "metrics/metric.hpp"

namespace pipeformer {

struct CalibrationOptions {
  bool logits = false;  ///< The lines hold logits: their softmax is meant.
  int bins = 15;
};

enum class CalibrationKind { ece, nll, brier, temperature };

/// Each line the probabilities (or logits) of K classes; the reference is the number of the right class, from 0.
///   ece          the expected calibration error in percent: over bins of equal width of the highest probability, the
///                mean distance of its mean from the accuracy, bins weighing as many lines as they have
///   nll          the mean of -log p(right class); probabilities below 1e-38 count as that
///   brier        the mean of sum_k (p_k - [k is right])^2
///   temperature  the T in [0.01, 100] with the lowest nll of softmax(logits / T); logits are kept, as float
class Calibration : public Metric {
 public:
  Calibration(CalibrationKind kind, const CalibrationOptions& options);
  void add(std::span<const Segment> segments) override;
  double score() const override;
  std::string report() const override;

 private:
  double temperature() const;
  /// Of all lines at 1 / T = `inverse`: the nll, and its first and second derivative by `inverse`.
  struct Slope {
    double nll = 0.0, first = 0.0, second = 0.0;
  };
  Slope slope(double inverse) const;
  double ece() const;

  CalibrationKind kind_;
  CalibrationOptions options_;
  std::int64_t count_ = 0;
  double nll_ = 0.0, squares_ = 0.0;
  std::vector<double> confidence_, right_, lines_;  ///< Of each bin: sums, and how many lines.
  std::size_t classes_ = 0;
  std::vector<float> logits_;
  std::vector<std::int32_t> labels_;
};

}  // namespace pipeformer
