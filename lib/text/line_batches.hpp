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

/// Reads `count` lines of the file beside that of `first`. Throws Error with both files and their numbers of lines when
/// it ends before; require_end when it does not end.
void read_same_lines(TextLines& reader, InvalidUtf8 policy, std::size_t count, std::vector<std::string>& lines,
                     TextLines& first);
void require_end(TextLines& reader, TextLines& first);

/// A whole file ("-" is standard input) as one text.
std::string read_document(const std::string& path, InvalidUtf8 policy);

/// What to do with a line of more tokens than wanted: stop, leave out the end of its (longer) text, or make several
/// records of it.
enum class Overflow { error, truncate, split };

/// How a line becomes a record.
struct LineEncoding {
  bool begin = false, end = false;  ///< The begin id before the record, the end id after it.
  bool control_ids = true;          ///< Those that the tokenizer itself puts around a text (Tokenizer::assemble).
  std::int64_t most_tokens = 0;     ///< Of a record, control ids counted; 0: any number.
  Overflow overflow = Overflow::error;
  std::int64_t stride = 0;  ///< Of a split: so many ids of a record's last text are in the next one too.
  std::optional<SubwordSampling> sampling = {};
  bool places = false;  ///< Fill EncodedLines::offsets and words; not with sampling.
};

/// Records (T,) of ids, and of token types (0: of the first text, 1: of the second; or as the tokenizer has it). When
/// asked for, where each id stands: offsets (T, 3), which text it is of (0 or 1), and the characters [begin, end) of
/// that text, without the white space around them; and the number of its word (T,). Words are what white space
/// separates, numbered from 0; those of a second text go on counting. Control ids have -1 everywhere; ids that stand
/// for no text, or for white space alone, have an empty range and no word (-1).
struct EncodedLines {
  Batch ids, types;
  std::vector<std::int32_t> offsets{}, words{};
};

/// Encodes lines; the result holds one record per line (several where one overflows and is split: then each has all
/// of the first text of a pair, and the next part of the last text, which begins `stride` ids before the end of the one
/// before it). `seconds` are the second texts, or empty. With
/// sampling the ids are drawn. The first of the lines is number `first_line` of `name`, from 0, for draws and messages.
/// Throws Error when the vocabulary lacks a control id, and for a line that is too long, naming it.
EncodedLines encode_lines(const Tokenizer& tokenizer, const std::vector<std::string>& lines,
                          const std::vector<std::string>& seconds, const LineEncoding& how, std::int64_t first_line = 0,
                          const std::string& name = "(text)");

/// Whether newlines and what surrounds them become ids. A tokenizer that takes a newline for a space does not.
bool keeps_newlines(const Tokenizer& tokenizer);

/// A whole text as one record; where the tokenizer does not keep newlines, its end id stands for each.
EncodedLines encode_document(const Tokenizer& tokenizer, const std::string& text, const LineEncoding& how,
                             const std::string& name = "(text)");

/// Lines of phrases between tabs: one record a line, the ids of each phrase without control ids, and -1 between two.
EncodedLines encode_phrases(const Tokenizer& tokenizer, const std::vector<std::string>& lines, std::int64_t first_line,
                            const std::string& name);

/// What decode_batch makes of ids: their text, with the text of control ids or without, or pieces separated by spaces.
enum class Decoding { text, text_with_control, pieces };

/// One text per sequence of ids. Throws Error naming the stream `name` and the record for an id outside the vocabulary,
/// and for a text with a newline when `single_lines`. document: what encode_document made.
std::vector<std::string> decode_batch(const Tokenizer& tokenizer, const Batch& batch, const std::string& name,
                                      Decoding decoding, bool single_lines, bool document = false);

/// A vocabulary as lines: id, piece and score, separated by tabs. In a piece, tabs, newlines and backslashes are
/// written \\t, \\n, \\r and \\\\.
std::string vocabulary_table(const Tokenizer& tokenizer);

}  // namespace pipeformer
