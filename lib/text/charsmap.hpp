/// A precompiled map of characters, as SentencePiece models and tokenizer.json files store it: a trie of byte strings
/// (a double array in Darts' layout), each with the text that replaces it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pipeformer {

class Charsmap {
 public:
  /// From the stored bytes: u32 size of the trie, the trie's units (u32, little-endian), the replacements (each ended
  /// by a zero byte). Every step that a lookup can take is checked here, because SentencePiece, which uses the same
  /// bytes, checks none. Throws Error naming `name`.
  Charsmap(std::string_view bytes, const std::string& name);

  /// What replaces the shortest key that `text` begins with, or nothing when there is no such key.
  std::optional<std::string_view> replacement(std::string_view text) const;

 private:
  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

}  // namespace pipeformer
