#include "import/family.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace pipeformer {
namespace {

/// Keys of every configuration that say how a model was trained, how the library runs it, or who made it.
bool is_harmless(const std::string& key) {
  static const std::set<std::string> keys{"_attn_implementation",
                                          "_attn_implementation_autoset",
                                          "_commit_hash",
                                          "_from_model_config",
                                          "_name_or_path",
                                          "adapters",
                                          "architectures",
                                          "attn_implementation",
                                          "bad_words_ids",
                                          "begin_suppress_tokens",
                                          "bos_token_id",
                                          "chunk_size_feed_forward",
                                          "classifier_bias",
                                          "cross_attention_hidden_size",
                                          "decoder_start_token_id",
                                          "diversity_penalty",
                                          "do_sample",
                                          "dtype",
                                          "early_stopping",
                                          "encoder_no_repeat_ngram_size",
                                          "encoder_stride",
                                          "eos_token_id",
                                          "exponential_decay_length_penalty",
                                          "extra_ids",
                                          "finetuning_task",
                                          "forced_bos_token_id",
                                          "forced_eos_token_id",
                                          "gradient_checkpointing",
                                          "id2label",
                                          "image_size",
                                          "init_std",
                                          "initializer_factor",
                                          "initializer_range",
                                          "is_encoder_decoder",
                                          "label2id",
                                          "language",
                                          "layerdrop",
                                          "length_penalty",
                                          "max_length",
                                          "max_new_tokens",
                                          "min_length",
                                          "model_type",
                                          "name",
                                          "no_repeat_ngram_size",
                                          "num_beam_groups",
                                          "num_beams",
                                          "num_return_sequences",
                                          "output_attentions",
                                          "output_hidden_states",
                                          "output_past",
                                          "output_scores",
                                          "pad_token_id",
                                          "prefix",
                                          "pretraining_tp",
                                          "problem_type",
                                          "remove_invalid_values",
                                          "repetition_penalty",
                                          "return_dict",
                                          "return_dict_in_generate",
                                          "save_step",
                                          "sep_token_id",
                                          "cls_token_id",
                                          "mask_token_id",
                                          "static_position_embeddings",
                                          "suppress_tokens",
                                          "task_specific_params",
                                          "temperature",
                                          "tf_legacy_loss",
                                          "tokenizer_class",
                                          "top_k",
                                          "top_p",
                                          "torch_dtype",
                                          "torchscript",
                                          "transformers_version",
                                          "typical_p",
                                          "use_bfloat16",
                                          "use_cache",
                                          "vocab_file",
                                          "unk_token_id"};
  return keys.contains(key) || key.find("dropout") != std::string::npos || key.ends_with("_pdrop") ||
         key.ends_with("_layerdrop") || key.starts_with("summary_") || key.ends_with("_loss_weight");
}

}  // namespace

std::optional<Json> ConfigKeys::get(const std::string& key) const {
  seen_.insert(key);
  return config_.get(key);
}

Json ConfigKeys::need(const std::string& key) const {
  seen_.insert(key);
  return config_.at(key);
}

std::int64_t ConfigKeys::integer(const std::string& key, std::int64_t fallback) const {
  const auto value = get(key);
  return value ? value->integer() : fallback;
}

double ConfigKeys::number(const std::string& key, double fallback) const {
  const auto value = get(key);
  return value ? value->number() : fallback;
}

bool ConfigKeys::flag(const std::string& key, bool fallback) const {
  const auto value = get(key);
  return value ? value->boolean() : fallback;
}

std::string ConfigKeys::text(const std::string& key, const std::string& fallback) const {
  const auto value = get(key);
  return value ? value->string() : fallback;
}

std::vector<std::int64_t> ConfigKeys::ids(const std::string& key) const {
  std::optional<Json> value = generation_ ? generation_->get(key) : std::nullopt;
  if (!value) value = get(key);
  seen_.insert(key);
  std::vector<std::int64_t> ids;
  if (value && value->is_array())
    for (std::size_t i = 0; i < value->size(); ++i) ids.push_back((*value)[i].integer());
  else if (value)
    ids.push_back(value->integer());
  return ids;
}

std::int64_t ConfigKeys::id(const std::string& key) const {
  const std::vector<std::int64_t> all = ids(key);
  return all.empty() ? -1 : all.front();
}

std::int64_t ConfigKeys::suppressed() const {
  std::optional<Json> value = generation_ ? generation_->get("bad_words_ids") : std::nullopt;
  if (!value) value = get("bad_words_ids");
  if (!value || value->size() == 0) return -1;
  if (value->size() != 1 || (*value)[0].size() != 1) value->fail("of which only one single id is supported");
  return (*value)[0][0].integer();
}

void ConfigKeys::expect(const std::string& key, bool value) const {
  if (const auto found = get(key); found && found->boolean() != value) found->fail("which is not supported");
}

void ConfigKeys::expect(const std::string& key, const char* value) const {
  if (const auto found = get(key); found && found->string() != value)
    found->fail(cat("which is not supported: only ", value, " is"));
}

void ConfigKeys::harmless(std::initializer_list<const char*> keys) const {
  seen_.insert(keys.begin(), keys.end());
}

std::string ConfigKeys::architecture() const {
  const auto all = config_.get("architectures");
  return all && all->size() > 0 ? (*all)[0].string() : "";
}

std::vector<std::string> ConfigKeys::not_understood() const {
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < config_.size(); ++i) {
    const std::string& key = config_.key(i);
    if (!seen_.contains(key) && !is_harmless(key) && !config_[i].is_null()) keys.push_back(key);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

ConfigKeys ConfigKeys::inside(const std::string& key) const {
  return {need(key), std::nullopt};
}

Shape Import::shape(const std::string& theirs) const {
  return tensors.tensor(theirs).shape;
}

void Import::find_prefix(const std::string& candidate) {
  const auto& names = tensors.names();
  const bool found =
      std::any_of(names.begin(), names.end(), [&](const std::string& name) { return name.starts_with(candidate); });
  prefix = found ? candidate : "";
}

void Import::layer(const std::string& ours, const std::string& theirs) {
  const bool old = !has(theirs + ".weight") && has(theirs + ".gamma");
  row(ours + "/weight", theirs + (old ? ".gamma" : ".weight"));
  const std::string bias = theirs + (old ? ".beta" : ".bias");
  if (has(bias)) row(ours + "/bias", bias);
}

void Import::copy(const std::string& copy, const std::string& original) {
  if (has(copy)) copies.emplace_back(copy, original);
}

void Import::take_labels() {
  const auto names = keys.get("id2label");
  if (!names) return;
  labels.assign(names->size(), "");
  for (std::size_t i = 0; i < names->size(); ++i) {
    std::size_t at = names->size();
    try {
      at = std::stoul(names->key(i));
    } catch (const std::logic_error&) {
    }
    if (at >= labels.size()) (*names)[i].fail("whose key is no number of a class");
    labels[at] = (*names)[i].string();
    std::replace(labels[at].begin(), labels[at].end(), '\n', ' ');
  }
}

void Import::take_control_ids(bool starts_with_id) {
  Configuration& c = configuration;
  const std::vector<std::int64_t> ends = keys.ids("eos_token_id");
  require(ends.size() <= 3, "eos_token_id holds ", ends.size(), " ids: at most 3 can end a sequence");
  c.end_id = ends.empty() ? -1 : ends[0];
  c.end_id2 = ends.size() > 1 ? ends[1] : -1;
  c.end_id3 = ends.size() > 2 ? ends[2] : -1;
  c.begin_id = -1;
  if (starts_with_id) {
    c.begin_id = keys.id("decoder_start_token_id");
    if (c.begin_id < 0) c.begin_id = keys.id("bos_token_id");
    require(c.begin_id >= 0, "config.json has no decoder_start_token_id: what a decoder starts from is not known");
    c.forced_id = keys.id("forced_bos_token_id");
    c.forced_end = keys.id("forced_eos_token_id") >= 0;
  }
  c.suppressed_id = keys.suppressed();
}

Activation activation_of(const std::string& name) {
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast" || name == "gelu_tanh")
    return Activation::gelu_tanh;
  if (name == "swish") return Activation::silu;
  if (name == "quick_gelu") return Activation::quick_gelu;
  if (name == "linear") return Activation::identity;
  if (name == "gelu_python") return Activation::gelu;
  return from_name<Activation>(name);
}

Activation activation_of(const ConfigKeys& keys, const std::string& key, const std::string& fallback) {
  const std::string name = keys.text(key, fallback);
  try {
    return activation_of(name);
  } catch (const Error& error) {
    throw Error(cat("config.json: ", key, ": ", error.what()));
  }
}

void rotary_of(Import& in, StackSpec& s, double base, double share) {
  const ConfigKeys& keys = in.keys;
  s.rotary_base = base;
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!keys.get(key)) continue;
    const ConfigKeys rope = keys.inside(key);
    s.rotary_base = rope.number("rope_theta", s.rotary_base);
    share = rope.number("partial_rotary_factor", share);
    const std::string type = rope.text("rope_type", rope.text("type", "default"));
    rope.harmless({"type"});
    if (type == "linear") {
      s.rotary_scaling = RotaryScaling::linear;
      s.rotary_factor = rope.number("factor", 1);
    } else if (type == "llama3") {
      s.rotary_scaling = RotaryScaling::llama3;
      s.rotary_factor = rope.number("factor", 8);
      s.rotary_low_frequency = rope.number("low_freq_factor", 1);
      s.rotary_high_frequency = rope.number("high_freq_factor", 4);
      s.rotary_context = rope.integer("original_max_position_embeddings", 8192);
    } else if (type != "default") {
      throw Error(cat("config.json: ", key, ": rope_type ", type, " is none of default, linear, llama3"));
    }
    const std::vector<std::string> unknown = rope.not_understood();
    require(unknown.empty(), "config.json: ", key, ": ", unknown.empty() ? "" : unknown.front(), " is not understood");
  }
  s.rotary_width = static_cast<std::int64_t>(static_cast<double>(s.head_width) * share);
}

}  // namespace pipeformer
