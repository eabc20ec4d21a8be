/// Symbols (words, characters) as numbers, and the n-grams that two sequences of them share.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace pipeformer {

using Symbols = std::vector<std::uint32_t>;

/// Numbers for the different words of a few lines, from 1 in the order in which they come. The texts must stay.
class WordNumbers {
 public:
  std::uint32_t number(std::string_view word);
  Symbols numbers(std::span<const std::string_view> words);

 private:
  void grow();
  std::vector<std::string_view> words_;
  std::vector<std::uint32_t> slots_;  ///< Open addressing: 0 is free; a power of two, at most half full.
};

/// For n = 1 to shared.size(): shared[n - 1] is the number of the hypothesis's n-grams that the references have too,
/// each counted at most as often as the reference has it that has most of them (Papineni et al. 2002).
void shared_ngrams(const Symbols& hypothesis, std::span<const Symbols> references, std::span<std::int64_t> shared);

/// How many n-grams a sequence has.
constexpr std::int64_t ngram_count(std::size_t length, std::size_t n) {
  return length < n ? 0 : static_cast<std::int64_t>(length - n) + 1;
}

}  // namespace pipeformer
