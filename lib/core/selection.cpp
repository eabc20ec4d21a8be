#include "core/selection.hpp"

#include <algorithm>
#include <charconv>

#include "core/error.hpp"

namespace pipeformer {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator)
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

Selection::Selection(const std::string& text, const std::string& what) {
  if (text.empty()) return;
  const auto number = [&](const std::string& digits) {
    std::int64_t n = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
    if (error != std::errc() || end != digits.data() + digits.size() || n < 0)
      throw UsageError(cat(what, ": '", text, "' is no selection: numbers and ranges from 0, as in 0,2-4"));
    return n;
  };
  for (const std::string& part : split(text, ',')) {
    const std::size_t dash = part.find('-');
    const std::int64_t first = number(part.substr(0, dash));
    const std::int64_t last = dash == std::string::npos ? first : number(part.substr(dash + 1));
    if (last < first || (!ranges_.empty() && first <= ranges_.back().second))
      throw UsageError(cat(what, ": '", text, "' is no selection: its numbers must ascend"));
    ranges_.emplace_back(first, last);
  }
}

bool Selection::has(std::int64_t n) const {
  return all() || std::any_of(ranges_.begin(), ranges_.end(),
                              [&](const auto& range) { return range.first <= n && n <= range.second; });
}

std::int64_t Selection::before(std::int64_t n) const {
  if (all()) return n;
  std::int64_t count = 0;
  for (const auto& [first, last] : ranges_) count += std::max<std::int64_t>(std::min(last + 1, n) - first, 0);
  return count;
}

std::int64_t Selection::largest() const {
  return ranges_.empty() ? -1 : ranges_.back().second;
}

std::vector<std::int64_t> Selection::below(std::int64_t n) const {
  std::vector<std::int64_t> numbers;
  for (std::int64_t i = 0; i < n; ++i)
    if (has(i)) numbers.push_back(i);
  return numbers;
}

}  // namespace pipeformer
