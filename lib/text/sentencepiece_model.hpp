/// What a SentencePiece .model file says (a message ModelProto in Protocol Buffers' encoding; proto2 file
/// sentencepiece_model.proto): pieces, ids, normalization.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pipeformer {

struct SentencePieceModel {
  enum class Kind { unigram = 1, bpe = 2, word = 3, character = 4 };
  enum class Type { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  struct Piece {
    std::string text;
    float score = 0;
    Type type = Type::normal;
  };
  struct Normalization {
    std::string charsmap;  ///< May be empty: text stays as it is.
    bool add_dummy_prefix = true;
    bool remove_extra_whitespaces = true;
    bool escape_whitespaces = true;
  };

  std::vector<Piece> pieces;  ///< The piece's place is its id.
  Kind kind = Kind::unigram;
  bool byte_fallback = false;
  bool whitespace_is_suffix = false;
  std::int32_t unknown_id = 0, begin_id = 1, end_id = 2, padding_id = -1;
  std::string unknown_surface = " \u2047 ";  ///< What the unknown id is decoded as.
  Normalization normalization, denormalization;
};

/// Reads and checks the bytes of a .model file. Throws Error naming `name` when they are none, or damaged in a way that
/// the SentencePiece library, which trusts them, would crash at.
SentencePieceModel read_sentencepiece_model(std::string_view bytes, const std::string& name);

}  // namespace pipeformer
