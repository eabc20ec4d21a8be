/// SentencePiece models as tokenizer.json, for those layouts that renumber their pieces.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "text/sentencepiece_model.hpp"

namespace pipeformer::hf {

/// A piece of the new vocabulary; its place is its id.
struct NumberedPiece {
  std::string text;
  double score = 0;
  bool usable = true;  ///< False: it has an id, but text is never cut into it.
};
/// A text that is found before anything else happens to a line.
struct AddedPiece {
  std::int32_t id;
  std::string text;
  bool special;
  bool lstrip = false;
};

/// The text of a tokenizer.json. `begin` and `end` are the ids around a text, `between` those between the two of a
/// pair. Throws Error naming `name` for kinds other than unigram and bpe.
struct RenumberedModel {
  std::vector<NumberedPiece> pieces;
  std::vector<AddedPiece> added;
  std::int32_t unknown = 0;
  std::vector<std::int32_t> begin, between, end;
};
std::string sentencepiece_json(const SentencePieceModel& model, const RenumberedModel& renumbered,
                               const std::string& name);

/// Ours, a member of a Unigram model: the ids of pieces that text is never cut into, which the format cannot say.
constexpr const char* kUnusedPieces = "pipeformer_unused";
/// A tokenizer.json without that member, for other programs. Throws Error when one of the pieces is no added token:
/// they would cut text into it.
std::string without_unused_pieces(std::string tokenizer_json);

/// The model with its own numbers: its control pieces and user-defined ones are added tokens.
RenumberedModel own_numbers(const SentencePieceModel& model);

}  // namespace pipeformer::hf
