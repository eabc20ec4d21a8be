#include "text/sentencepiece_model.hpp"

#include <cstring>

#include "core/error.hpp"
#include "text/charsmap.hpp"
#include "text/utf8.hpp"

namespace pipeformer {
namespace {

/// The fields of one message, in order. Numbers and strings only: the groups of old are refused, since nothing of
/// ours has them and readers differ about what is inside of them.
class Fields {
 public:
  Fields(std::string_view bytes, const std::string& name) : rest_(bytes), name_(name) {}

  bool next() {
    if (rest_.empty()) return false;
    const std::uint64_t tag = varint();
    check(tag >> 3 != 0 && tag >> 32 == 0);
    number_ = static_cast<std::uint32_t>(tag >> 3);
    wire_ = tag & 7;
    switch (wire_) {
      case 0:
        value_ = varint();
        break;
      case 1:
        bytes_ = take(8);
        break;
      case 2:
        bytes_ = take(varint());
        break;
      case 5:
        bytes_ = take(4);
        break;
      default:
        check(false);
    }
    return true;
  }
  // A field of another wire type than its own is an unknown one, as for every reader of this encoding.
  bool is_number(std::uint32_t number) const { return number_ == number && wire_ == 0; }
  bool is_bytes(std::uint32_t number) const { return number_ == number && wire_ == 2; }
  bool is_float(std::uint32_t number) const { return number_ == number && wire_ == 5; }
  std::int32_t integer() const { return static_cast<std::int32_t>(value_); }
  bool boolean() const { return value_ != 0; }
  std::string_view bytes() const { return bytes_; }
  float real() const {
    float number = 0;
    std::memcpy(&number, bytes_.data(), sizeof number);
    return number;
  }

 private:
  void check(bool holds) const { require(holds, name_, ": not a tokenizer model"); }
  std::string_view take(std::uint64_t size) {
    check(size <= rest_.size());
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    check(false);
    return 0;
  }

  std::string_view rest_;
  const std::string& name_;
  std::uint32_t number_ = 0;
  unsigned wire_ = 0;
  std::uint64_t value_ = 0;
  std::string_view bytes_;
};

SentencePieceModel::Piece read_piece(Fields fields) {
  SentencePieceModel::Piece piece;
  while (fields.next()) {
    if (fields.is_bytes(1)) piece.text = fields.bytes();
    if (fields.is_float(2)) piece.score = fields.real();
    if (fields.is_number(3) && fields.integer() >= 1 && fields.integer() <= 6)
      piece.type = static_cast<SentencePieceModel::Type>(fields.integer());
  }
  return piece;
}

void read_trainer(Fields fields, SentencePieceModel& model) {
  while (fields.next()) {
    if (fields.is_number(3) && fields.integer() >= 1 && fields.integer() <= 4)
      model.kind = static_cast<SentencePieceModel::Kind>(fields.integer());
    if (fields.is_number(24)) model.whitespace_is_suffix = fields.boolean();
    if (fields.is_number(35)) model.byte_fallback = fields.boolean();
    if (fields.is_number(40)) model.unknown_id = fields.integer();
    if (fields.is_number(41)) model.begin_id = fields.integer();
    if (fields.is_number(42)) model.end_id = fields.integer();
    if (fields.is_number(43)) model.padding_id = fields.integer();
    if (fields.is_bytes(44)) model.unknown_surface = fields.bytes();
  }
}

void read_normalizer(Fields fields, SentencePieceModel::Normalization& normalization) {
  while (fields.next()) {
    if (fields.is_bytes(2)) normalization.charsmap = fields.bytes();
    if (fields.is_number(3)) normalization.add_dummy_prefix = fields.boolean();
    if (fields.is_number(4)) normalization.remove_extra_whitespaces = fields.boolean();
    if (fields.is_number(5)) normalization.escape_whitespaces = fields.boolean();
  }
}

}  // namespace

SentencePieceModel read_sentencepiece_model(std::string_view bytes, const std::string& name) {
  SentencePieceModel model;
  for (Fields fields(bytes, name); fields.next();) {
    if (fields.is_bytes(1)) model.pieces.push_back(read_piece(Fields(fields.bytes(), name)));
    if (fields.is_bytes(2)) read_trainer(Fields(fields.bytes(), name), model);
    if (fields.is_bytes(3)) read_normalizer(Fields(fields.bytes(), name), model.normalization);
    if (fields.is_bytes(5)) read_normalizer(Fields(fields.bytes(), name), model.denormalization);
  }
  require(!model.pieces.empty(), name, ": not a tokenizer model");
  for (const auto* normalization : {&model.normalization, &model.denormalization})
    if (!normalization->charsmap.empty()) Charsmap(normalization->charsmap, name);
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const std::string& text = model.pieces[id].text;
    require(!text.empty() && text.find('\0') == std::string::npos && find_invalid_utf8(text) == std::string::npos, name,
            ": piece ", id, " is not text");
    require(model.pieces[id].score == model.pieces[id].score, name, ": the score of piece ", id, " is no number");
  }
  return model;
}

}  // namespace pipeformer
