/// The table of metrics: names, what they are, how they are made. A metric is a file beside this one and a line there.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "metrics/bleu.hpp"
#include "metrics/calibration.hpp"
#include "metrics/chrf.hpp"
#include "metrics/metric.hpp"
#include "metrics/rouge.hpp"
#include "metrics/words.hpp"

namespace pipeformer {

struct MetricOptions {
  BleuOptions bleu;
  ChrfOptions chrf;
  TerNormalization ter;
  RougeOptions rouge;
  CalibrationOptions calibration;
};

struct MetricEntry {
  std::string name;
  std::string summary;
  std::unique_ptr<Metric> (*make)(const MetricOptions&);
};
std::span<const MetricEntry> metric_table();

/// Several metrics under one name.
struct MetricGroup {
  std::string name;
  std::vector<std::string> members;
};
std::span<const MetricGroup> metric_groups();

/// The entries that names of metrics and groups stand for, in their order. Throws UsageError for an unknown name.
std::vector<const MetricEntry*> find_metrics(const std::vector<std::string>& names);

}  // namespace pipeformer
