/// Ragged: where the sequences of a batch begin and end. Rows of all sequences stand one after another; sequence s is
/// rows offsets[s] .. offsets[s + 1]. This is the only way a batch is held: there is no padded form (law 2).
#pragma once
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace pipeformer {

struct Ragged {
  std::span<const std::int64_t> offsets;  ///< [sequences + 1], starting with 0, ascending

  std::int64_t sequences() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::int64_t rows() const { return offsets.back(); }
  std::int64_t longest() const {  ///< Rows of the longest sequence; 0 when there is none.
    std::int64_t n = 0;
    for (std::int64_t s = 0; s < sequences(); ++s) n = std::max(n, length(s));
    return n;
  }
  std::int64_t begin(std::int64_t s) const { return offsets[static_cast<std::size_t>(s)]; }
  std::int64_t length(std::int64_t s) const { return offsets[static_cast<std::size_t>(s) + 1] - begin(s); }
};

/// The offsets of so many sequences of one row each.
inline std::vector<std::int64_t> one_row_each(std::int64_t sequences) {
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(sequences) + 1);
  std::iota(offsets.begin(), offsets.end(), 0);
  return offsets;
}

}  // namespace pipeformer
