/// The options of score: how each metric counts.
#pragma once
#include <vector>

#include "cli/tool.hpp"
#include "metrics/metrics.hpp"

namespace pipeformer {

std::vector<Option> metric_options();

/// Throws UsageError for options that make no sense together.
MetricOptions metric_settings(const Args&);

/// The names in the table of metrics with what they are, as lines of a description.
std::string metric_list();

}  // namespace pipeformer
