#include "io/number_text.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

#include "core/error.hpp"

namespace pipeformer {
namespace {

template <class T>
void append_number(std::string_view word, const TextLines& lines, Buffer<std::byte>& bytes) {
  T x{};
  if (word.front() == '+') word.remove_prefix(1);
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), x);
  require(error == std::errc() && end == word.data() + word.size(), lines.name(), ": line ", lines.count(), ": '", word,
          "' is no such number");
  bytes.resize(bytes.size() + sizeof(T));
  std::memcpy(bytes.data() + bytes.size() - sizeof(T), &x, sizeof(T));
}

/// Appends the numbers of a line; how many there are.
std::int64_t append_line(std::string_view line, DType type, const TextLines& lines, Buffer<std::byte>& bytes) {
  constexpr std::string_view kSeparators = " \t\r,";
  std::int64_t count = 0;
  for (std::size_t begin = 0;; ++count) {
    // A comma stands between two numbers: a field without one must not shift those that follow.
    const std::size_t next = std::min(line.size(), line.find_first_not_of(kSeparators, begin));
    const auto commas = std::count(line.begin() + static_cast<std::ptrdiff_t>(begin),
                                   line.begin() + static_cast<std::ptrdiff_t>(next), ',');
    require(commas <= (count > 0 && next < line.size() ? 1 : 0), lines.name(), ": line ", lines.count(),
            ": a field holds no number");
    if (next == line.size()) break;
    begin = next;
    const std::size_t end = std::min(line.size(), line.find_first_of(kSeparators, begin));
    const std::string_view word = line.substr(begin, end - begin);
    switch (type) {
      case DType::f8:
        append_number<double>(word, lines, bytes);
        break;
      case DType::i4:
        append_number<std::int32_t>(word, lines, bytes);
        break;
      case DType::i8:
        append_number<std::int64_t>(word, lines, bytes);
        break;
      default:
        append_number<float>(word, lines, bytes);
    }
    begin = end;
  }
  return count;
}

}  // namespace

std::optional<Array> read_numbers(TextLines& lines, DType type, bool matrices) {
  Array record;
  record.dtype = type;
  std::string_view line;
  if (!matrices) {
    if (!lines.next(line)) return std::nullopt;
    record.shape = {append_line(line, type, lines, record.bytes)};
    return record;
  }
  std::int64_t rows = 0, width = 0;
  while (lines.next(line)) {
    const std::int64_t count = append_line(line, type, lines, record.bytes);
    if (count == 0 && rows > 0) break;
    if (count == 0) continue;
    require(rows == 0 || count == width, lines.name(), ": line ", lines.count(), ": ", count,
            " numbers do not stand in a matrix of ", width, " columns");
    width = count;
    ++rows;
  }
  if (rows == 0) return std::nullopt;
  record.shape = {rows, width};
  return record;
}

}  // namespace pipeformer
