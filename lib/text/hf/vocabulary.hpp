/// Pieces and their ids. Ids may have gaps.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pipeformer::hf {

class Vocabulary {
 public:
  void reserve(std::size_t pieces);
  /// Of a piece added twice, find() gives the later id. Returns what is wrong, or nothing: an id that is negative,
  /// far beyond the number of pieces, or taken by another piece.
  std::string add(std::string piece, std::int64_t id);
  std::int32_t find(std::string_view piece) const;                                 ///< -1 when there is none.
  const std::string* piece(std::int32_t id) const;                                 ///< nullptr when there is none.
  std::int32_t size() const { return static_cast<std::int32_t>(pieces_.size()); }  ///< The highest id + 1.
  std::int32_t count() const { return count_; }                                    ///< Of pieces.

 private:
  struct Entry {
    std::string text;
    bool used = false;
  };
  std::size_t slot_of(std::string_view piece) const;

  std::vector<Entry> pieces_;        // By id.
  std::vector<std::int32_t> slots_;  // A hash table of ids, -1 when free.
  std::int32_t count_ = 0;
};

/// A hash of bytes, quick for short ones.
std::uint64_t hash_bytes(std::string_view bytes);

}  // namespace pipeformer::hf
