#include "metrics/ngrams.hpp"

#include <algorithm>
#include <bit>
#include <functional>

#include "core/random.hpp"

namespace pipeformer {

void WordNumbers::grow() {
  slots_.assign(std::max<std::size_t>(64, 2 * slots_.size()), 0);
  for (std::uint32_t i = 0; i < words_.size(); ++i) {
    std::size_t at = std::hash<std::string_view>{}(words_[i]);
    while (slots_[at & (slots_.size() - 1)] != 0) ++at;
    slots_[at & (slots_.size() - 1)] = i + 1;
  }
}

std::uint32_t WordNumbers::number(std::string_view word) {
  if (2 * (words_.size() + 1) > slots_.size()) grow();
  for (std::size_t at = std::hash<std::string_view>{}(word);; ++at) {
    std::uint32_t& slot = slots_[at & (slots_.size() - 1)];
    if (slot == 0) {
      words_.push_back(word);
      slot = static_cast<std::uint32_t>(words_.size());
      return slot;
    }
    if (words_[slot - 1] == word) return slot;
  }
}

Symbols WordNumbers::numbers(std::span<const std::string_view> words) {
  Symbols numbers;
  numbers.reserve(words.size());
  for (const std::string_view word : words) numbers.push_back(number(word));
  return numbers;
}

namespace {

/// The n-grams of one order, each by the number of its first n - 1 symbols as a gram and its last symbol: no two grams
/// have one key. Grams are numbered from 1; 0 is none.
class GramTable {
 public:
  void clear(std::size_t grams) {
    const std::size_t size = std::bit_ceil(2 * grams + 2);
    if (slots_.size() < size) slots_.resize(size);
    mask_ = size - 1;
    std::fill_n(slots_.begin(), size, Slot{});
    count_ = 0;
  }
  std::uint32_t insert(std::uint64_t key) {
    Slot& slot = find_slot(key);
    if (slot.number == 0) slot = {key, ++count_};
    return slot.number;
  }
  std::uint32_t find(std::uint64_t key) { return find_slot(key).number; }
  std::uint32_t count() const { return count_; }

 private:
  struct Slot {
    std::uint64_t key = 0;
    std::uint32_t number = 0;
  };
  Slot& find_slot(std::uint64_t key) {
    for (std::size_t at = mix64(key);; ++at) {
      Slot& slot = slots_[at & mask_];
      if (slot.number == 0 || slot.key == key) return slot;
    }
  }
  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
  std::uint32_t count_ = 0;
};

std::uint64_t key(std::uint32_t gram, std::uint32_t symbol) {
  return static_cast<std::uint64_t>(gram) << 32 | symbol;
}

}  // namespace

void shared_ngrams(const Symbols& hypothesis, std::span<const Symbols> references, std::span<std::int64_t> shared) {
  thread_local GramTable table;
  thread_local std::vector<std::uint32_t> most, here;
  std::fill(shared.begin(), shared.end(), 0);
  // The number of the gram of n - 1 symbols that begins at each place, of the references and of the hypothesis: of the
  // latter 0 where no reference has it, and then none has a longer one either. Before the first order all are 1.
  std::vector<Symbols> grams(references.size());
  for (std::size_t r = 0; r < references.size(); ++r) grams[r].assign(references[r].size(), 1);
  Symbols hypothesis_grams(hypothesis.size(), 1);
  for (std::size_t n = 1; n <= shared.size() && n <= hypothesis.size(); ++n) {
    std::size_t places = 0;
    for (const Symbols& reference : references) places += static_cast<std::size_t>(ngram_count(reference.size(), n));
    if (places == 0) return;
    table.clear(places);
    most.assign(places + 1, 0);
    for (std::size_t r = 0; r < references.size(); ++r) {
      here.assign(references.size() == 1 ? 0 : places + 1, 0);
      std::vector<std::uint32_t>& counts = references.size() == 1 ? most : here;
      for (std::size_t i = 0; i + n <= references[r].size(); ++i) {
        grams[r][i] = table.insert(key(grams[r][i], references[r][i + n - 1]));
        ++counts[grams[r][i]];
      }
      for (std::size_t gram = 1; gram < here.size(); ++gram) most[gram] = std::max(most[gram], here[gram]);
    }
    std::int64_t matches = 0;
    for (std::size_t i = 0; i + n <= hypothesis.size(); ++i) {
      if (hypothesis_grams[i] == 0) continue;
      const std::uint32_t gram = table.find(key(hypothesis_grams[i], hypothesis[i + n - 1]));
      hypothesis_grams[i] = gram;
      if (gram != 0 && most[gram] > 0) {
        --most[gram];
        ++matches;
      }
    }
    if (matches == 0) return;
    shared[n - 1] = matches;
  }
}

}  // namespace pipeformer
