/// Heat maps as SVG: attention weights over tokens, scores, positions, parameters. The same matrix gives the same bytes.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/array.hpp"

namespace pipeformer {

struct HeatmapOptions {
  std::vector<std::string> row_tokens;     ///< One for each row, or none: rows are numbered.
  std::vector<std::string> column_tokens;  ///< One for each column, or none.
  std::string title, row_title, column_title;  ///< "", "target", "source"
  bool mean = false;                ///< One picture of the mean over the leading axes, instead of one for each head.
  std::optional<double> low, high;  ///< Ends of the colour scale. Else the finite values' own range, symmetric about zero when some
                                    ///< are negative; the same for all heads, so that they can be compared.
};

/// The SVG text of a record (..., rows, columns): one picture for rank 2, small multiples for higher ranks (a record (H, Tq, Tk)
/// gives H of them). Hovering a cell shows its labels and value. Matrices of more cells than a viewer can show (300 000 in
/// all) are drawn as means over blocks, and the caption says so. Throws Error for rank below 2, matrices without cells, integers
/// out of float64 range, numbers of tokens that do not match, low >= high.
std::string draw_heatmap(const Array& record, const HeatmapOptions& options = {});

/// The mean over all leading axes: (..., rows, columns) -> (rows, columns) f8.
Array mean_of_matrices(const Array& record);

}  // namespace pipeformer
