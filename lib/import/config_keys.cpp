#include "import/config_keys.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.hpp"

namespace pipeformer {
namespace {

/// Keys of every configuration that say how a model was trained, how the library runs it, or who made it.
bool is_harmless(const std::string& key) {
  // clang-format off
  static const std::set<std::string> keys{
      "_attn_implementation", "_attn_implementation_autoset", "_commit_hash", "_from_model_config", "_name_or_path",
      "_num_labels", "adapters", "architectures", "attn_implementation", "auto_map", "bad_words_ids",
      "begin_suppress_tokens", "bos_token_id", "chunk_size_feed_forward", "classifier_bias", "cache_implementation", "cls_token_id", "cross_attention_hidden_size",
      "decoder_start_token_id", "diversity_penalty", "do_sample", "dtype", "early_stopping",
      "encoder_no_repeat_ngram_size", "encoder_stride", "eos_token_id", "exponential_decay_length_penalty",
      "extra_ids", "finetuning_task", "forced_bos_token_id", "forced_eos_token_id", "gradient_checkpointing",
      "id2label", "image_size", "init_std", "initializer_factor", "initializer_range", "is_encoder_decoder",
      "label2id", "language", "layerdrop", "length_penalty", "mask_token_id", "max_length", "max_new_tokens",
      "min_length", "model_type", "name", "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_labels",
      "num_return_sequences", "output_attentions", "output_hidden_states", "output_past", "output_scores",
      "pad_token_id", "prefix", "pretraining_tp", "problem_type", "remove_invalid_values", "repetition_penalty",
      "return_dict", "return_dict_in_generate", "save_step", "sep_token_id", "static_position_embeddings",
      "suppress_tokens", "task_specific_params", "temperature", "tf_legacy_loss", "tokenizer_class", "top_k",
      "top_p", "torch_dtype", "torchscript", "transformers.js_config", "transformers_version", "typical_p",
      "unk_token_id", "unsloth_fixed", "unsloth_version", "use_bfloat16", "use_cache", "vocab_file", "xla_device"};
  // clang-format on
  return keys.contains(key) || key.find("dropout") != std::string::npos || key.ends_with("_pdrop") ||
         key.ends_with("_layerdrop") || key.starts_with("summary_") || key.ends_with("_loss_weight");
}

/// Keys that the library writes into any configuration, and of which one value changes nothing. Throws Error for
/// another one.
bool is_usual(const std::string& key, const Json& value) {
  bool usual = false;
  if (key == "pruned_heads")
    usual = value.is_object() && value.size() == 0;
  else if (key == "tie_word_embeddings")
    usual = value.boolean();
  else if (key == "add_cross_attention" || key == "is_decoder" || key == "tie_encoder_decoder")
    usual = !value.boolean();
  else
    return false;
  if (!usual) value.fail("which is not supported");
  return true;
}

/// The reference library's names of what we compute; an activation's first one is what an export says.
constexpr std::pair<const char*, Activation> kActivationNames[] = {{"relu", Activation::relu},
                                                                   {"gelu", Activation::gelu},
                                                                   {"gelu_python", Activation::gelu},
                                                                   {"gelu_new", Activation::gelu_tanh},
                                                                   {"gelu_pytorch_tanh", Activation::gelu_tanh},
                                                                   {"gelu_python_tanh", Activation::gelu_tanh},
                                                                   {"gelu_fast", Activation::gelu_tanh},
                                                                   {"gelu_accurate", Activation::gelu_tanh},
                                                                   {"quick_gelu", Activation::quick_gelu},
                                                                   {"silu", Activation::silu},
                                                                   {"swish", Activation::silu},
                                                                   {"tanh", Activation::tanh},
                                                                   {"linear", Activation::identity}};

std::string json_of(const Attribute& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return std::to_string(*integer);
  if (const auto* text = std::get_if<std::string>(&value)) return json_string(*text);
  return number_text(std::get<double>(value));
}

std::string members(const std::map<std::string, std::string>& values, const std::string& indent) {
  std::string text = "{";
  for (const auto& [key, value] : values)
    text += cat(text.size() > 1 ? "," : "", "\n", indent, "  ", json_string(key), ": ", value);
  return text + "\n" + indent + "}";
}

}  // namespace

std::string number_text(double x) {
  if (std::abs(x) < 1e15 && x == std::trunc(x)) return cat(static_cast<std::int64_t>(x), ".0");
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, x).ptr};
}

Activation activation_of(const Json& value, const std::string& name) {
  std::string known;
  for (const auto& [theirs, ours] : kActivationNames) {
    if (name == theirs) return ours;
    known += cat(known.empty() ? "" : ", ", theirs);
  }
  value.fail("none of " + known);
}

std::string activation_text(Activation activation) {
  for (const auto& [theirs, ours] : kActivationNames)
    if (activation == ours) return theirs;
  throw Error(cat("the activation ", name_of(activation), " has no name in other people's checkpoints"));
}

void ConfigKeys::field(const std::string& key, std::int64_t& value) {
  if (writing()) return say(key, value);
  value = need(key).integer();
}

void ConfigKeys::field(const std::string& key, std::int64_t& value, std::int64_t fallback) {
  if (writing()) return say(key, value);
  const auto found = get(key);
  value = found ? found->integer() : fallback;
}

void ConfigKeys::field(const std::string& key, double& value, double fallback) {
  if (writing()) return say(key, value);
  const auto found = get(key);
  value = found ? found->number() : fallback;
}

void ConfigKeys::field(const std::string& key, bool& value, bool fallback) {
  if (writing()) return say(key, value);
  const auto found = get(key);
  value = found ? found->boolean() : fallback;
}

void ConfigKeys::field(const std::string& key, Activation& value, Activation fallback) {
  if (writing()) return say(key, activation_text(value));
  const auto found = get(key);
  value = found ? activation_of(*found, found->string()) : fallback;
}

void ConfigKeys::nullable(const std::string& key, double& value, double fallback) {
  if (writing() && value == 0) return say_json(key, "null");
  field(key, value, is_null(key) ? 0 : fallback);
}

void ConfigKeys::nullable(const std::string& key, std::int64_t& value, std::int64_t fallback) {
  if (writing() && value == 0) return say_json(key, "null");
  field(key, value, is_null(key) ? 0 : fallback);
}

void ConfigKeys::ids(const std::string& key, std::vector<std::int64_t>& ids, std::size_t most) {
  if (writing()) {
    std::string list;
    for (const std::int64_t id : ids) list += cat(list.empty() ? "" : ", ", id);
    if (ids.empty()) list = "null";
    written_->config[key] = written_->generation[key] = ids.size() > 1 ? "[" + list + "]" : list;
    return;
  }
  ids.clear();
  const auto value = about_ids(key);
  if (value && value->is_array())
    for (std::size_t i = 0; i < value->size(); ++i) ids.push_back((*value)[i].integer());
  else if (value)
    ids.push_back(value->integer());
  if (ids.size() > most) value->fail(cat("of which at most ", most, most == 1 ? " is" : " are", " supported"));
}

void ConfigKeys::id(const std::string& key, std::int64_t& id) {
  std::vector<std::int64_t> all;
  if (id >= 0) all.push_back(id);
  ids(key, all, 1);
  id = all.empty() ? -1 : all.front();
}

void ConfigKeys::suppressed(std::int64_t& id) {
  const char* key = "bad_words_ids";
  if (writing()) {
    if (id >= 0) written_->config[key] = written_->generation[key] = cat("[[", id, "]]");
    return;
  }
  id = -1;
  const auto value = about_ids(key);
  if (!value || value->size() == 0) return;
  if (value->size() != 1 || (*value)[0].size() != 1) value->fail("of which only one single id is supported");
  id = (*value)[0][0].integer();
}

std::optional<Json> ConfigKeys::get(const std::string& key) const {
  seen_->insert(key);
  return config_ ? config_->get(key) : std::nullopt;
}

bool ConfigKeys::is_null(const std::string& key) const {
  const auto value = config_ ? config_->find(key) : std::nullopt;
  return value && value->is_null();
}

std::optional<Json> ConfigKeys::about_ids(const std::string& key) const {
  const auto value = generation_ ? generation_->get(key) : std::nullopt;
  const auto other = get(key);
  return value ? value : other;
}

Json ConfigKeys::need(const std::string& key) const {
  seen_->insert(key);
  return config_->at(key);
}

std::string ConfigKeys::text(const std::string& key, const std::string& fallback) const {
  const auto value = get(key);
  return value ? value->string() : fallback;
}

std::string ConfigKeys::architecture() const {
  const auto all = get("architectures");
  return all && all->size() > 0 ? (*all)[0].string() : "";
}

void ConfigKeys::expect(const std::string& key, bool value) const {
  if (const auto found = get(key); found && found->boolean() != value) found->fail("which is not supported");
}

void ConfigKeys::expect(const std::string& key, const char* value) const {
  if (const auto found = get(key); found && found->string() != value)
    found->fail(cat("which is not supported: only ", value, " is"));
}

std::vector<std::string> ConfigKeys::not_understood() const {
  std::vector<std::string> keys;
  for (std::size_t i = 0; config_ && i < config_->size(); ++i) {
    const std::string& key = config_->key(i);
    const Json value = (*config_)[i];
    if (!seen_->contains(key) && !is_harmless(key) && !value.is_null() && !is_usual(key, value)) keys.push_back(key);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

ConfigKeys ConfigKeys::inside(const std::string& key) {
  if (!writing()) return {need(key), std::nullopt};
  auto& object = written_->objects[key];
  if (!object) object = std::make_shared<Written>();
  return ConfigKeys(object);
}

void ConfigKeys::say(const std::string& key, const Attribute& value) {
  say_json(key, json_of(value));
}

void ConfigKeys::say_json(const std::string& key, const std::string& json) {
  seen_->insert(key);
  if (writing()) written_->config[key] = json;
}

std::string ConfigKeys::object(const Written& written, const std::string& indent) {
  std::map<std::string, std::string> values = written.config;
  for (const auto& [key, inner] : written.objects) values[key] = object(*inner, indent + "  ");
  return members(values, indent);
}

std::string ConfigKeys::config_json() const {
  return object(*written_, "") + "\n";
}

std::string ConfigKeys::generation_json() const {
  return written_->generation.empty() ? "" : members(written_->generation, "") + "\n";
}

}  // namespace pipeformer
