/// Text that is written while its ids come one after another.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.hpp"

namespace pipeformer {

class GrowingText {
 public:
  explicit GrowingText(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  /// What the text of `ids` has more than was returned before, without what further ids may still change: the last
  /// character, while bytes of it are missing. With `last` all of it. The texts of all calls are tokenizer.decode() of
  /// the last ids. Throws Error where a tokenizer changes what was returned already.
  std::string next(const std::vector<std::int32_t>& ids, bool last);

 private:
  const Tokenizer& tokenizer_;
  std::string shown_;
};

/// The length of a text without an end that is the beginning of a character: bytes of one that lacks some, or
/// replacement characters, which stand for such bytes.
std::size_t settled_length(std::string_view text);

}  // namespace pipeformer
