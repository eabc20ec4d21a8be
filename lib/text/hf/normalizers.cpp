#include "text/hf/normalizers.hpp"

#include <vector>

#include "core/error.hpp"
#include "text/charsmap.hpp"
#include "text/hf/base64.hpp"
#include "text/hf/byte_level.hpp"
#include "text/hf/patterns.hpp"
#include "text/hf/unicode.hpp"
#include "text/utf8.hpp"

namespace pipeformer::hf {
namespace {

/// Each character is changed by itself: `put(text, code)` appends what becomes of it.
template <class Put>
bool map_characters(std::string& text, Origins* origins, Put put) {
  Rewriting writing(text, origins);
  bool head_gone = false;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    put(writing.out, step.code);
    head_gone |= at == 0 && writing.out.empty();
    writing.follow(at, at + step.length);
    at += step.length;
  }
  writing.finish();
  return head_gone;
}

template <class Gone>
bool remove_characters(std::string& text, Origins* origins, Gone gone) {
  return map_characters(text, origins, [&](std::string& out, char32_t code) {
    if (!gone(code)) append_utf8(out, code);
  });
}

void lowercase(std::string& text, Origins* origins) {
  if (is_ascii(text)) {
    for (char& c : text)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  } else {
    map_characters(text, origins, append_lowercase);
  }
}

void normalize_in_place(std::string& text, Origins* origins, Form form) {
  if (is_ascii(text)) return;
  if (!origins) {
    text = normalize(text, form);
    return;
  }
  // What comes before such a boundary does not change what comes after it.
  Rewriting writing(text, origins);
  for (std::size_t at = 0, end; at < text.size(); at = end) {
    end = normalization_boundary(text, at, form);
    writing.out += normalize(std::string_view(text).substr(at, end - at), form);
    writing.follow(at, end);
  }
  writing.finish();
}

class Sequence final : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}
  bool apply(std::string& text, Origins* origins) const override {
    bool head_gone = false;
    for (const auto& step : steps_) head_gone |= step->apply(text, origins);
    return head_gone;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

class Unicode final : public Normalizer {
 public:
  explicit Unicode(Form form) : form_(form) {}
  bool apply(std::string& text, Origins* origins) const override {
    normalize_in_place(text, origins, form_);
    return false;
  }

 private:
  Form form_;
};

class Bert final : public Normalizer {
 public:
  explicit Bert(JsonObject& object)
      : clean_text_(object.boolean("clean_text", true)),
        ideographs_(object.boolean("handle_chinese_chars", true)),
        lowercase_(object.boolean("lowercase", true)),
        strip_accents_(object.boolean("strip_accents", lowercase_)) {}

  bool apply(std::string& text, Origins* origins) const override {
    bool head_gone = false;
    if (is_ascii(text) && !origins) {
      if (clean_text_) head_gone = clean_ascii(text);
    } else {
      head_gone = map_characters(text, origins, [this](std::string& out, char32_t code) { clean(out, code); });
      if (strip_accents_) {
        normalize_in_place(text, origins, Form::nfd);
        head_gone |= remove_characters(text, origins, is_nonspacing_mark);
      }
    }
    if (lowercase_) hf::lowercase(text, origins);
    return head_gone;
  }

 private:
  static bool clean_ascii(std::string& text) {
    bool head_gone = false;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '\t' || c == '\n' || c == '\r')
        text[kept++] = ' ';
      else if (c >= 0x20 && c != 0x7F)
        text[kept++] = c;
      head_gone |= i == 0 && kept == 0;
    }
    text.resize(kept);
    return head_gone;
  }

  void clean(std::string& out, char32_t code) const {
    if (clean_text_) {
      const bool line = code == '\t' || code == '\n' || code == '\r';  // Controls that count as spaces.
      if (!line && (code == replacement_character || is_other(code))) return;
      if (line || is_space(code)) code = ' ';
    }
    if (ideographs_ && is_ideograph(code)) {
      out += ' ';
      append_utf8(out, code);
      out += ' ';
    } else {
      append_utf8(out, code);
    }
  }

  bool clean_text_, ideographs_, lowercase_, strip_accents_;
};

class Lowercase final : public Normalizer {
 public:
  bool apply(std::string& text, Origins* origins) const override {
    lowercase(text, origins);
    return false;
  }
};

class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  bool apply(std::string& text, Origins* origins) const override {
    std::size_t begin = 0, end = text.size(), last = 0;
    bool any = false;
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Step step = utf8_step(text, at);
      if (!is_space(step.code)) {
        if (!any) begin = at;
        any = true;
        last = at + step.length;
      }
      at += step.length;
    }
    if (!any) begin = end;  // Only spaces: either side takes them all.
    if (right_) end = any ? last : 0;
    if (!left_) begin = 0;
    end = std::max(begin, end);
    Rewriting writing(text, origins);
    for (std::size_t at = begin; at < end; ++at) {
      writing.out += text[at];
      writing.follow(at, at + 1);
    }
    writing.finish();
    return left_ && begin > 0;
  }

 private:
  bool left_, right_;
};

class StripAccents final : public Normalizer {
 public:
  bool apply(std::string& text, Origins* origins) const override {
    return !is_ascii(text) && remove_characters(text, origins, is_mark);
  }
};

class Replace final : public Normalizer {
 public:
  Replace(Pattern pattern, std::string by) : pattern_(std::move(pattern)), by_(std::move(by)) {}
  bool apply(std::string& text, Origins* origins) const override {
    if (text.empty()) return false;
    std::size_t begin = 0, end = 0;
    if (!pattern_.search(text, 0, std::string_view::npos, begin, end)) return false;
    // What is put there begins where the last character of the match did.
    const bool head_gone = begin == 0 && end > 0 && (by_.empty() || utf8_step(text, 0).length < end);
    thread_local std::vector<Part> parts;
    pattern_.split(text, parts);
    Rewriting writing(text, origins);
    for (const Part& part : parts) {
      if (part.match) {
        writing.out += by_;
        writing.follow(part.begin, part.end);
        continue;
      }
      for (std::size_t at = part.begin; at < part.end; ++at) {
        writing.out += text[at];
        writing.follow(at, at + 1);
      }
    }
    writing.finish();
    return head_gone;
  }

 private:
  Pattern pattern_;
  std::string by_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string text) : text_(std::move(text)) {}
  bool apply(std::string& text, Origins* origins) const override {
    if (text.empty()) return false;
    text.insert(0, text_);
    if (origins) origins->insert(origins->begin(), text_.size(), {origins->front().begin, origins->front().begin});
    return false;
  }

 private:
  std::string text_;
};

/// SentencePiece's map, as this format applies it: to a user-perceived character of up to 5 bytes as a whole, where the
/// shortest key decides for all of it, else to each code point.
class Precompiled final : public Normalizer {
 public:
  Precompiled(std::string_view bytes, const std::string& where) : map_(bytes, where) {}
  bool apply(std::string& text, Origins* origins) const override {
    Rewriting writing(text, origins);
    Graphemes graphemes(text);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = graphemes.end_after(at);
      put(writing.out, std::string_view(text).substr(at, end - at));
      writing.follow(at, end);
      at = end;
    }
    writing.finish();
    return false;  // What follows a character that is gone stands in its place, as the format has it.
  }

 private:
  void put(std::string& out, std::string_view grapheme) const {
    if (grapheme.size() < 6) {
      if (const auto whole = map_.replacement(grapheme)) {
        out += *whole;
        return;
      }
    }
    for (std::size_t at = 0; at < grapheme.size();) {
      const std::string_view code = grapheme.substr(at, utf8_step(grapheme, at).length);
      const auto replaced = map_.replacement(code);
      out += replaced ? *replaced : code;
      at += code.size();
    }
  }
  Charsmap map_;
};

/// What SentencePiece's "nmt" rules add: some controls go, other blanks become spaces.
class Nmt final : public Normalizer {
 public:
  bool apply(std::string& text, Origins* origins) const override {
    return map_characters(text, origins, [](std::string& out, char32_t code) {
      const auto between = [&](char32_t first, char32_t last) { return code >= first && code <= last; };
      if (between(0x01, 0x08) || code == 0x0B || between(0x0E, 0x1F) || code == 0x7F || code == 0x8F || code == 0x9F)
        return;
      const bool blank = code == 0x09 || code == 0x0A || code == 0x0C || code == 0x0D || code == 0x1680 ||
                         between(0x200B, 0x200F) || code == 0x2028 || code == 0x2029 || code == 0x2581 ||
                         code == 0xFEFF || code == 0xFFFD;
      append_utf8(out, blank ? U' ' : code);
    });
  }
};

class ByteLevel final : public Normalizer {
 public:
  bool apply(std::string& text, Origins* origins) const override {
    Rewriting writing(text, origins);
    for (std::size_t at = 0; at < text.size(); ++at) {
      append_utf8(writing.out, character_of_byte(static_cast<unsigned char>(text[at])));
      writing.follow(at, at + 1);
    }
    writing.finish();
    return false;
  }
};

}  // namespace

std::unique_ptr<Normalizer> read_normalizer(const Json& section, const std::string& where) {
  JsonObject object(section);
  const std::string type = object.text("type");
  std::unique_ptr<Normalizer> made;
  if (type == "Sequence") {
    const Json list = object.array("normalizers");
    std::vector<std::unique_ptr<Normalizer>> steps;
    for (std::size_t i = 0; i < list.size(); ++i) steps.push_back(read_normalizer(list[i], where));
    made = std::make_unique<Sequence>(std::move(steps));
  } else if (type == "BertNormalizer") {
    made = std::make_unique<Bert>(object);
  } else if (type == "NFC") {
    made = std::make_unique<Unicode>(Form::nfc);
  } else if (type == "NFD") {
    made = std::make_unique<Unicode>(Form::nfd);
  } else if (type == "NFKC") {
    made = std::make_unique<Unicode>(Form::nfkc);
  } else if (type == "NFKD") {
    made = std::make_unique<Unicode>(Form::nfkd);
  } else if (type == "Lowercase") {
    made = std::make_unique<Lowercase>();
  } else if (type == "Strip") {
    const bool left = object.boolean("strip_left");
    made = std::make_unique<Strip>(left, object.boolean("strip_right"));
  } else if (type == "StripAccents") {
    made = std::make_unique<StripAccents>();
  } else if (type == "Replace") {
    Pattern pattern(object.need("pattern"), where);
    made = std::make_unique<Replace>(std::move(pattern), object.text("content"));
  } else if (type == "Prepend") {
    made = std::make_unique<Prepend>(object.text("prepend"));
  } else if (type == "Precompiled") {
    const std::string bytes = from_base64(object.text("precompiled_charsmap", ""), where + ": precompiled_charsmap");
    // A model without a map of its own writes an empty one: nothing changes.
    if (bytes.empty())
      made = std::make_unique<Sequence>(std::vector<std::unique_ptr<Normalizer>>());
    else
      made = std::make_unique<Precompiled>(bytes, where);
  } else if (type == "Nmt") {
    made = std::make_unique<Nmt>();
  } else if (type == "ByteLevel") {
    made = std::make_unique<ByteLevel>();
  } else {
    object.not_understood("type");
  }
  object.finish();
  return made;
}

}  // namespace pipeformer::hf
