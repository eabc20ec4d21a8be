#include "text/hf/unicode.hpp"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/ubrk.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>
#include <unicode/uscript.h>
#include <unicode/utext.h>

#include <cstdint>
#include <cstring>

#include "core/error.hpp"
#include "text/utf8.hpp"

namespace pipeformer::hf {
namespace {

UChar32 icu(char32_t code) {
  return static_cast<UChar32>(code);
}
bool in_category(char32_t code, std::uint32_t mask) {
  return (U_GET_GC_MASK(icu(code)) & mask) != 0;
}

// The vocabularies were made with the tables of their time, and the library that defines the format still has them: of
// marks, punctuation and controls those of Unicode 8, of normalization and scripts those of Unicode 9. A later
// character is an unknown one there.
bool known_in(char32_t code, std::uint8_t version) {
  UVersionInfo age;
  u_charAge(icu(code), age);
  return age[0] <= version;
}

}  // namespace

bool is_space(char32_t code) {
  return u_isUWhiteSpace(icu(code));
}
bool is_word(char32_t code) {
  return u_isUAlphabetic(icu(code)) || in_category(code, U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK) ||
         u_hasBinaryProperty(icu(code), UCHAR_JOIN_CONTROL);
}
bool is_numeric(char32_t code) {
  return in_category(code, U_GC_N_MASK);
}
bool is_punctuation(char32_t code) {
  if (code < 0x80)
    return (code > 0x20 && code < 0x30) || (code > 0x39 && code < 0x41) || (code > 0x5A && code < 0x61) ||
           (code > 0x7A && code < 0x7F);
  return in_category(code, U_GC_P_MASK) && known_in(code, 8);
}
bool is_other(char32_t code) {
  return in_category(code, U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK | U_GC_CS_MASK) && known_in(code, 8);
}
bool is_mark(char32_t code) {
  return in_category(code, U_GC_M_MASK) && known_in(code, 9);
}
bool is_nonspacing_mark(char32_t code) {
  return in_category(code, U_GC_MN_MASK) && known_in(code, 8);
}

bool is_ideograph(char32_t code) {
  const auto between = [&](char32_t first, char32_t last) { return code >= first && code <= last; };
  return between(0x4E00, 0x9FFF) || between(0x3400, 0x4DBF) || between(0x20000, 0x2A6DF) || between(0x2A700, 0x2B73F) ||
         between(0x2B740, 0x2B81F) || between(0x2B920, 0x2CEAF) || between(0xF900, 0xFAFF) || between(0x2F800, 0x2FA1F);
}

int script_of(char32_t code) {
  if (code == 0x30FC) return USCRIPT_HAN;  // The mark of long vowels, which two scripts share.
  if (code == ' ') return any_script;
  UErrorCode error = U_ZERO_ERROR;
  const UScriptCode script = uscript_getScript(icu(code), &error);
  if (script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA) return USCRIPT_HAN;
  return script == USCRIPT_UNKNOWN || !known_in(code, 9) ? any_script : script;
}

void append_lowercase(std::string& text, char32_t code) {
  if (code == 0x130)
    text += "i\u0307";  // The one letter whose lower case is two.
  else
    append_utf8(text, static_cast<char32_t>(u_tolower(icu(code))));
}

namespace {

const icu::Normalizer2* normalizer_of(Form form, UErrorCode& error) {
  switch (form) {
    case Form::nfc:
      return icu::Normalizer2::getNFCInstance(error);
    case Form::nfd:
      return icu::Normalizer2::getNFDInstance(error);
    case Form::nfkc:
      return icu::Normalizer2::getNFKCInstance(error);
    case Form::nfkd:
      return icu::Normalizer2::getNFKDInstance(error);
  }
  return nullptr;
}

}  // namespace

std::size_t normalization_boundary(std::string_view text, std::size_t at, Form form) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = normalizer_of(form, error);
  require(U_SUCCESS(error), "ICU cannot normalize: ", u_errorName(error));
  for (at += utf8_step(text, at).length; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    if (normalizer->hasBoundaryBefore(icu(step.code))) break;
    at += step.length;
  }
  return at;
}

std::string normalize(std::string_view text, Form form) {
  if (is_ascii(text)) return std::string(text);
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = normalizer_of(form, error);
  std::string normal;
  icu::StringByteSink<std::string> sink(&normal, static_cast<std::int32_t>(text.size()));
  if (U_SUCCESS(error)) {
    static const icu::UnicodeSet* const known = [] {
      UErrorCode failure = U_ZERO_ERROR;
      return new icu::UnicodeSet(icu::UnicodeString("[[:age=9.0:][:Cn:]]"), failure);
    }();
    const icu::FilteredNormalizer2 then(*normalizer, *known);
    then.normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, nullptr, error);
  }
  require(U_SUCCESS(error), "ICU cannot normalize: ", u_errorName(error));
  return normal;
}

struct Graphemes::Iterator {
  UBreakIterator* breaks;
  UText* text;
};

Graphemes::Graphemes(std::string_view text) : text_(text) {}

Graphemes::~Graphemes() {
  if (!iterator_) return;
  ubrk_close(iterator_->breaks);
  utext_close(iterator_->text);
  delete iterator_;
}

std::size_t Graphemes::end_after(std::size_t at) {
  const auto ascii = [&](std::size_t i) { return static_cast<unsigned char>(text_[i]) < 0x80; };
  if (ascii(at) && (at + 1 == text_.size() || (ascii(at + 1) && text_[at + 1] != '\n'))) return at + 1;
  if (!iterator_) {  // Most lines need none.
    UErrorCode error = U_ZERO_ERROR;
    UText* utf8 = utext_openUTF8(nullptr, text_.data(), static_cast<std::int64_t>(text_.size()), &error);
    UBreakIterator* breaks = ubrk_open(UBRK_CHARACTER, "root", nullptr, 0, &error);
    ubrk_setUText(breaks, utf8, &error);
    require(U_SUCCESS(error), "ICU cannot find characters: ", u_errorName(error));
    iterator_ = new Iterator{breaks, utf8};
  }
  return static_cast<std::size_t>(ubrk_following(iterator_->breaks, static_cast<std::int32_t>(at)));
}

bool is_ascii(std::string_view text) {
  std::size_t i = 0;
  for (std::uint64_t eight = 0; text.size() - i >= sizeof eight; i += sizeof eight) {
    std::memcpy(&eight, text.data() + i, sizeof eight);
    if (eight & 0x8080808080808080) return false;
  }
  for (; i < text.size(); ++i)
    if (static_cast<unsigned char>(text[i]) >= 0x80) return false;
  return true;
}

}  // namespace pipeformer::hf
