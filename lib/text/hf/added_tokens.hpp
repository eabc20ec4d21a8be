/// The section `added_tokens` of a tokenizer.json: texts that are found in a line before anything else happens to it,
/// and become one id each.
#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "text/hf/json_object.hpp"
#include "text/hf/models.hpp"
#include "text/hf/normalizers.hpp"
#include "text/hf/trie.hpp"

namespace pipeformer::hf {

class AddedTokens {
 public:
  struct Token {
    std::string content;
    bool single_word = false, lstrip = false, rstrip = false, normalized = true, special = false;
  };
  /// A stretch of a text: an added token's, or (id -1) what lies between.
  struct Section {
    std::size_t begin, end;
    std::int32_t id;
  };

  AddedTokens() = default;
  /// `normalizer` may be null. Ids are those of the model's pieces; what it lacks gets ids after all others, in order.
  AddedTokens(const Json& list, const Model& model, const Normalizer* normalizer);

  /// Finds tokens that are to be looked for in text as it is, or, `normalized`, those for normalized text.
  void find(std::string_view text, bool normalized, std::vector<Section>& sections) const;
  bool any(bool normalized) const { return !(normalized ? normalized_ : raw_).tokens.empty(); }

  const Token* token(std::int32_t id) const;
  bool special(std::string_view content) const { return special_.contains(content); }
  std::int32_t find_id(std::string_view content) const;  ///< -1 when there is none.
  const std::map<std::int32_t, Token>& tokens() const { return by_id_; }
  std::int32_t size() const { return by_id_.empty() ? 0 : by_id_.rbegin()->first + 1; }  ///< The highest id + 1.

 private:
  struct Matcher {
    Trie trie;  // Numbers are places in `tokens`.
    std::vector<std::pair<Token, std::int32_t>> tokens;
    bool starts[256] = {};  // Bytes that some content begins with.
    void add(const std::string& content, const Token& token, std::int32_t id);
  };
  std::map<std::int32_t, Token> by_id_;
  std::map<std::string, std::int32_t, std::less<>> ids_;
  std::set<std::string, std::less<>> special_;
  Matcher raw_, normalized_;
};

}  // namespace pipeformer::hf
