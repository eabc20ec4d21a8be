/// UTF-8 (RFC 3629): code points in and out of byte strings.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pipeformer {

constexpr char32_t replacement_character = 0xFFFD;

/// One step through a text: the code point at `at` and its length in bytes. An invalid part gives the replacement
/// character with valid = false and the length of its maximal subpart (Unicode 3.9, table 3-8), so stepping by length
/// never stalls.
struct Utf8Step {
  char32_t code;
  std::size_t length;
  bool valid;
};
Utf8Step utf8_step(std::string_view text, std::size_t at);

void append_utf8(std::string& text, char32_t code);   ///< `code` must be a Unicode scalar value.
std::u32string utf8_to_codes(std::string_view text);  ///< Invalid parts become the replacement character.

/// Byte offset of the first invalid UTF-8 sequence (no overlong forms, no surrogates), or npos.
std::size_t find_invalid_utf8(std::string_view text);
/// Each maximal invalid part replaced by U+FFFD, as Unicode chapter 3 (and Python's errors="replace") does.
std::string replace_invalid_utf8(std::string_view text);

/// What Python's str.split() takes for white space; sacreBLEU's tokens end there.
bool is_unicode_space(char32_t code);

/// Lower case as Python's str.lower(): one letter for one, except U+0130 and the final sigma.
std::string lowercase_utf8(std::string_view text);

}  // namespace pipeformer
