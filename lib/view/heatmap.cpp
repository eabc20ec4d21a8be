#include "view/heatmap.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.hpp"
#include "io/byte_source.hpp"
#include "text/utf8.hpp"
#include "view/svg.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t kMostCells = 65536;
constexpr double kCaption = 20;  // height of a caption line
constexpr double kSlant = 60;    // degrees by which column labels are turned

struct Matrix {
  std::string caption;
  std::int64_t rows = 0, columns = 0;
  std::vector<double> cells;
};

/// The colour scale: values to colours and to the legend's ticks.
struct Scale {
  double low = 0, high = 1;
  bool diverging = false;

  std::string color(double value) const {
    if (std::isnan(value)) return "#c8c8c8";
    const double t = high > low ? std::clamp((value - low) / (high - low), 0.0, 1.0) : 0.5;
    return diverging ? diverging_color(2 * t - 1) : sequential_color(t);
  }
};

/// One axis: its cells' size and what is written beside them.
struct Axis {
  std::int64_t count = 0, block = 1;  // block: elements of the record in one cell
  double cell = 1;
  double font = 11;
  std::vector<std::string> tokens;  // valid UTF-8
  std::string title;

  double length() const { return static_cast<double>(count) * cell; }
  /// The label of every n-th cell is drawn.
  std::int64_t stride(double room) const {
    if (!tokens.empty()) return 1;
    for (std::int64_t power = 1;; power *= 10) {
      for (const std::int64_t n : {power, 2 * power, 5 * power}) {
        if (static_cast<double>(n) * cell >= room) return n;
      }
    }
  }
  std::string label(std::int64_t i) const {
    return tokens.empty() ? std::to_string(i * block) : elided(tokens[static_cast<std::size_t>(i)], 24);
  }
  /// How the text of a hovering pointer names a cell.
  std::string place(std::int64_t i, const char* fallback) const {
    std::string text = cat(title.empty() ? fallback : title, ' ', i * block);
    if (block > 1) text += cat("..", (i + 1) * block - 1);
    return tokens.empty() ? text : cat(text, ' ', tokens[static_cast<std::size_t>(i)]);
  }
  double widest() const {
    double width = 0;
    for (std::int64_t i = 0; i < count; ++i) width = std::max(width, text_width(label(i), font));
    return width;
  }
};

std::vector<double> as_doubles(const Array& record) {
  const Array wide = record.dtype == DType::f8 ? record : record.as(DType::f8);
  const auto values = wide.values<double>();
  return {values.begin(), values.end()};
}

/// "head 3" for (H, Tq, Tk), "1, 3" for more axes, nothing for a matrix alone.
std::string caption(const Shape& shape, std::int64_t index) {
  if (shape.size() == 2) return "";
  if (shape.size() == 3) return cat("head ", index);
  std::string text;
  for (std::size_t axis = shape.size() - 2; axis-- > 0;) {
    text = cat(index % shape[axis], text.empty() ? "" : ", ", text);
    index /= shape[axis];
  }
  return text;
}

std::vector<Matrix> matrices(const Array& record) {
  const auto rank = record.shape.size();
  require(rank >= 2, "a heat map needs a matrix, not an array of shape ", shape_text(record.shape));
  require(record.size() > 0, "an array of shape ", shape_text(record.shape), " has no cells to draw");
  const std::vector<double> values = as_doubles(record);
  const std::int64_t rows = record.shape[rank - 2];
  const std::int64_t columns = record.shape[rank - 1];
  std::vector<Matrix> all;
  for (std::int64_t m = 0; m < record.size() / (rows * columns); ++m) {
    const auto begin = values.begin() + m * rows * columns;
    all.push_back({caption(record.shape, m), rows, columns, {begin, begin + rows * columns}});
  }
  return all;
}

/// Means over blocks of (height, width) cells; NaN is left out, a block of nothing else stays NaN.
Matrix reduced(const Matrix& m, std::int64_t height, std::int64_t width) {
  Matrix out{m.caption, (m.rows + height - 1) / height, (m.columns + width - 1) / width, {}};
  for (std::int64_t r = 0; r < out.rows; ++r) {
    for (std::int64_t c = 0; c < out.columns; ++c) {
      double sum = 0;
      std::int64_t count = 0;
      for (std::int64_t i = r * height; i < std::min(m.rows, (r + 1) * height); ++i) {
        for (std::int64_t j = c * width; j < std::min(m.columns, (c + 1) * width); ++j) {
          const double value = m.cells[static_cast<std::size_t>(i * m.columns + j)];
          if (!std::isnan(value)) sum += value, ++count;
        }
      }
      out.cells.push_back(count > 0 ? sum / static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN());
    }
  }
  return out;
}

Scale scale_of(const std::vector<Matrix>& all, const HeatmapOptions& options) {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const Matrix& m : all) {
    for (const double value : m.cells) {
      if (std::isfinite(value)) low = std::min(low, value), high = std::max(high, value);
    }
  }
  if (low > high) low = 0, high = 1;        // nothing finite
  if (low > 0 && low < high / 10) low = 0;  // weights and probabilities: the scale begins at nothing
  Scale scale{low, high, low < 0};
  if (scale.diverging) {
    scale.high = std::max(-low, high);
    scale.low = -scale.high;
  }
  if (options.low) scale.low = *options.low;
  if (options.high) scale.high = *options.high;
  if (options.low || options.high) {
    require(scale.low < scale.high, "lower end of the colour scale ", scale.low, " is not below the upper end ",
            scale.high);
    scale.diverging = scale.low == -scale.high;
  }
  return scale;
}

Axis make_axis(std::int64_t count, std::int64_t block, double target, const std::vector<std::string>& tokens,
               const std::string& title) {
  Axis axis;
  axis.count = count;
  axis.block = block;
  axis.title = title;
  if (block == 1) {
    for (const std::string& token : tokens) axis.tokens.push_back(replace_invalid_utf8(token));
  }
  axis.cell = std::clamp(std::floor(target / static_cast<double>(count)), axis.tokens.empty() ? 2.0 : 13.0, 24.0);
  axis.font = axis.tokens.empty() ? 10 : std::min(12.0, axis.cell - 2);
  return axis;
}

std::string text_at(double x, double y, double size, const std::string& attributes, const std::string& text) {
  return cat("<text x=\"", coordinate(x), "\" y=\"", coordinate(y), "\" font-size=\"", coordinate(size), "\"",
             attributes, ">", xml_text(text), "</text>\n");
}

/// The cells of one matrix; the origin is its upper left corner.
std::string draw_cells(const Matrix& m, const Axis& rows, const Axis& columns, const Scale& scale) {
  std::vector<std::string> places;
  for (std::int64_t c = 0; c < m.columns; ++c) places.push_back(xml_text(columns.place(c, "column")));
  const std::string size =
      cat("\" width=\"", coordinate(columns.cell), "\" height=\"", coordinate(rows.cell), "\" fill=\"");
  std::string out = "<g shape-rendering=\"crispEdges\">\n";
  for (std::int64_t r = 0; r < m.rows; ++r) {
    const std::string y = cat("\" y=\"", coordinate(static_cast<double>(r) * rows.cell));
    const std::string place = xml_text(rows.place(r, "row"));
    for (std::int64_t c = 0; c < m.columns; ++c) {
      const double value = m.cells[static_cast<std::size_t>(r * m.columns + c)];
      out += "<rect x=\"" + coordinate(static_cast<double>(c) * columns.cell) + y + size + scale.color(value) +
             "\"><title>" + place + ", " + places[static_cast<std::size_t>(c)] + ": " + number_text(value, 6) +
             "</title></rect>\n";
    }
  }
  return cat(out, "</g>\n<rect x=\"-0.5\" y=\"-0.5\" width=\"", coordinate(columns.length() + 1), "\" height=\"",
             coordinate(rows.length() + 1), "\" fill=\"none\" stroke=\"#888\"/>\n");
}

std::string draw_row_labels(const Axis& rows) {
  std::string out;
  const auto stride = rows.stride(14);
  for (std::int64_t i = 0; i < rows.count; i += stride) {
    out += text_at(-6, (static_cast<double>(i) + 0.5) * rows.cell + rows.font * 0.35, rows.font, " text-anchor=\"end\"",
                   rows.label(i));
  }
  return out;
}

std::string draw_column_labels(const Axis& columns) {
  std::string out;
  const auto stride = columns.stride(26);
  for (std::int64_t i = 0; i < columns.count; i += stride) {
    const double x = (static_cast<double>(i) + 0.5) * columns.cell;
    if (columns.tokens.empty()) {
      out += text_at(x, -6, columns.font, " text-anchor=\"middle\"", columns.label(i));
    } else {
      const double foot = x + columns.font * 0.3;
      out += text_at(foot, -5, columns.font, cat(" transform=\"rotate(-", kSlant, ' ', coordinate(foot), " -5)\""),
                     columns.label(i));
    }
  }
  return out;
}

/// A vertical bar with the ends and some round values between; the origin is its upper left corner.
std::string draw_legend(const Scale& scale, double height, bool has_nan) {
  constexpr int kStops = 32;
  std::string out = "<defs><linearGradient id=\"scale\" x1=\"0\" y1=\"1\" x2=\"0\" y2=\"0\">\n";
  for (int i = 0; i <= kStops; ++i) {
    const double t = static_cast<double>(i) / kStops;
    const std::string color = scale.high > scale.low
                                  ? (scale.diverging ? diverging_color(2 * t - 1) : sequential_color(t))
                                  : scale.color(scale.low);
    out += cat("<stop offset=\"", coordinate(100 * t), "%\" stop-color=\"", color, "\"/>\n");
  }
  out += cat("</linearGradient></defs>\n<rect width=\"14\" height=\"", coordinate(height),
             "\" fill=\"url(#scale)\" stroke=\"#888\"/>\n");
  std::vector<std::pair<double, double>> marks{{scale.low, height}};  // value, place
  if (scale.high > scale.low) {
    marks.emplace_back(scale.high, 0);
    for (const double tick : round_ticks(scale.low, scale.high, static_cast<int>(height / 40))) {
      const double y = height * (scale.high - tick) / (scale.high - scale.low);
      if (y > 12 && y < height - 12) marks.emplace_back(tick, y);
    }
  }
  for (const auto& [value, y] : marks) {
    out += cat("<path d=\"M14 ", coordinate(y), "h4\" stroke=\"#888\"/>\n",
               text_at(21, y + 3.5, 10, "", number_text(value, 3)));
  }
  if (has_nan) {
    out +=
        cat("<rect y=\"", coordinate(height + 14), "\" width=\"14\" height=\"14\" fill=\"#c8c8c8\" stroke=\"#888\"/>\n",
            text_at(21, height + 25, 10, "", "NaN"));
  }
  return out;
}

}  // namespace

std::vector<std::string> read_tokens(const std::string& path, std::int64_t line) {
  const auto bytes = ByteSource(path).read_all();
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (std::int64_t skipped = 0; skipped < line && !text.empty(); ++skipped) {
    text.remove_prefix(std::min(text.size(), text.find('\n') == text.npos ? text.size() : text.find('\n') + 1));
  }
  require(!text.empty(), input_name(path), ": no line for record ", line);
  text = text.substr(0, text.find('\n'));
  std::vector<std::string> tokens;
  for (std::size_t begin = 0; (begin = text.find_first_not_of(" \t\r", begin)) != text.npos;) {
    const std::size_t end = std::min(text.size(), text.find_first_of(" \t\r", begin));
    tokens.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return tokens;
}

Array mean_of_matrices(const Array& record) {
  const auto all = matrices(record);
  Array mean(DType::f8, {all[0].rows, all[0].columns});
  const auto values = mean.values<double>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = 0;
    for (const Matrix& m : all) values[i] += m.cells[i];
    values[i] /= static_cast<double>(all.size());
  }
  return mean;
}

std::string draw_heatmap(const Array& record, const HeatmapOptions& options) {
  std::vector<Matrix> all = matrices(record);
  if (options.mean) {
    const auto count = all.size();
    all = matrices(mean_of_matrices(record));
    if (count > 1) all[0].caption = cat("mean of ", count);
  }
  const auto panels = static_cast<std::int64_t>(all.size());
  require(panels <= kMostCells, "an array of shape ", shape_text(record.shape), " has too many matrices to draw");
  const Scale scale = scale_of(all, options);

  // Cells: as many as a viewer can show.
  const auto [full_rows, full_columns] = std::pair{all[0].rows, all[0].columns};
  const auto check = [](const std::vector<std::string>& tokens, std::int64_t count, const char* what) {
    require(tokens.empty() || static_cast<std::int64_t>(tokens.size()) == count, tokens.size(), ' ', what,
            " tokens do not match ", count, ' ', what, 's');
  };
  check(options.row_tokens, full_rows, "row");
  check(options.column_tokens, full_columns, "column");
  std::int64_t height = 1, width = 1;
  const auto blocks = [](std::int64_t n, std::int64_t block) { return (n + block - 1) / block; };
  while (panels * blocks(full_rows, height) * blocks(full_columns, width) > kMostCells &&
         (height < full_rows || width < full_columns)) {
    ++(blocks(full_rows, height) >= blocks(full_columns, width) ? height : width);
  }
  if (height > 1 || width > 1) {
    for (Matrix& m : all) {
      m = reduced(m, height, width);
      m.caption += cat(m.caption.empty() ? "" : ", ", "means of ", height, " x ", width);
    }
  }

  // Axes: square cells, unless that would make one side of the picture a thin line.
  const double target = panels == 1 ? 640 : 360;
  Axis rows = make_axis(all[0].rows, height, target, options.row_tokens, options.row_title);
  Axis columns = make_axis(all[0].columns, width, target, options.column_tokens, options.column_title);
  if (std::max(rows.cell, columns.cell) <= 4 * std::min(rows.cell, columns.cell)) {
    const bool labelled = !rows.tokens.empty() || !columns.tokens.empty();
    const double cell =
        labelled ? std::max(13.0, std::min(rows.cell, columns.cell)) : std::min(rows.cell, columns.cell);
    rows.cell = columns.cell = cell;
  }

  // One panel, and how many of them side by side come closest to the shape of a page.
  const bool captions = !all[0].caption.empty();
  constexpr double kPi = 3.14159265358979323846;
  const double slant = kSlant * kPi / 180;
  const double above = (columns.tokens.empty() ? 20 : columns.widest() * std::sin(slant) + 14);
  const double beside =
      columns.tokens.empty() ? 0 : columns.widest() * std::cos(slant);  // the last slanted label reaches out
  const double left = 24 + rows.widest() + 10 + (rows.title.empty() ? 0 : 20);
  const double top = 16 + (options.title.empty() ? 0 : 26) + (columns.title.empty() ? 0 : 20);
  const double step_x = std::max(columns.length(), text_width(all[0].caption, 12)) + std::max(24.0, beside);
  const double step_y = (captions ? kCaption : 0) + above + rows.length() + 22;
  std::int64_t across = 1;
  double best = std::numeric_limits<double>::infinity();
  for (std::int64_t n = 1; n <= panels; ++n) {
    const double extent =
        std::max(static_cast<double>(n) * step_x / 1.4, static_cast<double>(blocks(panels, n)) * step_y);
    if (extent < best - 1) best = extent, across = n;
  }
  const std::int64_t down = blocks(panels, across);
  const double grid_width = static_cast<double>(across) * step_x;
  const double grid_height = static_cast<double>(down) * step_y;

  bool has_nan = false;
  for (const Matrix& m : all) {
    for (const double value : m.cells) has_nan |= std::isnan(value);
  }
  const double legend_top = top + (captions ? kCaption : 0) + above;
  const double bar = std::clamp(grid_height - above - (captions ? kCaption : 0) - 22, 60.0, 220.0);
  const double total_width = std::max(left + grid_width + 76, 40 + text_width(options.title, 16));
  const double total_height = std::max(top + grid_height, legend_top + bar + (has_nan ? 50 : 20));

  std::string out = svg_open(total_width, total_height, options.title);
  if (!options.title.empty()) out += text_at(24, 30, 16, " font-weight=\"bold\"", options.title);
  for (std::int64_t p = 0; p < panels; ++p) {
    const std::int64_t column = p % across, row = p / across;
    const double x = left + static_cast<double>(column) * step_x;
    const double y = top + static_cast<double>(row) * step_y + (captions ? kCaption : 0) + above;
    out += cat("<g transform=\"translate(", coordinate(x), ' ', coordinate(y), ")\">\n");
    const Matrix& m = all[static_cast<std::size_t>(p)];
    if (captions) out += text_at(0, -above - 4, 12, " font-weight=\"bold\"", m.caption);
    if (p < across && !columns.title.empty()) {
      const double y_title = top - 4 - y;
      out += text_at(columns.length() / 2, y_title, 13, " text-anchor=\"middle\" fill=\"#555\"", columns.title);
    }
    out += draw_column_labels(columns);
    if (p % across == 0) {
      out += draw_row_labels(rows);
      if (!rows.title.empty()) {
        const std::string turn = cat("rotate(-90 ", coordinate(-left + 30), ' ', coordinate(rows.length() / 2), ')');
        out += text_at(-left + 30, rows.length() / 2, 13,
                       cat(" text-anchor=\"middle\" fill=\"#555\" transform=\"", turn, "\""), rows.title);
      }
    }
    out += draw_cells(m, rows, columns, scale) + "</g>\n";
  }
  out += cat("<g transform=\"translate(", coordinate(left + grid_width), ' ', coordinate(legend_top), ")\">\n",
             draw_legend(scale, bar, has_nan));
  return out + "</g>\n</svg>\n";
}

std::string draw_heatmap(const Array& record, const HeatmapOptions& options, const std::string& where) {
  try {
    return draw_heatmap(record, options);
  } catch (const Error& error) {
    throw Error(cat(where, ": ", error.what()));
  }
}

}  // namespace pipeformer
