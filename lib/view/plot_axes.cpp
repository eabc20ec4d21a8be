#include "view/plot_axes.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "view/svg.hpp"

namespace pipeformer {
namespace {

constexpr int kTicksAcross = 8, kTicksUp = 7;  // about

std::string draw_axes(const PlotAxis& x, const PlotAxis& y) {
  std::string out = "<g stroke=\"#e4e4e4\">\n";
  for (const double tick : x.ticks(kTicksAcross))
    out += cat("<path d=\"M", coordinate(x.place(tick)), " 0v", y.length, "\"/>\n");
  for (const double tick : y.ticks(kTicksUp))
    out += cat("<path d=\"M0 ", coordinate(y.length - y.place(tick)), "h", x.length, "\"/>\n");
  out += cat("</g>\n<path d=\"M0 0v", y.length, "h", x.length, "\" fill=\"none\" stroke=\"#888\"/>\n");
  for (const double tick : x.ticks(kTicksAcross))
    out += svg_label(x.place(tick), y.length + 18, " text-anchor=\"middle\"", number_text(tick, 6));
  for (const double tick : y.ticks(kTicksUp))
    out += svg_label(-8, y.length - y.place(tick) + 4, " text-anchor=\"end\"", number_text(tick, 6));
  return out;
}

}  // namespace

void PlotAxis::include(double value) {
  whole = whole && value == std::round(value);
  low = std::min(low, scaled(value));
  high = std::max(high, scaled(value));
}

void PlotAxis::widen(double share) {
  const double room = high > low ? share * (high - low) : std::max(0.5, 0.1 * std::abs(low));
  if (share > 0 || !(high > low)) low -= room, high += room;
}

std::vector<double> PlotAxis::ticks(int count) const {
  std::vector<double> all;
  if (!log) {
    all = round_ticks(low, high, count);
    if (whole) std::erase_if(all, [](double tick) { return std::abs(tick - std::round(tick)) > 1e-6; });
    return all;
  }
  const int decades = static_cast<int>(std::floor(high) - std::floor(low)) + 1;
  const int every = std::max(1, decades / 8);
  const std::vector<int> digits = decades <= 2   ? std::vector<int>{1, 2, 3, 4, 5, 7}
                                  : decades <= 4 ? std::vector<int>{1, 2, 5}
                                                 : std::vector<int>{1};
  for (int decade = static_cast<int>(std::floor(low)); decade <= high; decade += every) {
    for (const int digit : digits) {
      const double tick = digit * std::pow(10.0, decade);
      if (scaled(tick) >= low - 1e-9 && scaled(tick) <= high + 1e-9) all.push_back(tick);
    }
  }
  // An axis too short for decades has round values.
  return all.size() >= 2 ? all : round_ticks(std::pow(10.0, low), std::pow(10.0, high), count);
}

std::string svg_label(double x, double y, const std::string& attributes, const std::string& text, double size) {
  return cat("<text x=\"", coordinate(x), "\" y=\"", coordinate(y), "\" font-size=\"", size, "\"", attributes, ">",
             xml_text(text), "</text>\n");
}

PlotFrame plot_frame(const PlotAxis& x, const PlotAxis& y, const PlotTitles& titles, double beside) {
  double widest = 0;
  for (const double tick : y.ticks(kTicksUp)) widest = std::max(widest, text_width(number_text(tick, 6), 12));
  const double left = 30 + widest + (titles.y.empty() ? 0 : 22);
  const double top = titles.title.empty() ? 24 : 52;
  PlotFrame frame{"", left + x.length + beside, top + y.length + (titles.x.empty() ? 36 : 60)};
  std::string& out = frame.begin;
  if (!titles.title.empty()) out += svg_label(left, 32, " font-weight=\"bold\"", titles.title, 16);
  out += cat("<g transform=\"translate(", coordinate(left), ' ', top, ")\">\n", draw_axes(x, y));
  if (!titles.x.empty())
    out += svg_label(x.length / 2, y.length + 44, " text-anchor=\"middle\" fill=\"#555\"", titles.x, 13);
  if (!titles.y.empty()) {
    const std::string place = cat(" text-anchor=\"middle\" fill=\"#555\" transform=\"rotate(-90 ",
                                  coordinate(28 - left), ' ', y.length / 2, ")\"");
    out += svg_label(28 - left, y.length / 2, place, titles.y, 13);
  }
  return frame;
}

}  // namespace pipeformer
