#include "metrics/regression.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.hpp"
#include "metrics/numbers.hpp"

namespace pipeformer {
namespace {

std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    const double rank = static_cast<double>(begin + end + 1) / 2.0;
    for (std::size_t i = begin; i < end; ++i) ranks[order[i]] = rank;
  }
  return ranks;
}

}  // namespace

void Regression::add_pair(double predicted, double right) {
  ++count_;
  squares_ += (predicted - right) * (predicted - right);
  absolute_ += std::abs(predicted - right);
  const auto n = static_cast<double>(count_);
  const double from_predicted = predicted - mean_predicted_, from_right = right - mean_right_;
  mean_predicted_ += from_predicted / n;
  mean_right_ += from_right / n;
  predicted_ += from_predicted * (predicted - mean_predicted_);
  right_ += from_right * (right - mean_right_);
  both_ += from_predicted * (right - mean_right_);
}

void Regression::add(std::span<const Segment> segments) {
  for_each_segment(segments, [this](const Segment& segment) {
    const std::vector<double> predicted = line_numbers(segment.hypothesis);
    const std::vector<double> right = line_numbers(only_reference(segment));
    require(predicted.size() == right.size(), predicted.size(), " numbers, but the reference has ", right.size());
    for (std::size_t k = 0; k < right.size(); ++k) {
      if (kind_ == RegressionKind::spearman) {
        all_predicted_.push_back(predicted[k]);
        all_right_.push_back(right[k]);
      } else {
        add_pair(predicted[k], right[k]);
      }
    }
  });
}

double Regression::score() const {
  const auto n = static_cast<double>(count_);
  switch (kind_) {
    case RegressionKind::mse:
      return ratio(squares_, n);
    case RegressionKind::rmse:
      return std::sqrt(ratio(squares_, n));
    case RegressionKind::mae:
      return ratio(absolute_, n);
    case RegressionKind::spearman: {
      Regression of_ranks(RegressionKind::pearson);
      const std::vector<double> predicted = ranks(all_predicted_), right = ranks(all_right_);
      for (std::size_t i = 0; i < right.size(); ++i) of_ranks.add_pair(predicted[i], right[i]);
      return of_ranks.score();
    }
    case RegressionKind::pearson:
      break;
  }
  if (predicted_ == 0.0 || right_ == 0.0) return std::numeric_limits<double>::quiet_NaN();
  return std::clamp(both_ / (std::sqrt(predicted_) * std::sqrt(right_)), -1.0, 1.0);
}

std::string Regression::report() const {
  constexpr const char* names[] = {"Pearson", "Spearman", "MSE", "RMSE", "MAE"};
  const auto values = static_cast<long long>(count_) + static_cast<long long>(all_right_.size());
  return formatted("%s %.6g (%lld values)", names[static_cast<std::size_t>(kind_)], score(), values);
}

}  // namespace pipeformer
