#include "text/copied_words.hpp"

#include <algorithm>

namespace pipeformer {
namespace {

// Stands for an unknown id while the text around it is put together; tokenizers with unknown ids have no text for it.
constexpr char kMark = '\0';

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}
/// ASCII's; bytes of other characters are taken for letters.
bool is_punctuation(char c) {
  return c > ' ' && c < 0x7f && std::string_view("!\"#$%&()*+,./:;<=>?@[\\]^_`{|}~").find(c) != std::string_view::npos;
}
bool belongs_to_word(char c) {
  return c == kMark || !(is_space(c) || is_punctuation(c));
}

std::string trimmed(const std::string& word, bool (*outside)(char)) {
  const auto begin = std::find_if_not(word.begin(), word.end(), outside);
  const auto end = std::find_if_not(word.rbegin(), std::string::const_reverse_iterator(begin), outside).base();
  return {begin, end};
}

/// What white space separates in a line.
class SourceWords {
 public:
  explicit SourceWords(const std::string& line) {
    std::int32_t characters = 0;
    bool inside = false;
    for (const char c : line) {
      characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
      const bool space = is_space(c);
      if (!space && !inside) words_.emplace_back();
      inside = !space;
      if (!inside) continue;
      words_.back().text += c;
      words_.back().end = characters;
    }
  }
  /// The word that holds a character, or the next one; "" behind the last.
  std::string at(std::int32_t character) const {
    const auto word = std::upper_bound(words_.begin(), words_.end(), character,
                                       [](std::int32_t c, const Word& w) { return c < w.end; });
    return word == words_.end() ? "" : word->text;
  }

 private:
  struct Word {
    std::string text{};
    std::int32_t end = 0;  ///< The character before which it ends.
  };
  std::vector<Word> words_;
};

/// The text of each id as it stands behind others, from what it adds to that of a first one.
class Surfaces {
 public:
  Surfaces(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids) : tokenizer_(tokenizer) {
    const std::int32_t unknown = tokenizer.unknown_id();
    const std::string once = tokenizer.decode({unknown}), twice = tokenizer.decode({unknown, unknown});
    // Tokenizers of whole words put a space between any two; the others say where one begins.
    bool spaces = twice == once + " " + once;
    if (once.empty()) {  // a control id of theirs
      unknown_ = tokenizer.piece(unknown);
      spaces = std::none_of(ids.begin(), ids.end(), [&](std::int32_t id) {
        return id >= 0 &&
               (tokenizer.piece(id).starts_with("\xE2\x96\x81") || tokenizer.piece(id).starts_with("\xC4\xA0"));
      });
    }
    if (!once.empty()) unknown_ = spaces ? trimmed(once, is_space) : once;
    mark_ = spaces ? std::string(" ") + kMark : std::string(1, kMark);
    const auto known = std::find_if(ids.begin(), ids.end(), [&](std::int32_t id) {
      return id >= 0 && !trimmed(tokenizer.decode({id}), is_space).empty();
    });
    if (known == ids.end()) return;
    first_ = *known;
    before_ = tokenizer.decode({first_});
  }
  const std::string& unknown() const { return unknown_; }

  /// The text of all ids, with marks.
  std::string text(const std::vector<std::int32_t>& ids) const {
    std::string text;
    for (const std::int32_t id : ids) text += id < 0 ? mark_ : of(id);
    return trimmed(text, is_space);
  }

 private:
  std::string of(std::int32_t id) const {
    const std::string text = before_.empty() ? tokenizer_.decode({id}) : tokenizer_.decode({first_, id});
    return text.starts_with(before_) ? text.substr(before_.size()) : tokenizer_.decode({id});
  }
  const Tokenizer& tokenizer_;
  std::string unknown_, mark_, before_;
  std::int32_t first_ = -1;
};

}  // namespace

std::string decode_copied(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids,
                          const std::vector<std::string>& words) {
  std::vector<std::int32_t> positions;
  for (const std::int32_t id : ids)
    if (id < 0) positions.push_back(-1 - id);
  if (positions.empty()) return tokenizer.decode(ids);
  const Surfaces surfaces(tokenizer, ids);
  const std::string text = surfaces.text(ids);
  std::string result;
  auto position = positions.begin();
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && belongs_to_word(text[end])) ++end;
    if (end == at) {
      result += text[at++];
      continue;
    }
    std::string word = text.substr(at, end - at);
    at = end;
    if (const auto marks = std::count(word.begin(), word.end(), kMark); marks > 0) {
      const auto p = static_cast<std::size_t>(*position);
      position += marks;
      const std::string copied = p < words.size() ? trimmed(words[p], is_punctuation) : "";
      for (std::size_t mark; copied.empty() && (mark = word.find(kMark)) != std::string::npos;)
        word.replace(mark, 1, surfaces.unknown());
      if (!copied.empty()) word = copied;
    }
    result += word;
  }
  return result;
}

std::vector<std::vector<std::string>> words_by_position(const Tokenizer& tokenizer,
                                                        const std::vector<std::string>& lines, LineEncoding how,
                                                        std::int64_t first_line, const std::string& name) {
  how.places = true;
  const EncodedLines encoded = encode_lines(tokenizer, lines, {}, how, first_line, name);
  std::vector<std::vector<std::string>> words(lines.size());
  for (std::size_t r = 0; r < lines.size(); ++r) {
    const SourceWords of_line(lines[r]);
    for (std::int64_t i = encoded.ids.offsets[r]; i < encoded.ids.offsets[r + 1]; ++i) {
      const std::int32_t* where = encoded.offsets.data() + 3 * i;  // text, first character, end
      words[r].push_back(where[0] < 0 ? "" : of_line.at(where[1]));
    }
  }
  return words;
}

std::vector<std::string> decode_copied(const Tokenizer& tokenizer, const Batch& batch, const std::string& name,
                                       const std::vector<std::vector<std::string>>& words) {
  std::vector<std::string> texts(words.size());
  for (std::size_t r = 0; r < words.size(); ++r) {
    const std::string where = cat(name, ": record ", batch.first_record + static_cast<std::int64_t>(r), ": ");
    require(batch.shapes[r].size() == 1, where, "ids (T,) expected, not shape ", shape_text(batch.shapes[r]));
    const std::vector<std::int32_t> ids(batch.tokens.begin() + batch.offsets[r],
                                        batch.tokens.begin() + batch.offsets[r + 1]);
    for (const std::int32_t id : ids)
      require(-1 - id < std::ssize(words[r]), where, "source position ", -1 - id, ", its line has ", words[r].size(),
              " tokens");
    try {
      texts[r] = decode_copied(tokenizer, ids, words[r]);
    } catch (const Error& error) {
      throw Error(where + error.what());
    }
    require(texts[r].find('\n') == std::string::npos, where, "the text holds a newline and is not one line");
  }
  return texts;
}

}  // namespace pipeformer
