/// Byte strings with a number each, to be found as prefixes of a text.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/hf/flat_map.hpp"

namespace pipeformer::hf {

class Trie {
 public:
  /// A string that is there already gets the new number.
  void add(std::string_view text, std::int32_t number) {
    std::uint32_t node = 0;
    for (const char c : text) {
      std::uint32_t& next = steps_[key(node, c)];
      if (next == 0) {
        next = static_cast<std::uint32_t>(numbers_.size());
        numbers_.push_back(-1);
      }
      node = next;
    }
    numbers_[node] = number;
  }
  /// Calls `found(length, number)` for every string that `text` begins with, the shortest first.
  template <class Found>
  void prefixes(std::string_view text, Found found) const {
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::uint32_t* next = steps_.find(key(node, text[i]));
      if (!next) return;
      node = *next;
      if (numbers_[node] >= 0) found(i + 1, numbers_[node]);
    }
  }

 private:
  static std::uint64_t key(std::uint32_t node, char byte) {
    return std::uint64_t{node} << 8 | static_cast<unsigned char>(byte);
  }
  FlatMap<std::uint32_t> steps_;
  std::vector<std::int32_t> numbers_ = {-1};
};

}  // namespace pipeformer::hf
