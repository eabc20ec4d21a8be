/// What the pictures of lib/view share: numbers and texts as SVG wants them, colours, ticks. Lengths are in SVG user
/// units (px).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pipeformer {

/// A number as text, independent of the locale, with `digits` significant digits, or the shortest text that reads back
/// as the same double (or, for the float overload, the same float) when digits is 0. "nan", "inf", "-inf" as NumPy
/// prints them.
std::string number_text(double value, int digits = 0);
std::string number_text(float value, int digits = 0);

/// A coordinate: at most two decimals, no trailing zeros.
std::string coordinate(double);

/// Text as XML character data or attribute value: &<>"' escaped, invalid UTF-8 and control characters as U+FFFD.
std::string xml_text(std::string_view);
/// The first `limit` code points, with an ellipsis when something was cut.
std::string elided(std::string_view text, std::int64_t limit);
/// Estimated width of a text in a common sans-serif font: no font is opened, so that the bytes are the same everywhere.
double text_width(std::string_view text, double font_size);

/// Colours "#rrggbb" whose lightness is linear in OKLab (Ottosson 2020), so that equal steps of a value look equal.
std::string sequential_color(double t);        ///< 0 (almost white) .. 1 (dark indigo), clamped.
std::string diverging_color(double t);         ///< -1 (blue) .. 0 (almost white) .. 1 (red), clamped.
std::string grey_color(double t);              ///< 0 (almost white) .. 1 (almost black), clamped.
std::string series_color(std::int64_t index);  ///< Distinct colours for curves; repeats after eight.

/// Round values (1, 2, 5 times a power of ten) inside [low, high], about `count` of them; none for an empty interval.
std::vector<double> round_ticks(double low, double high, int count);

/// Opening of a self-contained picture: XML declaration, size, font, white ground.
std::string svg_open(double width, double height, std::string_view title);

}  // namespace pipeformer
