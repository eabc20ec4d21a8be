/// Whether one system is better than another, or by chance: paired bootstrap (Koehn 2004, "Statistical Significance
/// Tests for Machine Translation Evaluation") and approximate randomisation (Riezler and Maxwell 2005), as sacreBLEU 2
/// computes them. What is drawn depends on the seed alone, so systems and metrics see the same samples.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "metrics/metric.hpp"

namespace pipeformer {

/// The scores of `samples` sets of as many segments as there are, drawn with replacement, the same segments for each
/// system: element [s][i] is that of system s on set i. systems[s]: statistics (segments, metric.size()).
std::vector<std::vector<double>> bootstrap_scores(const SegmentMetric& metric,
                                                  std::span<const std::vector<double>> systems, std::int64_t samples,
                                                  std::uint64_t seed);

/// Mean and half the width of the interval that holds 95 % of the scores.
struct ConfidenceInterval {
  double mean = 0.0, half_width = 0.0;
};
ConfidenceInterval confidence_interval(std::vector<double> scores);

/// How likely a difference between the scores is as large as that of all segments, by the distances of two systems'
/// bootstrap scores, moved to have the mean 0.
double bootstrap_p_value(std::span<const double> baseline, std::span<const double> system, double difference);

/// The same by `trials` exchanges of the two systems' lines, each line with probability 1/2.
double randomization_p_value(const SegmentMetric& metric, std::span<const double> baseline,
                             std::span<const double> system, std::int64_t trials, std::uint64_t seed);

struct PairedTest {
  bool randomization = false;  ///< Else the bootstrap.
  std::int64_t samples = 1000;
  std::uint64_t seed = 0;
};
struct PairedResult {
  double score = 0.0;
  std::optional<double> mean, interval;  ///< Of the bootstrap: of the samples' scores, half the width of 95 % of them.
  std::optional<double> p_value;         ///< Of a system against the first one.
};
/// Compares systems with the first of them. systems[s]: statistics (segments, metric.size()).
std::vector<PairedResult> paired_test(const SegmentMetric& metric, std::span<const std::vector<double>> systems,
                                      const PairedTest& test);

}  // namespace pipeformer
