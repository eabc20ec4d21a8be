#include "text/hf/decoders.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "core/error.hpp"
#include "text/hf/byte_level.hpp"
#include "text/hf/patterns.hpp"
#include "text/utf8.hpp"

namespace pipeformer::hf {
namespace {

using Texts = std::vector<std::string>;

void replace_all(std::string& text, std::string_view what, std::string_view by) {
  if (what.empty()) return;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
}

/// No spaces before punctuation and English contractions.
void clean_up(std::string& text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 11> rules{{{" .", "."},
                                                                                 {" ?", "?"},
                                                                                 {" !", "!"},
                                                                                 {" ,", ","},
                                                                                 {" ' ", "'"},
                                                                                 {" n't", "n't"},
                                                                                 {" 'm", "'m"},
                                                                                 {" do not", " don't"},
                                                                                 {" 's", "'s"},
                                                                                 {" 've", "'ve"},
                                                                                 {" 're", "'re"}}};
  for (const auto& [what, by] : rules) replace_all(text, what, by);
}

class Sequence final : public Decoder {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Decoder>> steps) : steps_(std::move(steps)) {}
  void apply(Texts& texts) const override {
    for (const auto& step : steps_) step->apply(texts);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> steps_;
};

class ByteLevel final : public Decoder {
 public:
  void apply(Texts& texts) const override {
    std::string bytes;
    for (const std::string& text : texts)
      if (!append_bytes_of_characters(text, bytes)) bytes += text;
    texts = {find_invalid_utf8(bytes) == std::string::npos ? bytes : replace_invalid_utf8(bytes)};
  }
};

/// Runs of "<0xE4>" become the characters that their bytes are, or as many replacement characters.
class ByteFallback final : public Decoder {
 public:
  void apply(Texts& texts) const override {
    Texts out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (find_invalid_utf8(bytes) == std::string::npos)
        out.push_back(bytes);
      else
        out.insert(out.end(), bytes.size(), "\uFFFD");
      bytes.clear();
    };
    for (std::string& text : texts) {
      unsigned byte = 0;
      const bool is_byte = text.size() == 6 && text.starts_with("<0x") && text[5] == '>' &&
                           std::from_chars(text.data() + 3, text.data() + 5, byte, 16).ptr == text.data() + 5;
      if (is_byte) {
        bytes += static_cast<char>(byte);
      } else {
        flush();
        out.push_back(std::move(text));
      }
    }
    flush();
    texts = std::move(out);
  }
};

class Fuse final : public Decoder {
 public:
  void apply(Texts& texts) const override {
    std::string whole;
    for (const std::string& text : texts) whole += text;
    texts = {whole};
  }
};

class Strip final : public Decoder {
 public:
  Strip(char32_t code, std::int64_t start, std::int64_t stop) : start_(start), stop_(stop) {
    append_utf8(content_, code);
  }
  void apply(Texts& texts) const override {
    for (std::string& text : texts) {
      std::string_view rest = text;
      for (std::int64_t i = 0; i < start_ && rest.starts_with(content_); ++i) rest.remove_prefix(content_.size());
      for (std::int64_t i = 0; i < stop_ && rest.ends_with(content_); ++i) rest.remove_suffix(content_.size());
      text = std::string(rest);
    }
  }

 private:
  std::string content_;
  std::int64_t start_, stop_;
};

class Metaspace final : public Decoder {
 public:
  Metaspace(char32_t mark, bool prefix) : prefix_(prefix) { append_utf8(mark_, mark); }
  void apply(Texts& texts) const override {
    bool first = true;
    for (std::string& text : texts) {
      replace_all(text, mark_, std::exchange(first, false) && prefix_ ? "" : " ");
    }
  }

 private:
  std::string mark_;
  bool prefix_;
};

class WordPiece final : public Decoder {
 public:
  WordPiece(std::string prefix, bool cleans_up) : prefix_(std::move(prefix)), cleans_up_(cleans_up) {}
  void apply(Texts& texts) const override {
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (i > 0) {
        if (texts[i].starts_with(prefix_))
          texts[i].erase(0, prefix_.size());
        else
          texts[i].insert(0, " ");
      }
      if (cleans_up_) clean_up(texts[i]);
    }
  }

 private:
  std::string prefix_;
  bool cleans_up_;
};

class Bpe final : public Decoder {
 public:
  explicit Bpe(std::string suffix) : suffix_(std::move(suffix)) {}
  void apply(Texts& texts) const override {
    for (std::size_t i = 0; i < texts.size(); ++i) replace_all(texts[i], suffix_, i + 1 < texts.size() ? " " : "");
  }

 private:
  std::string suffix_;
};

class Ctc final : public Decoder {
 public:
  Ctc(std::string pad, std::string delimiter, bool cleans_up)
      : pad_(std::move(pad)), delimiter_(std::move(delimiter)), cleans_up_(cleans_up) {}
  void apply(Texts& texts) const override {
    texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
    for (std::string& text : texts) {
      replace_all(text, pad_, "");
      if (!cleans_up_) continue;
      clean_up(text);
      replace_all(text, delimiter_, " ");
    }
    std::erase(texts, std::string());
  }

 private:
  std::string pad_, delimiter_;
  bool cleans_up_;
};

class Replace final : public Decoder {
 public:
  Replace(Pattern pattern, std::string by) : pattern_(std::move(pattern)), by_(std::move(by)) {}
  void apply(Texts& texts) const override {
    for (std::string& text : texts) text = pattern_.replace_all(text, by_);
  }

 private:
  Pattern pattern_;
  std::string by_;
};

}  // namespace

std::unique_ptr<Decoder> read_decoder(const Json& section, const std::string& where) {
  JsonObject object(section);
  const std::string type = object.text("type");
  std::unique_ptr<Decoder> made;
  if (type == "Sequence") {
    const Json list = object.array("decoders");
    std::vector<std::unique_ptr<Decoder>> steps;
    for (std::size_t i = 0; i < list.size(); ++i) steps.push_back(read_decoder(list[i], where));
    made = std::make_unique<Sequence>(std::move(steps));
  } else if (type == "ByteLevel") {
    for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) object.ignore(key);  // Of the way there.
    made = std::make_unique<ByteLevel>();
  } else if (type == "ByteFallback") {
    made = std::make_unique<ByteFallback>();
  } else if (type == "Fuse") {
    made = std::make_unique<Fuse>();
  } else if (type == "Strip") {
    const std::int64_t start = object.integer("start"), stop = object.integer("stop");
    made = std::make_unique<Strip>(object.character("content"), start, stop);
  } else if (type == "Metaspace") {
    for (const char* key : {"str_rep", "split"}) object.ignore(key);
    const bool prefix = object.boolean("add_prefix_space", true);
    const std::string scheme = object.text("prepend_scheme", prefix ? "always" : "never");
    made = std::make_unique<Metaspace>(object.find("replacement") ? object.character("replacement") : U'\u2581',
                                       scheme != "never");
  } else if (type == "WordPiece") {
    const std::string prefix = object.text("prefix", "##");
    made = std::make_unique<WordPiece>(prefix, object.boolean("cleanup", true));
  } else if (type == "BPEDecoder") {
    made = std::make_unique<Bpe>(object.text("suffix", "</w>"));
  } else if (type == "CTC") {
    const std::string pad = object.text("pad_token", "<pad>"), delimiter = object.text("word_delimiter_token", "|");
    made = std::make_unique<Ctc>(pad, delimiter, object.boolean("cleanup", true));
  } else if (type == "Replace") {
    Pattern pattern(object.need("pattern"), where);
    made = std::make_unique<Replace>(std::move(pattern), object.text("content"));
  } else {
    object.not_understood("type");
  }
  object.finish();
  return made;
}

}  // namespace pipeformer::hf
