#include "cli/tokenizing.hpp"

#include <utility>

#include "cli/tokenizing_options.hpp"
#include "io/output_file.hpp"
#include "text/copied_words.hpp"
#include "text/prompt_template.hpp"

namespace pipeformer {

Texts::Texts(const Args& args, InvalidUtf8 policy) : policy_(policy) {
  if (args.flag("document")) {
    document_.push_back(read_document(args.input(), policy));
  } else {
    reader_.emplace(args.input());
  }
}

bool Texts::next(std::vector<std::string>& texts) {
  if (reader_) return read_line_batch(*reader_, policy_, texts);
  texts = std::exchange(document_, {});
  return !texts.empty();
}

void write_offsets(RecordWriter& writer, const EncodedLines& encoded) {
  const std::int32_t* rows = encoded.offsets.data();
  for (const Shape& shape : encoded.ids.shapes) {
    writer.write(DType::i4, {shape.back(), 3}, rows);
    rows += 3 * shape.back();
  }
  writer.flush();
}

namespace {

/// The source lines of records of which words are copied, encoded as the options say, so that positions are the same.
class SourceLines {
 public:
  SourceLines(const Args& args, const Tokenizer& tokenizer, const RecordReader& records)
      : tokenizer_(tokenizer),
        records_(records),
        lines_(args.text("replace-unknown")),
        policy_(invalid_utf8(args, tokenizer)),
        how_(line_encoding(args, tokenizer)) {
    require(tokenizer.unknown_id() >= 0, args.model(), ": this tokenizer has no unknown id");
    if (args.has("prompt-template")) prompt_ = PromptTemplate::read(args.text("prompt-template"));
  }

  std::vector<std::string> decode(const Batch& batch) {
    std::vector<std::string> lines;
    const std::int64_t before = lines_.count();
    for (std::string_view line; std::ssize(lines) < batch.records();) {
      if (!lines_.next(line))
        throw Error(cat(lines_.name(), " ended after ", lines_.count(), " lines, ", records_.name(), " has more"));
      if (policy_ == InvalidUtf8::error) require_utf8(line, lines_);
      lines.push_back(policy_ == InvalidUtf8::replace ? replace_invalid_utf8(line) : std::string(line));
      if (prompt_) lines.back() = prompt_->apply(lines.back());
    }
    return decode_copied(tokenizer_, batch, records_.name(),
                         words_by_position(tokenizer_, lines, how_, before, lines_.name()));
  }
  void finish() {
    std::string_view line;
    require(!lines_.next(line), records_.name(), " ended after ", records_.count(), " records, ", lines_.name(),
            " has more lines");
  }

 private:
  const Tokenizer& tokenizer_;
  const RecordReader& records_;
  TextLines lines_;
  InvalidUtf8 policy_;
  LineEncoding how_;
  std::optional<PromptTemplate> prompt_;
};

}  // namespace

void decode_records(const Args& args, const Tokenizer& tokenizer) {
  const auto reader = RecordReader::open(args.input());
  OutputFile output(args.output(), Content::text);
  const bool document = args.flag("document");
  const Decoding decoding = args.flag("pieces")         ? Decoding::pieces
                            : args.flag("keep-special") ? Decoding::text_with_control
                                                        : Decoding::text;
  const auto next = [&](Batch& batch) { return read_batch(*reader, batch, Accept::ids, 1 << 18, 4096); };
  std::optional<SourceLines> source;
  if (args.has("replace-unknown")) source.emplace(args, tokenizer, *reader);
  Batch batch, following;
  for (bool more = next(batch), first = true; more; first = false) {
    // Of a stream of one record, the text may have several lines: there is nothing that they could be taken for.
    const bool look_ahead = first && batch.sequences() == 1 && !tokenizer.exact();
    const bool more_follow = look_ahead && next(following);
    const bool single_lines = !document && (!look_ahead || more_follow);
    for (const std::string& text :
         source ? source->decode(batch)
                : decode_batch(tokenizer, batch, reader->name(), decoding, single_lines, document)) {
      output.write(text);
      if (!document) output.write("\n");
    }
    more = look_ahead ? more_follow : next(batch);
    if (look_ahead) std::swap(batch, following);
  }
  if (source) source->finish();
  output.close();
}

}  // namespace pipeformer
