#include "train/layer_rates.hpp"

#include <algorithm>
#include <charconv>

#include "core/elementary.hpp"

namespace pipeformer {
namespace {

/// How many layers away from the output a parameter is; 0: it comes after them.
std::int64_t distance_from_output(std::string name, const Configuration& c) {
  if (name.starts_with("embedding/")) return std::max(c.encoder.layers, c.decoder.layers) + 1;
  const bool decoding = name.starts_with("decoder/");
  if (!decoding && !name.starts_with("encoder/")) return 0;
  const std::int64_t layers = c.stack(decoding).layers;
  name.erase(0, name.find('/') + 1);
  std::int64_t layer = 0;
  if (const auto parsed = std::from_chars(name.data(), name.data() + name.size(), layer); parsed.ec == std::errc())
    return layers - layer;
  for (const char* before : {"embedding", "positions", "token_types", "relative_positions", "input", "class_token"})
    if (name.starts_with(before)) return layers + 1;
  return 0;
}

}  // namespace

std::vector<std::pair<std::string, double>> layer_rates(const std::vector<Tower>& towers, double decay) {
  std::vector<std::pair<std::string, double>> rates;
  for (const Tower& tower : towers)
    for (const ParameterEntry& entry :
         list_parameters([&](ParameterSource& source) { Transformer(source, tower.configuration); }))
      if (const std::int64_t distance = distance_from_output(entry.name, tower.configuration); distance > 0)
        rates.emplace_back(tower.before() + entry.name, elementary::pow(decay, static_cast<double>(distance)));
  return rates;
}

}  // namespace pipeformer
