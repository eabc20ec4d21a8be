#include "metrics/numbers.hpp"

#include <charconv>
#include <cmath>

#include "core/error.hpp"

namespace pipeformer {

std::vector<double> line_numbers(std::string_view line) {
  constexpr std::string_view separators = " \t\r,";
  std::vector<double> numbers;
  for (std::size_t at = line.find_first_not_of(separators); at != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(separators, at), line.size());
    double value = 0.0;
    const char* begin = line.data() + at + (line[at] == '+' ? 1 : 0);
    const auto [stop, error] = std::from_chars(begin, line.data() + end, value);
    if (error != std::errc() || stop != line.data() + end || !std::isfinite(value)) {
      throw Error(cat("'", line.substr(at, end - at), "' is no finite number"));
    }
    numbers.push_back(value);
    at = line.find_first_not_of(separators, end);
  }
  return numbers;
}

}  // namespace pipeformer
