// WordPiece (Wu et al. 2016, as BERT has it): the longest piece that a word begins with, then the longest of what is
// left. WordLevel: a word is one piece, or unknown.
#include "core/error.hpp"
#include "text/hf/models.hpp"
#include "text/hf/trie.hpp"
#include "text/utf8.hpp"

namespace pipeformer::hf {
namespace {

class WordPiece final : public Model {
 public:
  explicit WordPiece(JsonObject& object)
      : unknown_text_(object.text("unk_token", "[UNK]")),
        most_characters_(object.integer("max_input_chars_per_word", 100)) {
    read_vocabulary(object, vocabulary_);
    unknown_ = vocabulary_.find(unknown_text_);
    prefix_ = object.text("continuing_subword_prefix", "##");
    for (std::int32_t id = 0; id < vocabulary_.size(); ++id) {
      const std::string* piece = vocabulary_.piece(id);
      if (!piece || piece->empty()) continue;
      first_.add(*piece, id);
      if (piece->starts_with(prefix_) && piece->size() > prefix_.size()) later_.add(piece->substr(prefix_.size()), id);
    }
  }

  void encode(std::string_view word, std::vector<std::int32_t>& ids) const override {
    std::int64_t characters = 0;
    for (const char byte : word) characters += (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
    const std::size_t before = ids.size();
    for (std::size_t at = 0; at < word.size() && characters <= most_characters_;) {
      std::size_t longest = 0;
      std::int32_t best = -1;
      (at == 0 ? first_ : later_).prefixes(word.substr(at), [&](std::size_t length, std::int32_t id) {
        // A piece may hold bytes that only look like a character's beginning.
        const std::size_t end = at + length;
        if (end < word.size() && (static_cast<unsigned char>(word[end]) & 0xC0) == 0x80) return;
        longest = length;
        best = id;
      });
      if (best < 0) break;
      ids.push_back(best);
      at += longest;
      if (at == word.size()) return;
    }
    ids.resize(before);
    require(unknown_ >= 0, "the tokenizer has no pieces for '", word, "', and its unk_token '", unknown_text_,
            "' is not in its vocabulary");
    ids.push_back(unknown_);
  }
  std::int32_t unknown_id() const override { return unknown_; }

 private:
  std::string text_of(std::int32_t id, bool first, bool last) const override {
    const std::string piece = Model::text_of(id, first, last);
    return first ? piece : piece.substr(prefix_.size());
  }

  std::string unknown_text_, prefix_;
  std::int64_t most_characters_;
  std::int32_t unknown_ = -1;
  Trie first_, later_;
};

class WordLevel final : public Model {
 public:
  explicit WordLevel(JsonObject& object) : unknown_text_(object.text("unk_token", "<unk>")) {
    read_vocabulary(object, vocabulary_);
    unknown_ = vocabulary_.find(unknown_text_);
  }
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const override {
    const std::int32_t id = vocabulary_.find(word);
    require(id >= 0 || unknown_ >= 0, "the tokenizer does not have '", word, "', and its unk_token '", unknown_text_,
            "' is not in its vocabulary");
    ids.push_back(id >= 0 ? id : unknown_);
  }
  bool caches() const override { return false; }
  std::int32_t unknown_id() const override { return unknown_; }

 private:
  std::string unknown_text_;
  std::int32_t unknown_ = -1;
};

}  // namespace

std::unique_ptr<Model> read_wordpiece(JsonObject& object) {
  return std::make_unique<WordPiece>(object);
}
std::unique_ptr<Model> read_wordlevel(JsonObject& object) {
  return std::make_unique<WordLevel>(object);
}

}  // namespace pipeformer::hf
