/// The options of tokenize: how lines become records, and how a tokenizer is trained.
#pragma once
#include <vector>

#include "cli/tool.hpp"
#include "text/line_batches.hpp"
#include "text/tokenizer.hpp"

namespace pipeformer {

std::vector<Option> tokenizing_options();

/// Throws UsageError for options that make no sense together.
void check_tokenizing_options(const Args&);

/// How lines become records. Throws UsageError where the tokenizer cannot draw as --sample says.
LineEncoding line_encoding(const Args&, const Tokenizer&);
InvalidUtf8 invalid_utf8(const Args&, const Tokenizer&);

/// What --train trains.
TokenizerTraining tokenizer_training(const Args&);

}  // namespace pipeformer
