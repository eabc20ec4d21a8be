/// Heat maps as SVG: attention weights over tokens, scores, positions, parameters. The same matrices give the same
/// bytes.
#pragma once
#include <string>
#include <vector>

#include "view/matrices.hpp"

namespace pipeformer {

/// The SVG text: of each part one picture for rank 2, small multiples for higher ranks (a record (H, Tq, Tk) gives H of
/// them); the parts one below the other, each under its name, in one scale of colours. Hovering a cell shows its labels
/// and value. Matrices of more cells than a viewer can show (65 536 in all) are drawn as means over blocks, and the
/// caption says so. Throws Error for rank below 2, matrices without cells, integers out of float64 range, numbers of
/// tokens that do not match, low >= high.
std::string draw_heatmap(const std::vector<HeatmapPart>& parts, const HeatmapOptions& options = {});

/// The same in characters, for a terminal: a cell is one of " .:-=+*#%@", or with options.numbers its value; column
/// tokens stand upright. At most 100 columns of cells, then means over blocks.
std::string write_heatmap_text(const std::vector<HeatmapPart>& parts, const HeatmapOptions& options = {});

/// The legend of a scale: a vertical bar with its ends and some round values between; the origin is its upper left
/// corner. `stops` are the <stop>s of its gradient, from the lower end to the upper.
std::string draw_legend(const ColorScale&, const std::string& stops, double height, bool has_nan);

}  // namespace pipeformer
