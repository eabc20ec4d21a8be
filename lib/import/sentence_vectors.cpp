#include "import/sentence_vectors.hpp"

#include <algorithm>
#include <filesystem>

#include "core/error.hpp"
#include "io/json_file.hpp"

namespace pipeformer {
namespace {

namespace fs = std::filesystem;

constexpr std::pair<const char*, Pooling> kinds[] = {{"pooling_mode_cls_token", Pooling::first},
                                                     {"pooling_mode_mean_tokens", Pooling::mean},
                                                     {"pooling_mode_max_tokens", Pooling::max},
                                                     {"pooling_mode_lasttoken", Pooling::last}};
/// Classes of torch.nn.
constexpr std::pair<const char*, Activation> activations[] = {{"activation.Tanh", Activation::tanh},
                                                              {"linear.Identity", Activation::identity},
                                                              {"activation.ReLU", Activation::relu},
                                                              {"activation.GELU", Activation::gelu},
                                                              {"activation.SiLU", Activation::silu}};
constexpr const char* kTorch = "torch.nn.modules.";

Pooling pooling_of(const Json& config) {
  std::optional<Pooling> found;
  for (std::size_t i = 0; i < config.size(); ++i) {
    const std::string& key = config.key(i);
    if (!key.starts_with("pooling_mode_") || !config[i].is_boolean() || !config[i].boolean()) continue;
    bool known = false;
    for (const auto& [name, kind] : kinds)
      if (key == name) {
        if (found) config[i].fail("a second way of pooling, which is not supported");
        found = kind;
        known = true;
      }
    if (!known) config[i].fail("a way of pooling that is not supported");
  }
  if (!found) config.fail("says no way of pooling");
  return *found;
}

SentenceModules::Dense dense_of(const Json& config, const std::string& folder) {
  SentenceModules::Dense dense{folder, config.at("in_features").integer(), config.at("out_features").integer(),
                               config.at("bias").boolean()};
  const Json name = config.at("activation_function");
  const auto found = std::find_if(std::begin(activations), std::end(activations),
                                  [&](const auto& known) { return name.string() == cat(kTorch, known.first); });
  if (found == std::end(activations)) name.fail("an activation that is not supported");
  dense.activation = found->second;
  return dense;
}

/// A folder's name below the directory, which somebody else chose.
std::string folder_of(const Json& module) {
  const Json path = module.at("path");
  const std::string& name = path.string();
  if (name.find('/') != std::string::npos || name == ".." || name.find('\0') != std::string::npos)
    path.fail("no name of a folder");
  return name;
}

void refuse_prompt(const fs::path& folder) {
  const fs::path path = folder / "config_sentence_transformers.json";
  if (!fs::exists(path)) return;
  const JsonDocument config = read_json(path.string());
  if (const auto name = config.root().get("default_prompt_name"))
    name->fail("which is not supported: what stands before every text is for tokenize --prompt-template");
}

void refuse_lower_case(const fs::path& folder) {
  const fs::path path = folder / "sentence_bert_config.json";
  if (!fs::exists(path)) return;
  const JsonDocument config = read_json(path.string());
  if (const auto lower = config.root().get("do_lower_case"); lower && lower->boolean())
    lower->fail("which is not supported: the tokenizer alone says what becomes of a text");
}

}  // namespace

SentenceModules read_sentence_modules(const std::string& directory) {
  SentenceModules found;
  const fs::path base(directory), path = base / "modules.json";
  if (!fs::exists(path)) return found;
  const JsonDocument document = read_json(path.string());
  const Json modules = document.root();
  refuse_prompt(base);
  const std::vector<std::string> order{"Transformer", "Pooling", "Dense", "Normalize"};
  std::size_t next = 0;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const Json type = modules[i].at("type");
    const std::string kind = type.string().substr(type.string().rfind('.') + 1), folder = folder_of(modules[i]);
    const auto place = static_cast<std::size_t>(std::find(order.begin(), order.end(), kind) - order.begin());
    if (place == order.size())
      type.fail("a module that is not supported: Transformer, Pooling, Dense and Normalize are");
    if (place < next) type.fail("in another order than Transformer, Pooling, Dense, Normalize, each once");
    next = place + 1;
    if (kind == "Transformer") {
      found.transformer = folder;
      refuse_lower_case(base / folder);
    }
    const auto config = [&] { return read_json((base / folder / "config.json").string()); };
    if (kind == "Pooling") {
      const JsonDocument pooling = config();
      found.pooling = pooling_of(pooling.root());
    }
    if (kind == "Dense") {
      const JsonDocument dense = config();
      found.dense = dense_of(dense.root(), folder);
    }
    if (kind == "Normalize") found.normalize = true;
  }
  if (!found.pooling) modules.fail("names no module Pooling");
  return found;
}

std::optional<SentenceModules> sentence_modules(const Configuration& c) {
  const bool known =
      std::any_of(std::begin(kinds), std::end(kinds), [&](const auto& kind) { return kind.second == c.pooling; });
  const bool own =
      c.pooling == Pooling::first && !c.normalize && c.projection == 0 &&
      (!c.pooler || (c.pooler_activation == Activation::tanh && c.pooler_bias && c.vector_width() == c.width));
  if (c.kind != ModelKind::encoder_only || c.reads_vectors() || c.head != Head::none || !known || own ||
      c.encoder.causal || (c.pooler && c.projection > 0))
    return std::nullopt;
  SentenceModules modules;
  modules.pooling = c.pooling;
  modules.normalize = c.normalize;
  if (c.pooler) modules.dense = {"2_Dense", c.width, c.vector_width(), c.pooler_bias, c.pooler_activation};
  if (c.projection > 0) modules.dense = {"2_Dense", c.width, c.projection, false, Activation::identity};
  return modules;
}

std::vector<std::pair<std::string, std::string>> files_of(const SentenceModules& modules, std::int64_t width) {
  std::string list, pooling = cat("{\n  \"word_embedding_dimension\": ", width);
  int n = 0;
  const auto module = [&](const std::string& path, const char* kind) {
    list += cat(n > 0 ? ",\n" : "[\n", R"(  {"idx": )", n, R"(, "name": ")", n, R"(", "path": )", json_string(path),
                R"(, "type": "sentence_transformers.models.)", kind, "\"}");
    ++n;
  };
  module("", "Transformer");
  module("1_Pooling", "Pooling");
  for (const auto& [key, kind] : kinds)
    pooling += cat(",\n  \"", key, "\": ", kind == modules.pooling ? "true" : "false");
  std::vector<std::pair<std::string, std::string>> files{{"1_Pooling/config.json", pooling + "\n}\n"}};
  if (const auto& dense = modules.dense) {
    module(dense->folder, "Dense");
    for (const auto& [name, activation] : activations)
      if (activation == dense->activation)
        files.emplace_back(dense->folder + "/config.json",
                           cat("{\n  \"in_features\": ", dense->in, ",\n  \"out_features\": ", dense->out,
                               ",\n  \"bias\": ", dense->bias ? "true" : "false",
                               ",\n  \"activation_function\": ", json_string(cat(kTorch, name)), "\n}\n"));
  }
  if (modules.normalize) module(cat(n, "_Normalize"), "Normalize");
  files.emplace_back("modules.json", list + "\n]\n");
  return files;
}

void add_modules(const SentenceModules& modules, Exchange& x) {
  if (!modules.pooling) return;
  Configuration& c = x.configuration;
  c.pooling = *modules.pooling;
  c.normalize = modules.normalize;
  c.pooler = false;  // the model's own is no part of such a vector
  std::erase_if(x.rows, [&](const TensorRow& row) {
    const bool pooler = row.ours.starts_with("pooler/");
    if (pooler) x.left_out.insert(row.theirs.begin(), row.theirs.end());
    return pooler;
  });
  if (!modules.dense) return;
  const SentenceModules::Dense& dense = *modules.dense;
  require(dense.in == c.width, dense.folder, "/config.json: in_features is ", dense.in, ", the model's width ",
          c.width);
  const std::string linear = dense.folder + "/linear";
  // Without bias and activation it is a projection, which CLIP has too.
  if (dense.in != dense.out && !dense.bias && dense.activation == Activation::identity) {
    c.projection = dense.out;
    return x.layer("projection", linear);
  }
  c.pooler = true;
  c.pooler_activation = dense.activation;
  c.pooler_width = dense.out;
  c.pooler_bias = dense.bias;
  x.layer("pooler", linear);
}

}  // namespace pipeformer
