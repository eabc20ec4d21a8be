/// What a metric is: something that sees the lines of a system beside the right ones, and gives a score. Each metric is
/// a class in a file of its own; metrics.hpp has the table of their names.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace pipeformer {

/// One line of a system's output and the lines that are right: at least one.
struct Segment {
  std::string_view hypothesis;
  std::span<const std::string_view> references;
};

/// The segments go in with add(), all of them or any parts one after another; the score is of all that went in.
class Confusion;

class Metric {
 public:
  virtual ~Metric() = default;
  /// Throws RowError (the row is the number of the segment in `segments`) for a line that is not what the metric takes.
  virtual void add(std::span<const Segment> segments) = 0;
  /// The one number that stands for the metric.
  virtual double score() const = 0;
  /// The score with its name and its parts, as lines for people to read; without the last newline.
  virtual std::string report() const = 0;
  /// What was taken for what, of metrics that tell; else null.
  virtual const Confusion* confusion() const { return nullptr; }
};

/// Calls visit(segment) for each; what it throws becomes a RowError of that segment.
template <class Visit>
void for_each_segment(std::span<const Segment> segments, Visit visit) {
  for (std::size_t i = 0; i < segments.size(); ++i) {
    try {
      visit(segments[i]);
    } catch (const Error& error) {
      throw RowError(static_cast<std::int64_t>(i), error.what());
    }
  }
}

/// The reference for a metric that takes only one; throws Error for more.
std::string_view only_reference(const Segment& segment);

/// A metric of a corpus that is a function of sums: each segment gives the same few statistics (counts of matches, for
/// example), and any set of segments has a score. So one line has one, and so have the samples of a bootstrap.
class SegmentMetric : public Metric {
 public:
  /// `size`: number of statistics.
  explicit SegmentMetric(std::size_t size) : sums_(size) {}
  std::size_t size() const { return sums_.size(); }

  /// The statistics of the segments, (segments, size()), counted by the thread team.
  std::vector<double> statistics(std::span<const Segment> segments) const;
  /// Adds statistics (any number, size()), in order.
  void add_statistics(std::span<const double> statistics);
  void add(std::span<const Segment> segments) final { add_statistics(statistics(segments)); }

  double score() const final { return score_of(sums_); }
  std::string report() const final { return report_of(sums_); }

  /// The score of a sum of statistics. Called by several threads at once.
  virtual double score_of(std::span<const double> sums) const = 0;

 protected:
  /// Counts one segment; `statistics` holds zeros. Called by several threads at once. Throws Error for a line that is
  /// not what the metric takes.
  virtual void count(const Segment& segment, std::span<double> statistics) const = 0;
  virtual std::string report_of(std::span<const double> sums) const = 0;

 private:
  std::vector<double> sums_;
};

/// a / b, and 0 where b is 0.
inline double ratio(double a, double b) {
  return b == 0.0 ? 0.0 : a / b;
}

/// The harmonic mean of precision and recall, recall weighing beta times as much (van Rijsbergen 1979):
///   F = (1 + beta^2) P R / (beta^2 P + R),  0 when both are 0.
inline double f_score(double precision, double recall, double beta = 1.0) {
  return ratio((1.0 + beta * beta) * precision * recall, beta * beta * precision + recall);
}

/// printf into a string, for reports.
[[gnu::format(printf, 1, 2)]] std::string formatted(const char* format, ...);

}  // namespace pipeformer
