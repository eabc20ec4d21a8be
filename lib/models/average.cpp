#include "models/average.hpp"

#include "core/error.hpp"
#include "core/threads.hpp"
#include "models/model_file.hpp"
#include "models/towers.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t grain = 1 << 16;

}  // namespace

void average_models(const std::vector<std::string>& paths, const std::string& output) {
  const ModelFile first(paths.at(0));
  const Configuration& configuration = first.configuration();
  ParameterArena arena([&](ParameterSource& source) { build_stored(source, first); });
  std::vector<double> sums(static_cast<std::size_t>(arena.size()));
  for (const std::string& path : paths) {
    ModelFile model(path);
    require(model.group().empty(), path, ": expected a whole model, not a part of one");
    const std::string difference = configuration.difference(model.configuration());
    require(difference.empty(), path, ": is another kind of model than ", paths[0], ": ", difference);
    require(model.has(kLogitScale) == first.has(kLogitScale), path, ": is another kind of model than ", paths[0],
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
  const auto count = static_cast<double>(paths.size());
  float* average = arena.mutable_values();
  parallel_for(arena.size(), grain, [&](std::int64_t i, std::int64_t end) {
    for (; i < end; ++i) average[i] = static_cast<float>(sums[static_cast<std::size_t>(i)] / count);
  });
  Hdf5File file = Hdf5File::create(output);
  arena.write(file, configuration, first.texts());
  file.close();
}

}  // namespace pipeformer
