#include "text/hf/tokenizer_json.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "core/error.hpp"
#include "core/random.hpp"
#include "text/hf/added_tokens.hpp"
#include "text/hf/control_tokens.hpp"
#include "text/hf/decoders.hpp"
#include "text/hf/models.hpp"
#include "text/hf/normalizers.hpp"
#include "text/hf/post_processors.hpp"
#include "text/hf/pre_tokenizers.hpp"
#include "text/hf/word_cache.hpp"

namespace pipeformer::hf {
namespace {

constexpr std::uint64_t sampling_stream = hash_name("sample");

/// Calls `take(part)` for the parts of a word that is cut before each mark with another character before it.
template <class Take>
void take_parts(std::string_view word, Take take) {
  std::size_t begin = 0;
  for (std::size_t at = word.find(word_mark, 1); at < word.size(); at = word.find(word_mark, at + 1)) {
    if (word.substr(0, at).ends_with(word_mark)) continue;
    take(word.substr(begin, at - begin));
    begin = at;
  }
  take(word.substr(begin));
}

class JsonTokenizer final : public Tokenizer {
 public:
  JsonTokenizer(std::string text, const std::string& name) : text_(std::move(text)) {
    const JsonDocument document = JsonDocument::parse(text_, name);
    JsonObject object(document.root());
    if (const auto version = object.find("version"); version && version->string() != "1.0")
      object.not_understood("version");
    for (const char* key : {"truncation", "padding"})
      if (const auto section = object.find(key)) JsonObject checked(*section);
    model_ = read_model(object.need("model"));
    if (const auto section = object.find("normalizer")) normalizer_ = read_normalizer(*section, name + ": normalizer");
    if (const auto section = object.find("added_tokens")) added_ = AddedTokens(*section, *model_, normalizer_.get());
    if (const auto section = object.find("pre_tokenizer"))
      pre_tokenizers_ = read_pre_tokenizers(*section, name + ": pre_tokenizer");
    if (const auto section = object.find("post_processor")) {
      template_ = read_post_processor(*section);
      check_template(*section);
    }
    if (const auto section = object.find("decoder")) decoder_ = read_decoder(*section, name + ": decoder");
    bytes_to_write_ = pre_tokenizers_.bytes_last && !model_->take_bytes();
    read_names(object);
    object.finish();
  }

  std::vector<std::int32_t> encode(std::string_view line) const override {
    std::vector<std::int32_t> ids;
    WordCache* cache = model_->caches() ? &WordCache::of(owner_) : nullptr;
    const auto take = [&](std::string_view word) {
      if (cache)
        cache->append(word, ids, [this](std::string_view text, auto& out) { model_->encode(text, out); });
      else
        model_->encode(word, ids);
    };
    encode_line(line, ids, [&](std::string_view word, const Place*) {
      model_->cuts_at_marks() ? take_parts(word, take) : take(word);
    });
    return ids;
  }

  std::vector<std::int32_t> encode_places(std::string_view line, std::vector<Place>& places) const override {
    std::vector<std::int32_t> ids;
    Origins origins(line.size());
    for (std::size_t at = 0; at < line.size(); ++at) origins[at] = {at, at + 1};
    const Following following{&origins, &places};
    encode_line(
        line, ids,
        [&](std::string_view word, const Place* from) {
          const std::size_t before = ids.size();
          model_->encode(word, ids);
          for (const Place& p : model_->places(word, std::span(ids).subspan(before)))
            places.push_back(joined(from, p.begin, p.end, word.size()));
        },
        &following);
    return ids;
  }

  Sampler sampler() const override { return model_->can_sample() ? Sampler::merges : Sampler::none; }
  std::vector<std::int32_t> sample(std::string_view line, const SubwordSampling& sampling,
                                   std::int64_t number) const override {
    Random random(derive_seed(derive_seed(sampling.seed, sampling_stream), static_cast<std::uint64_t>(number)));
    std::vector<std::int32_t> ids;
    encode_line(line, ids,
                [&](std::string_view word, const Place*) { model_->sample(word, sampling.alpha, random, ids); });
    return ids;
  }

  TokenRecord assemble(const std::vector<std::int32_t>& first, const std::vector<std::int32_t>* second,
                       bool control_ids) const override {
    return template_.apply(first, second, control_ids);
  }
  bool adds_control_ids() const override { return template_.adds_ids(); }

  std::string decode(const std::vector<std::int32_t>& ids) const override { return join(ids, false); }
  std::string decode_with_control(const std::vector<std::int32_t>& ids) const override { return join(ids, true); }

  std::string piece(std::int32_t id) const override { return piece_of(id); }
  bool has_piece(std::int32_t id) const override { return added_.token(id) || model_->vocabulary().piece(id); }
  std::int32_t vocabulary_size() const override { return std::max(model_->vocabulary().size(), added_.size()); }
  double score(std::int32_t id) const override { return model_->score(id); }
  std::int32_t begin_id() const override { return named_.begin.value_or(-1); }
  std::int32_t end_id() const override { return named_.end.value_or(-1); }
  std::int32_t unknown_id() const override { return named_.unknown.value_or(-1); }
  NamedIds named_ids() const override { return named_; }
  bool exact() const override { return false; }
  std::string bytes() const override { return text_; }

 private:
  void check_template(const Json& section) const {
    for (const auto* items : {&template_.single, &template_.pair})
      for (const Template::Item& item : *items)
        for (const std::int32_t id : item.ids)
          if (!has_piece(id)) section.fail(cat("with id ", id, ", which is not in the vocabulary"));
  }

  void read_names(JsonObject& object) {
    if (const auto ours = object.find("pipeformer")) {
      JsonObject section(*ours);
      JsonObject names(section.need("control"));
      section.finish();
      for (const auto& [role, id] : roles(named_)) {
        if (const auto content = names.maybe_text(role)) {
          *id = id_of(*content);
          if (!*id) names.need(role).fail("which is not in the vocabulary");
        }
      }
      names.finish();
    } else {
      for (const auto& [role, id] : roles(named_))
        for (const std::string& content : usual_contents(role))
          if (!*id && added_.special(content)) *id = id_of(content);
    }
    if (!named_.unknown && model_->unknown_id() >= 0) named_.unknown = model_->unknown_id();
  }

  std::optional<std::int32_t> id_of(const std::string& content) const {
    std::int32_t id = added_.find_id(content);
    if (id < 0) id = model_->vocabulary().find(content);
    return id < 0 ? std::nullopt : std::optional(id);
  }

  const std::string& piece_of(std::int32_t id) const {
    if (const AddedTokens::Token* token = added_.token(id)) return token->content;
    const std::string* piece = model_->vocabulary().piece(id);
    require(piece, "id ", id, " is outside the vocabulary of ", vocabulary_size());
    return *piece;
  }

  std::string join(const std::vector<std::int32_t>& ids, bool control) const {
    std::vector<std::string> texts;
    texts.reserve(ids.size());
    for (const std::int32_t id : ids) {
      const std::string& piece = piece_of(id);
      if (control || !added_.special(piece)) texts.push_back(piece);
    }
    if (decoder_) decoder_->apply(texts);
    std::string text;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (i > 0 && !decoder_) text += ' ';
      text += texts[i];
    }
    return text;
  }

  /// Who wants to know where ids stand: the origins of the text so far, and where the places of added tokens go.
  struct Following {
    const Origins* origins;
    std::vector<Place>* places;
  };

  /// The place of bytes [begin, end) of a word of `size` bytes.
  static Place joined(const Place* from, std::size_t begin, std::size_t end, std::size_t size) {
    if (begin < end) return {from[begin].begin, from[end - 1].end};
    const std::size_t at = begin < size ? from[begin].begin : size > 0 ? from[size - 1].end : 0;
    return {at, at};
  }

  /// Calls `take(word, origins)` for each word of the line, and appends the ids of added tokens between them.
  /// following: of the origins of the line's bytes; null: nobody asks, and take() gets null.
  template <class Take>
  void encode_line(std::string_view line, std::vector<std::int32_t>& ids, Take take,
                   const Following* following = nullptr) const {
    std::string valid;
    if (!following && find_invalid_utf8(line) != std::string_view::npos) line = valid = replace_invalid_utf8(line);
    if (!added_.any(false)) return encode_section({line, 0, true}, ids, take, following);
    thread_local std::vector<AddedTokens::Section> sections;
    added_.find(line, false, sections);
    for (const AddedTokens::Section& section : sections) {
      if (section.id >= 0) {
        ids.push_back(section.id);
        if (following) following->places->push_back({section.begin, section.end});
      } else {
        encode_section({line.substr(section.begin, section.end - section.begin), section.begin, section.begin == 0},
                       ids, take, following);
      }
    }
  }

  /// A stretch of the line between added tokens.
  struct Stretch {
    std::string_view text;
    std::size_t begin;
    bool first;  ///< Of the line.
  };

  template <class Take>
  void encode_section(const Stretch& section, std::vector<std::int32_t>& ids, Take take,
                      const Following* following) const {
    if (section.text.empty()) return;
    thread_local Words words;
    Origins origins;
    words.origins = following ? &origins : nullptr;
    words.text.assign(section.text);
    if (following) {
      const auto from = following->origins->begin() + static_cast<std::ptrdiff_t>(section.begin);
      origins.assign(from, from + static_cast<std::ptrdiff_t>(section.text.size()));
    }
    bool first = section.first;
    if (normalizer_ && normalizer_->apply(words.text, words.origins)) first = false;
    if (!added_.any(true)) return encode_words(words, first, take);
    thread_local std::string text;
    thread_local std::vector<AddedTokens::Section> sections;
    std::swap(text, words.text);
    added_.find(text, true, sections);
    const Origins all = origins;
    for (const AddedTokens::Section& part : sections) {
      if (part.id >= 0) {
        ids.push_back(part.id);
        if (following) following->places->push_back(joined(all.data(), part.begin, part.end, all.size()));
      } else {
        words.text.assign(text, part.begin, part.end - part.begin);
        if (following)
          origins.assign(all.begin() + static_cast<std::ptrdiff_t>(part.begin),
                         all.begin() + static_cast<std::ptrdiff_t>(part.end));
        encode_words(words, first && part.begin == 0, take);
      }
    }
  }

  template <class Take>
  void encode_words(Words& words, bool first, Take take) const {
    words.words.clear();
    if (!words.text.empty()) words.words.push_back({0, words.text.size(), first});
    pre_tokenizers_.apply(words);
    if (bytes_to_write_) write_bytes_as_characters(words);
    for (const Words::Word& word : words.words)
      take(std::string_view(words.text).substr(word.begin, word.end - word.begin),
           words.origins ? words.origins->data() + word.begin : nullptr);
  }

  std::string text_;
  const std::uint64_t owner_ = WordCache::new_owner();
  std::unique_ptr<Model> model_;
  std::unique_ptr<Normalizer> normalizer_;
  AddedTokens added_;
  PreTokenizers pre_tokenizers_;
  bool bytes_to_write_ = false;
  Template template_;
  std::unique_ptr<Decoder> decoder_;
  NamedIds named_;
};

}  // namespace

std::unique_ptr<Tokenizer> parse_tokenizer_json(std::string text, const std::string& name) {
  return std::make_unique<JsonTokenizer>(std::move(text), name);
}

}  // namespace pipeformer::hf
