#include "metrics/paired.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/random.hpp"
#include "core/threads.hpp"

namespace pipeformer {
namespace {

double p_value(std::int64_t larger, std::size_t trials) {
  return static_cast<double>(larger + 1) / static_cast<double>(trials + 1);
}

std::vector<double> total(std::span<const double> statistics, std::size_t size) {
  std::vector<double> sums(size);
  for (std::size_t i = 0; i < statistics.size(); ++i) sums[i % size] += statistics[i];
  return sums;
}

void add_to(std::vector<double>& sums, const double* statistics, double times = 1.0) {
  for (std::size_t k = 0; k < sums.size(); ++k) sums[k] += times * statistics[k];
}

/// A number in [0, bound) from 64 random bits: their fraction of it, without a division (bias: bound / 2^64).
std::size_t scaled(std::uint64_t bits, std::size_t bound) {
  return static_cast<std::size_t>(static_cast<unsigned __int128>(bits) * bound >> 64);
}

}  // namespace

std::vector<std::vector<double>> bootstrap_scores(const SegmentMetric& metric,
                                                  std::span<const std::vector<double>> systems, std::int64_t samples,
                                                  std::uint64_t seed) {
  std::vector<std::vector<double>> scores(systems.size(), std::vector<double>(static_cast<std::size_t>(samples)));
  const std::size_t size = metric.size(), segments = systems.empty() ? 0 : systems[0].size() / size;
  parallel_for(samples, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> sums(size), times(segments);
    for (std::int64_t sample = begin; sample < end; ++sample) {
      // How often each segment is drawn: the statistics of all systems are then read once, in their order.
      Random random(derive_seed(seed, static_cast<std::uint64_t>(sample)));
      std::fill(times.begin(), times.end(), 0.0);
      for (std::size_t i = 0; i < segments; ++i) times[scaled(random.next(), segments)] += 1.0;
      for (std::size_t s = 0; s < systems.size(); ++s) {
        std::fill(sums.begin(), sums.end(), 0.0);
        for (std::size_t i = 0; i < segments; ++i) {
          if (times[i] != 0.0) add_to(sums, systems[s].data() + i * size, times[i]);
        }
        scores[s][static_cast<std::size_t>(sample)] = metric.score_of(sums);
      }
    }
  });
  return scores;
}

ConfidenceInterval confidence_interval(std::vector<double> scores) {
  if (scores.empty()) return {};
  std::sort(scores.begin(), scores.end());
  const std::size_t outside = scores.size() / 40;
  const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
  return {sum / static_cast<double>(scores.size()), (scores[scores.size() - 1 - outside] - scores[outside]) / 2.0};
}

double bootstrap_p_value(std::span<const double> baseline, std::span<const double> system, double difference) {
  double mean = 0.0;
  for (std::size_t i = 0; i < system.size(); ++i) mean += std::abs(system[i] - baseline[i]);
  mean /= static_cast<double>(system.size());
  std::int64_t larger = 0;
  for (std::size_t i = 0; i < system.size(); ++i) larger += std::abs(system[i] - baseline[i]) - mean > difference;
  return p_value(larger, system.size());
}

double randomization_p_value(const SegmentMetric& metric, std::span<const double> baseline,
                             std::span<const double> system, std::int64_t trials, std::uint64_t seed) {
  const std::size_t size = metric.size(), segments = baseline.size() / size;
  const double difference = std::abs(metric.score_of(total(system, size)) - metric.score_of(total(baseline, size)));
  std::vector<std::uint8_t> larger(static_cast<std::size_t>(trials));
  parallel_for(trials, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> a(size), b(size);
    for (std::int64_t trial = begin; trial < end; ++trial) {
      Random random(derive_seed(seed, static_cast<std::uint64_t>(trial)));
      std::fill(a.begin(), a.end(), 0.0);
      std::fill(b.begin(), b.end(), 0.0);
      std::uint64_t bits = 0;
      for (std::size_t i = 0; i < segments; ++i, bits >>= 1) {
        if (i % 64 == 0) bits = random.next();
        const bool exchanged = (bits & 1) != 0;
        add_to(a, (exchanged ? system : baseline).data() + i * size);
        add_to(b, (exchanged ? baseline : system).data() + i * size);
      }
      larger[static_cast<std::size_t>(trial)] = std::abs(metric.score_of(a) - metric.score_of(b)) > difference;
    }
  });
  return p_value(std::accumulate(larger.begin(), larger.end(), std::int64_t{0}), larger.size());
}

std::vector<PairedResult> paired_test(const SegmentMetric& metric, std::span<const std::vector<double>> systems,
                                      const PairedTest& test) {
  std::vector<std::vector<double>> scores;
  if (!test.randomization) scores = bootstrap_scores(metric, systems, test.samples, test.seed);
  std::vector<PairedResult> results(systems.size());
  for (std::size_t s = 0; s < systems.size(); ++s) {
    PairedResult& r = results[s];
    r.score = metric.score_of(total(systems[s], metric.size()));
    if (test.randomization) {
      if (s > 0) r.p_value = randomization_p_value(metric, systems[0], systems[s], test.samples, test.seed);
      continue;
    }
    if (s > 0) r.p_value = bootstrap_p_value(scores[0], scores[s], std::abs(r.score - results[0].score));
    const ConfidenceInterval interval = confidence_interval(scores[s]);
    r.mean = interval.mean;
    r.interval = interval.half_width;
  }
  return results;
}

}  // namespace pipeformer
