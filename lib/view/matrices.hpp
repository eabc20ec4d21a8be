/// Matrices as pictures show them: what a record is cut into, and the scale from values to colours.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/array.hpp"

namespace pipeformer {

/// One array to draw, and what its rows and columns are.
struct HeatmapPart {
  Array record;                              ///< (..., rows, columns)
  std::vector<std::string> row_tokens{};     ///< One for each row, or none: rows are numbered.
  std::vector<std::string> column_tokens{};  ///< One for each column, or none.
  std::string row_title{}, column_title{};   ///< "target", "source"
  std::string name{};   ///< What it is: "decoder layer 1: cross-attention weights"; "" : no title of its own.
  std::string layer{};  ///< Before the head in the title of each matrix: "layer 1".
  std::string where{};  ///< The record's name, before messages.
};

struct HeatmapOptions {
  std::string title;
  bool mean = false;     ///< The mean over the leading axes, instead of a matrix for each head.
  bool numbers = false;  ///< Values in the cells.
  bool grey = false;     ///< No colours: white to black, and from black over grey to white where there are signs.
  /// Ends of the colour scale. Else the finite values' own range, the same for all matrices so that they can be
  /// compared: symmetric about zero when some are negative, from zero when the least is below a tenth of the largest.
  std::optional<double> low, high;
};

struct DrawnMatrix {
  std::string caption;
  std::int64_t rows = 0, columns = 0;
  std::vector<double> cells;
  double at(std::int64_t r, std::int64_t c) const { return cells[static_cast<std::size_t>(r * columns + c)]; }
};

/// The matrices of a part with their captions, "layer 1, head 3"; or their mean. Throws Error that `where` begins, for
/// rank below 2, no cells, and numbers of tokens that do not match.
std::vector<DrawnMatrix> drawn_matrices(const HeatmapPart&, bool mean);

/// Means over blocks of (height, width) cells; NaN is left out, a block of nothing else stays NaN. The caption says so.
DrawnMatrix reduced(const DrawnMatrix&, std::int64_t height, std::int64_t width);

struct ColorScale {
  double low = 0, high = 1;
  bool diverging = false, grey = false;

  double place(double value) const;          ///< 0 .. 1
  std::string color_at(double place) const;  ///< "#rrggbb"
  std::string color(double value) const;     ///< NaN has one of its own.
  bool dark(double value) const;             ///< Text on that colour is white.
};
/// Throws Error, which `where` begins, when options' low is not below high.
ColorScale color_scale(const std::vector<DrawnMatrix>&, const HeatmapOptions&, const std::string& where);

/// A value in few characters: of a cell. small: all values are from 0 to 1, which have two decimals, ".25".
std::string cell_text(double value, bool small);
bool all_small(const std::vector<DrawnMatrix>&);

}  // namespace pipeformer
