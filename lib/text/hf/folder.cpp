#include "text/hf/folder.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <sstream>
#include <unordered_map>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"
#include "io/byte_source.hpp"
#include "io/text_lines.hpp"
#include "text/hf/control_tokens.hpp"
#include "text/hf/sentencepiece_json.hpp"

namespace pipeformer::hf {
namespace {

class Folder {
 public:
  explicit Folder(std::string path) : path_(std::move(path)) {}
  bool has(const std::string& name) const { return std::filesystem::exists(file(name)); }
  std::string file(const std::string& name) const { return (std::filesystem::path(path_) / name).string(); }
  std::string read(const std::string& name) const {
    const std::vector<std::byte> bytes = ByteSource(file(name)).read_all();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::string read_if_there(const std::string& name) const { return has(name) ? read(name) : std::string(); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// What tokenizer_config.json says, and special_tokens_map.json where that says nothing.
class Settings {
 public:
  explicit Settings(const Folder& folder) {
    for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"})
      if (folder.has(name)) files_.push_back(JsonDocument::parse(folder.read(name), folder.file(name)));
  }
  std::string text(const char* key, const std::string& fallback) const {
    for (const JsonDocument& file : files_)
      if (const auto value = file.root().get(key))
        return value->is_object() ? value->at("content").string() : value->string();
    return fallback;
  }
  std::optional<bool> flag(const char* key) const {
    for (const JsonDocument& file : files_)
      if (const auto value = file.root().get(key)) return value->boolean();
    return std::nullopt;
  }
  std::int64_t integer(const char* key, std::int64_t fallback) const {
    for (const JsonDocument& file : files_)
      if (const auto value = file.root().get(key)) return value->integer();
    return fallback;
  }
  /// Texts, or objects with a "content".
  std::vector<std::string> list(const char* key) const {
    std::vector<std::string> texts;
    for (const JsonDocument& file : files_) {
      const auto values = file.root().get(key);
      if (!texts.empty() || !values) continue;
      for (std::size_t i = 0; i < values->size(); ++i) {
        const Json value = (*values)[i];
        texts.push_back(value.is_object() ? value.at("content").string() : value.string());
      }
    }
    return texts;
  }
  bool is(const char* word) const { return text("tokenizer_class", "").find(word) != std::string::npos; }

 private:
  std::vector<JsonDocument> files_;
};

std::string truth(bool value) {
  return value ? "true" : "false";
}

std::string added_token(const std::string& content, std::int64_t id, bool lstrip = false) {
  return cat(R"({"id": )", id, R"(, "content": )", json_string(content), R"(, "single_word": false, "lstrip": )",
             truth(lstrip), R"(, "rstrip": false, "normalized": false, "special": true})");
}

std::string with_commas(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ", ") + item;
  return text;
}

std::string document(const std::vector<std::string>& added, const std::string& normalizer,
                     const std::string& pre_tokenizer, const std::string& post_processor, const std::string& decoder,
                     const std::string& model) {
  return cat(R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [)", with_commas(added),
             R"(], "normalizer": )", normalizer, R"(, "pre_tokenizer": )", pre_tokenizer, R"(, "post_processor": )",
             post_processor, R"(, "decoder": )", decoder, R"(, "model": )", model, "}\n");
}

/// vocab.txt: a piece a line, numbered from 0.
std::string bert(const Folder& folder, const Settings& settings) {
  std::vector<std::string> lines = read_text_lines(folder.file("vocab.txt"));
  std::map<std::string, std::size_t> ids;
  for (std::size_t id = 0; id < lines.size(); ++id) {
    if (lines[id].ends_with('\r')) lines[id].pop_back();
    ids[lines[id]] = id;  // Of a piece that stands there twice, the later number counts.
  }
  std::vector<std::string> pieces, added;
  for (const auto& [piece, id] : ids) pieces.push_back(cat(json_string(piece), ": ", id));
  const auto control = [&](const char* key, const char* usual) {
    const std::string piece = settings.text(key, usual);
    const auto found = ids.find(piece);
    require(found != ids.end(), folder.file("vocab.txt"), ": has no '", piece, "', which is the ", key);
    added.push_back(added_token(piece, static_cast<std::int64_t>(found->second)));
    return cat("[", json_string(piece), ", ", found->second, "]");
  };
  control("pad_token", "[PAD]");
  control("unk_token", "[UNK]");
  const std::string cls = control("cls_token", "[CLS]"), sep = control("sep_token", "[SEP]");
  control("mask_token", "[MASK]");
  const auto strip = settings.flag("strip_accents");
  return document(added,
                  cat(R"({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": )",
                      truth(settings.flag("tokenize_chinese_chars").value_or(true)), R"(, "strip_accents": )",
                      strip ? truth(*strip) : "null", R"(, "lowercase": )",
                      truth(settings.flag("do_lower_case").value_or(true)), "}"),
                  R"({"type": "BertPreTokenizer"})",
                  cat(R"({"type": "BertProcessing", "sep": )", sep, R"(, "cls": )", cls, "}"),
                  R"({"type": "WordPiece", "prefix": "##", "cleanup": true})",
                  cat(R"({"type": "WordPiece", "unk_token": )", json_string(settings.text("unk_token", "[UNK]")),
                      R"(, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {)",
                      with_commas(pieces), "}}"));
}

/// vocab.json and merges.txt.
std::string byte_level(const Folder& folder, const Settings& settings) {
  const std::string vocabulary = folder.read("vocab.json");
  const JsonDocument pieces = JsonDocument::parse(vocabulary, folder.file("vocab.json"));
  std::vector<std::string> merges, added;
  bool suffixes = false;
  for (const std::string& line : read_text_lines(folder.file("merges.txt"))) {
    if (line.empty() || (merges.empty() && line.starts_with("#version"))) continue;
    suffixes |= line.ends_with("</w>");
    merges.push_back(json_string(line));
  }
  const auto control = [&](const std::string& piece, bool lstrip = false) {
    const auto id = pieces.root().find(piece);
    if (!id) return std::string();
    added.push_back(added_token(piece, id->integer(), lstrip));
    return cat("[", json_string(piece), ", ", id->integer(), "]");
  };
  const bool fairseq = pieces.root().find("<s>") && pieces.root().find("</s>") && !settings.is("GPT2") && !suffixes;
  const std::string space = truth(settings.flag("add_prefix_space").value_or(false));
  std::string normalizer = "null", post_processor = "null", unknown = "null", suffix = "null";
  std::string pre_tokenizer =
      cat(R"({"type": "ByteLevel", "add_prefix_space": )", space, R"(, "trim_offsets": true, "use_regex": true})");
  const std::string bytes =
      R"({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})";
  std::string decoder = bytes;
  const auto around = [&](const std::string& cls, const std::string& sep) {
    require(!cls.empty() && !sep.empty(), folder.file("vocab.json"), ": lacks the pieces around a text");
    post_processor = cat(R"({"type": "RobertaProcessing", "sep": )", sep, R"(, "cls": )", cls,
                         R"(, "trim_offsets": true, "add_prefix_space": )", space, "}");
  };
  if (suffixes) {  // CLIP
    const std::string begin = settings.text("bos_token", "<|startoftext|>"),
                      end = settings.text("eos_token", "<|endoftext|>");
    around(control(begin), control(end));
    unknown = json_string(settings.text("unk_token", end));
    suffix = R"("</w>")";
    normalizer =
        R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Lowercase"}]})";
    pre_tokenizer = cat(
        R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"}, "behavior": "Removed", "invert": true}, )",
        R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]})");
    decoder = cat(R"({"type": "Sequence", "decoders": [)", bytes, R"(, {"type": "BPEDecoder", "suffix": "</w>"}]})");
  } else if (fairseq) {  // RoBERTa, BART
    const std::string begin = control(settings.text("cls_token", "<s>"));
    control(settings.text("pad_token", "<pad>"));
    const std::string end = control(settings.text("sep_token", "</s>"));
    control(settings.text("unk_token", "<unk>"));
    control(settings.text("mask_token", "<mask>"), true);
    around(begin, end);
  } else {  // GPT-2, OPT
    const std::string begin = settings.text("bos_token", "<|endoftext|>");
    const std::string item = control(begin);
    for (const char* key : {"eos_token", "unk_token", "pad_token"})
      if (const std::string piece = settings.text(key, begin); piece != begin) control(piece);
    if (settings.flag("add_bos_token").value_or(false)) {
      require(!item.empty(), folder.file("vocab.json"), ": has no '", begin, "', which is the bos_token");
      const std::string special = cat(R"({"SpecialToken": {"id": )", json_string(begin), R"(, "type_id": 0}})");
      const auto text = [](char which) { return cat(R"({"Sequence": {"id": ")", which, R"(", "type_id": 0}})"); };
      post_processor = cat(R"({"type": "TemplateProcessing", "single": [)", special, ", ", text('A'), R"(], "pair": [)",
                           special, ", ", text('A'), ", ", special, ", ", text('B'), R"(], "special_tokens": {)",
                           json_string(begin), R"(: {"id": )", json_string(begin), R"(, "ids": [)",
                           pieces.root().at(begin).integer(), R"(], "tokens": [)", json_string(begin), "]}}}");
    }
  }
  return document(added, normalizer, pre_tokenizer, post_processor, decoder,
                  cat(R"({"type": "BPE", "dropout": null, "unk_token": )", unknown,
                      R"(, "continuing_subword_prefix": null, "end_of_word_suffix": )", suffix,
                      R"(, "fuse_unk": false, "byte_fallback": false, "vocab": )", vocabulary, R"(, "merges": [)",
                      with_commas(merges), "]}"));
}

SentencePieceModel read_model_file(const Folder& folder, const std::string& name) {
  return read_sentencepiece_model(folder.read(name), folder.file(name));
}

std::int32_t place_of(const RenumberedModel& model, const std::string& piece, const std::string& name) {
  for (std::size_t id = 0; id < model.pieces.size(); ++id)
    if (model.pieces[id].text == piece) return static_cast<std::int32_t>(id);
  throw Error(cat(name, ": has no piece '", piece, "'"));
}

/// spiece.model: the model's own numbers, then sentinels, the last one first.
std::string t5(const Folder& folder, const Settings& settings) {
  const std::string name = folder.file("spiece.model");
  require(settings.text("tokenizer_class", "T5").find("T5") != std::string::npos, name, ": the layout of ",
          settings.text("tokenizer_class", ""), " is not understood, of spiece.model only that of T5");
  const SentencePieceModel model = read_model_file(folder, "spiece.model");
  RenumberedModel numbered = own_numbers(model);
  numbered.end = {place_of(numbered, settings.text("eos_token", "</s>"), name)};
  numbered.between = numbered.end;
  for (std::int64_t i = settings.integer("extra_ids", 100) - 1; i >= 0; --i) {
    const std::string sentinel = cat("<extra_id_", i, ">");
    numbered.added.push_back({static_cast<std::int32_t>(numbered.pieces.size()), sentinel, true});
    numbered.pieces.push_back({sentinel, 0});
  }
  return sentencepiece_json(model, numbered, name);
}

/// tokenizer.model: the model's own numbers.
std::string llama(const Folder& folder, const Settings& settings) {
  const std::string name = folder.file("tokenizer.model");
  const SentencePieceModel model = read_model_file(folder, "tokenizer.model");
  RenumberedModel numbered = own_numbers(model);
  if (settings.flag("add_bos_token").value_or(true) && model.begin_id >= 0) numbered.begin = {model.begin_id};
  if (settings.flag("add_eos_token").value_or(false) && model.end_id >= 0) numbered.end = {model.end_id};
  numbered.between = numbered.end;
  numbered.between.insert(numbered.between.end(), numbered.begin.begin(), numbered.begin.end());
  return sentencepiece_json(model, numbered, name);
}

/// A control piece at the end of the vocabulary.
void append_control(RenumberedModel& numbered, const std::string& piece, bool lstrip = false) {
  numbered.added.push_back({static_cast<std::int32_t>(numbered.pieces.size()), piece, true, lstrip});
  numbered.pieces.push_back({piece, 0});
}

/// The layouts that fairseq's multilingual models have (Liu et al. 2020, Tang et al. 2020, Fan et al. 2021, NLLB Team
/// 2022): the languages' codes are control ids after the pieces, and that of the text stands around it.
struct Multilingual {
  std::string tokenizer_class, usual_language;
  bool language_first;  ///< [code] text </s>, not text </s> [code].
  const char* codes;    ///< Where the files name none; null: they must.
};
const Multilingual multilingual[] = {
    {"MBart50", "en_XX", true,
     "ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV my_MM ne_NP "
     "nl_XX "
     "ro_RO ru_RU si_LK tr_TR vi_VN zh_CN af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK ml_IN mn_MN "
     "mr_IN "
     "pl_PL ps_AF pt_XX sv_SE sw_KE ta_IN te_IN th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI"},
    {"MBart", "en_XX", false,
     "ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV my_MM ne_NP "
     "nl_XX "
     "ro_RO ru_RU si_LK tr_TR vi_VN zh_CN"},
    {"Nllb", "eng_Latn", true, nullptr},
    {"M2M100", "en", true,
     "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi hr ht hu hy "
     "id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns oc or pa pl ps pt ro ru "
     "sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu"},
};

/// Appends the languages' codes and puts that of the text around it.
void add_languages(const Folder& folder, const Settings& settings, const Multilingual& kind,
                   RenumberedModel& numbered) {
  const bool underlined = kind.tokenizer_class == "M2M100";
  const auto token = [&](const std::string& code) {
    return underlined && !code.starts_with("__") ? "__" + code + "__" : code;
  };
  std::vector<std::string> codes = settings.list("additional_special_tokens");
  if (codes.empty()) {
    require(kind.codes != nullptr, folder.path(),
            ": the tokenizer's files name no languages (additional_special_tokens)");
    std::istringstream words(kind.codes);
    for (std::string word; words >> word;) codes.push_back(word);
  }
  for (const std::string& code : codes) append_control(numbered, token(code));
  const std::string source = token(settings.text("src_lang", kind.usual_language));
  const std::int32_t language = place_of(numbered, source, folder.path()),
                     end = place_of(numbered, "</s>", folder.path());
  const bool first =
      kind.language_first && !(kind.tokenizer_class == "Nllb" && settings.flag("legacy_behaviour").value_or(false));
  if (first) numbered.begin = {language};
  numbered.end = first ? std::vector{end} : std::vector{end, language};
}

const Multilingual* multilingual_kind(const Settings& settings) {
  for (const Multilingual& kind : multilingual)
    if (settings.is(kind.tokenizer_class.c_str())) return &kind;
  return nullptr;
}

/// sentencepiece.bpe.model: fairseq's control ids first, the model's pieces after its own three, languages, a mask.
std::string fairseq(const Folder& folder, const Settings& settings) {
  const std::string name = folder.file("sentencepiece.bpe.model");
  const std::string kind = settings.text("tokenizer_class", "XLMRobertaTokenizer");
  const Multilingual* languages = multilingual_kind(settings);
  require(languages != nullptr || settings.is("XLMRoberta") || kind == "XLMRobertaTokenizer", name, ": the layout of ",
          kind,
          " is not understood without its tokenizer.json, of sentencepiece.bpe.model only those of XLM-R, mBART, ",
          "mBART-50, NLLB and (with vocab.json) M2M100");
  const SentencePieceModel model = read_model_file(folder, "sentencepiece.bpe.model");
  RenumberedModel numbered;
  numbered.unknown = 3;
  for (const char* piece : {"<s>", "<pad>", "</s>", "<unk>"}) append_control(numbered, piece);
  for (std::size_t i = 3; i < model.pieces.size(); ++i)
    numbered.pieces.push_back({model.pieces[i].text, model.pieces[i].score});
  if (languages) {
    add_languages(folder, settings, *languages, numbered);
  } else {
    numbered.begin = {0};
    numbered.between = {2, 2};
    numbered.end = {2};
  }
  append_control(numbered, "<mask>", true);
  return sentencepiece_json(model, numbered, name);
}

/// A SentencePiece model's pieces with the ids of vocab.json; those that only the latter has are not usable.
RenumberedModel numbered_by_vocabulary(const Folder& folder, const SentencePieceModel& model) {
  const JsonDocument ids = JsonDocument::parse(folder.read("vocab.json"), folder.file("vocab.json"));
  std::unordered_map<std::string, double> scores;
  for (const auto& piece : model.pieces)
    if (piece.type == SentencePieceModel::Type::normal || piece.type == SentencePieceModel::Type::user_defined)
      scores.emplace(piece.text, piece.score);
  RenumberedModel numbered;
  const Json root = ids.root();
  std::vector<char> taken(root.size());
  numbered.pieces.resize(root.size());
  for (std::size_t i = 0; i < root.size(); ++i) {
    const std::int64_t id = root[i].integer();
    if (id < 0 || id >= static_cast<std::int64_t>(root.size()) || taken[static_cast<std::size_t>(id)]++)
      root[i].fail("where ids from 0 on, each once, should be");
    const std::string& piece = root.key(i);
    const auto score = scores.find(piece);
    numbered.pieces[static_cast<std::size_t>(id)] =
        score == scores.end() ? NumberedPiece{piece, 0, false} : NumberedPiece{piece, score->second, true};
  }
  return numbered;
}

/// M2M100: a SentencePiece model, the ids of its pieces in vocab.json, and languages after them.
std::string m2m100(const Folder& folder, const Settings& settings) {
  const SentencePieceModel model = read_model_file(folder, "sentencepiece.bpe.model");
  RenumberedModel numbered = numbered_by_vocabulary(folder, model);
  for (const char* piece : {"<s>", "<pad>", "</s>", "<unk>"})
    numbered.added.push_back({place_of(numbered, piece, folder.file("vocab.json")), piece, true});
  numbered.unknown = place_of(numbered, "<unk>", folder.file("vocab.json"));
  add_languages(folder, settings, multilingual[3], numbered);
  return sentencepiece_json(model, numbered, folder.file("sentencepiece.bpe.model"));
}

/// Marian: two models, and the ids of both sides' pieces in vocab.json.
std::string marian(const Folder& folder, const Settings& settings, const std::string& side) {
  const SentencePieceModel model = read_model_file(folder, side);
  require(model.kind == SentencePieceModel::Kind::unigram, folder.file(side),
          ": is no unigram model, which alone is understood beside a vocab.json");
  RenumberedModel numbered = numbered_by_vocabulary(folder, model);
  for (std::size_t id = 0; id < numbered.pieces.size(); ++id)
    if (const std::string& piece = numbered.pieces[id].text; piece.starts_with(">>") && piece.ends_with("<<"))
      numbered.added.push_back({static_cast<std::int32_t>(id), piece, false});
  const std::string name = folder.file("vocab.json");
  for (const auto& [key, usual] : {std::pair{"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}})
    numbered.added.push_back({place_of(numbered, settings.text(key, usual), name), settings.text(key, usual), true});
  numbered.unknown = place_of(numbered, settings.text("unk_token", "<unk>"), name);
  numbered.end = {place_of(numbered, settings.text("eos_token", "</s>"), name)};
  return sentencepiece_json(model, numbered, folder.file(side));
}

std::string made_of_older_files(const Folder& folder) {
  const Settings settings(folder);
  if (folder.has("vocab.txt")) return bert(folder, settings);
  if (folder.has("source.spm") && folder.has("vocab.json")) return marian(folder, settings, "source.spm");
  if (folder.has("vocab.json") && folder.has("merges.txt")) return byte_level(folder, settings);
  if (folder.has("vocab.json") && folder.has("sentencepiece.bpe.model")) return m2m100(folder, settings);
  if (folder.has("spiece.model")) return t5(folder, settings);
  if (folder.has("sentencepiece.bpe.model")) return fairseq(folder, settings);
  if (folder.has("tokenizer.model")) return llama(folder, settings);
  throw Error(cat(folder.path(),
                  ": this directory has no tokenizer: neither tokenizer.json nor vocab.txt, vocab.json "
                  "and merges.txt, spiece.model, sentencepiece.bpe.model, tokenizer.model, or source.spm "
                  "and vocab.json"));
}

}  // namespace

std::string tokenizer_json_of_folder(const std::string& path) {
  const Folder folder(path);
  const std::string text = folder.has("tokenizer.json") ? folder.read("tokenizer.json") : made_of_older_files(folder);
  return with_control_tokens(text, folder.read_if_there("tokenizer_config.json"),
                             folder.read_if_there("special_tokens_map.json"));
}

std::string marian_target_json(const std::string& path) {
  const Folder folder(path);
  return with_control_tokens(marian(folder, Settings(folder), "target.spm"),
                             folder.read_if_there("tokenizer_config.json"),
                             folder.read_if_there("special_tokens_map.json"));
}

}  // namespace pipeformer::hf
