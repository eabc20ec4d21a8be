#include "text/hf/control_tokens.hpp"

#include <map>

#include "core/error.hpp"
#include "core/json.hpp"

namespace pipeformer::hf {
namespace {

/// Our names of the roles, and theirs.
const std::array<std::pair<const char*, const char*>, 7> names{{{"begin", "bos_token"},
                                                                {"end", "eos_token"},
                                                                {"unknown", "unk_token"},
                                                                {"padding", "pad_token"},
                                                                {"mask", "mask_token"},
                                                                {"separator", "sep_token"},
                                                                {"classification", "cls_token"}}};

/// A token is its text, or an object with a "content".
std::optional<std::string> content_of(const Json& file, const char* key) {
  const auto value = file.get(key);
  if (!value) return std::nullopt;
  if (value->is_object()) return value->at("content").string();
  return value->string();
}

using Contents = std::vector<std::pair<std::string, std::string>>;

/// The key of a tokenizer.json of ours that names control ids, as everything here writes it.
std::string section(const Contents& contents) {
  std::string control;
  for (const auto& [role, content] : contents)
    control += cat(control.empty() ? "" : ", ", json_string(role), ": ", json_string(content));
  return cat(R"("pipeformer": {"control": {)", control, "}},");
}

}  // namespace

std::array<std::pair<const char*, std::optional<std::int32_t>*>, 7> roles(NamedIds& ids) {
  return {{{"begin", &ids.begin},
           {"end", &ids.end},
           {"unknown", &ids.unknown},
           {"padding", &ids.padding},
           {"mask", &ids.mask},
           {"separator", &ids.separator},
           {"classification", &ids.classification}}};
}

const std::vector<std::string>& usual_contents(const std::string& role) {
  static const std::map<std::string, std::vector<std::string>> contents{
      {"begin", {"<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>"}},
      {"end", {"</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>"}},
      {"unknown", {"<unk>", "[UNK]"}},
      {"padding", {"<pad>", "[PAD]"}},
      {"mask", {"<mask>", "[MASK]"}},
      {"separator", {"[SEP]"}},
      {"classification", {"[CLS]"}},
  };
  return contents.at(role);
}

std::string with_control_tokens(const std::string& tokenizer_json, const std::string& tokenizer_config,
                                const std::string& special_tokens_map) {
  std::map<std::string, std::string> found;
  const auto read = [&](const std::string& text, const std::string& name) {
    if (text.empty()) return;
    const JsonDocument document = JsonDocument::parse(text, name);
    for (const auto& [ours, theirs] : names)
      if (const auto content = content_of(document.root(), theirs)) found[ours] = *content;
  };
  read(special_tokens_map, "special_tokens_map.json");
  read(tokenizer_config, "tokenizer_config.json");
  if (found.empty()) return tokenizer_json;
  const std::string control = section({found.begin(), found.end()});
  const std::size_t brace = tokenizer_json.find('{');
  require(brace != std::string::npos, "tokenizer.json: is no JSON object");
  return cat("{", control, tokenizer_json.substr(brace + 1));
}

TokenizerFiles without_control_tokens(const std::string& tokenizer_json) {
  const JsonDocument document = JsonDocument::parse(tokenizer_json, "the tokenizer");
  const auto ours = document.root().get("pipeformer");
  if (!ours) return {tokenizer_json, ""};
  const Json control = ours->at("control");
  Contents contents;
  std::string config = R"({"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false)";
  for (std::size_t i = 0; i < control.size(); ++i) {
    contents.emplace_back(control.key(i), control[i].string());
    for (const auto& [role, theirs] : names)
      if (control.key(i) == role) config += cat(", ", json_string(theirs), ": ", json_string(control[i].string()));
  }
  const std::string text = section(contents);
  const std::size_t at = tokenizer_json.find(text);
  require(at != std::string::npos, "the tokenizer: its section pipeformer cannot be taken out");
  return {tokenizer_json.substr(0, at) + tokenizer_json.substr(at + text.size()), config + "}\n"};
}

}  // namespace pipeformer::hf
