/// A pair of axes with ticks and titles, for pictures that place points by their values.
#pragma once
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace pipeformer {

/// One axis: values to places, and its ticks.
struct PlotAxis {
  bool log = false;
  bool whole = true;  ///< All values are whole numbers, of layers or steps: so are the ticks.
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  double length = 1;

  double scaled(double value) const { return log ? std::log10(value) : value; }
  void include(double value);
  /// Leaves room around the values; a single value gets an axis around it.
  void widen(double share);
  double place(double value) const { return length * (scaled(value) - low) / (high - low); }
  std::vector<double> ticks(int count) const;
};

/// A text at a place, with more attributes (" fill=\"#555\"").
std::string svg_label(double x, double y, const std::string& attributes, const std::string& text, double size = 12);

struct PlotTitles {
  std::string title, x, y;
};

/// What stands around a plot.
struct PlotFrame {
  std::string begin;  ///< Titles and axes, and a group, still open, whose origin is the plot's upper left corner.
  double width = 0, height = 0;  ///< Of all, with `beside` to the right of the plot.
};
PlotFrame plot_frame(const PlotAxis& x, const PlotAxis& y, const PlotTitles& titles, double beside);

}  // namespace pipeformer
