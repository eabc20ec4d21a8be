#include "view/heatmap.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.hpp"
#include "text/utf8.hpp"
#include "view/plot_axes.hpp"
#include "view/svg.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t kMostCells = 65536;
constexpr double kCaption = 20;  // height of a caption line
constexpr double kName = 26;     // of a part's name
constexpr double kSlant = 60;    // degrees by which column labels are turned
constexpr double kNumber = 9;    // font size of numbers in cells

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

/// A part on the page: its matrices, so many of them side by side.
struct Section {
  std::string name;
  std::vector<DrawnMatrix> panels;
  Axis rows, columns;
  bool captions = false;
  std::int64_t across = 1, down = 1;
  double left = 0, above = 0, step_x = 0, step_y = 0;  // of a panel: labels beside and above it, and its place

  double title_height() const { return columns.title.empty() ? 0 : 20; }
  double head() const { return (name.empty() ? 0 : kName) + title_height(); }
  double width() const { return left + static_cast<double>(across) * step_x; }
  double height() const { return head() + static_cast<double>(down) * step_y; }
};

std::int64_t blocks(std::int64_t n, std::int64_t block) {
  return (n + block - 1) / block;
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

/// Cells: as many as a viewer can show, of `most` in this part.
void reduce(Section& section, std::int64_t most, std::int64_t& height, std::int64_t& width) {
  const std::int64_t rows = section.panels[0].rows, columns = section.panels[0].columns;
  const auto panels = std::ssize(section.panels);
  require(panels <= most, panels, " matrices are too many to draw");
  height = width = 1;
  while (panels * blocks(rows, height) * blocks(columns, width) > most && (height < rows || width < columns))
    ++(blocks(rows, height) >= blocks(columns, width) ? height : width);
  if (height == 1 && width == 1) return;
  for (DrawnMatrix& m : section.panels) m = reduced(m, height, width);
}

/// Square cells, unless that would make one side of the picture a thin line; with numbers in them they hold these.
void set_cells(Section& section, double widest_number) {
  Axis &rows = section.rows, &columns = section.columns;
  if (std::max(rows.cell, columns.cell) <= 4 * std::min(rows.cell, columns.cell)) {
    const bool labelled = !rows.tokens.empty() || !columns.tokens.empty();
    const double cell =
        labelled ? std::max(13.0, std::min(rows.cell, columns.cell)) : std::min(rows.cell, columns.cell);
    rows.cell = columns.cell = cell;
  }
  if (widest_number == 0) return;
  columns.cell = std::max(columns.cell, std::ceil(widest_number + 6));
  rows.cell = std::max(rows.cell, kNumber + 9);
}

/// How many panels side by side come closest to the shape of a page.
void arrange(Section& s) {
  constexpr double kPi = 3.14159265358979323846;
  const double slant = kSlant * kPi / 180;
  s.captions = !s.panels[0].caption.empty();
  s.above = s.columns.tokens.empty() ? 20 : s.columns.widest() * std::sin(slant) + 14;
  const double beside =
      s.columns.tokens.empty() ? 0 : s.columns.widest() * std::cos(slant);  // the last slanted label reaches out
  s.left = 24 + s.rows.widest() + 10 + (s.rows.title.empty() ? 0 : 20);
  double caption = 0;
  for (const DrawnMatrix& m : s.panels) caption = std::max(caption, text_width(m.caption, 12));
  s.step_x = std::max(s.columns.length(), caption) + std::max(24.0, beside);
  s.step_y = (s.captions ? kCaption : 0) + s.above + s.rows.length() + 22;
  const auto panels = std::ssize(s.panels);
  double best = std::numeric_limits<double>::infinity();
  for (std::int64_t n = 1; n <= panels; ++n) {
    const double extent =
        std::max(static_cast<double>(n) * s.step_x / 1.4, static_cast<double>(blocks(panels, n)) * s.step_y);
    if (extent < best - 1) best = extent, s.across = n;
  }
  s.down = blocks(panels, s.across);
}

double widest_number(const std::vector<DrawnMatrix>& panels, bool small) {
  double widest = 0;
  for (const DrawnMatrix& m : panels)
    for (const double value : m.cells) widest = std::max(widest, text_width(cell_text(value, small), kNumber));
  return widest;
}

/// The cells of one matrix; the origin is its upper left corner.
std::string draw_cells(const DrawnMatrix& m, const Section& s, const ColorScale& scale) {
  const Axis &rows = s.rows, &columns = s.columns;
  std::vector<std::string> places;
  for (std::int64_t c = 0; c < m.columns; ++c) places.push_back(xml_text(columns.place(c, "column")));
  const std::string size =
      cat("\" width=\"", coordinate(columns.cell), "\" height=\"", coordinate(rows.cell), "\" fill=\"");
  std::string out = "<g shape-rendering=\"crispEdges\">\n";
  for (std::int64_t r = 0; r < m.rows; ++r) {
    const std::string y = cat("\" y=\"", coordinate(static_cast<double>(r) * rows.cell));
    const std::string place = xml_text(rows.place(r, "row"));
    for (std::int64_t c = 0; c < m.columns; ++c) {
      const double value = m.at(r, c);
      out += "<rect x=\"" + coordinate(static_cast<double>(c) * columns.cell) + y + size + scale.color(value) +
             "\"><title>" + place + ", " + places[static_cast<std::size_t>(c)] + ": " + number_text(value, 6) +
             "</title></rect>\n";
    }
  }
  return cat(out, "</g>\n<rect x=\"-0.5\" y=\"-0.5\" width=\"", coordinate(columns.length() + 1), "\" height=\"",
             coordinate(rows.length() + 1), "\" fill=\"none\" stroke=\"#888\"/>\n");
}

std::string draw_numbers(const DrawnMatrix& m, const Section& s, const ColorScale& scale, bool small) {
  std::string out = "<g text-anchor=\"middle\" pointer-events=\"none\">\n";
  for (std::int64_t r = 0; r < m.rows; ++r)
    for (std::int64_t c = 0; c < m.columns; ++c) {
      const double value = m.at(r, c);
      out +=
          svg_label((static_cast<double>(c) + 0.5) * s.columns.cell, (static_cast<double>(r) + 0.5) * s.rows.cell + 3.2,
                    scale.dark(value) ? " fill=\"#fff\"" : "", cell_text(value, small), kNumber);
    }
  return out + "</g>\n";
}

std::string draw_row_labels(const Axis& rows) {
  std::string out;
  const auto stride = rows.stride(14);
  for (std::int64_t i = 0; i < rows.count; i += stride)
    out += svg_label(-6, (static_cast<double>(i) + 0.5) * rows.cell + rows.font * 0.35, " text-anchor=\"end\"",
                     rows.label(i), rows.font);
  return out;
}

std::string draw_column_labels(const Axis& columns) {
  std::string out;
  const auto stride = columns.stride(26);
  for (std::int64_t i = 0; i < columns.count; i += stride) {
    const double x = (static_cast<double>(i) + 0.5) * columns.cell;
    if (columns.tokens.empty()) {
      out += svg_label(x, -6, " text-anchor=\"middle\"", columns.label(i), columns.font);
    } else {
      const double foot = x + columns.font * 0.3;
      out += svg_label(foot, -5, cat(" transform=\"rotate(-", kSlant, ' ', coordinate(foot), " -5)\""),
                       columns.label(i), columns.font);
    }
  }
  return out;
}

/// A section whose upper edge is at `top`.
std::string draw_section(const Section& s, double top, const ColorScale& scale, const HeatmapOptions& options,
                         bool small) {
  std::string out;
  if (!s.name.empty()) out += svg_label(24, top + 16, " font-weight=\"bold\"", s.name, 14);
  for (std::int64_t p = 0; p < std::ssize(s.panels); ++p) {
    const std::int64_t column = p % s.across, row = p / s.across;
    const double x = s.left + static_cast<double>(column) * s.step_x;
    const double y = top + s.head() + static_cast<double>(row) * s.step_y + (s.captions ? kCaption : 0) + s.above;
    out += cat("<g transform=\"translate(", coordinate(x), ' ', coordinate(y), ")\">\n");
    const DrawnMatrix& m = s.panels[static_cast<std::size_t>(p)];
    if (s.captions) out += svg_label(0, -s.above - 4, " font-weight=\"bold\"", m.caption, 12);
    if (p < s.across && !s.columns.title.empty())
      out += svg_label(s.columns.length() / 2, top + s.head() - 4 - y, " text-anchor=\"middle\" fill=\"#555\"",
                       s.columns.title, 13);
    out += draw_column_labels(s.columns);
    if (column == 0) {
      out += draw_row_labels(s.rows);
      if (!s.rows.title.empty()) {
        const double middle = s.rows.length() / 2;
        const std::string turn = cat("rotate(-90 ", coordinate(-s.left + 30), ' ', coordinate(middle), ')');
        out += svg_label(-s.left + 30, middle, cat(" text-anchor=\"middle\" fill=\"#555\" transform=\"", turn, "\""),
                         s.rows.title, 13);
      }
    }
    out += draw_cells(m, s, scale) + (options.numbers ? draw_numbers(m, s, scale, small) : "") + "</g>\n";
  }
  return out;
}

std::string stops_of(const ColorScale& scale) {
  constexpr int kStops = 32;
  std::string out;
  for (int i = 0; i <= kStops; ++i) {
    const double t = static_cast<double>(i) / kStops;
    out += cat("<stop offset=\"", coordinate(100 * t), "%\" stop-color=\"",
               scale.high > scale.low ? scale.color_at(t) : scale.color(scale.low), "\"/>\n");
  }
  return out;
}

}  // namespace

std::string draw_legend(const ColorScale& scale, const std::string& stops, double height, bool has_nan) {
  std::string out = cat("<defs><linearGradient id=\"scale\" x1=\"0\" y1=\"1\" x2=\"0\" y2=\"0\">\n", stops,
                        "</linearGradient></defs>\n<rect width=\"14\" height=\"", coordinate(height),
                        "\" fill=\"url(#scale)\" stroke=\"#888\"/>\n");
  std::vector<std::pair<double, double>> marks{{scale.low, height}};  // value, place
  if (scale.high > scale.low) {
    marks.emplace_back(scale.high, 0);
    for (const double tick : round_ticks(scale.low, scale.high, static_cast<int>(height / 40))) {
      const double y = height * (scale.high - tick) / (scale.high - scale.low);
      if (y > 12 && y < height - 12) marks.emplace_back(tick, y);
    }
  }
  for (const auto& [value, y] : marks)
    out += cat("<path d=\"M14 ", coordinate(y), "h4\" stroke=\"#888\"/>\n",
               svg_label(21, y + 3.5, "", number_text(value, 3), 10));
  if (has_nan)
    out += cat("<rect y=\"", coordinate(height + 14), "\" width=\"14\" height=\"14\" fill=\"", scale.color(NAN),
               "\" stroke=\"#888\"/>\n", svg_label(21, height + 25, "", "NaN", 10));
  return out;
}

std::string draw_heatmap(const std::vector<HeatmapPart>& parts, const HeatmapOptions& options) {
  std::vector<Section> sections;
  std::vector<DrawnMatrix> all;
  for (const HeatmapPart& part : parts) {
    sections.push_back({part.name, drawn_matrices(part, options.mean), {}, {}});
    all.insert(all.end(), sections.back().panels.begin(), sections.back().panels.end());
  }
  require(!all.empty(), "there is nothing to draw");
  const ColorScale scale = color_scale(all, options, parts[0].where);
  const bool small = all_small(all);
  const bool has_nan = std::any_of(all.begin(), all.end(), [](const DrawnMatrix& m) {
    return std::any_of(m.cells.begin(), m.cells.end(), [](double value) { return std::isnan(value); });
  });
  const double target = all.size() == 1 ? 640 : 360;
  double width = 0, height = 16 + (options.title.empty() ? 0 : 26.0);
  const double top = height;
  for (std::size_t i = 0; i < sections.size(); ++i) {
    Section& s = sections[i];
    std::int64_t block_rows = 1, block_columns = 1;
    reduce(s, kMostCells / std::ssize(sections), block_rows, block_columns);
    const DrawnMatrix& first = s.panels[0];
    s.rows = make_axis(first.rows, block_rows, target, parts[i].row_tokens, parts[i].row_title);
    s.columns = make_axis(first.columns, block_columns, target, parts[i].column_tokens, parts[i].column_title);
    set_cells(s, options.numbers ? widest_number(s.panels, small) : 0);
    arrange(s);
    width = std::max(width, s.width());
    height += s.height();
  }
  const Section& first = sections[0];
  const double labels = first.head() + (first.captions ? kCaption : 0) + first.above;
  const double bar = std::clamp(first.height() - labels - 22, 60.0, 220.0);
  const double total_width = std::max(width + 76, 40 + text_width(options.title, 16));
  std::string out = svg_open(total_width, std::max(height, top + labels + bar + (has_nan ? 50 : 20)), options.title);
  if (options.grey && has_nan)
    out +=
        "<defs><pattern id=\"nan\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\">"
        "<path d=\"M0 5L5 0\" stroke=\"#777\"/></pattern></defs>\n";
  if (!options.title.empty()) out += svg_label(24, 30, " font-weight=\"bold\"", options.title, 16);
  double y = top;
  for (const Section& s : sections) {
    out += draw_section(s, y, scale, options, small);
    y += s.height();
  }
  return cat(out, "<g transform=\"translate(", coordinate(width), ' ', coordinate(top + labels), ")\">\n",
             draw_legend(scale, stops_of(scale), bar, has_nan), "</g>\n</svg>\n");
}

}  // namespace pipeformer
