#include "view/curves.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>
#include <utility>

#include "core/error.hpp"
#include "core/selection.hpp"
#include "io/byte_source.hpp"
#include "view/plot_axes.hpp"
#include "view/svg.hpp"

namespace pipeformer {
namespace {

constexpr double kWidth = 680, kHeight = 380;                         // of the plot inside its axes
constexpr int kSample = 28;                                           // of a line, in the legend
constexpr std::size_t kDense = 2 * static_cast<std::size_t>(kWidth);  // points above which a curve is thinned

bool read_line(std::istream& in, std::string& line, std::int64_t& number) {
  while (std::getline(in, line)) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty() && line[0] != '#') return true;
  }
  return false;
}

bool drawable(const Curve& curve, std::size_t i) {
  return std::isfinite(curve.x[i]) && std::isfinite(curve.y[i]);
}

/// Indices of the points to draw: all of them, or first, lowest, highest and last of each picture column.
std::vector<std::size_t> thinned(const Curve& curve, const PlotAxis& x) {
  std::vector<std::size_t> keep;
  if (curve.x.size() <= kDense) {
    for (std::size_t i = 0; i < curve.x.size(); ++i) keep.push_back(i);
    return keep;
  }
  const auto column = [&](std::size_t i) { return static_cast<std::int64_t>(std::floor(x.place(curve.x[i]))); };
  for (std::size_t begin = 0, end = 0; begin < curve.x.size(); begin = end) {
    std::size_t least = begin, most = begin;
    for (end = begin; end < curve.x.size() && drawable(curve, end) && column(end) == column(begin); ++end) {
      if (curve.y[end] < curve.y[least]) least = end;
      if (curve.y[end] > curve.y[most]) most = end;
    }
    if (end == begin) {  // not drawable: kept, it interrupts the line
      keep.push_back(end++);
      continue;
    }
    for (const std::size_t i : {begin, std::min(least, most), std::max(least, most), end - 1}) {
      if (keep.empty() || keep.back() < i) keep.push_back(i);
    }
  }
  return keep;
}

/// stroke: the attributes of its line.
std::string draw_curve(const Curve& curve, const std::string& color, const std::string& stroke, const PlotAxis& x,
                       const PlotAxis& y) {
  std::string path, dots;
  const auto points = thinned(curve, x);
  bool pen_down = false;
  for (const std::size_t i : points) {
    if (!drawable(curve, i)) {
      pen_down = false;
      continue;
    }
    const std::string px = coordinate(x.place(curve.x[i]));
    const std::string py = coordinate(kHeight - y.place(curve.y[i]));
    path += cat(pen_down ? "L" : "M", px, ' ', py, '\n');
    pen_down = true;
    if (points.size() <= 100) {  // few points: show each, with its numbers
      dots += cat("<circle cx=\"", px, "\" cy=\"", py, "\" r=\"2.5\"><title>", xml_text(curve.name), ": ",
                  number_text(curve.x[i], 9), ", ", number_text(curve.y[i], 6), "</title></circle>\n");
    }
  }
  return cat("<path d=\"", path, "\" fill=\"none\" stroke-linejoin=\"round\"", stroke,
             " stroke-width=\"1.6\"/>\n<g fill=\"", color, "\">\n", dots, "</g>\n");
}

/// How the line of curve k is broken.
std::string dashes(std::size_t k) {
  static constexpr const char* kinds[] = {"", "6 3", "2 2", "8 2 2 2", "12 4", "1 4", "8 2 2 2 2 2", "4 6"};
  const std::string kind = kinds[k % std::size(kinds)];
  return kind.empty() ? "" : cat(" stroke-dasharray=\"", kind, "\"");
}

struct Plot {
  std::string body;
  double width = 0, height = 0;
};

/// Draws curves in one pair of axes.
Plot plot(const std::vector<Curve>& curves, const CurveOptions& options) {
  PlotAxis x{.log = options.log_x, .length = kWidth};
  PlotAxis y{.log = options.log_y, .length = kHeight};
  for (const Curve& curve : curves) {
    for (std::size_t i = 0; i < curve.x.size(); ++i) {
      if (!drawable(curve, i)) continue;
      require(!x.log || curve.x[i] > 0, curve.name, ": ", curve.x[i], " cannot be shown on a logarithmic axis");
      require(!y.log || curve.y[i] > 0, curve.name, ": ", curve.y[i], " cannot be shown on a logarithmic axis");
      x.include(curve.x[i]);
      y.include(curve.y[i]);
    }
  }
  require(x.low <= x.high, "there is no point to draw");
  x.widen(0);
  y.widen(0.04);

  double names = 0;
  for (const Curve& curve : curves) names = std::max(names, text_width(curve.name, 12));
  const bool legend = curves.size() > 1;
  PlotFrame frame =
      plot_frame(x, y, {options.title, options.x_title, options.y_title}, legend ? 42 + kSample + names : 40);
  Plot result{std::move(frame.begin), frame.width, frame.height};
  std::string& out = result.body;
  for (std::size_t k = 0; k < curves.size(); ++k) {
    const std::string color = options.grey ? "#222" : series_color(static_cast<std::int64_t>(k));
    const std::string stroke = cat(" stroke=\"", color, "\"", options.grey ? dashes(k) : "");
    out += draw_curve(curves[k], color, stroke, x, y);
    if (legend) {
      const double row = 10 + 20 * static_cast<double>(k);
      out += cat("<path d=\"M", kWidth + 14, ' ', row, "h", kSample, "\"", stroke, " stroke-width=\"2.5\"/>\n");
      out += svg_label(kWidth + 20 + kSample, row + 4, "", curves[k].name);
    }
  }
  out += "</g>\n";
  return result;
}

/// "loss" of "train_loss" and "valid_loss".
std::string quantity(const std::string& name) {
  const bool split = name.starts_with("train_") || name.starts_with("valid_");
  return split ? name.substr(6) : name;
}

bool has_points(const Curve& curve) {
  for (std::size_t i = 0; i < curve.x.size(); ++i)
    if (drawable(curve, i)) return true;
  return false;
}

}  // namespace

std::vector<Curve> read_curves(std::istream& in, const std::string& name, const std::string& x,
                               const std::vector<std::string>& ys) {
  std::string line;
  std::int64_t number = 0;
  require(read_line(in, line, number), name, ": no line with column names");
  const std::vector<std::string> names = split(line, '\t');
  const auto find = [&](const std::string& column) {
    const auto at = std::find(names.begin(), names.end(), column);
    if (at == names.end()) {
      std::string known;
      for (const std::string& each : names) known += cat(known.empty() ? "" : ", ", each);
      throw Error(cat(name, ": no column ", column, ", there are ", known));
    }
    return static_cast<std::size_t>(at - names.begin());
  };
  const std::size_t x_column = x.empty() ? 0 : find(x);
  std::vector<std::size_t> columns;
  std::vector<Curve> curves;
  for (const std::string& y : ys) columns.push_back(find(y));
  for (std::size_t c = 0; ys.empty() && c < names.size(); ++c) {
    if (c != x_column) columns.push_back(c);
  }
  require(!columns.empty(), name, ": nothing to draw: the only column is ", names[x_column], ", the horizontal axis");
  for (const std::size_t c : columns) curves.push_back({names[c], {}, {}});

  while (read_line(in, line, number)) {
    const std::vector<std::string> cells = split(line, '\t');
    require(cells.size() == names.size(), name, ": line ", number, ": ", cells.size(), " cells do not match ",
            names.size(), " column names");
    const auto value = [&](std::size_t column) {
      const std::string& cell = cells[column];
      double parsed = 0;
      const auto end = std::from_chars(cell.data(), cell.data() + cell.size(), parsed);
      require(end.ec == std::errc() && end.ptr == cell.data() + cell.size(), name, ": line ", number, ": column ",
              names[column], ": ", cell, " is not a number");
      return parsed;
    };
    if (cells[x_column].empty()) continue;
    for (std::size_t k = 0; k < curves.size(); ++k) {
      if (cells[columns[k]].empty()) continue;
      curves[k].x.push_back(value(x_column));
      curves[k].y.push_back(value(columns[k]));
    }
  }
  const bool any = std::any_of(curves.begin(), curves.end(), [](const Curve& curve) { return !curve.x.empty(); });
  require(any, name, ": no row has a point to draw");
  return curves;
}

std::vector<Curve> load_curves(const std::string& path, const std::string& x, const std::string& ys) {
  const auto bytes = ByteSource(path).read_all();
  std::istringstream in(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  return read_curves(in, input_name(path), x, ys.empty() ? std::vector<std::string>{} : split(ys, ','));
}

std::string draw_curves(const std::vector<Curve>& curves, const CurveOptions& options) {
  const Plot all = plot(curves, options);
  return svg_open(all.width, all.height, options.title) + all.body + "</svg>\n";
}

std::string draw_panels(const std::vector<Curve>& curves, const CurveOptions& options) {
  std::vector<std::pair<std::string, std::vector<Curve>>> panels;
  for (const Curve& curve : curves) {
    if (!has_points(curve)) continue;
    const std::string name = quantity(curve.name);
    auto panel = std::find_if(panels.begin(), panels.end(), [&](const auto& each) { return each.first == name; });
    if (panel == panels.end()) panel = panels.insert(panels.end(), {name, {}});
    panel->second.push_back(curve);
  }
  require(!panels.empty(), "there is no point to draw");
  double width = 0, height = options.title.empty() ? 0 : 40;
  std::string body;
  if (!options.title.empty()) body += svg_label(30, 28, " font-weight=\"bold\"", options.title, 16);
  for (const auto& [name, members] : panels) {
    CurveOptions of_panel = options;
    of_panel.title = name;
    const Plot one = plot(members, of_panel);
    body += cat("<g transform=\"translate(0 ", coordinate(height), ")\">\n", one.body, "</g>\n");
    width = std::max(width, one.width);
    height += one.height;
  }
  return svg_open(width, height, options.title) + body + "</svg>\n";
}

}  // namespace pipeformer
