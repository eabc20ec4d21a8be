/// Words and their ids, so that a frequent word is cut into pieces once. Each thread has its own; what is found in it
/// never differs from what encoding would give.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "text/hf/vocabulary.hpp"

namespace pipeformer::hf {

class WordCache {
 public:
  /// This thread's, for the tokenizer with this number (from new_owner); emptied when another one used it.
  static WordCache& of(std::uint64_t owner);
  static std::uint64_t new_owner();

  /// Appends the ids of `word`, which `encode(word, ids)` would append; an empty word has none.
  template <class Encode>
  void append(std::string_view word, std::vector<std::int32_t>& ids, Encode encode) {
    if (word.empty()) return;
    if (word.size() > sizeof Entry::word) return encode(word, ids);
    Entry& entry = entries_[hash_bytes(word) & (entries_.size() - 1)];
    if (entry.length != word.size() || std::memcmp(entry.word, word.data(), word.size()) != 0) {
      const std::size_t before = ids.size();
      encode(word, ids);
      const std::size_t count = ids.size() - before;
      if (count > most_ids) return;
      entry.length = static_cast<std::uint8_t>(word.size());
      entry.count = static_cast<std::uint8_t>(count);
      std::memcpy(entry.word, word.data(), word.size());
      std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(before), count, entry.ids);  // none of an unknown word
      return;
    }
    const std::size_t before = ids.size();
    ids.resize(before + entry.count);
    for (std::size_t i = 0; i < entry.count; ++i) ids[before + i] = entry.ids[i];
  }

 private:
  static constexpr std::size_t most_ids = 8, entries = std::size_t{1} << 15;
  struct alignas(64) Entry {  // One cache line.
    std::int32_t ids[most_ids];
    std::uint8_t length = 0, count;  // Length 0: free.
    char word[30];
  };
  std::uint64_t owner_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace pipeformer::hf
