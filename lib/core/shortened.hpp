/// Texts from files inside messages.
#pragma once
#include <string>
#include <string_view>

namespace pipeformer {

/// A text as messages repeat it: its first 60 bytes, cut between UTF-8 characters, and "..." when that is not all.
inline std::string shortened(std::string_view text) {
  constexpr std::size_t most = 60;
  if (text.size() <= most) return std::string(text);
  std::size_t end = most;
  while (end > 0 && (text[end] & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

}  // namespace pipeformer
