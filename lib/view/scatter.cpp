#include "view/scatter.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/error.hpp"
#include "text/utf8.hpp"
#include "view/svg.hpp"

namespace pipeformer {
namespace {

constexpr double kAcross = 680, kUp = 480;  // of the plot inside its axes
constexpr double kLabel = 11;               // font size
constexpr std::int64_t kLongest = 24;       // characters of a label in sight

struct Box {
  double left, top, right, bottom;
  bool meets(const Box& b) const { return left < b.right && b.left < right && top < b.bottom && b.top < bottom; }
};

/// Finds a place for each label: right of its point, left of it, above or below.
class Labels {
 public:
  /// Nothing when there is no room.
  std::string place(double x, double y, double radius, const std::string& text) {
    const double width = text_width(text, kLabel), gap = radius + 3;
    const Box candidates[] = {{x + gap, y - 6, x + gap + width, y + 6},
                              {x - gap - width, y - 6, x - gap, y + 6},
                              {x - width / 2, y - gap - 12, x + width / 2, y - gap},
                              {x - width / 2, y + gap, x + width / 2, y + gap + 12}};
    for (const Box& box : candidates) {
      if (box.left < 0 || box.right > kAcross || box.top < 0 || box.bottom > kUp) continue;
      if (std::any_of(taken_.begin(), taken_.end(), [&](const Box& other) { return box.meets(other); })) continue;
      taken_.push_back(box);
      return svg_label(box.left, box.bottom - 2, "", text, kLabel);
    }
    return {};
  }

 private:
  std::vector<Box> taken_;
};

}  // namespace

std::string draw_scatter(const std::vector<double>& x, const std::vector<double>& y, const ScatterOptions& options) {
  const std::vector<std::string>& labels = options.labels;
  require(labels.empty() || labels.size() == x.size(), labels.size(), " labels do not match ", x.size(), " points");
  PlotAxis across{.length = kAcross}, up{.length = kUp};
  constexpr double kMost = 1e300;  // differences of two are finite
  for (std::size_t i = 0; i < x.size(); ++i) {
    require(std::abs(x[i]) <= kMost && std::abs(y[i]) <= kMost, "point ", i, " (", number_text(x[i], 6), ", ",
            number_text(y[i], 6), ") has no place in the plane");
    across.include(x[i]);
    up.include(y[i]);
  }
  const std::size_t count = x.size();
  require(count > 0, "there is no point to draw");
  across.widen(0.05);
  up.widen(0.05);
  const PlotFrame frame = plot_frame(across, up, options.titles, 40);
  const double radius = count <= 200 ? 3 : count <= 2000 ? 2 : 1.2;
  std::string points, words;
  Labels placed;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double px = across.place(x[i]), py = kUp - up.place(y[i]);
    const std::string label = labels.empty() ? cat("point ", i) : replace_invalid_utf8(labels[i]);
    points += cat("<circle cx=\"", coordinate(px), "\" cy=\"", coordinate(py), "\" r=\"", radius, "\"><title>",
                  xml_text(label), ": ", number_text(x[i], 6), ", ", number_text(y[i], 6), "</title></circle>\n");
    if (!labels.empty()) words += placed.place(px, py, radius, elided(label, kLongest));
  }
  return cat(svg_open(frame.width, frame.height, options.titles.title), frame.begin, "<g fill=\"", series_color(0),
             "\" fill-opacity=\"0.75\">\n", points, "</g>\n", words, "</g>\n</svg>\n");
}

}  // namespace pipeformer
