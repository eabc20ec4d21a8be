#include "view/matrices.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

#include "core/error.hpp"
#include "view/svg.hpp"

namespace pipeformer {
namespace {

std::string joined_words(const std::string& a, const std::string& b) {
  return a.empty() || b.empty() ? a + b : a + ", " + b;
}

/// "head 3" for (H, Tq, Tk), "1, 3" for more axes, nothing for a matrix alone.
std::string head_of(const Shape& shape, std::int64_t index) {
  if (shape.size() == 2) return "";
  if (shape.size() == 3) return cat("head ", index);
  std::string text;
  for (std::size_t axis = shape.size() - 2; axis-- > 0;) {
    text = joined_words(std::to_string(index % shape[axis]), text);
    index /= shape[axis];
  }
  return text;
}

DrawnMatrix mean_of(const std::vector<DrawnMatrix>& all, const std::string& layer) {
  DrawnMatrix mean{joined_words(layer, all.size() > 1 ? cat("mean of ", all.size()) : ""), all[0].rows, all[0].columns,
                   std::vector<double>(all[0].cells.size())};
  for (std::size_t i = 0; i < mean.cells.size(); ++i) {
    for (const DrawnMatrix& m : all) mean.cells[i] += m.cells[i];
    mean.cells[i] /= static_cast<double>(all.size());
  }
  return mean;
}

}  // namespace

std::vector<DrawnMatrix> drawn_matrices(const HeatmapPart& part, bool mean) {
  const Shape& shape = part.record.shape;
  const std::string where = part.where.empty() ? "" : part.where + ": ";
  require(shape.size() >= 2, where, "a heat map needs a matrix, not an array of shape ", shape_text(shape));
  require(part.record.size() > 0, where, "an array of shape ", shape_text(shape), " has no cells to draw");
  const std::int64_t rows = shape[shape.size() - 2], columns = shape.back();
  const auto check = [&](const std::vector<std::string>& tokens, std::int64_t count, const char* what) {
    require(tokens.empty() || std::ssize(tokens) == count, where, tokens.size(), ' ', what, " tokens do not match ",
            count, ' ', what, 's');
  };
  check(part.row_tokens, rows, "row");
  check(part.column_tokens, columns, "column");
  Array wide;
  try {
    wide = part.record.as(DType::f8);
  } catch (const Error& error) {
    throw Error(cat(where, error.what()));
  }
  const auto values = std::as_const(wide).values<double>();
  std::vector<DrawnMatrix> all;
  for (std::int64_t m = 0; m < part.record.size() / (rows * columns); ++m) {
    const auto begin = values.begin() + m * rows * columns;
    all.push_back({joined_words(part.layer, head_of(shape, m)), rows, columns, {begin, begin + rows * columns}});
  }
  if (mean) all = {mean_of(all, part.layer)};
  return all;
}

DrawnMatrix reduced(const DrawnMatrix& m, std::int64_t height, std::int64_t width) {
  DrawnMatrix out{joined_words(m.caption, cat("means of ", height, " x ", width)),
                  (m.rows + height - 1) / height,
                  (m.columns + width - 1) / width,
                  {}};
  for (std::int64_t r = 0; r < out.rows; ++r) {
    for (std::int64_t c = 0; c < out.columns; ++c) {
      double sum = 0;
      std::int64_t count = 0;
      for (std::int64_t i = r * height; i < std::min(m.rows, (r + 1) * height); ++i) {
        for (std::int64_t j = c * width; j < std::min(m.columns, (c + 1) * width); ++j) {
          if (const double value = m.at(i, j); !std::isnan(value)) sum += value, ++count;
        }
      }
      out.cells.push_back(count > 0 ? sum / static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN());
    }
  }
  return out;
}

double ColorScale::place(double value) const {
  return high > low ? std::clamp((value - low) / (high - low), 0.0, 1.0) : 0.5;
}

std::string ColorScale::color_at(double t) const {
  if (grey) return grey_color(diverging ? 1 - t : t);
  return diverging ? diverging_color(2 * t - 1) : sequential_color(t);
}

std::string ColorScale::color(double value) const {
  if (std::isnan(value)) return grey ? "url(#nan)" : "#c8c8c8";
  return color_at(place(value));
}

bool ColorScale::dark(double value) const {
  if (std::isnan(value)) return false;
  const double t = place(value);
  if (grey) return diverging ? t < 0.5 : t > 0.5;
  return diverging ? std::abs(2 * t - 1) > 0.55 : t > 0.5;
}

ColorScale color_scale(const std::vector<DrawnMatrix>& all, const HeatmapOptions& options, const std::string& where) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const DrawnMatrix& m : all)
    for (const double value : m.cells)
      if (std::isfinite(value)) low = std::min(low, value), high = std::max(high, value);
  if (low > high) low = 0, high = 1;        // nothing finite
  if (low > 0 && low < high / 10) low = 0;  // weights and probabilities: the scale begins at nothing
  ColorScale scale{low, high, low < 0, options.grey};
  if (scale.diverging) {
    scale.high = std::max(-low, high);
    scale.low = -scale.high;
  }
  if (options.low) scale.low = *options.low;
  if (options.high) scale.high = *options.high;
  if (options.low || options.high) {
    require(scale.low < scale.high, where, where.empty() ? "" : ": ", "lower end of the colour scale ", scale.low,
            " is not below the upper end ", scale.high);
    scale.diverging = scale.low == -scale.high;
  }
  return scale;
}

std::string cell_text(double value, bool small) {
  char text[16];
  if (!small && (std::abs(value) >= 10 || value == std::round(value)) && std::abs(value) < 1e5) {  // 353, not 3.5e+02
    std::snprintf(text, sizeof text, "%.0f", value + 0.0);                                         // and no -0
    return text;
  }
  if (!small || !std::isfinite(value)) return number_text(value, 2);
  if (value == 0) return "0";
  std::snprintf(text, sizeof text, "%.2f", value);
  return text[0] == '0' ? text + 1 : "1";
}

bool all_small(const std::vector<DrawnMatrix>& all) {
  for (const DrawnMatrix& m : all)
    for (const double value : m.cells)
      if (std::isfinite(value) && !(value >= 0 && value <= 1)) return false;
  return true;
}

}  // namespace pipeformer
