/// Lines of numbers, for metrics of probabilities and of values.
#pragma once
#include "metrics/metric.hpp"

namespace pipeformer {

/// The numbers of a line, separated by spaces, tabs or commas. Throws Error for what is no finite number.
std::vector<double> line_numbers(std::string_view line);

}  // namespace pipeformer
