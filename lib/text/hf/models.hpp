/// The section `model` of a tokenizer.json: how a word is cut into pieces.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/random.hpp"
#include "text/hf/json_object.hpp"
#include "text/hf/vocabulary.hpp"
#include "text/places.hpp"

namespace pipeformer::hf {

/// U+2581, which stands for a space at the beginning of words.
constexpr std::string_view word_mark = "\u2581";

class Model {
 public:
  virtual ~Model() = default;
  /// Appends the ids of a word, a function of the word alone. Throws Error when the word has a part that the model has
  /// neither a piece nor an unknown id for.
  virtual void encode(std::string_view word, std::vector<std::int32_t>& ids) const = 0;
  /// Where the ids that encode() gave for a word stand in it. An unknown id reaches to the next one that is found.
  std::vector<Place> places(std::string_view word, std::span<const std::int32_t> ids) const;
  /// Whether words of its kind may be looked up instead of being encoded again; false when that would not be faster.
  virtual bool caches() const { return true; }
  /// Whether a word's ids are those of its parts when it is cut before each word_mark that another character stands
  /// before: then the words of a line that is not cut otherwise can be looked up too.
  virtual bool cuts_at_marks() const { return false; }
  /// As encode, leaving out each merge with probability `dropout`; only when `can_sample`.
  virtual bool can_sample() const { return false; }
  virtual void sample(std::string_view word, double dropout, Random& random, std::vector<std::int32_t>& ids) const;
  /// Words are bytes from now on, instead of characters that stand for bytes. False when the model cannot.
  virtual bool take_bytes() { return false; }
  virtual double score(std::int32_t) const { return 0; }  ///< Of a piece; 0 where the kind has none.
  virtual std::int32_t unknown_id() const { return -1; }

  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  /// What an id stands for within a word, the first or the last of it or not: its piece, but for the marks of its
  /// place.
  virtual std::string text_of(std::int32_t id, bool first, bool last) const;

  Vocabulary vocabulary_;
};

/// Throws Error for what is not understood or does not fit together.
std::unique_ptr<Model> read_model(const Json& section);

std::unique_ptr<Model> read_bpe(JsonObject&);
std::unique_ptr<Model> read_unigram(JsonObject&);
std::unique_ptr<Model> read_wordpiece(JsonObject&);
std::unique_ptr<Model> read_wordlevel(JsonObject&);

/// A vocabulary written as {"piece": id}.
void read_vocabulary(JsonObject&, Vocabulary&);

/// "<0x0A>": the piece of a byte that has none of its own.
std::string byte_piece(unsigned char byte);

}  // namespace pipeformer::hf
