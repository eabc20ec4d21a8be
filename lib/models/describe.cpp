#include "models/describe.hpp"

#include <functional>
#include <iomanip>
#include <sstream>

#include "core/error.hpp"
#include "models/towers.hpp"

namespace pipeformer {

std::string describe_models(const std::string& address) {
  std::string text;
  for (const ModelPlace& place : models_at(address))
    text += cat(text.empty() ? "" : "\n", describe(ModelFile(place.address), place));
  return text;
}

std::string describe(const ModelFile& model, const ModelPlace& place) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  model.configuration().each([&](const std::string& name, const Attribute& value) {
    out << std::left << std::setw(32) << place.path(name);
    std::visit([&](const auto& v) { out << std::boolalpha << v; }, value);
    out << '\n';
  });
  out << '\n';
  std::int64_t parameters = 0;
  const auto entries = list_parameters([&](ParameterSource& source) { build_stored(source, model); });
  for (const auto& entry : entries) {
    require(model.shape(entry.name) == entry.shape, model.name(), ": parameter ", entry.name, " has shape ",
            shape_text(model.shape(entry.name)), ", expected ", shape_text(entry.shape));
    out << std::left << std::setw(48) << place.path(entry.name) << std::setw(18) << shape_text(entry.shape)
        << name_of(model.type(entry.name)) << '\n';
    parameters += entry.size;
  }
  out << '\n' << std::left << std::setw(32) << place.path("parameters") << parameters << '\n';
  if (model.adapter_scale() > 0) {
    std::int64_t adapted = 0, rank = 0;
    for (const auto& entry : entries)
      if (entry.name.ends_with(kWeightSuffix) && model.has(adapter_name(entry.name, 'a'))) {
        ++adapted;
        rank = model.shape(adapter_name(entry.name, 'a')).at(0);
      }
    out << std::setw(32) << place.path("adapters")
        << cat("rank ", rank, " on ", adapted, " weights, scale ", model.adapter_scale()) << '\n';
  }
  out << std::setw(32) << place.path("tokenizer")
      << (model.has("tokenizer") ? cat(model.tokenizer()->size(), " bytes") : "none") << '\n';
  return out.str();
}

std::string describe(const TapList& taps) {
  std::string lines;
  for (const TapEntry& entry : taps) lines += cat(entry.name, '\t', shape_text(entry.shape), '\n');
  return lines;
}

}  // namespace pipeformer
