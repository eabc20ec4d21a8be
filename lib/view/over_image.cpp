#include "view/over_image.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/axes.hpp"
#include "core/error.hpp"
#include "text/hf/base64.hpp"
#include "view/heatmap.hpp"
#include "view/plot_axes.hpp"
#include "view/png.hpp"
#include "view/svg.hpp"

namespace pipeformer {
namespace {

constexpr const char* kInk = "#d42a1a";
constexpr double kDensest = 0.8, kDarkest = 0.85;  // opacities

/// Channels last; of a model's (3, H, W), too.
Array channels_last(const Array& image) {
  const bool first = image.rank() == 3 && image.shape[0] == 3 && image.shape[2] != 3;
  return first ? transpose(image, {1, 2, 0}) : image;
}

/// An image as PNG, in grey.
std::string grey_image(const Array& image) {
  const bool colored = image.rank() == 3;
  require(image.rank() == 2 || (colored && (image.shape[2] == 3 || image.shape[2] == 1)),
          "an image is (H, W) or (H, W, 3), not ", shape_text(image.shape));
  require(image.size() > 0, "an image of shape ", shape_text(image.shape), " has no pixels");
  const Array wide = image.as(DType::f8);
  const auto values = wide.values<double>();
  const std::size_t channels = colored ? static_cast<std::size_t>(image.shape[2]) : 1;
  std::vector<double> grey;
  for (std::size_t i = 0; i < values.size(); i += channels)
    grey.push_back(channels == 3 ? 0.299 * values[i] + 0.587 * values[i + 1] + 0.114 * values[i + 2]  // ITU-R BT.601
                                 : values[i]);
  double low = 0, high = 255;
  if (image.dtype != DType::u1) {
    const auto [least, most] = std::minmax_element(grey.begin(), grey.end());
    low = *least, high = *most;
    require(std::isfinite(low) && std::isfinite(high), "an image with pixels that are not finite");
  }
  std::vector<std::uint8_t> pixels;
  for (const double value : grey)
    pixels.push_back(static_cast<std::uint8_t>(
        high > low ? std::lround(255 * std::clamp((value - low) / (high - low), 0.0, 1.0)) : 128));
  return grey_png(image.shape[0], image.shape[1], pixels);
}

/// The grid that was asked for, or the square that leaves at most two keys for other tokens.
OverImage fitted(OverImage over, std::int64_t keys) {
  if (over.down == 0) {
    over.down = over.across = static_cast<std::int64_t>(std::sqrt(static_cast<double>(keys)));
    const std::int64_t others = keys - over.down * over.across;
    require(others <= 2, keys, " keys are no square of patches: --grid ROWSxCOLUMNS says how they lie");
  }
  require(over.down * over.across <= keys, "a grid of ", over.down, " x ", over.across, " patches does not fit ", keys,
          " keys");
  return over;
}

/// The weights of the query over the patches, and in the caption what the other tokens have.
DrawnMatrix over_patches(const DrawnMatrix& m, const OverImage& over) {
  require(over.query < m.rows, "there is no query ", over.query, ", the weights have ", m.rows);
  const std::int64_t others = m.columns - over.down * over.across;
  DrawnMatrix patches{m.caption, over.down, over.across, {}};
  double rest = 0;
  for (std::int64_t c = 0; c < m.columns; ++c) {
    const double value = m.at(over.query, c);
    c < others ? void(rest += value) : patches.cells.push_back(value);
  }
  if (others > 0)
    patches.caption +=
        cat(patches.caption.empty() ? "" : ", ", others == 1 ? "other token " : "other tokens ", number_text(rest, 2));
  return patches;
}

double opacity(double value, const ColorScale& scale) {
  if (std::isnan(value)) return 0;
  return scale.grey ? kDarkest * (1 - scale.place(value)) : kDensest * scale.place(value);
}

std::string draw_patches(const DrawnMatrix& m, double width, double height, const HeatmapOptions& options,
                         const ColorScale& scale) {
  const double w = width / static_cast<double>(m.columns), h = height / static_cast<double>(m.rows);
  std::string out = cat("<g fill=\"", scale.grey ? "#000" : kInk, "\">\n"), words;
  for (std::int64_t r = 0; r < m.rows; ++r)
    for (std::int64_t c = 0; c < m.columns; ++c) {
      const double x = static_cast<double>(c) * w, y = static_cast<double>(r) * h, value = m.at(r, c);
      out += cat("<rect x=\"", coordinate(x), "\" y=\"", coordinate(y), "\" width=\"", coordinate(w), "\" height=\"",
                 coordinate(h), "\" fill-opacity=\"", number_text(opacity(value, scale), 3), "\"><title>patch ", r,
                 ", ", c, ": ", number_text(value, 6), "</title></rect>\n");
      if (options.numbers)
        words += svg_label(x + w / 2, y + h / 2 + 3.5,
                           " text-anchor=\"middle\" stroke=\"#fff\" stroke-width=\"2.5\" paint-order=\"stroke\"",
                           cell_text(value, true), 10);
    }
  return out + "</g>\n" + words;
}

std::string stops_of_ink(const ColorScale& scale) {
  std::string out;
  for (const int i : {0, 1})
    out += cat("<stop offset=\"", 100 * i, "%\" stop-color=\"", scale.grey ? "#000" : kInk, "\" stop-opacity=\"",
               scale.grey ? kDarkest * (1 - i) : kDensest * i, "\"/>\n");
  return out;
}

std::string draw(const Array& image, const HeatmapPart& part, OverImage over, const HeatmapOptions& options) {
  std::vector<DrawnMatrix> panels = drawn_matrices(part, options.mean);
  over = fitted(over, panels[0].columns);
  for (DrawnMatrix& m : panels) m = over_patches(m, over);
  ColorScale scale = color_scale(panels, options, part.where);
  scale.diverging = false;
  const std::string png = grey_image(image);
  const double longest = panels.size() == 1 ? 480 : panels.size() <= 4 ? 300 : 200;
  const auto rows = static_cast<double>(image.shape[0]), columns = static_cast<double>(image.shape[1]);
  const double width = std::max(20.0, longest * columns / std::max(rows, columns));
  const double height = std::max(20.0, longest * rows / std::max(rows, columns));
  double step_x = width + 20;
  for (const DrawnMatrix& m : panels) step_x = std::max(step_x, text_width(m.caption, 12) + 20);
  const double step_y = height + 40;
  const auto count = std::ssize(panels);
  const auto across = std::max<std::int64_t>(
      1, std::min(count, std::lround(std::sqrt(1.4 * static_cast<double>(count) * step_y / step_x))));
  const std::int64_t down = (count + across - 1) / across;
  const std::string title = !options.title.empty() || part.name.empty() ? options.title : part.name;
  const double top = title.empty() ? 16 : 46;
  const double total = 24 + static_cast<double>(across) * step_x;
  std::string out =
      svg_open(std::max(total + 70, 40 + text_width(title, 16)), top + static_cast<double>(down) * step_y, title);
  out += cat("<defs><image id=\"image\" width=\"", coordinate(width), "\" height=\"", coordinate(height),
             "\" preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64,",
             hf::to_base64(png), "\"/></defs>\n");
  if (!title.empty()) out += svg_label(24, 30, " font-weight=\"bold\"", title, 16);
  for (std::int64_t p = 0; p < count; ++p) {
    const DrawnMatrix& m = panels[static_cast<std::size_t>(p)];
    const std::int64_t row = p / across, column = p % across;
    const double x = 24 + static_cast<double>(column) * step_x, y = top + static_cast<double>(row) * step_y;
    out += cat("<g transform=\"translate(", coordinate(x), ' ', coordinate(y + 20), ")\">\n",
               m.caption.empty() ? "" : svg_label(0, -6, " font-weight=\"bold\"", m.caption, 12),
               "<use href=\"#image\"/>\n", draw_patches(m, width, height, options, scale), "</g>\n");
  }
  const double bar = std::clamp(height, 60.0, 220.0);
  return cat(out, "<g transform=\"translate(", coordinate(total), ' ', coordinate(top + 20), ")\">\n",
             "<rect width=\"14\" height=\"", coordinate(bar), "\" fill=\"#aaa\"/>\n",
             draw_legend(scale, stops_of_ink(scale), bar, false), "</g>\n</svg>\n");
}

}  // namespace

std::string draw_over_image(const Array& image, const HeatmapPart& part, const OverImage& over,
                            const HeatmapOptions& options) {
  try {
    return draw(channels_last(image), part, over, options);
  } catch (const Error& error) {
    throw Error(part.where.empty() || std::string(error.what()).starts_with(part.where)
                    ? error.what()
                    : cat(part.where, ": ", error.what()));
  }
}

}  // namespace pipeformer
