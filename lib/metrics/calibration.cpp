#include "metrics/calibration.hpp"

#include <algorithm>
#include <cmath>

#include "core/elementary.hpp"
#include "core/error.hpp"
#include "core/threads.hpp"
#include "metrics/numbers.hpp"

namespace pipeformer {
namespace {

constexpr double least_probability = 1e-38;

/// In place: softmax of logits, or probabilities that are checked to be some.
void make_probabilities(std::vector<double>& values, bool logits) {
  if (logits) {
    const double highest = *std::max_element(values.begin(), values.end());
    double sum = 0.0;
    for (double& v : values) sum += v = elementary::exp(v - highest);
    for (double& v : values) v /= sum;
    return;
  }
  double sum = 0.0;
  for (const double v : values) {
    if (v < 0.0 || v > 1.0 + 1e-6) throw Error(cat(v, " is no probability: --logits for logits"));
    sum += v;
  }
  if (std::abs(sum - 1.0) > 1e-2) throw Error(cat("probabilities sum to ", sum, ": --logits for logits"));
}

}  // namespace

Calibration::Calibration(CalibrationKind kind, const CalibrationOptions& options)
    : kind_(kind),
      options_(options),
      confidence_(static_cast<std::size_t>(options.bins)),
      right_(confidence_.size()),
      lines_(confidence_.size()) {}

void Calibration::add(std::span<const Segment> segments) {
  for_each_segment(segments, [this](const Segment& segment) {
    std::vector<double> values = line_numbers(segment.hypothesis);
    const std::vector<double> label = line_numbers(only_reference(segment));
    require(!values.empty(), "no probabilities");
    if (classes_ == 0) classes_ = values.size();
    require(values.size() == classes_, values.size(), " classes, but the lines before have ", classes_);
    const auto classes = static_cast<double>(classes_);
    require(label.size() == 1 && label[0] >= 0.0 && label[0] < classes && label[0] == std::floor(label[0]),
            "the reference '", only_reference(segment), "' is no class from 0 to ", classes_ - 1);
    const auto right = static_cast<std::size_t>(label[0]);
    if (kind_ == CalibrationKind::temperature) {
      for (const double v : values) {
        logits_.push_back(static_cast<float>(options_.logits ? v : elementary::log(std::max(v, least_probability))));
      }
      labels_.push_back(static_cast<std::int32_t>(right));
    }
    make_probabilities(values, options_.logits);
    const auto highest = std::max_element(values.begin(), values.end());
    // Bins are open below and closed above: the last one has 1.
    const auto bins = static_cast<double>(options_.bins);
    const auto bin = static_cast<std::size_t>(std::clamp(std::ceil(*highest * bins) - 1.0, 0.0, bins - 1.0));
    confidence_[bin] += *highest;
    right_[bin] += static_cast<std::size_t>(highest - values.begin()) == right;
    lines_[bin] += 1.0;
    nll_ -= elementary::log(std::max(values[right], least_probability));
    for (std::size_t k = 0; k < values.size(); ++k) {
      const double miss = values[k] - (k == right ? 1.0 : 0.0);
      squares_ += miss * miss;
    }
    ++count_;
  });
}

double Calibration::ece() const {
  double distance = 0.0;
  for (std::size_t b = 0; b < lines_.size(); ++b) distance += std::abs(right_[b] - confidence_[b]);
  return 100.0 * ratio(distance, static_cast<double>(count_));
}

Calibration::Slope Calibration::slope(double inverse) const {
  constexpr std::int64_t grain = 1024;
  std::vector<Slope> parts(static_cast<std::size_t>((count_ + grain - 1) / grain));
  parallel_for(count_, grain, [&](std::int64_t begin, std::int64_t end) {
    Slope& part = parts[static_cast<std::size_t>(begin / grain)];
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      const float* z = logits_.data() + i * classes_;
      const double highest = *std::max_element(z, z + classes_);
      double sum = 0.0, first = 0.0, second = 0.0;
      for (std::size_t k = 0; k < classes_; ++k) {
        const double above = z[k] - highest, e = elementary::exp(inverse * above);
        sum += e;
        first += e * above;
        second += e * above * above;
      }
      const double mean = first / sum, right = z[labels_[i]] - highest;
      part.nll += elementary::log(sum) - inverse * right;
      part.first += mean - right;
      part.second += second / sum - mean * mean;
    }
  });
  Slope all;
  for (const Slope& part : parts) {
    all.nll += part.nll;
    all.first += part.first;
    all.second += part.second;
  }
  return all;
}

double Calibration::temperature() const {
  // The nll is convex in 1 / T: Newton's steps, or halves of the interval that is left where they leave it.
  double low = 0.01, high = 100.0, at = 1.0;
  if (count_ == 0 || slope(low).first >= 0.0) return 1.0 / low;
  if (slope(high).first <= 0.0) return 1.0 / high;
  for (int step = 0; step < 100; ++step) {
    const Slope here = slope(at);
    (here.first > 0.0 ? high : low) = at;
    double next = at - here.first / here.second;
    if (!(next > low && next < high)) next = (low + high) / 2.0;
    if (std::abs(next - at) <= 1e-12 * at) break;
    at = next;
  }
  return 1.0 / at;
}

double Calibration::score() const {
  const auto n = static_cast<double>(count_);
  switch (kind_) {
    case CalibrationKind::ece:
      return ece();
    case CalibrationKind::nll:
      return ratio(nll_, n);
    case CalibrationKind::brier:
      return ratio(squares_, n);
    case CalibrationKind::temperature:
      break;
  }
  return temperature();
}

std::string Calibration::report() const {
  const auto n = static_cast<double>(count_);
  const auto lines = static_cast<long long>(count_);
  switch (kind_) {
    case CalibrationKind::ece:
      return formatted("ECE %.2f (%d bins, %lld lines)", score(), options_.bins, lines);
    case CalibrationKind::nll:
      return formatted("NLL %.6g (%lld lines)", score(), lines);
    case CalibrationKind::brier:
      return formatted("Brier %.6g (%lld lines)", score(), lines);
    case CalibrationKind::temperature:
      break;
  }
  const double t = temperature();
  return formatted("temperature %.6g (NLL %.6g, without %.6g)", t, count_ == 0 ? 0.0 : slope(1.0 / t).nll / n,
                   ratio(nll_, n));
}

}  // namespace pipeformer
