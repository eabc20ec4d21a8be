#include "text/text_records.hpp"

#include "text/line_batches.hpp"

namespace pipeformer {
namespace {

class TextReader : public RecordReader {
 public:
  TextReader(const std::string& path, const Tokenizer& tokenizer)
      : RecordReader(input_name(path)), lines_(path), tokenizer_(tokenizer) {}

  // Messages about lines name them already.
  bool next(Array& record) override {
    const bool found = read(record);
    count_ += found;
    return found;
  }
  bool locate(RecordLocation& place) override {
    const bool found = skip(place);
    count_ += found;
    return found;
  }

 private:
  bool read(Array& record) override {
    if (at_ == encoded_.sequences()) {
      const InvalidUtf8 policy = tokenizer_.takes_any_bytes() ? InvalidUtf8::keep : InvalidUtf8::error;
      if (!read_line_batch(lines_, policy, texts_)) return false;
      encoded_ = encode_lines(tokenizer_, texts_, {}, {}, count(), name()).ids;
      at_ = 0;
    }
    const std::int64_t length = encoded_.ragged().length(at_);
    const auto* ids = encoded_.tokens.data() + encoded_.ragged().begin(at_++);
    record = Array::of<std::int32_t>({length}, {ids, static_cast<std::size_t>(length)});
    return true;
  }

  TextLines lines_;
  const Tokenizer& tokenizer_;
  std::vector<std::string> texts_;
  Batch encoded_;
  std::int64_t at_ = 0;
};

}  // namespace

std::unique_ptr<RecordReader> open_text(const std::string& path, const Tokenizer& tokenizer) {
  return std::make_unique<TextReader>(path, tokenizer);
}

}  // namespace pipeformer
