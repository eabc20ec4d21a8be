/// Texts in and out of tokenize.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cli/tool.hpp"
#include "text/line_batches.hpp"

namespace pipeformer {

/// The lines of the input, a batch at a time, or all of it as one text (--document).
class Texts {
 public:
  Texts(const Args&, InvalidUtf8);
  TextLines& reader() { return *reader_; }
  bool next(std::vector<std::string>& texts);

 private:
  InvalidUtf8 policy_;
  std::optional<TextLines> reader_;
  std::vector<std::string> document_;
};

/// Where the ids of each record stand, (T, 3).
void write_offsets(RecordWriter&, const EncodedLines&);

/// --decode: the records of the input as lines of text.
void decode_records(const Args&, const Tokenizer&);

}  // namespace pipeformer
