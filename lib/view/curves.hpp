/// Curves as SVG: losses, learning rates and whatever else a table of numbers holds. The same numbers give the same
/// bytes.
#pragma once
#include <istream>
#include <string>
#include <vector>

namespace pipeformer {

struct Curve {
  std::string name;
  std::vector<double> x, y;  ///< Points in the order of drawing; NaN or infinite y interrupt the line.
};

struct CurveOptions {
  std::string title, x_title, y_title;
  bool log_x = false, log_y = false;  ///< Logarithmic axes; all values must be positive.
  bool grey = false;                  ///< Curves are told apart by dashes, not by colours.
};

/// Reads columns of a table: tab-separated, column names in the first line, lines starting with '#' skipped. `x` empty:
/// the first column; `ys` empty: all others. A row whose x or y cell is empty gives no point to that curve ("not
/// measured"). Throws Error naming file, line and column: no such column, rows of another length, cells that are no
/// numbers.
std::vector<Curve> read_curves(std::istream&, const std::string& name, const std::string& x,
                               const std::vector<std::string>& ys);

/// The same from a file ("-" is standard input), with the names of the y columns separated by commas.
std::vector<Curve> load_curves(const std::string& path, const std::string& x, const std::string& ys);

/// The SVG text, with axes, ticks, and a legend when there are several curves. Curves of more points than the picture
/// has columns are drawn as their range in each column, so no peak is lost. Throws Error when there is no finite point,
/// or a value that a logarithmic axis cannot show.
std::string draw_curves(const std::vector<Curve>&, const CurveOptions& options = {});

/// The same with a panel for each quantity, one below the other: `train_loss` and `valid_loss` are one quantity, loss,
/// every other curve is one by itself. Quantities without a finite point are left out.
std::string draw_panels(const std::vector<Curve>&, const CurveOptions& options = {});

}  // namespace pipeformer
