#include "metrics/metrics.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "metrics/accuracy.hpp"
#include "metrics/entities.hpp"
#include "metrics/labels.hpp"
#include "metrics/multi_label.hpp"
#include "metrics/regression.hpp"
#include "metrics/squad.hpp"
#include "metrics/ter.hpp"

namespace pipeformer {

namespace {

using Made = std::unique_ptr<Metric>;
using Options = const MetricOptions&;

template <RougeKind kind>
Made rouge(Options o) {
  return std::make_unique<Rouge>(kind, o.rouge);
}
template <AnswerMatch match>
Made answers(Options) {
  return std::make_unique<AnswerMatches>(match);
}
template <CalibrationKind kind>
Made calibration(Options o) {
  return std::make_unique<Calibration>(kind, o.calibration);
}
template <RegressionKind kind>
Made regression(Options) {
  return std::make_unique<Regression>(kind);
}
template <class M>
Made plain(Options) {
  return std::make_unique<M>();
}

}  // namespace

std::span<const MetricEntry> metric_table() {
  static const std::vector<MetricEntry> table{
      {"bleu", "corpus BLEU", [](Options o) -> Made { return std::make_unique<Bleu>(o.bleu); }},
      {"chrf", "character n-gram F-score", [](Options o) -> Made { return std::make_unique<Chrf>(o.chrf); }},
      {"ter", "translation edit rate", [](Options o) -> Made { return std::make_unique<Ter>(o.ter); }},
      {"rouge-1", "F of shared words, mean over the lines", rouge<RougeKind::unigrams>},
      {"rouge-2", "F of shared pairs of words", rouge<RougeKind::bigrams>},
      {"rouge-l", "F of the longest common subsequence", rouge<RougeKind::lcs>},
      {"rouge-lsum", "the same by sentences", rouge<RougeKind::lcs_summary>},
      {"accuracy", "lines that equal a reference", plain<Accuracy>},
      {"exact-match", "answers that equal a right one when normalised", answers<AnswerMatch::exact>},
      {"answer-f1", "F1 of the words of answers", answers<AnswerMatch::f1>},
      {"classification", "lines as labels: macro F1, each label, confusion matrix", plain<Classification>},
      {"multi-label", "lines of any number of labels: micro F1, each label", plain<MultiLabel>},
      {"token-accuracy", "labels that are right", plain<TokenAccuracy>},
      {"entity", "micro F1 of the entities that IOB or BIOES labels spell", plain<Entities>},
      {"mean-iou", "intersection over union of labels, mean over them", plain<MeanIou>},
      {"ece", "expected calibration error of probabilities of classes", calibration<CalibrationKind::ece>},
      {"nll", "negative log-likelihood of them", calibration<CalibrationKind::nll>},
      {"brier", "Brier score of them", calibration<CalibrationKind::brier>},
      {"temperature", "the temperature that makes the nll lowest", calibration<CalibrationKind::temperature>},
      {"pearson", "correlation of numbers", regression<RegressionKind::pearson>},
      {"spearman", "correlation of their ranks", regression<RegressionKind::spearman>},
      {"mse", "mean squared error", regression<RegressionKind::mse>},
      {"rmse", "its root", regression<RegressionKind::rmse>},
      {"mae", "mean absolute error", regression<RegressionKind::mae>},
  };
  return table;
}

std::span<const MetricGroup> metric_groups() {
  static const std::vector<MetricGroup> groups{{"all", {"bleu", "chrf", "accuracy"}},
                                               {"rouge", {"rouge-1", "rouge-2", "rouge-l"}},
                                               {"squad", {"exact-match", "answer-f1"}},
                                               {"calibration", {"ece", "nll", "brier", "temperature"}},
                                               {"regression", {"pearson", "spearman", "mse", "rmse", "mae"}}};
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
