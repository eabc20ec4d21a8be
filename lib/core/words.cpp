#include "core/words.hpp"

#include "core/error.hpp"

namespace pipeformer {

std::vector<std::int32_t> first_positions(std::span<const std::int32_t> words) {
  constexpr std::int32_t kMost = 1 << 24;  // of a line of text; what is beyond comes from something else
  std::vector<std::int32_t> first;
  for (std::size_t t = 0; t < words.size(); ++t) {
    if (words[t] < 0) continue;
    require(words[t] < kMost, words[t], " is no number of a word");
    const auto word = static_cast<std::size_t>(words[t]);
    if (word >= first.size()) first.resize(word + 1, -1);
    if (first[word] < 0) first[word] = static_cast<std::int32_t>(t);
  }
  return first;
}

}  // namespace pipeformer
