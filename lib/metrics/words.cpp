#include "metrics/words.hpp"

#include <unicode/uchar.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "text/utf8.hpp"

namespace pipeformer {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

void replace_entities(std::string& text) {
  if (text.find('&') == std::string::npos) return;
  replace_all(text, "&quot;", "\"");
  replace_all(text, "&amp;", "&");
  replace_all(text, "&lt;", "<");
  replace_all(text, "&gt;", ">");
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_stop(char c) {
  return c == '.' || c == ',';
}

/// ASCII punctuation and symbols except the apostrophe, comma, full stop and hyphen; the space too, which makes no
/// difference.
bool is_mark(char c) {
  return c == ' ' || c == '/' ||
         (c != '\'' && !is_stop(c) && c != '-' && is_ascii_punctuation(static_cast<unsigned char>(c)));
}

/// Replaces pairs of items that match `first` and `second`, each pair consumed whole, by what `join` appends.
template <class Text, class First, class Second, class Join>
void substitute_pairs(Text& text, First first, Second second, Join join) {
  Text out;
  out.reserve(text.size() + text.size() / 4);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i + 1 < text.size() && first(text[i]) && second(text[i + 1])) {
      join(out, text[i], text[i + 1]);
      ++i;
    } else {
      out.push_back(text[i]);
    }
  }
  text.swap(out);
}

/// The substitutions of mteval-v13a, each over the whole line before the next, matches not overlapping. They look at
/// ASCII only, so bytes will do for characters.
void separate_marks(std::string& text) {
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  for (const char c : text) {
    if (is_mark(c)) {
      out.append({' ', c, ' '});
    } else {
      out.push_back(c);
    }
  }
  text.swap(out);
}
void separate_stops_and_dashes(std::string& text) {
  const auto not_digit = [](char c) { return !is_digit(c); };
  const auto is_dash = [](char c) { return c == '-'; };
  const auto after_both = [](std::string& out, char a, char b) { out.append({a, ' ', b, ' '}); };
  const auto around_first = [](std::string& out, char a, char b) { out.append({' ', a, ' ', b}); };
  substitute_pairs(text, not_digit, is_stop, after_both);
  substitute_pairs(text, is_stop, not_digit, around_first);
  substitute_pairs(text, is_digit, is_dash, after_both);
}

std::string mteval_13a(std::string_view line) {
  std::string text(line);
  replace_all(text, "<skipped>", "");
  replace_entities(text);
  text.insert(0, 1, ' ').push_back(' ');
  separate_marks(text);
  separate_stops_and_dashes(text);
  return text;
}

std::string utf8(const std::u32string& codes) {
  std::string text;
  text.reserve(codes.size());
  for (const char32_t code : codes) append_utf8(text, code);
  return text;
}

bool in_category(char32_t code, std::uint32_t mask) {
  return (U_MASK(u_charType(static_cast<UChar32>(code))) & mask) != 0;
}

std::string mteval_14_international(std::string_view line) {
  std::u32string text = utf8_to_codes(line);
  const auto not_number = [](char32_t c) { return !in_category(c, U_GC_N_MASK); };
  const auto punctuation = [](char32_t c) { return in_category(c, U_GC_P_MASK); };
  substitute_pairs(text, not_number, punctuation, [](std::u32string& out, char32_t a, char32_t b) {
    out.append({a, U' ', b, U' '});
  });
  substitute_pairs(text, punctuation, not_number, [](std::u32string& out, char32_t a, char32_t b) {
    out.append({U' ', a, U' ', b});
  });
  std::u32string out;
  for (const char32_t c : text) {
    if (in_category(c, U_GC_S_MASK)) {
      out.append({U' ', c, U' '});
    } else {
      out.push_back(c);
    }
  }
  return utf8(out);
}

using Range = std::pair<char32_t, char32_t>;

/// A space on both sides of the characters in the ranges.
void separate(std::u32string& text, std::span<const Range> ranges) {
  std::u32string out;
  out.reserve(text.size());
  for (const char32_t c : text) {
    if (std::any_of(ranges.begin(), ranges.end(), [c](const Range& r) { return r.first <= c && c <= r.second; })) {
      out.append({U' ', c, U' '});
    } else {
      out.push_back(c);
    }
  }
  text.swap(out);
}

/// What sacreBLEU takes for a Chinese character. Its table means two ranges above U+FFFF, but writes them so that they
/// begin at U+2001 and at U+2F81: general punctuation, arrows and mathematical signs are cut off, rare ideographs not.
constexpr std::array<Range, 22> zh_ranges{
    {{0x2001, 0x2A6D}, {0x2E80, 0x2EFF}, {0x2F00, 0x2FDF}, {0x2F81, 0x2FA1}, {0x2FF0, 0x2FFF}, {0x3000, 0x303F},
     {0x3100, 0x312F}, {0x31A0, 0x31BF}, {0x31C0, 0x31EF}, {0x3200, 0x32FF}, {0x3300, 0x33FF}, {0x3400, 0x4DB5},
     {0x4E00, 0x9FA5}, {0x9FA6, 0x9FBB}, {0xF900, 0xFA2D}, {0xFA30, 0xFA6A}, {0xFA70, 0xFAD9}, {0xFE10, 0xFE1F},
     {0xFE30, 0xFE4F}, {0xFF00, 0xFFEF}, {0x2600, 0x26FF}, {0x2700, 0x27BF}}};

std::string chinese(std::string_view line) {
  std::u32string codes = utf8_to_codes(line);
  // White space at the ends goes first: a full stop at the very end, after a digit, stays with it.
  while (!codes.empty() && is_unicode_space(codes.back())) codes.pop_back();
  codes.erase(codes.begin(), std::find_if_not(codes.begin(), codes.end(), is_unicode_space));
  separate(codes, zh_ranges);
  std::string text = utf8(codes);
  separate_marks(text);
  separate_stops_and_dashes(text);
  return text;
}

std::string characters(std::string_view line) {
  std::string out;
  for (std::size_t at = 0; at < line.size();) {
    const Utf8Step step = utf8_step(line, at);
    at += step.length;
    append_utf8(out, step.code);
    out.push_back(' ');
  }
  return out;
}

/// Chinese and Japanese as Tercom cuts them: ideographs, radicals, compatibility forms, and (by an odd upper bound of
/// the reference) all between enclosed letters and U+3F22.
constexpr std::array<Range, 8> ter_asian{{{0x4E00, 0x9FFF},
                                          {0x3400, 0x4DBF},
                                          {0x31C0, 0x31EF},
                                          {0x2E80, 0x2EFF},
                                          {0x3300, 0x33FF},
                                          {0xF900, 0xFAFF},
                                          {0xFE30, 0xFE4F},
                                          {0x3200, 0x3F22}}};
constexpr std::array<Range, 14> ter_asian_punctuation{{{0x3001, 0x3002},
                                                       {0x3008, 0x3011},
                                                       {0x3014, 0x301F},
                                                       {0xFF61, 0xFF65},
                                                       {0x30FB, 0x30FB},
                                                       {0xFF0E, 0xFF0E},
                                                       {0xFF0C, 0xFF0C},
                                                       {0xFF1F, 0xFF1F},
                                                       {0xFF1A, 0xFF1A},
                                                       {0xFF1B, 0xFF1B},
                                                       {0xFF01, 0xFF01},
                                                       {0xFF02, 0xFF02},
                                                       {0xFF08, 0xFF08},
                                                       {0xFF09, 0xFF09}}};

}  // namespace

Words::Words(std::string text) : text_(std::move(text)) {
  if (find_invalid_utf8(text_) != std::string::npos) text_ = replace_invalid_utf8(text_);
  const std::string_view all = text_;
  std::size_t begin = 0;
  const auto end_word = [&](std::size_t end) {
    if (end > begin) words_.push_back(all.substr(begin, end - begin));
  };
  for (std::size_t at = 0; at < all.size();) {
    const Utf8Step step = utf8_step(all, at);
    if (is_unicode_space(step.code)) {
      end_word(at);
      begin = at + step.length;
    }
    at += step.length;
  }
  end_word(all.size());
}

std::string tokenized(std::string_view line, BleuTokens tokens) {
  switch (tokens) {
    case BleuTokens::mteval13a:
      return mteval_13a(line);
    case BleuTokens::intl:
      return mteval_14_international(line);
    case BleuTokens::zh:
      return chinese(line);
    case BleuTokens::character:
      return characters(line);
    case BleuTokens::none:
      break;
  }
  return std::string(line);
}

std::string ter_normalized(std::string_view line, const TerNormalization& how) {
  std::string text = how.case_sensitive ? std::string(line) : lowercase_utf8(line);
  if (how.normalized) {
    replace_entities(text);
    text.insert(0, 1, ' ').push_back(' ');
    separate_marks(text);
    replace_all(text, "'s ", " 's ");
    separate_stops_and_dashes(text);
    if (how.asian_support) {
      std::u32string codes = utf8_to_codes(text);
      separate(codes, ter_asian);
      separate(codes, ter_asian_punctuation);
      text = utf8(codes);
    }
  }
  if (how.no_punct) {
    std::erase_if(text, [](char c) { return std::string_view(".,?:;!\"()").find(c) != std::string_view::npos; });
    if (how.asian_support) {
      std::u32string codes = utf8_to_codes(text);
      std::erase_if(codes, [](char32_t c) {
        return std::any_of(ter_asian_punctuation.begin(), ter_asian_punctuation.end(),
                           [c](const Range& r) { return r.first <= c && c <= r.second; });
      });
      text = utf8(codes);
    }
  }
  return text;
}

}  // namespace pipeformer
