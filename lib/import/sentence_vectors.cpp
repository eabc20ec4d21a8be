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

}  // namespace

void read_sentence_vectors(const std::string& directory, Exchange& x) {
  const fs::path path = fs::path(directory) / "modules.json";
  if (!fs::exists(path)) return;
  const JsonDocument document = read_json(path.string());
  const Json modules = document.root();
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const std::string type = modules[i].at("type").string();
    const std::string kind = type.substr(type.rfind('.') + 1);
    if (kind == "Transformer") continue;
    if (kind == "Pooling") {
      const JsonDocument pooling =
          read_json((fs::path(directory) / modules[i].at("path").string() / "config.json").string());
      x.configuration.pooling = pooling_of(pooling.root());
      // The model's own pooler is no part of such a vector.
      if (x.configuration.pooler) {
        x.configuration.pooler = false;
        std::erase_if(x.rows, [&](const TensorRow& row) {
          const bool pooler = row.ours.starts_with("pooler/");
          if (pooler) x.left_out.insert(row.theirs.begin(), row.theirs.end());
          return pooler;
        });
      }
    } else if (kind == "Normalize") {
      x.configuration.normalize = true;
    } else {
      modules[i].at("type").fail("a module that is not supported: Transformer, Pooling and Normalize are");
    }
  }
}

std::optional<SentenceVectorFiles> sentence_vectors(const Configuration& c) {
  const bool known =
      std::any_of(std::begin(kinds), std::end(kinds), [&](const auto& k) { return k.second == c.pooling; });
  if (c.kind != ModelKind::encoder_only || c.reads_vectors() || c.head != Head::none || c.pooler || c.projection > 0 ||
      !known || (c.pooling == Pooling::first && !c.normalize))
    return std::nullopt;
  std::string modules, pooling = cat("{\n  \"word_embedding_dimension\": ", c.width);
  const auto module = [&](const char* path, const char* kind) {
    const std::size_t n = static_cast<std::size_t>(std::count(modules.begin(), modules.end(), '\n'));
    modules += cat(modules.empty() ? "[\n" : ",\n", R"(  {"idx": )", n, R"(, "name": ")", n, R"(", "path": ")", path,
                   R"(", "type": "sentence_transformers.models.)", kind, "\"}");
  };
  module("", "Transformer");
  module("1_Pooling", "Pooling");
  if (c.normalize) module("2_Normalize", "Normalize");
  for (const auto& [key, kind] : kinds) pooling += cat(",\n  \"", key, "\": ", kind == c.pooling ? "true" : "false");
  return SentenceVectorFiles{modules + "\n]\n", pooling + "\n}\n"};
}

}  // namespace pipeformer
