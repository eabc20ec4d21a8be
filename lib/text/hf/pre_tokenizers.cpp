#include "text/hf/pre_tokenizers.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "core/error.hpp"
#include "text/hf/byte_level.hpp"
#include "text/hf/patterns.hpp"
#include "text/hf/unicode.hpp"
#include "text/utf8.hpp"

namespace pipeformer::hf {
namespace {

/// Every word is replaced by the stretches of it that `cut(word, emit)` emits.
template <class Cut>
void cut_words(Words& words, Cut cut) {
  thread_local std::vector<Words::Word> before;
  before.clear();
  std::swap(before, words.words);
  for (const Words::Word& word : before) {
    cut(std::string_view(words.text).substr(word.begin, word.end - word.begin),
        [&](std::size_t begin, std::size_t end) {
          if (begin < end) words.words.push_back({word.begin + begin, word.begin + end, word.first && begin == 0});
        });
  }
}

/// The text is written anew: `write(word, first, put)` puts what becomes of a word: put(text, begin, end) for bytes
/// [begin, end) of it.
template <class Write>
void rewrite_words(Words& words, Write write) {
  Rewriting writing(words.text, words.origins);
  for (Words::Word& word : words.words) {
    const std::size_t begin = writing.out.size();
    write(std::string_view(words.text).substr(word.begin, word.end - word.begin), word.first,
          [&](std::string_view text, std::size_t from, std::size_t to) {
            writing.out += text;
            writing.follow(word.begin + from, word.begin + to);
          });
    word.begin = begin;
    word.end = writing.out.size();
  }
  writing.finish();
}

/// Puts bytes [begin, end) of the word as they are.
template <class Put>
void put_as_they_are(std::string_view word, std::size_t begin, std::size_t end, bool followed, Put put) {
  if (!followed) return put(word.substr(begin, end - begin), begin, end);
  for (; begin < end; ++begin) put(word.substr(begin, 1), begin, begin + 1);
}

enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

Behavior read_behavior(JsonObject& object, const char* fallback) {
  const std::string name = fallback ? object.text("behavior", fallback) : object.text("behavior");
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  object.not_understood("behavior");
}

/// Joins the parts as the behavior says, in place; what is to be removed is left out.
void join(std::vector<Part>& parts, Behavior behavior) {
  std::vector<Part> joined;
  joined.reserve(parts.size());
  bool previous = false;
  switch (behavior) {
    case Behavior::isolated:
      return;
    case Behavior::removed:
      std::erase_if(parts, [](const Part& part) { return part.match; });
      return;
    case Behavior::contiguous:
    case Behavior::merged_with_previous:
      for (const Part& part : parts) {
        const bool joins = behavior == Behavior::contiguous ? part.match == previous : part.match && !previous;
        if (joins && !joined.empty())
          joined.back().end = part.end;
        else
          joined.push_back(part);
        previous = part.match;
      }
      break;
    case Behavior::merged_with_next:
      for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
        if (part->match && !previous && !joined.empty())
          joined.back().begin = part->begin;
        else
          joined.push_back(*part);
        previous = part->match;
      }
      std::reverse(joined.begin(), joined.end());
  }
  parts = std::move(joined);
}

/// Splits at matches: of a pattern, or at single characters.
class Split final : public PreTokenizer {
 public:
  using Parts = std::function<void(std::string_view, std::vector<Part>&)>;
  Split(Parts parts, Behavior behavior, bool invert = false)
      : parts_(std::move(parts)), behavior_(behavior), invert_(invert) {}

  void apply(Words& words) const override {
    thread_local std::vector<Part> parts;
    cut_words(words, [&](std::string_view word, const auto& emit) {
      parts_(word, parts);
      if (invert_)
        for (Part& part : parts) part.match = !part.match;
      join(parts, behavior_);
      for (const Part& part : parts) emit(part.begin, part.end);
    });
  }

 private:
  Parts parts_;
  Behavior behavior_;
  bool invert_;
};

/// Every character that `is_match` holds for is a match of its own.
template <class IsMatch>
Split::Parts single_characters(IsMatch is_match) {
  return [is_match](std::string_view text, std::vector<Part>& parts) {
    parts.clear();
    std::size_t done = 0;
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Step step = utf8_step(text, at);
      if (is_match(step.code)) {
        if (done < at) parts.push_back({done, at, false});
        done = at + step.length;
        parts.push_back({at, done, true});
      }
      at += step.length;
    }
    if (done < text.size()) parts.push_back({done, text.size(), false});
  };
}

Split::Parts matches_of(Pattern pattern) {
  return [shared = std::make_shared<const Pattern>(std::move(pattern))](
             std::string_view text, std::vector<Part>& parts) { shared->split(text, parts); };
}

/// Runs of word characters, and runs of what is neither word nor space.
void whitespace_parts(std::string_view text, std::vector<Part>& parts) {
  parts.clear();
  int previous = -1;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    const int kind = is_word(step.code) ? 2 : is_space(step.code) ? 0 : 1;
    if (kind == previous)
      parts.back().end += step.length;
    else
      parts.push_back({at, at + step.length, kind == 0});
    previous = kind;
    at += step.length;
  }
}

class BertWords final : public PreTokenizer {
 public:
  void apply(Words& words) const override {
    cut_words(words, [&](std::string_view word, const auto& emit) {
      std::size_t done = 0;
      for (std::size_t at = 0; at < word.size();) {
        const Utf8Step step = utf8_step(word, at);
        const bool space = is_space(step.code);
        if (space || is_punctuation(step.code)) {
          emit(done, at);
          done = at + step.length;
          if (!space) emit(at, done);
        }
        at += step.length;
      }
      emit(done, word.size());
    });
  }
};

/// A space before every word that begins with none.
class PrefixSpace final : public PreTokenizer {
 public:
  void apply(Words& words) const override {
    rewrite_words(words, [&](std::string_view word, bool, const auto& put) {
      if (!word.starts_with(' ')) put(" ", 0, 0);
      put_as_they_are(word, 0, word.size(), words.origins, put);
    });
  }
};

class ByteCharacters final : public PreTokenizer {
 public:
  void apply(Words& words) const override { write_bytes_as_characters(words); }
};

class Metaspace final : public PreTokenizer {
 public:
  enum class Prepend { always, first, never };
  Metaspace(std::string mark, Prepend prepend, bool split) : mark_(std::move(mark)), prepend_(prepend), split_(split) {}

  void apply(Words& words) const override {
    rewrite_words(words, [&](std::string_view word, bool first, const auto& put) {
      const bool prepends = prepend_ == Prepend::always || (prepend_ == Prepend::first && first);
      if (prepends && !word.starts_with(' ') && !word.starts_with(mark_)) put(mark_, 0, 0);
      for (std::size_t at = 0; at < word.size();) {
        const std::size_t space = std::min(word.find(' ', at), word.size());
        put_as_they_are(word, at, space, words.origins, put);
        if (space < word.size()) put(mark_, space, space + 1);
        at = space + 1;
      }
    });
    if (!split_) return;
    cut_words(words, [this](std::string_view word, const auto& emit) {
      std::size_t done = 0;
      for (std::size_t at = word.find(mark_, 1); at < word.size(); at = word.find(mark_, at + 1)) {
        emit(done, at);
        done = at;
      }
      emit(done, word.size());
    });
  }

 private:
  std::string mark_;
  Prepend prepend_;
  bool split_;
};

class UnicodeScripts final : public PreTokenizer {
 public:
  void apply(Words& words) const override {
    cut_words(words, [](std::string_view word, const auto& emit) {
      // What comes before the first character that has a script is left out, as the format has it.
      std::size_t begin = std::string_view::npos;
      int current = any_script;
      for (std::size_t at = 0; at < word.size();) {
        const Utf8Step step = utf8_step(word, at);
        const int script = script_of(step.code);
        if (script != any_script && script != current) {
          if (begin != std::string_view::npos) emit(begin, at);
          begin = at;
          current = script;
        }
        at += step.length;
      }
      if (begin != std::string_view::npos) emit(begin, word.size());
    });
  }
};

class FixedLength final : public PreTokenizer {
 public:
  explicit FixedLength(std::int64_t length) : length_(length) {}
  void apply(Words& words) const override {
    cut_words(words, [this](std::string_view word, const auto& emit) {
      std::size_t begin = 0;
      std::int64_t count = 0;
      for (std::size_t at = 0; at < word.size();) {
        if (count == length_) {
          emit(begin, at);
          begin = at;
          count = 0;
        }
        ++count;
        at += utf8_step(word, at).length;
      }
      emit(begin, word.size());
    });
  }

 private:
  std::int64_t length_;
};

/// GPT-2's.
constexpr std::string_view byte_level_words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::unique_ptr<PreTokenizer> read_metaspace(JsonObject& object) {
  std::string mark;
  append_utf8(mark, object.find("replacement") ? object.character("replacement") : U'\u2581');
  object.ignore("str_rep");  // Of older files: the same as "replacement".
  const bool add_prefix = object.boolean("add_prefix_space", true);
  const std::string scheme = object.text("prepend_scheme", add_prefix ? "always" : "never");
  if (object.find("add_prefix_space") && !add_prefix && scheme != "never")
    object.fail(cat("add_prefix_space is false, but prepend_scheme is '", scheme, "'"));
  auto prepend = Metaspace::Prepend::never;
  if (scheme == "always")
    prepend = Metaspace::Prepend::always;
  else if (scheme == "first")
    prepend = Metaspace::Prepend::first;
  else if (scheme != "never")
    object.not_understood("prepend_scheme");
  return std::make_unique<Metaspace>(mark, prepend, object.boolean("split", true));
}

/// Appends the steps of one section. `last` when nothing comes after it.
void append_steps(PreTokenizers& made, const Json& section, const std::string& where, bool last) {
  JsonObject object(section);
  const std::string type = object.text("type");
  auto& steps = made.steps;
  if (type == "Sequence") {
    const Json list = object.array("pretokenizers");
    for (std::size_t i = 0; i < list.size(); ++i) append_steps(made, list[i], where, last && i + 1 == list.size());
  } else if (type == "ByteLevel") {
    object.ignore("trim_offsets");  // Of positions in the text, which ids do not depend on.
    if (object.boolean("add_prefix_space", true)) steps.push_back(std::make_unique<PrefixSpace>());
    if (object.boolean("use_regex", true))
      steps.push_back(std::make_unique<Split>(matches_of(Pattern::regex(byte_level_words, where)), Behavior::isolated));
    if (last)
      made.bytes_last = true;
    else
      steps.push_back(std::make_unique<ByteCharacters>());
  } else if (type == "Metaspace") {
    steps.push_back(read_metaspace(object));
  } else if (type == "Split") {
    Pattern pattern(object.need("pattern"), where);
    const Behavior behavior = read_behavior(object, nullptr);
    steps.push_back(std::make_unique<Split>(matches_of(std::move(pattern)), behavior, object.boolean("invert", false)));
  } else if (type == "Whitespace") {
    steps.push_back(std::make_unique<Split>(whitespace_parts, Behavior::removed));
  } else if (type == "WhitespaceSplit") {
    steps.push_back(std::make_unique<Split>(single_characters(is_space), Behavior::removed));
  } else if (type == "BertPreTokenizer") {
    steps.push_back(std::make_unique<BertWords>());
  } else if (type == "Punctuation") {
    steps.push_back(std::make_unique<Split>(single_characters(is_punctuation), read_behavior(object, "Isolated")));
  } else if (type == "Digits") {
    const bool each = object.boolean("individual_digits", false);
    steps.push_back(
        std::make_unique<Split>(single_characters(is_numeric), each ? Behavior::isolated : Behavior::contiguous));
  } else if (type == "CharDelimiterSplit") {
    const char32_t delimiter = object.character("delimiter");
    steps.push_back(std::make_unique<Split>(single_characters([delimiter](char32_t code) { return code == delimiter; }),
                                            Behavior::removed));
  } else if (type == "UnicodeScripts") {
    steps.push_back(std::make_unique<UnicodeScripts>());
  } else if (type == "FixedLength") {
    const std::int64_t length = object.integer("length", 5);
    if (length < 1) object.fail("length is less than 1");
    steps.push_back(std::make_unique<FixedLength>(length));
  } else {
    object.not_understood("type");
  }
  object.finish();
}

}  // namespace

PreTokenizers read_pre_tokenizers(const Json& section, const std::string& where) {
  PreTokenizers made;
  append_steps(made, section, where, true);
  return made;
}

void write_bytes_as_characters(Words& words) {
  rewrite_words(words, [&](std::string_view word, bool, const auto& put) {
    if (!words.origins) return put(to_byte_characters(word), 0, word.size());
    for (std::size_t at = 0; at < word.size(); ++at) put(to_byte_characters(word.substr(at, 1)), at, at + 1);
  });
}

}  // namespace pipeformer::hf
