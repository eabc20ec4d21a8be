/// SentencePiece models behind the Tokenizer interface. Private to lib/text.
#pragma once
#include <memory>
#include <string>

#include "text/tokenizer.hpp"

namespace pipeformer {

/// From the bytes of a .model file. Throws Error naming `name` when they are not one.
std::unique_ptr<Tokenizer> parse_sentencepiece(std::string bytes, const std::string& name);

/// Trains bpe or unigram on lines; `next_line` gives the next one, false at the end, and may throw.
std::string train_sentencepiece(const std::function<bool(std::string&)>& next_line, const TokenizerTraining& settings);

}  // namespace pipeformer
