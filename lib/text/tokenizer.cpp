#include "text/tokenizer.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <set>
#include <unordered_map>
#include <utility>

#include "core/error.hpp"
#include "io/address.hpp"
#include "io/byte_source.hpp"
#include "io/hdf5.hpp"
#include "io/text_lines.hpp"
#include "text/hf/folder.hpp"
#include "text/hf/sentencepiece_json.hpp"
#include "text/hf/tokenizer_json.hpp"
#include "text/hf/training.hpp"
#include "text/line_batches.hpp"
#include "text/sentencepiece.hpp"
#include "text/sentencepiece_model.hpp"

namespace pipeformer {
namespace {

// Our text format: this line with the type, then, for char, one code point a line ("U+000A"), ascending. The ids of the
// first three are never written: they are the control ids that every vocabulary of ours begins with.
const std::string header_start = "pipeformer tokenizer 1 ";
constexpr std::int32_t unknown = 0, begin = 1, end = 2, first_free = 3;
constexpr std::array<const char*, first_free> control_pieces{"<unk>", "<s>", "</s>"};

template <class... Values>
std::string formatted(const char* format, Values... values) {
  char text[32];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

/// What char and byte share: the control ids, and symbols that are numbered in order after them.
class SymbolTokenizer : public Tokenizer {
 public:
  std::string decode(const std::vector<std::int32_t>& ids) const override {
    std::string text;
    for (const std::int32_t id : ids) {
      check_id(id);
      if (id >= first_free) {
        append_symbol(text, id - first_free);
      } else if (id == unknown) {
        append_utf8(text, replacement_character);
      }
    }
    return text;
  }
  std::string piece(std::int32_t id) const override {
    check_id(id);
    return id < first_free ? control_pieces[static_cast<std::size_t>(id)] : symbol_piece(id - first_free);
  }
  std::int32_t begin_id() const override { return begin; }
  std::int32_t end_id() const override { return end; }
  std::int32_t unknown_id() const override { return unknown; }
  bool exact() const override { return true; }

 protected:
  virtual void append_symbol(std::string& text, std::int32_t symbol) const = 0;
  virtual std::string symbol_piece(std::int32_t symbol) const = 0;

 private:
  void check_id(std::int32_t id) const {
    require(id >= 0 && id < vocabulary_size(), "id ", id, " is outside the vocabulary of ", vocabulary_size());
  }
};

class ByteTokenizer final : public SymbolTokenizer {
 public:
  std::vector<std::int32_t> encode_places(std::string_view line, std::vector<Place>& places) const override {
    for (std::size_t at = 0; at < line.size(); ++at) places.push_back({at, at + 1});
    return encode(line);
  }
  std::vector<std::int32_t> encode(std::string_view line) const override {
    std::vector<std::int32_t> ids(line.size());
    std::transform(line.begin(), line.end(), ids.begin(),
                   [](char c) { return first_free + static_cast<unsigned char>(c); });
    return ids;
  }
  std::int32_t vocabulary_size() const override { return first_free + 256; }
  bool takes_any_bytes() const override { return true; }
  std::string bytes() const override { return header_start + "byte\n"; }

 private:
  void append_symbol(std::string& text, std::int32_t symbol) const override {
    text.push_back(static_cast<char>(symbol));
  }
  std::string symbol_piece(std::int32_t symbol) const override {
    return symbol > 0x20 && symbol < 0x7F ? std::string(1, static_cast<char>(symbol)) : formatted("<0x%02X>", symbol);
  }
};

class CharTokenizer final : public SymbolTokenizer {
 public:
  explicit CharTokenizer(std::vector<char32_t> codes) : codes_(std::move(codes)) {
    for (std::size_t i = 0; i < codes_.size(); ++i) ids_.emplace(codes_[i], first_free + static_cast<std::int32_t>(i));
  }

  static std::unique_ptr<Tokenizer> parse(std::string_view list, const std::string& name) {
    std::vector<char32_t> codes;
    for (std::size_t number = 2; !list.empty(); ++number) {
      const std::string line(list.substr(0, list.find('\n')));
      list.remove_prefix(std::min(line.size() + 1, list.size()));
      unsigned code = 0;
      // Formatting the value again catches everything else that the line may hold.
      require(std::sscanf(line.c_str(), "U+%6X", &code) == 1 && line == formatted("U+%04X", code) && code <= 0x10FFFF &&
                  (code < 0xD800 || code > 0xDFFF),
              name, ": line ", number, ": '", line, "' is not a code point");
      require(codes.empty() || codes.back() < code, name, ": line ", number, ": '", line,
              "' is not in ascending order");
      codes.push_back(code);
    }
    return std::make_unique<CharTokenizer>(std::move(codes));
  }

  std::vector<std::int32_t> encode(std::string_view line) const override {
    std::vector<std::int32_t> ids;
    ids.reserve(line.size());
    for (std::size_t at = 0; at < line.size();) {
      const Utf8Step step = utf8_step(line, at);
      const auto found = ids_.find(step.code);
      ids.push_back(found == ids_.end() ? unknown : found->second);
      at += step.length;
    }
    return ids;
  }
  std::vector<std::int32_t> encode_places(std::string_view line, std::vector<Place>& places) const override {
    for (std::size_t at = 0; at < line.size(); at = places.back().end)
      places.push_back({at, at + utf8_step(line, at).length});
    return encode(line);
  }
  std::int32_t vocabulary_size() const override { return first_free + static_cast<std::int32_t>(codes_.size()); }
  std::string bytes() const override {
    std::string text = header_start + "char\n";
    for (const char32_t code : codes_) text += formatted("U+%04X\n", static_cast<unsigned>(code));
    return text;
  }

 private:
  char32_t code(std::int32_t symbol) const { return codes_[static_cast<std::size_t>(symbol)]; }
  void append_symbol(std::string& text, std::int32_t symbol) const override { append_utf8(text, code(symbol)); }
  std::string symbol_piece(std::int32_t symbol) const override {
    const char32_t shown = code(symbol);
    if (shown == ' ') return "\u2581";  // As SentencePiece shows a space.
    if (shown < 0x20 || shown == 0x7F || is_unicode_space(shown))
      return formatted("<U+%04X>", static_cast<unsigned>(shown));
    std::string text;
    append_utf8(text, shown);
    return text;
  }

  std::vector<char32_t> codes_;
  std::unordered_map<char32_t, std::int32_t> ids_;
};

/// The lines of several files one after another, checked to be UTF-8, with progress every few lines.
class Corpus {
 public:
  Corpus(const std::vector<std::string>& paths, const TokenizerTraining& settings)
      : paths_(paths), settings_(settings) {}

  bool next(std::string_view& line) {
    while (!reader_ || !reader_->next(line)) {
      if (file_ == paths_.size()) return false;
      reader_ = std::make_unique<TextLines>(paths_[file_++]);
    }
    require_utf8(line, *reader_);
    if (++lines_ % 256 == 0) report("reading");
    return true;
  }
  void report(const std::string& stage) const {
    if (settings_.progress) settings_.progress(stage, lines_);
  }

 private:
  const std::vector<std::string>& paths_;
  const TokenizerTraining& settings_;
  std::size_t file_ = 0;
  std::unique_ptr<TextLines> reader_;
  std::int64_t lines_ = 0;
};

/// Whether SentencePiece's normalization (nmt_nfkc) leaves something of a line: it drops control characters, makes
/// spaces of these others, and its trainer passes over lines with its own reserved character, U+2585.
bool leaves_text(std::string_view line) {
  bool any = false;
  for (const char32_t code : utf8_to_codes(line)) {
    if (code == 0x2585) return false;
    any |= code > 0x20 && !(code >= 0x7F && code <= 0x9F) && !is_unicode_space(code) &&
           !(code >= 0x200B && code <= 0x200F) && code != 0x2581 && code != 0xFEFF && code != 0xFFFD;
  }
  return any;
}

std::string train_char(Corpus& corpus) {
  std::set<char32_t> codes;
  for (std::string_view line; corpus.next(line);) {
    for (const char32_t code : utf8_to_codes(line)) codes.insert(code);
  }
  require(!codes.empty(), "the corpus is empty");
  codes.insert(U'\n');  // Between any two lines, for documents.
  return CharTokenizer({codes.begin(), codes.end()}).bytes();
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::parse(std::string bytes, const std::string& name) {
  if (bytes.starts_with('{')) return hf::parse_tokenizer_json(std::move(bytes), name);
  if (!bytes.starts_with(header_start)) return parse_sentencepiece(std::move(bytes), name);
  const std::size_t line_end = bytes.find('\n');
  require(line_end != std::string::npos, name, ": truncated tokenizer model");
  const std::string type = bytes.substr(header_start.size(), line_end - header_start.size());
  const std::string_view rest = std::string_view(bytes).substr(line_end + 1);
  if (type == "char") return CharTokenizer::parse(rest, name);
  require(type == "byte", name, ": unknown tokenizer type '", type, "'");
  require(rest.empty(), name, ": unexpected bytes after the tokenizer model");
  return std::make_unique<ByteTokenizer>();
}

/// Where a file of several models has one.
static std::string in_a_group(const Hdf5File& file, const Address& asked) {
  for (const std::string& group : file.groups())
    if (asked.group.empty() && file.has_dataset(group + "/tokenizer"))
      return cat("; ", asked.file, ":", group, " does");
  return "";
}

std::unique_ptr<Tokenizer> Tokenizer::load(const std::string& path) {
  const std::filesystem::path file(path);
  if (std::filesystem::is_directory(file)) return parse(hf::tokenizer_json_of_folder(path), path);
  // A side of Marian's: its ids are in another file.
  if (file.filename() == "target.spm" && std::filesystem::exists(file.parent_path() / "vocab.json"))
    return parse(hf::marian_target_json(file.parent_path().string()), path);
  const Address address = split_address(path);
  ByteSource source(address.file);
  std::vector<std::byte> bytes;
  if (source.regular() && looks_like_hdf5(source.peek(8))) {
    const Hdf5File file = Hdf5File::open(address.file);
    const std::string dataset = address.group.empty() ? "tokenizer" : address.group + "/tokenizer";
    require(file.has_dataset(dataset), path, ": this model file holds no tokenizer", in_a_group(file, address));
    const Array stored = file.read(dataset);
    require(stored.dtype == DType::u1 && stored.rank() == 1, path, ": dataset tokenizer is not a list of bytes");
    bytes.assign(stored.bytes.begin(), stored.bytes.end());
  } else {
    bytes = source.read_all();
  }
  return parse(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), input_name(path));
}

std::vector<std::int32_t> Tokenizer::sample(std::string_view, const SubwordSampling&, std::int64_t) const {
  throw Error("this tokenizer has one segmentation for each line: nothing can be sampled");
}

TokenRecord Tokenizer::assemble(const std::vector<std::int32_t>& first, const std::vector<std::int32_t>* second,
                                bool) const {
  TokenRecord record{first, std::vector<std::int32_t>(first.size(), 0)};
  if (second) {
    record.ids.insert(record.ids.end(), second->begin(), second->end());
    record.types.resize(record.ids.size(), 1);
  }
  return record;
}

std::string Tokenizer::decode_with_control(const std::vector<std::int32_t>&) const {
  throw Error("this tokenizer's control ids have no text");
}

bool Tokenizer::has_piece(std::int32_t id) const {
  return id >= 0 && id < vocabulary_size();
}

NamedIds Tokenizer::named_ids() const {
  const auto named = [](std::int32_t id) { return id < 0 ? std::nullopt : std::optional(id); };
  NamedIds ids;
  ids.begin = named(begin_id());
  ids.end = named(end_id());
  ids.unknown = named(unknown_id());
  return ids;
}

std::string tokenizer_json(const Tokenizer& tokenizer) {
  std::string bytes = tokenizer.bytes();
  if (bytes.starts_with('{')) return bytes;
  require(!bytes.starts_with(header_start), "char and byte tokenizers cannot be written as tokenizer.json");
  const SentencePieceModel model = read_sentencepiece_model(bytes, "the tokenizer");
  return hf::sentencepiece_json(model, hf::own_numbers(model), "the tokenizer");
}

std::string train_tokenizer(const std::vector<std::string>& corpus, const TokenizerTraining& settings) {
  if (settings.type == "byte") return ByteTokenizer().bytes();
  Corpus lines(corpus, settings);
  if (settings.type == "char") return train_char(lines);
  if (settings.type == "byte-bpe" || settings.type == "wordpiece") {
    const auto next = [&](std::string& line) {
      std::string_view view;
      const bool more = lines.next(view);
      line = view;
      if (!more) lines.report("training");
      return more;
    };
    return hf::train_json(next, settings);
  }
  require(settings.type == "bpe" || settings.type == "unigram", "unknown tokenizer type '", settings.type, "'");
  bool any_text = false;  // Without any, SentencePiece would end the process.
  const auto next_line = [&](std::string& line) {
    std::string_view view;
    const bool more = lines.next(view);
    line = view;
    if (more && !any_text) any_text = leaves_text(line);
    require(more || any_text, "the corpus is empty");
    if (!more) lines.report("training");
    return more;
  };
  return train_sentencepiece(next_line, settings);
}

}  // namespace pipeformer
