#include <algorithm>
#include <cmath>
#include <string_view>

#include "core/error.hpp"
#include "text/utf8.hpp"
#include "view/heatmap.hpp"
#include "view/svg.hpp"

namespace pipeformer {
namespace {

constexpr std::string_view kShades = " .:-=+*#%@";
constexpr std::int64_t kCellsAcross = 100, kCellsDown = 100;  // cells
constexpr std::int64_t kLongestRow = 20, kTallestColumn = 12;

std::int64_t letters(const std::string& text) {
  return std::ssize(utf8_to_codes(text));
}

std::string padded(const std::string& text, std::int64_t width) {
  return std::string(static_cast<std::size_t>(std::max<std::int64_t>(width - letters(text), 0)), ' ') + text;
}

/// What stands beside rows and above columns.
std::vector<std::string> labels_of(const std::vector<std::string>& tokens, std::int64_t count, std::int64_t block,
                                   std::int64_t longest) {
  std::vector<std::string> labels;
  for (std::int64_t i = 0; i < count; ++i)
    labels.push_back(tokens.empty() || block > 1
                         ? std::to_string(i * block)
                         : elided(replace_invalid_utf8(tokens[static_cast<std::size_t>(i)]), longest));
  return labels;
}

std::int64_t longest_of(const std::vector<std::string>& labels) {
  std::int64_t longest = 0;
  for (const std::string& label : labels) longest = std::max(longest, letters(label));
  return longest;
}

/// A value as two characters: its shade twice, or its sign and the shade of its size.
std::string shade(double value, const ColorScale& scale) {
  if (std::isnan(value)) return "??";
  const double t = scale.place(value), size = scale.diverging ? std::abs(2 * t - 1) : t;
  const char c = kShades[static_cast<std::size_t>(std::lround(size * static_cast<double>(kShades.size() - 1)))];
  return {scale.diverging && c != ' ' ? (t < 0.5 ? '-' : '+') : c, c};
}

/// The tokens of the columns, upright, their last letters in the line above the cells.
std::string upright(const std::vector<std::string>& labels, std::int64_t margin, std::int64_t cell) {
  std::vector<std::u32string> codes;
  for (const std::string& label : labels) codes.push_back(utf8_to_codes(label));
  const std::int64_t height = longest_of(labels);
  std::string out;
  for (std::int64_t line = 0; line < height; ++line) {
    std::string text(static_cast<std::size_t>(margin), ' ');
    for (const std::u32string& code : codes) {
      const std::int64_t at = line - (height - std::ssize(code));
      std::string letter = " ";
      if (at >= 0) letter.clear(), append_utf8(letter, code[static_cast<std::size_t>(at)]);
      text += std::string(static_cast<std::size_t>(cell - 1), ' ') + letter;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  }
  return out;
}

}  // namespace

std::string write_heatmap_text(const std::vector<HeatmapPart>& parts, const HeatmapOptions& options) {
  std::vector<std::vector<DrawnMatrix>> panels;
  std::vector<DrawnMatrix> all;
  for (const HeatmapPart& part : parts) {
    panels.push_back(drawn_matrices(part, options.mean));
    all.insert(all.end(), panels.back().begin(), panels.back().end());
  }
  require(!all.empty(), "there is nothing to draw");
  const ColorScale scale = color_scale(all, options, parts[0].where);
  const bool small = all_small(all);
  std::string out = options.title.empty() ? "" : options.title + "\n\n";
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].name.empty()) out += parts[i].name + "\n";
    for (DrawnMatrix m : panels[i]) {
      const std::int64_t height = (m.rows + kCellsDown - 1) / kCellsDown,
                         width = (m.columns + kCellsAcross - 1) / kCellsAcross;
      if (height > 1 || width > 1) m = reduced(m, height, width);
      const auto rows = labels_of(parts[i].row_tokens, m.rows, height, kLongestRow);
      const auto columns = labels_of(parts[i].column_tokens, m.columns, width, kTallestColumn);
      std::int64_t cell = 2;
      for (const double value : m.cells)
        if (options.numbers) cell = std::max(cell, std::ssize(cell_text(value, small)) + 1);
      const std::int64_t margin = longest_of(rows) + 1;
      if (!m.caption.empty()) out += m.caption + "\n";
      out += upright(columns, margin, cell);
      for (std::int64_t r = 0; r < m.rows; ++r) {
        std::string line = padded(rows[static_cast<std::size_t>(r)], margin - 1) + " ";
        for (std::int64_t c = 0; c < m.columns; ++c)
          line += options.numbers ? padded(cell_text(m.at(r, c), small), cell) : shade(m.at(r, c), scale);
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
      }
      out += "\n";
    }
  }
  if (options.numbers) return out;
  return out + cat(scale.diverging ? cat("-@ ", number_text(scale.low, 3), ", ")
                                   : cat("' ' ", number_text(scale.low, 3), ", "),
                   scale.diverging ? "+@ " : "@ ", number_text(scale.high, 3), "\n");
}

}  // namespace pipeformer
