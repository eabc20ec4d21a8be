/// Lines of text as a stream of records of ids, for tools that begin with text.
#pragma once
#include <memory>
#include <string>

#include "io/stream.hpp"
#include "text/tokenizer.hpp"

namespace pipeformer {

/// A file of lines ("-" is standard input) as what `tokenize` makes of it: one record (T,) int32 for each line, with
/// the control ids that the tokenizer puts around a text. The tokenizer must outlive it. Throws Error for text that is
/// not UTF-8, naming file and line.
std::unique_ptr<RecordReader> open_text(const std::string& path, const Tokenizer&);

}  // namespace pipeformer
