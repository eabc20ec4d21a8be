#include "text/growing_text.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace pipeformer {

std::size_t settled_length(std::string_view text) {
  constexpr std::string_view replacement = "\xEF\xBF\xBD";
  while (text.ends_with(replacement)) text.remove_suffix(replacement.size());
  // The last lead byte, if it is one of the last three, and whether its character is whole.
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return text.size() - (length > back ? back : 0);
  }
  return text.size();
}

std::string GrowingText::next(const std::vector<std::int32_t>& ids, bool last) {
  const std::string text = tokenizer_.decode(ids);
  require(text.starts_with(shown_),
          "the tokenizer changes text that is written already: decode without --stream, and "
          "tokenize --decode, write this text");
  const std::size_t settled = last ? text.size() : settled_length(text);
  if (settled <= shown_.size()) return {};
  std::string more = text.substr(shown_.size(), settled - shown_.size());
  shown_ += more;
  return more;
}

}  // namespace pipeformer
