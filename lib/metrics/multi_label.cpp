#include "metrics/multi_label.hpp"

#include <algorithm>

namespace pipeformer {
namespace {

/// Sorted, each once.
std::vector<std::string_view> label_set(std::string_view line) {
  std::vector<std::string_view> labels = split_labels(line);
  std::sort(labels.begin(), labels.end());
  labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
  return labels;
}

}  // namespace

void MultiLabel::add(std::span<const Segment> segments) {
  const auto of = [this](std::string_view label) -> LabelScores& {
    const auto at = labels_.find(label);
    return at != labels_.end() ? at->second : labels_[std::string(label)];
  };
  for_each_segment(segments, [&](const Segment& segment) {
    const std::vector<std::string_view> predicted = label_set(segment.hypothesis),
                                        right = label_set(only_reference(segment));
    std::int64_t both = 0;
    for (const std::string_view label : right) ++of(label).support;
    for (const std::string_view label : predicted) {
      LabelScores& scores = of(label);
      ++scores.predicted;
      if (!std::binary_search(right.begin(), right.end(), label)) continue;
      ++scores.right;
      ++both;
    }
    const LabelScores line{"", both, static_cast<std::int64_t>(predicted.size()),
                           static_cast<std::int64_t>(right.size())};
    sums_.precision += line.precision();
    sums_.recall += line.recall();
    sums_.f1 += line.f1();
    equal_ += predicted == right;
    ++lines_;
  });
}

std::vector<LabelScores> MultiLabel::scores() const {
  std::vector<LabelScores> all;
  for (const auto& [label, scores] : labels_) all.push_back({label, scores.right, scores.predicted, scores.support});
  return all;
}

std::string MultiLabel::report() const {
  const auto n = static_cast<double>(lines_);
  return formatted("multi-label micro F1 %.2f (all labels right in %.2f of %lld lines)", score(),
                   100.0 * ratio(static_cast<double>(equal_), n), static_cast<long long>(lines_)) +
         label_table(scores(),
                     {{"samples average", ratio(sums_.precision, n), ratio(sums_.recall, n), ratio(sums_.f1, n)}});
}

}  // namespace pipeformer
