#include "metrics/metric.hpp"

#include <cstdarg>
#include <cstdio>

#include "core/threads.hpp"

namespace pipeformer {

std::string_view only_reference(const Segment& segment) {
  if (segment.references.size() > 1) {
    throw Error(cat("one reference is wanted, ", segment.references.size(), " are given"));
  }
  return segment.references[0];
}

std::vector<double> SegmentMetric::statistics(std::span<const Segment> segments) const {
  std::vector<double> all(segments.size() * size());
  parallel_for(static_cast<std::int64_t>(segments.size()), 32, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      try {
        count(segments[i], std::span(all).subspan(i * size(), size()));
      } catch (const Error& error) {
        throw RowError(static_cast<std::int64_t>(i), error.what());
      }
    }
  });
  return all;
}

void SegmentMetric::add_statistics(std::span<const double> statistics) {
  for (std::size_t i = 0; i < statistics.size(); i += size()) {
    for (std::size_t k = 0; k < size(); ++k) sums_[k] += statistics[i + k];
  }
}

std::string formatted(const char* format, ...) {
  std::va_list values, again;
  va_start(values, format);
  va_copy(again, values);
  std::string line(static_cast<std::size_t>(std::vsnprintf(nullptr, 0, format, values)), '\0');
  std::vsnprintf(line.data(), line.size() + 1, format, again);
  va_end(again);
  va_end(values);
  return line;
}

}  // namespace pipeformer
