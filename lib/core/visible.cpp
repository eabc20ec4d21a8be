#include "core/visible.hpp"

#include <cstdint>
#include <cstdio>

namespace pipeformer {
namespace {

/// The length of the UTF-8 sequence at the beginning of `text` and its code point; length 0 when it is none.
struct Sequence {
  std::size_t length;
  std::uint32_t code;
};
Sequence first_sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {1, lead};
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return {0, 0};
  std::uint32_t code = lead & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {0, 0};
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool scalar = code >= least[length] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  return {scalar ? length : 0, code};
}

bool is_control(std::uint32_t code) {
  return (code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7f && code < 0xa0);
}

bool is_formatting(std::uint32_t code) {
  return code == 0x061c || code == 0x200e || code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

}  // namespace

std::string visible(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  char escape[12];
  while (!text.empty()) {
    const auto [length, code] = first_sequence(text);
    const std::size_t taken = length == 0 ? 1 : length;
    if (length == 0 || is_control(code)) {
      std::snprintf(escape, sizeof escape, "\\x%02x", length == 0 ? static_cast<unsigned char>(text[0]) : code);
      shown += escape;
    } else if (is_formatting(code)) {
      std::snprintf(escape, sizeof escape, "\\u%04x", code);
      shown += escape;
    } else {
      shown += text.substr(0, taken);
    }
    text.remove_prefix(taken);
  }
  return shown;
}

}  // namespace pipeformer
