/// What score does with its metrics.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cli/tool.hpp"
#include "io/output_file.hpp"
#include "metrics/metrics.hpp"
#include "metrics/segment_reader.hpp"

namespace pipeformer {

struct NamedMetric {
  std::string name;
  std::unique_ptr<Metric> metric;
  const SegmentMetric* by_segment;  ///< The metric, when single lines have scores; else null.
};

/// Those of --metric. Throws UsageError where an option asks for scores of single lines and one has none.
std::vector<NamedMetric> chosen_metrics(const Args&);

/// Adds all lines to the metrics.
void add_all(SegmentReader&, const std::vector<NamedMetric>&);
/// A line of scores for each line.
void score_lines(SegmentReader&, const std::vector<NamedMetric>&, OutputFile&);
/// The table of a paired test of several systems, the first of them the baseline.
void compare_systems(const Args&, SegmentReader&, const std::vector<NamedMetric>&, OutputFile&);
/// The confusion matrix of the first metric that has one.
void write_confusion(const std::string& path, const std::vector<NamedMetric>&);

}  // namespace pipeformer
