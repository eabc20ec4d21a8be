#include "models/average.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "io/address.hpp"
#include "models/model_file.hpp"
#include "models/towers.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t grain = 1 << 16;

/// Writes the mean of one model of each file; it is where the first one is. files: as the user named them.
void average_one(const std::vector<ModelPlace>& places, const std::vector<std::string>& files, Hdf5File& output) {
  const ModelFile first(places.front().address);
  const Configuration& configuration = first.configuration();
  ParameterArena arena([&](ParameterSource& source) { build_stored(source, first); });
  std::vector<double> sums(static_cast<std::size_t>(arena.size()));
  for (std::size_t f = 0; f < places.size(); ++f) {
    ModelFile model(places[f].address);
    require(model.group().empty(), files[f], ": expected a whole model, not a part of one");
    const std::string difference = configuration.difference(model.configuration());
    require(difference.empty(), files[f], ": is another kind of model than ", files[0], ": ", difference);
    require(model.has(kLogitScale) == first.has(kLogitScale), files[f], ": is another kind of model than ", files[0],
            ": only one of them has a ", kLogitScale);
    for (const auto& entry : arena.entries()) {
      const float* values = model.get(entry.name, entry.shape, entry.initial).value;
      model.explain(values, entry.size);
      double* sum = sums.data() + entry.offset;
      parallel_for(entry.size, grain, [&](std::int64_t i, std::int64_t end) {
        for (; i < end; ++i) sum[i] += static_cast<double>(values[i]);
      });
    }
  }
  const auto count = static_cast<double>(places.size());
  float* average = arena.mutable_values();
  parallel_for(arena.size(), grain, [&](std::int64_t i, std::int64_t end) {
    for (; i < end; ++i) average[i] = static_cast<float>(sums[static_cast<std::size_t>(i)] / count);
  });
  write_model_head(output, configuration, first.texts(), places.front().group);
  arena.write_parameters(output, places.front().path(""));
}

/// The logit_scale of models in one file stands beside them.
void average_scales(const std::vector<std::string>& files, Hdf5File& output) {
  double sum = 0;
  std::size_t found = 0;
  for (const std::string& path : files) {
    const Hdf5File file = Hdf5File::open(split_address(path).file);
    if (!file.has_dataset(kLogitScale)) continue;
    const Array scale = file.read(kLogitScale);
    require(scale.dtype == DType::f4 && scale.size() == 1 && std::isfinite(scale.values<float>()[0]), path, ": ",
            kLogitScale, " is no finite number of type f4");
    sum += static_cast<double>(scale.values<float>()[0]);
    ++found;
  }
  if (found == 0) return;
  require(found == files.size(), files[0], ": is another kind of model than the others: only some have a ",
          kLogitScale);
  const auto mean = static_cast<float>(sum / static_cast<double>(found));
  output.write(kLogitScale, DType::f4, {}, &mean);
}

}  // namespace

void average_models(const std::vector<std::string>& paths, const std::string& output) {
  std::vector<std::vector<ModelPlace>> models;
  for (const std::string& path : paths) {
    models.push_back(models_at(path));
    const auto same = [](const ModelPlace& a, const ModelPlace& b) { return a.group == b.group; };
    require(std::equal(models[0].begin(), models[0].end(), models.back().begin(), models.back().end(), same), path,
            ": does not hold the models that ", paths[0], " does");
  }
  Hdf5File file = Hdf5File::create(output);
  for (std::size_t m = 0; m < models[0].size(); ++m) {
    std::vector<ModelPlace> places;
    for (const auto& of_file : models) places.push_back(of_file[m]);
    average_one(places, paths, file);
  }
  if (!models[0].front().group.empty()) {
    file.set_attribute("format", std::string(kSeveralModels));
    average_scales(paths, file);
  }
  file.close();
}

}  // namespace pipeformer
