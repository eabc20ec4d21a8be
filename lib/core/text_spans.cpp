#include "core/text_spans.hpp"

namespace pipeformer {

TextSpan span_of_characters(std::span<const std::int32_t> offsets, std::int32_t begin, std::int32_t end) {
  std::int32_t first = -1, last = -1;
  for (std::size_t t = 0; 3 * t < offsets.size(); ++t) {
    const std::int32_t from = offsets[3 * t + 1], to = offsets[3 * t + 2];
    if (offsets[3 * t] != 1 || from >= to) continue;
    if (from <= begin && begin < to && first < 0) first = static_cast<std::int32_t>(t);
    if (from < end && end <= to) last = static_cast<std::int32_t>(t);
  }
  return begin < end && first >= 0 && last >= first ? TextSpan{first, last} : TextSpan{};
}

}  // namespace pipeformer
