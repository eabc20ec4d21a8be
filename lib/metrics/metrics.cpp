#include "metrics/metrics.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "metrics/accuracy.hpp"
#include "metrics/ter.hpp"

namespace pipeformer {

std::span<const MetricEntry> metric_table() {
  using Options = const MetricOptions&;
  using Made = std::unique_ptr<Metric>;
  static const std::vector<MetricEntry> table{
      {"bleu", "corpus BLEU", [](Options o) -> Made { return std::make_unique<Bleu>(o.bleu); }},
      {"chrf", "character n-gram F-score", [](Options o) -> Made { return std::make_unique<Chrf>(o.chrf); }},
      {"ter", "translation edit rate", [](Options o) -> Made { return std::make_unique<Ter>(o.ter); }},
      {"accuracy", "lines that equal a reference", [](Options) -> Made { return std::make_unique<Accuracy>(); }},
  };
  return table;
}

std::span<const MetricGroup> metric_groups() {
  static const std::vector<MetricGroup> groups{{"all", {"bleu", "chrf", "accuracy"}}};
  return groups;
}

std::vector<const MetricEntry*> find_metrics(const std::vector<std::string>& names) {
  const auto named = [](const std::string& name) { return [&name](const auto& entry) { return entry.name == name; }; };
  const auto table = metric_table();
  const auto groups = metric_groups();
  std::vector<const MetricEntry*> found;
  for (const std::string& name : names) {
    const auto group = std::find_if(groups.begin(), groups.end(), named(name));
    for (const std::string& member : group != groups.end() ? group->members : std::vector{name}) {
      const auto entry = std::find_if(table.begin(), table.end(), named(member));
      if (entry == table.end()) {
        std::string known;
        for (const MetricEntry& e : table) known += (known.empty() ? "" : ", ") + e.name;
        for (const MetricGroup& g : groups) known += ", " + g.name;
        throw UsageError(cat("unknown metric '", name, "': one of ", known, " expected"));
      }
      found.push_back(&*entry);
    }
  }
  return found;
}

}  // namespace pipeformer
