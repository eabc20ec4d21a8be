/// Points in a plane as SVG, with labels: coordinates of words, sentences, layers (project). The same numbers give the
/// same bytes.
#pragma once
#include <string>
#include <vector>

#include "view/plot_axes.hpp"

namespace pipeformer {

struct ScatterOptions {
  PlotTitles titles{};
  std::vector<std::string> labels{};  ///< One for each point, or none.
};

/// Every label is there for a pointer that hovers over its point; in sight are those that find room beside their point
/// without covering an earlier one. Points that are not finite are left out. Throws Error when there is none, or the
/// number of labels is another than that of points.
std::string draw_scatter(const std::vector<double>& x, const std::vector<double>& y,
                         const ScatterOptions& options = {});

}  // namespace pipeformer
