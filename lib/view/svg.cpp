#include "view/svg.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "core/error.hpp"
#include "text/utf8.hpp"

namespace pipeformer {
namespace {

template <class T>
std::string to_text(T value, int digits) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 64> text{};
  const auto end =
      digits > 0 ? std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, digits)
                 : std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end.ptr};
}

/// Calls f(code point, end) for each character.
template <class F>
void each_code_point(std::string_view text, F f) {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    at += step.length;
    f(step.code, at);
  }
}

struct Lab {
  double lightness, a, b;
};

std::string srgb(const Lab& c) {
  const double l = std::pow(c.lightness + 0.3963377774 * c.a + 0.2158037573 * c.b, 3);
  const double m = std::pow(c.lightness - 0.1055613458 * c.a - 0.0638541728 * c.b, 3);
  const double s = std::pow(c.lightness - 0.0894841775 * c.a - 1.2914855480 * c.b, 3);
  const std::array<double, 3> linear{4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
                                     -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
                                     -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s};
  std::string text = "#";
  for (const double v : linear) {
    const double clipped = std::clamp(v, 0.0, 1.0);
    const double encoded = clipped <= 0.0031308 ? 12.92 * clipped : 1.055 * std::pow(clipped, 1 / 2.4) - 0.055;
    const int byte = static_cast<int>(std::lround(encoded * 255));
    text += "0123456789abcdef"[byte / 16];
    text += "0123456789abcdef"[byte % 16];
  }
  return text;
}

/// Lightness is linear along a table of equally spaced colours; between them OKLab is interpolated.
template <std::size_t N>
std::string from_table(const std::array<Lab, N>& table, double t) {
  const double at = std::clamp(t, 0.0, 1.0) * (N - 1);
  const std::size_t i = std::min(static_cast<std::size_t>(at), N - 2);
  const double f = at - static_cast<double>(i);
  const auto mix = [f](double x, double y) { return x + f * (y - x); };
  return srgb({mix(table[i].lightness, table[i + 1].lightness), mix(table[i].a, table[i + 1].a),
               mix(table[i].b, table[i + 1].b)});
}

}  // namespace

std::string number_text(double value, int digits) {
  return to_text(value, digits);
}
std::string number_text(float value, int digits) {
  return to_text(value, digits);
}

std::string coordinate(double value) {
  return number_text(std::round(value * 100) / 100);
}

std::string xml_text(std::string_view raw) {
  const std::string text = replace_invalid_utf8(raw);
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '\t':
        out += "&#9;";
        break;
      case '\n':
        out += "&#10;";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\xef\xbf\xbd";
        } else {
          out += c;
        }
    }
  }
  return out;
}

std::string elided(std::string_view text, std::int64_t limit) {
  std::int64_t seen = 0;
  std::size_t keep = 0;
  each_code_point(text, [&](char32_t, std::size_t end) {
    if (++seen < limit) keep = end;
  });
  return seen <= limit ? std::string(text) : std::string(text.substr(0, keep)) + "\xe2\x80\xa6";
}

double text_width(std::string_view text, double font_size) {
  double ems = 0;
  each_code_point(text, [&](char32_t code, std::size_t) {
    const bool narrow =
        code < 0x80 && std::string_view("ijlt.,:;!|'()[]fr1 ").find(static_cast<char>(code)) != std::string_view::npos;
    const bool wide = (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xd7ff) || code == 'm' ||
                      code == 'w' || code == 'M' || code == 'W' || (code >= 0xf900 && code <= 0xff60) ||
                      code >= 0x1f000;
    ems += narrow ? 0.38 : wide ? 1.0 : 0.62;
  });
  return ems * font_size;
}

std::string sequential_color(double t) {
  static constexpr std::array<Lab, 5> table{{{0.985, 0.000, 0.012},
                                             {0.804, -0.070, 0.020},
                                             {0.623, -0.075, -0.065},
                                             {0.441, -0.010, -0.125},
                                             {0.260, 0.040, -0.105}}};
  return from_table(table, t);
}

std::string diverging_color(double t) {
  static constexpr std::array<Lab, 5> table{
      {{0.400, -0.030, -0.130}, {0.690, -0.045, -0.085}, {0.980, 0, 0}, {0.690, 0.105, 0.065}, {0.400, 0.140, 0.075}}};
  return from_table(table, (t + 1) / 2);
}

std::string grey_color(double t) {
  static constexpr std::array<Lab, 2> table{{{0.985, 0, 0}, {0.2, 0, 0}}};
  return from_table(table, t);
}

std::string series_color(std::int64_t index) {
  static constexpr std::array<Lab, 8> table{{{0.52, -0.020, -0.130},
                                             {0.62, 0.140, 0.090},
                                             {0.60, -0.120, 0.070},
                                             {0.55, 0.090, -0.110},
                                             {0.70, 0.030, 0.130},
                                             {0.45, 0.000, 0.000},
                                             {0.65, -0.080, -0.060},
                                             {0.60, 0.170, -0.040}}};
  return srgb(table[static_cast<std::size_t>(index) % table.size()]);
}

std::vector<double> round_ticks(double low, double high, int count) {
  std::vector<double> ticks;
  if (!(high > low) || count < 1) return ticks;
  const double raw = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  const double step = raw <= power ? power : raw <= 2 * power ? 2 * power : raw <= 5 * power ? 5 * power : 10 * power;
  const double slack = 1e-9 * step;
  const double first = std::ceil((low - slack) / step);
  for (int i = 0; i <= 3 * count && (first + i) * step <= high + slack; ++i) {
    const std::string text = number_text((first + i) * step, 12);  // 3 * 0.1 as 0.3
    double tick = 0;
    std::from_chars(text.data(), text.data() + text.size(), tick);
    ticks.push_back(tick + 0.0);  // -0 as 0
  }
  return ticks;
}

std::string svg_open(double width, double height, std::string_view title) {
  const std::string w = coordinate(std::ceil(width));
  const std::string h = coordinate(std::ceil(height));
  std::string out =
      cat("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", w,
          "\" height=\"", h, "\" viewBox=\"0 0 ", w, " ", h,
          "\" font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\" fill=\"#222\">\n");
  if (!title.empty()) out += cat("<title>", xml_text(title), "</title>\n");
  return out + "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
}

}  // namespace pipeformer
