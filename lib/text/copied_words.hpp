/// Unknown words of an output that are words of its source: what `decode --replace-unknown` leaves to be put in.
#pragma once
#include <string>
#include <vector>

#include "io/batch.hpp"
#include "text/line_batches.hpp"
#include "text/tokenizer.hpp"

namespace pipeformer {

/// The text of ids of which those below 0, -1 - p, stand for the source's word at position p. The letters around such
/// an id, which an unknown part made unreadable, give way to the word as a whole; punctuation stays, and that around
/// the word is not copied. Several such ids with no space or punctuation between them make one word: the first one's.
/// Where its position has no word (a control id) or no word has it, the unknown id's own text stands there, as decode
/// writes it. words: of the source's positions.
std::string decode_copied(const Tokenizer&, const std::vector<std::int32_t>& ids,
                          const std::vector<std::string>& words);

/// For each line, the words by the positions that encode_lines gives it. A position that stands for no text of its own
/// (a byte of a character, a mark) belongs to the word that it stands in, and white space alone (a lone mark of
/// SentencePiece's) to the word that follows; "" for control ids and where no word follows. how: as the source was
/// encoded, but for sampling and splitting, which it must not ask for. The first of the lines is number `first_line` of
/// `name`, from 0. Throws Error as encode_lines does.
std::vector<std::vector<std::string>> words_by_position(const Tokenizer&, const std::vector<std::string>& lines,
                                                        LineEncoding how = {}, std::int64_t first_line = 0,
                                                        const std::string& name = "(text)");

/// One text for each record of ids (T,), with the words of the source line that has its number. Throws Error naming the
/// stream `name` and the record for an id outside the vocabulary and for a position that the line has not.
std::vector<std::string> decode_copied(const Tokenizer&, const Batch&, const std::string& name,
                                       const std::vector<std::vector<std::string>>& words);

}  // namespace pipeformer
