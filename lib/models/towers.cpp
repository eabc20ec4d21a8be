#include "models/towers.hpp"

#include <algorithm>

#include "io/address.hpp"

namespace pipeformer {
namespace {

/// What a tower names NAME is GROUP/NAME in the source of all.
class GroupSource : public ParameterSource {
 public:
  GroupSource(ParameterSource& all, const Tower& tower) : all_(all), before_(tower.before()) {
    list_taps_below(all, before_);
  }
  Parameter get(const std::string& name, const Shape& shape, Initial initial) override {
    return all_.get(before_ + name, shape, initial);
  }
  Weight get_weight(const std::string& name, const Shape& shape, Initial initial) override {
    return all_.get_weight(before_ + name, shape, initial);
  }

 private:
  ParameterSource& all_;
  std::string before_;
};

}  // namespace

bool compares_vectors(const std::vector<Tower>& towers) {
  return towers.front().configuration.head == Head::none;
}

std::vector<Transformer> build_towers(ParameterSource& source, const std::vector<Tower>& towers) {
  std::vector<Transformer> models;
  const auto readout = compares_vectors(towers) ? Transformer::Readout::pooled : Transformer::Readout::predicted;
  for (const Tower& tower : towers) {
    if (tower.group.empty()) {
      models.emplace_back(source, tower.configuration, Transformer::Stacks::all, readout);
    } else {
      GroupSource below(source, tower);
      models.emplace_back(below, tower.configuration, Transformer::Stacks::all, readout);
    }
  }
  if (compares_vectors(towers)) source.get(kLogitScale, {}, Initial::zero);
  return models;
}

Transformer build_stored(ParameterSource& source, const ModelFile& file) {
  Transformer model(source, file.configuration());
  if (file.has(kLogitScale)) source.get(kLogitScale, {}, Initial::zero);
  return model;
}

void write_tower_heads(Hdf5File& file, const std::vector<Tower>& towers) {
  for (const Tower& tower : towers) write_model_head(file, tower.configuration, tower.texts, tower.group);
  if (towers.size() > 1) file.set_attribute("format", std::string(kSeveralModels));
}

std::vector<ModelFile> open_towers(const std::string& address) {
  std::vector<ModelFile> models;
  const Address split = split_address(address);
  const Hdf5File file = Hdf5File::open(split.file);
  if (!split.group.empty() || file.attribute("format") != Attribute(std::string(kSeveralModels))) {
    models.emplace_back(address);
    return models;
  }
  for (const std::string& group : file.groups())
    if (file.attribute("kind", group)) models.emplace_back(cat(address, ":", group));  // not what a checkpoint adds
  std::stable_partition(models.begin(), models.end(),
                        [](const ModelFile& model) { return model.configuration().reads_vectors(); });
  return models;
}

}  // namespace pipeformer
