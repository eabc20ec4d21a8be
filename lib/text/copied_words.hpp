/// Unknown words of an output that are words of its source: what `decode --replace-unknown` leaves to be put in.
#pragma once
#include <string>
#include <vector>

#include "io/batch.hpp"
#include "text/tokenizer.hpp"

namespace pipeformer {

/// The text of ids of which those below 0, -1 - p, stand for the source's word at position p. The letters around such
/// an id, which an unknown part made unreadable, give way to the word as a whole; punctuation stays, and that around
/// the word is not copied. Where the position has no word (a control id) or no word has it, the unknown id's own text
/// stands there. words: of the source's positions.
std::string decode_copied(const Tokenizer&, const std::vector<std::int32_t>& ids,
                          const std::vector<std::string>& words);

/// The words of a line by the positions that the tokenizer gives it, as tokenize does by default; "" for those that
/// stand for no word.
std::vector<std::string> words_by_position(const Tokenizer&, const std::string& line);

/// One text for each record of ids (T,), of the source line with its number. Throws Error naming the stream `name` and
/// the record for an id outside the vocabulary and for a position that the line has not.
std::vector<std::string> decode_copied(const Tokenizer&, const Batch&, const std::string& name,
                                       const std::vector<std::string>& lines);

}  // namespace pipeformer
