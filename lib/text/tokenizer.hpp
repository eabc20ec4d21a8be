/// Tokenizers: a line of UTF-8 text <-> ids.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/places.hpp"
#include "text/utf8.hpp"

namespace pipeformer {

/// Subword regularisation: a line's ids are drawn among its segmentations, so that a model in training sees many.
struct SubwordSampling {
  /// bpe: the probability of leaving out a merge (BPE-dropout, Provilkov et al. 2020); 0 is encode(), 1 characters.
  /// unigram: P(segmentation)^alpha (Kudo 2018); 0 draws among all alike, a large one nearly always the best.
  double alpha = 0.1;
  std::int64_t nbest = -1;  ///< unigram: among so many best segmentations (1 to 512); -1: among all there are.
  std::uint64_t seed = 1;
};

/// The ids of one record, and for each whether it belongs to the first text or the second (token types).
struct TokenRecord {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> types;
};

/// Ids that stand for no text, by what they are for. A vocabulary has those that its tokenizer was made with.
struct NamedIds {
  std::optional<std::int32_t> begin, end, unknown, padding, mask, separator, classification;
};

/// What a tokenizer model file holds is enough to make it: SentencePiece's own .model files (bpe, unigram, word, char
/// of theirs), tokenizer.json files of Hugging Face's tokenizers, or our small text format for `char` and `byte`. The
/// same bytes are stored in a Transformer model file (dataset `tokenizer`).
class Tokenizer {
 public:
  /// From a model's bytes; `name` is for messages. Throws Error when the bytes are neither.
  static std::unique_ptr<Tokenizer> parse(std::string bytes, const std::string& name);
  /// From a tokenizer model file, from the dataset `tokenizer` of a Transformer model file (HDF5; FILE.h5:GROUP: of one
  /// of several in it), or from a directory
  /// with tokenizer files (text/hf/folder.hpp).
  static std::unique_ptr<Tokenizer> load(const std::string& path);
  virtual ~Tokenizer() = default;

  virtual std::vector<std::int32_t> encode(std::string_view line) const = 0;
  /// As encode, and where each id's text stands in the line. Some ids share a place (the pieces of one character), some
  /// have an empty one (a mark that stands for no text). Places keep the order of the text.
  virtual std::vector<std::int32_t> encode_places(std::string_view line, std::vector<Place>& places) const = 0;
  /// How sample() draws: not at all (char, byte), by dropping merges (bpe), among segmentations (unigram).
  enum class Sampler { none, merges, segmentations };
  virtual Sampler sampler() const { return Sampler::none; }
  /// As encode, but drawn; a function of the settings, the line and its number only. Throws Error when there is no
  /// sampler.
  virtual std::vector<std::int32_t> sample(std::string_view line, const SubwordSampling&, std::int64_t number) const;
  /// A record of the ids of one text, or of two, with the control ids that the tokenizer puts around them (BERT's
  /// [CLS] and [SEP]) if `control_ids`. Those that put none join the texts.
  virtual TokenRecord assemble(const std::vector<std::int32_t>& first, const std::vector<std::int32_t>* second,
                               bool control_ids) const;
  virtual bool adds_control_ids() const { return false; }
  /// The text of ids; control ids (begin, end, padding) give nothing. Throws Error for an id outside the vocabulary.
  virtual std::string decode(const std::vector<std::int32_t>& ids) const = 0;
  /// As decode, with the text of control ids. Throws Error when the tokenizer's have none.
  virtual std::string decode_with_control(const std::vector<std::int32_t>& ids) const;
  /// One id as text, as shown by --pieces and on attention axes.
  virtual std::string piece(std::int32_t id) const = 0;
  virtual std::int32_t vocabulary_size() const = 0;
  virtual bool has_piece(std::int32_t id) const;          ///< False outside the vocabulary and in its gaps.
  virtual double score(std::int32_t) const { return 0; }  ///< Of unigram's pieces, and SentencePiece's; 0 else.
  virtual std::int32_t begin_id() const = 0;              ///< -1 when the vocabulary has none.
  virtual std::int32_t end_id() const = 0;                ///< -1 when the vocabulary has none.
  virtual std::int32_t unknown_id() const = 0;            ///< -1 when the vocabulary has none.
  virtual NamedIds named_ids() const;
  /// True when ids and text correspond byte for byte, newlines included (char, byte): what documents need.
  virtual bool exact() const = 0;
  virtual bool takes_any_bytes() const { return false; }  ///< True when text need not be UTF-8 (byte).
  virtual std::string bytes() const = 0;  ///< The model file's bytes; parse(bytes()) is the same tokenizer.
};

/// The tokenizer as the text of a tokenizer.json: its own file, or what a SentencePiece model of ours (bpe, unigram)
/// says in that format, with the same ids for the same text (but for characters of several code points, which the
/// format maps as a whole). Throws Error for char and byte, which have no place there.
std::string tokenizer_json(const Tokenizer& tokenizer);

struct TokenizerTraining {
  std::string type = "bpe";             ///< bpe, unigram, byte-bpe, wordpiece, char, byte
  std::int32_t vocabulary_size = 8000;  ///< Char and byte find their own size.
  double character_coverage = 1.0;      ///< Share of the corpus' characters that get an id of their own (bpe, unigram).
  bool byte_fallback = false;           ///< Spell unknown characters as bytes (bpe, unigram).
  std::uint64_t seed = 1;               ///< Nothing in these trainings is random; kept for those that come.
  /// Called with the number of lines read so far and a label of the stage; may be empty.
  std::function<void(const std::string& stage, std::int64_t lines)> progress;
};

/// Trains a tokenizer on the lines of text files ("-" is standard input) and returns the model file's bytes. Ids:
/// unknown 0, begin 1, end 2, no padding; then bpe and unigram as SentencePiece trains them (Kudo & Richardson 2018;
/// its defaults, and no line is too long), char: the code points of the corpus and the newline in ascending order,
/// byte: 256 bytes; byte-bpe and wordpiece as text/hf/training.hpp says. Throws Error for text that is not UTF-8
/// (naming file and line), an empty corpus, or a vocabulary size the corpus does not allow.
std::string train_tokenizer(const std::vector<std::string>& corpus, const TokenizerTraining&);

}  // namespace pipeformer
