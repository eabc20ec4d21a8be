#include "text/utf8.hpp"

#include <algorithm>
#include <clocale>
#include <cstdint>
#include <cstring>
#include <cwctype>

#include "core/error.hpp"

namespace pipeformer {

Utf8Step utf8_step(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> unsigned { return static_cast<unsigned char>(text[at + i]); };
  const std::size_t left = text.size() - at;
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  std::size_t length = 0;
  // The second byte is bounded more tightly after some leads: that excludes overlong forms, surrogates and codes past
  // 10FFFF.
  unsigned low = 0x80, high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {replacement_character, 1, false};
  }
  char32_t code = lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if (i == left || byte(i) < low || byte(i) > high) return {replacement_character, i, false};
    code = code << 6 | (byte(i) & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  return {code, length, true};
}

void append_utf8(std::string& text, char32_t code) {
  const auto put = [&](char32_t value) { text.push_back(static_cast<char>(value)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
    }
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

std::u32string utf8_to_codes(std::string_view text) {
  std::u32string codes;
  codes.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    codes.push_back(step.code);
    at += step.length;
  }
  return codes;
}

std::size_t find_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    std::uint64_t eight = 0;
    if (text.size() - at >= sizeof eight) {
      std::memcpy(&eight, text.data() + at, sizeof eight);
      if ((eight & 0x8080808080808080) == 0) {  // ASCII
        at += sizeof eight;
        continue;
      }
    }
    const Utf8Step step = utf8_step(text, at);
    if (!step.valid) return at;
    at += step.length;
  }
  return std::string_view::npos;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    append_utf8(out, step.code);
    at += step.length;
  }
  return out;
}

bool is_unicode_space(char32_t code) {
  switch (code) {
    case 0x20:
    case 0x85:
    case 0xA0:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x202F:
    case 0x205F:
    case 0x3000:
      return true;
    default:
      return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x1F) || (code >= 0x2000 && code <= 0x200A);
  }
}

namespace {

/// The Unicode tables of the C library, whatever the user's locale.
locale_t unicode_locale() {
  static const locale_t locale = [] {
    for (const char* name : {"C.UTF-8", "C.utf8", "en_US.UTF-8"}) {
      if (const locale_t found = newlocale(LC_CTYPE_MASK, name, nullptr)) return found;
    }
    throw Error("lower case needs the C.UTF-8 locale, which this system lacks");
  }();
  return locale;
}

}  // namespace

std::string lowercase_utf8(std::string_view text) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
    std::string lower(text);
    for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    return lower;
  }
  const locale_t locale = unicode_locale();
  const std::u32string codes = utf8_to_codes(text);
  const auto is_letter = [&](std::size_t i) {
    return i < codes.size() && iswalpha_l(static_cast<wint_t>(codes[i]), locale);
  };
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < codes.size(); ++i) {
    if (codes[i] == 0x130) {  // Capital dotted I: the one letter whose lower case is two code points.
      out += "i\xCC\x87";
    } else if (codes[i] == 0x3A3 && i > 0 && is_letter(i - 1) && !is_letter(i + 1)) {  // Sigma at the end of a word.
      append_utf8(out, 0x3C2);
    } else {
      append_utf8(out, static_cast<char32_t>(towlower_l(static_cast<wint_t>(codes[i]), locale)));
    }
  }
  return out;
}

}  // namespace pipeformer
