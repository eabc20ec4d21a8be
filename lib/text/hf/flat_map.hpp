/// A hash table from 64-bit keys to small values in one array, for lookups in the innermost loops.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pipeformer::hf {

template <class Value>
class FlatMap {
 public:
  const Value* find(std::uint64_t key) const {
    if (entries_.empty()) return nullptr;
    for (std::size_t at = place(key);; at = (at + 1) & (entries_.size() - 1)) {
      const Entry& entry = entries_[at];
      if (entry.key == key) return &entry.value;
      if (entry.key == free) return nullptr;
    }
  }
  /// The value of a key, made when there is none. A key must not be all ones. Values move when keys are added.
  Value& operator[](std::uint64_t key) {
    if (2 * (count_ + 1) > entries_.size()) grow();
    std::size_t at = place(key);
    while (entries_[at].key != key && entries_[at].key != free) at = (at + 1) & (entries_.size() - 1);
    if (entries_[at].key == free) {
      entries_[at].key = key;
      ++count_;
    }
    return entries_[at].value;
  }
  std::size_t size() const { return count_; }

 private:
  static constexpr std::uint64_t free = ~std::uint64_t{0};
  struct Entry {
    std::uint64_t key = free;
    Value value{};
  };
  std::size_t place(std::uint64_t key) const {
    const std::uint64_t mixed = key * 0x9E3779B97F4A7C15;
    return (mixed ^ mixed >> 32) & (entries_.size() - 1);
  }
  void grow() {
    std::vector<Entry> before(entries_.empty() ? 64 : 2 * entries_.size());
    before.swap(entries_);
    for (const Entry& entry : before) {
      if (entry.key == free) continue;
      std::size_t at = place(entry.key);
      while (entries_[at].key != free) at = (at + 1) & (entries_.size() - 1);
      entries_[at] = entry;
    }
  }

  std::vector<Entry> entries_;
  std::size_t count_ = 0;
};

}  // namespace pipeformer::hf
