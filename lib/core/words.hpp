/// Word numbers of positions, as `tokenize --words` writes them: from 0, -1 for what belongs to no word.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace pipeformer {

/// The first position of each word, -1 for a word that has none. Throws Error for a number that no word can have.
std::vector<std::int32_t> first_positions(std::span<const std::int32_t> words);

}  // namespace pipeformer
