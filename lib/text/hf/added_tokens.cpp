#include "text/hf/added_tokens.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "text/hf/unicode.hpp"
#include "text/utf8.hpp"

namespace pipeformer::hf {
namespace {

/// The code point before `at`.
std::pair<char32_t, std::size_t> before(std::string_view text, std::size_t at) {
  std::size_t begin = at - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return {utf8_step(text, begin).code, begin};
}

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  return (begin == 0 || !is_word(before(text, begin).first)) &&
         (end == text.size() || !is_word(utf8_step(text, end).code));
}

}  // namespace

void AddedTokens::Matcher::add(const std::string& content, const Token& token, std::int32_t id) {
  if (content.empty()) return;  // Nothing of it is left by the normalizer.
  bool known = false;
  trie.prefixes(content, [&](std::size_t length, std::int32_t) { known |= length == content.size(); });
  if (known) return;  // The first of equals is found.
  trie.add(content, static_cast<std::int32_t>(tokens.size()));
  tokens.emplace_back(token, id);
  starts[static_cast<unsigned char>(content[0])] = true;
}

AddedTokens::AddedTokens(const Json& list, const Model& model, const Normalizer* normalizer) {
  if (!list.is_array()) list.fail("not a list");
  const Vocabulary& vocabulary = model.vocabulary();
  std::int32_t next = vocabulary.count();
  std::vector<Token> specials, others;
  for (std::size_t i = 0; i < list.size(); ++i) {
    JsonObject object(list[i]);
    Token token;
    token.content = object.text("content");
    token.single_word = object.boolean("single_word", false);
    token.lstrip = object.boolean("lstrip", false);
    token.rstrip = object.boolean("rstrip", false);
    token.special = object.boolean("special", false);
    token.normalized = object.boolean("normalized", !token.special);
    const std::int64_t stated = object.integer("id");
    object.finish();
    if (token.content.empty()) continue;
    std::int32_t id = find_id(token.content);
    if (id < 0) id = vocabulary.find(token.content);
    if (id < 0) {
      id = next;
      if (vocabulary.piece(id)) list[i].fail("whose id cannot be told: the model's ids have gaps");
    }
    if (stated < 0 || stated > INT32_MAX) list[i].fail(cat("with id ", stated, " out of range"));
    // Only a token that the model lacks could have another id than the one that its place in the list gives.
    if (id >= vocabulary.count()) next = std::max(next, id + 1);
    const bool again = ids_.contains(token.content);
    if (token.special && special_.insert(token.content).second) specials.push_back(token);
    ids_[token.content] = id;
    by_id_[id] = token;
    if (!special_.contains(token.content) && !again) others.push_back(token);
  }
  for (const auto* tokens : {&specials, &others}) {
    for (const Token& token : *tokens) {
      const std::int32_t id = ids_.find(token.content)->second;
      std::string content = token.content;
      if (token.normalized && normalizer) normalizer->apply(content);
      (token.normalized ? normalized_ : raw_).add(content, by_id_[id], id);
    }
  }
}

void AddedTokens::find(std::string_view text, bool normalized, std::vector<Section>& sections) const {
  const Matcher& matcher = normalized ? normalized_ : raw_;
  sections.clear();
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size() && !matcher.tokens.empty();) {
    if (!matcher.starts[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    std::size_t length = 0;
    std::int32_t found = -1;
    matcher.trie.prefixes(text.substr(at), [&](std::size_t size, std::int32_t number) {
      length = size;
      found = number;
    });
    if (found < 0) {
      ++at;
      continue;
    }
    const auto& [token, id] = matcher.tokens[static_cast<std::size_t>(found)];
    std::size_t begin = at, end = at + length;
    at = end;
    if (token.single_word && !stands_alone(text, begin, end)) continue;
    if (token.lstrip) {
      while (begin > done) {
        const auto [code, start] = before(text, begin);
        if (!is_space(code)) break;
        begin = start;
      }
      begin = std::max(begin, done);
    }
    if (token.rstrip) {
      while (end < text.size() && is_space(utf8_step(text, end).code)) end += utf8_step(text, end).length;
    }
    if (done < begin) sections.push_back({done, begin, -1});
    sections.push_back({begin, end, id});
    done = end;
  }
  if (done < text.size()) sections.push_back({done, text.size(), -1});
}

const AddedTokens::Token* AddedTokens::token(std::int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &found->second;
}

std::int32_t AddedTokens::find_id(std::string_view content) const {
  const auto found = ids_.find(content);
  return found == ids_.end() ? -1 : found->second;
}

}  // namespace pipeformer::hf
