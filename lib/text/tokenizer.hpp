/// Tokenizers: a line of UTF-8 text <-> ids.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pipeformer {

/// What a tokenizer model file holds is enough to make it: SentencePiece's own .model files (bpe, unigram, word, char of theirs)
/// or our small text format for `char` and `byte`. The same bytes are stored in a Transformer model file (dataset `tokenizer`).
class Tokenizer {
 public:
  /// From a model's bytes; `name` is for messages. Throws Error when the bytes are neither.
  static std::unique_ptr<Tokenizer> parse(std::string bytes, const std::string& name);
  static std::unique_ptr<Tokenizer> load(const std::string& path);
  virtual ~Tokenizer() = default;

  virtual std::vector<std::int32_t> encode(std::string_view line) const = 0;
  /// The text of ids; control ids (begin, end, padding) give nothing. Throws Error for an id outside the vocabulary.
  virtual std::string decode(const std::vector<std::int32_t>& ids) const = 0;
  virtual std::string piece(std::int32_t id) const = 0;  ///< One id as text, as shown by --pieces and on attention axes.
  virtual std::int32_t vocabulary_size() const = 0;
  virtual std::int32_t begin_id() const = 0;  ///< -1 when the vocabulary has none.
  virtual std::int32_t end_id() const = 0;    ///< -1 when the vocabulary has none.
  virtual std::int32_t unknown_id() const = 0;
  virtual std::string bytes() const = 0;      ///< The model file's bytes; parse(bytes()) is the same tokenizer.
};

struct TokenizerTraining {
  std::string type = "bpe";  ///< bpe, unigram, char, byte
  std::int32_t vocabulary_size = 8000;  ///< For bpe and unigram; char and byte find their own size.
  double character_coverage = 1.0;
  std::uint64_t seed = 1;
  int threads = 1;
  /// Called with the number of lines read so far and a label of the stage; may be empty.
  std::function<void(const std::string& stage, std::int64_t lines)> progress;
};

/// Trains a tokenizer on the lines of text files ("-" is standard input) and returns the model file's bytes.
std::string train_tokenizer(const std::vector<std::string>& corpus, const TokenizerTraining&);

/// Byte offset of the first invalid UTF-8 sequence (RFC 3629: no overlong forms, no surrogates), or npos.
std::size_t find_invalid_utf8(std::string_view);
/// Each maximal invalid part replaced by U+FFFD, as Unicode chapter 3 (and Python's errors="replace") does.
std::string replace_invalid_utf8(std::string_view);

}  // namespace pipeformer
