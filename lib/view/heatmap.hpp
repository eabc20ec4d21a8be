/// Heat maps as SVG: attention weights over tokens, scores, positions, parameters. The same matrix gives the same
/// bytes.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/array.hpp"

namespace pipeformer {

struct HeatmapOptions {
  std::vector<std::string> row_tokens;         ///< One for each row, or none: rows are numbered.
  std::vector<std::string> column_tokens;      ///< One for each column, or none.
  std::string title, row_title, column_title;  ///< "", "target", "source"
  bool mean = false;  ///< One picture of the mean over the leading axes, instead of one for each head.
  /// Ends of the colour scale. Else the finite values' own range, the same for all heads so that they can be compared:
  /// symmetric about zero when some are negative, from zero when the least is below a tenth of the largest.
  std::optional<double> low, high;
};

/// The SVG text of a record (..., rows, columns): one picture for rank 2, small multiples for higher ranks (a record
/// (H, Tq, Tk) gives H of them). Hovering a cell shows its labels and value. Matrices of more cells than a viewer can
/// show (65 536 in all) are drawn as means over blocks, and the caption says so. Throws Error for rank below 2,
/// matrices without cells, integers out of float64 range, numbers of tokens that do not match, low >= high.
std::string draw_heatmap(const Array& record, const HeatmapOptions& options = {});
/// The same; `where` (a record's name) goes in front of error messages.
std::string draw_heatmap(const Array& record, const HeatmapOptions& options, const std::string& where);

/// The tokens of one line (from 0) of a text file, separated by spaces: labels for an axis. "-" is standard input.
/// Throws Error when the file has no such line.
std::vector<std::string> read_tokens(const std::string& path, std::int64_t line);

/// The mean over all leading axes: (..., rows, columns) -> (rows, columns) f8.
Array mean_of_matrices(const Array& record);

}  // namespace pipeformer
