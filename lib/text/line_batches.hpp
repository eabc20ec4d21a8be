/// Lines and documents of text in batches, between files and a tokenizer: one line, one record, in order, encoded and
/// decoded by the thread team.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/batch.hpp"
#include "io/text_lines.hpp"
#include "text/tokenizer.hpp"

namespace pipeformer {

/// What to do with a line that is not UTF-8: stop, put U+FFFD in, or take its bytes as they are.
enum class InvalidUtf8 { error, replace, keep };

/// Throws Error naming the file and the reader's current line (from 1, as editors count) when it is not UTF-8.
void require_utf8(std::string_view line, const TextLines& reader);

/// Reads up to a few thousand lines. False at the end of the input.
bool read_line_batch(TextLines& reader, InvalidUtf8 policy, std::vector<std::string>& lines);

/// Reads from both files in lock step. False when both end together; throws Error with both files and their numbers of
/// lines when one ends first.
bool next_line_pair(TextLines& a, std::string_view& line_a, TextLines& b, std::string_view& line_b);

/// A whole file ("-" is standard input) as one text.
std::string read_document(const std::string& path, InvalidUtf8 policy);

/// How a record of ids is made of a text's ids: the control ids around them. Throws Error when the vocabulary lacks
/// one.
struct ControlIds {
  bool begin = false;
  bool end = false;
};

/// Encodes lines; the result holds one record (T,) per line. With `sampling` the ids are drawn, and the first of the
/// lines is number `first_line` of its text.
Batch encode_lines(const Tokenizer& tokenizer, const std::vector<std::string>& lines, ControlIds control = {},
                   const std::optional<SubwordSampling>& sampling = {}, std::int64_t first_line = 0);

/// One text per sequence of ids: what was encoded, or (pieces) the pieces separated by spaces. Throws Error naming the
/// stream `name` and the record for an id outside the vocabulary, and for a text with a newline when `single_lines`.
std::vector<std::string> decode_batch(const Tokenizer& tokenizer, const Batch& batch, const std::string& name,
                                      bool pieces, bool single_lines);

}  // namespace pipeformer
