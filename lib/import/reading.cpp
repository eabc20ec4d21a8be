#include "import/reading.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.hpp"
#include "models/model_file.hpp"
#include "models/transformer.hpp"

namespace pipeformer {
namespace {

/// A value of the type that a field has.
Attribute value_of(const Json& json, const Attribute& like) {
  if (std::holds_alternative<bool>(like)) return json.boolean();
  if (std::holds_alternative<std::int64_t>(like)) return json.integer();
  if (std::holds_alternative<double>(like)) return json.number();
  return json.string();
}

void read_settings_of_use(Exchange& x) {
  const auto own = x.keys.get("pipeformer");
  if (!own) return;
  Configuration& c = x.configuration;
  for (std::size_t i = 0; i < own->size(); ++i) {
    const auto& fields = configuration_fields();
    const auto field = std::find_if(fields.begin(), fields.end(), [&](const auto& f) { return f.name == own->key(i); });
    if (own->key(i) == "logit_scale" && c.head == Head::none) {
      x.logit_scale = static_cast<float>((*own)[i].number());
      if (!std::isfinite(*x.logit_scale)) (*own)[i].fail("which is not finite");
      continue;
    }
    if (field == fields.end() || !is_setting_of_use(field->name, c)) (*own)[i].fail("which is no setting of use");
    field->set(c, value_of((*own)[i], field->get(c)));
  }
}

}  // namespace

Shapes parameters_of(const Configuration& configuration) {
  Shapes shapes;
  for (const ParameterEntry& entry :
       list_parameters([&](ParameterSource& source) { Transformer(source, configuration); }))
    shapes.emplace(entry.name, entry.shape);
  return shapes;
}

bool is_setting_of_use(const std::string& name, const Configuration& c) {
  static constexpr std::array names{"begin_id",   "forced_id",     "end_id",  "end_id2", "end_id3",
                                    "forced_end", "suppressed_id", "context", "mask_id", "normalize"};
  // A pooler or a classifier is made for what one way of pooling gives.
  if (name == "pooling") return !c.pooler && c.head != Head::classes && c.projection == 0;
  return std::find(names.begin(), names.end(), name) != names.end();
}

void read_tower(Exchange& x, const FamilyTower& tower) {
  tower.build(x);
  read_settings_of_use(x);
}

void take_tokenizer(Configuration& c, const Tokenizer& tokenizer, const std::string& where) {
  if (c.reads_vectors()) return;
  const std::int64_t ids = c.has_encoder() ? c.source_vocabulary : c.target_vocabulary;
  require(tokenizer.vocabulary_size() <= ids, where, ": the tokenizer has ", tokenizer.vocabulary_size(),
          " ids, the model embeddings for ", ids);
  if (const auto mask = tokenizer.named_ids().mask; mask && c.head == Head::tokens && !c.has_decoder())
    c.mask_id = *mask;
}

std::string list_of(const std::vector<std::string>& names) {
  std::string list;
  for (std::size_t i = 0; i < names.size() && i < 12; ++i) list += (i > 0 ? ", " : "") + names[i];
  if (names.size() > 12) list += cat(" and ", names.size() - 12, " more");
  return list;
}

void match_parameters(const Exchange& x, const Shapes& parameters, const std::string& where) {
  std::map<std::string, const TensorRow*> rows;
  std::vector<std::string> unfilled, unknown;
  for (const TensorRow& row : x.rows) {
    require(rows.emplace(row.ours, &row).second, "parameter ", row.ours, " is filled twice");
    if (!parameters.contains(row.ours)) unknown.push_back(row.theirs.front());
    for (const std::string& name : row.theirs)
      if (!x.tensors.contains(name)) unfilled.push_back(cat(name, " (", row.ours, ")"));
  }
  for (const auto& [name, shape] : parameters)
    if (!rows.contains(name)) unfilled.push_back(name);
  require(unfilled.empty(), where, ": tensors that the model needs and that are missing: ", list_of(unfilled));
  require(unknown.empty(), where, ": tensors that have no place in a model of this configuration: ", list_of(unknown));
}

}  // namespace pipeformer
