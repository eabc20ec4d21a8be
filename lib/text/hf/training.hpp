/// Training of byte-level BPE and WordPiece vocabularies.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "text/tokenizer.hpp"

namespace pipeformer::hf {

/// The merges of byte-pair encoding (Sennrich et al. 2016), `most` at most: again and again the pair of neighbours that
/// is the most frequent (of equals the one with the smallest ids) becomes a new symbol, numbered from `next`. It ends
/// when no pair is left that occurs twice. `words` are lists of symbols with their counts.
using CountedWord = std::pair<std::vector<std::int32_t>, std::int64_t>;
std::vector<std::pair<std::int32_t, std::int32_t>> learn_merges(std::vector<CountedWord> words, std::int32_t next,
                                                                std::int64_t most);

/// Trains byte-bpe (GPT-2's words and bytes) or wordpiece (BERT's words, case and accents kept; pieces are learned as
/// merges) on lines; `next_line` gives the next one, false at the end, and may throw. Returns the text of a
/// tokenizer.json. Ids: unknown 0, begin 1, end 2 (wordpiece: [UNK], [CLS], [SEP], and [MASK] 3), then bytes or
/// characters in ascending order, then what was learned. Throws Error for a size that the corpus does not allow.
std::string train_json(const std::function<bool(std::string&)>& next_line, const TokenizerTraining& settings);

}  // namespace pipeformer::hf
