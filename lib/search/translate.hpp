/// From a stream of source ids to lines of text, as `decode | tokenize --decode` do it: for scores during training.
#pragma once
#include <string>
#include <vector>

#include "search/generate.hpp"
#include "text/tokenizer.hpp"

namespace pipeformer {

/// The best output for each record of the stream at `source`, as text.
std::vector<std::string> translate(const Transformer&, const std::string& source, const Tokenizer&,
                                   const GenerateSettings&);

}  // namespace pipeformer
