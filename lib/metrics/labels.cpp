#include "metrics/labels.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>

#include "core/error.hpp"

namespace pipeformer {

std::vector<std::string_view> split_labels(std::string_view line) {
  constexpr std::string_view spaces = " \t\r";
  std::vector<std::string_view> parts;
  for (std::size_t at = line.find_first_not_of(spaces); at != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(spaces, at), line.size());
    parts.push_back(line.substr(at, end - at));
    at = line.find_first_not_of(spaces, end);
  }
  return parts;
}

namespace {

std::optional<std::int64_t> as_integer(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

}  // namespace

LabelPairs::LabelPairs(const Segment& segment)
    : predicted(split_labels(segment.hypothesis)), right(split_labels(only_reference(segment))) {
  if (predicted.size() != right.size()) {
    throw Error(cat(predicted.size(), " labels, but the reference has ", right.size()));
  }
}

std::uint32_t Confusion::number(std::string_view label) {
  const auto found = numbers_.find(label);
  if (found != numbers_.end()) return found->second;
  const auto number = static_cast<std::uint32_t>(names_.size());
  numbers_.emplace(names_.emplace_back(label), number);
  return number;
}

void Confusion::add(std::string_view right, std::string_view predicted) {
  const std::uint64_t row = number(right);
  ++counts_[row << 32 | number(predicted)];
}

std::vector<std::uint32_t> Confusion::order() const {
  std::vector<std::uint32_t> order(names_.size());
  std::iota(order.begin(), order.end(), 0);
  std::vector<std::optional<std::int64_t>> values;
  for (const std::string& name : names_) values.push_back(as_integer(name));
  const bool integers = std::all_of(values.begin(), values.end(), [](const auto& v) { return v.has_value(); });
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return integers ? values[a] < values[b] : names_[a] < names_[b]; });
  return order;
}

std::vector<std::string> Confusion::labels() const {
  std::vector<std::string> labels;
  for (const std::uint32_t i : order()) labels.push_back(names_[i]);
  return labels;
}

std::vector<std::int64_t> Confusion::matrix() const {
  const std::size_t n = names_.size();
  require(n <= 20000, n, " different labels: too many for a confusion matrix");
  std::vector<std::size_t> place(n);
  const std::vector<std::uint32_t> sorted = order();
  for (std::size_t i = 0; i < n; ++i) place[sorted[i]] = i;
  std::vector<std::int64_t> matrix(n * n);
  for (const auto& [pair, count] : counts_) matrix[place[pair >> 32] * n + place[pair & 0xFFFFFFFF]] = count;
  return matrix;
}

std::vector<LabelScores> label_scores(const Confusion& confusion) {
  const std::vector<std::string> labels = confusion.labels();
  const std::vector<std::int64_t> matrix = confusion.matrix();
  std::vector<LabelScores> scores(labels.size());
  for (std::size_t r = 0; r < labels.size(); ++r) {
    scores[r].label = labels[r];
    scores[r].right = matrix[r * labels.size() + r];
    for (std::size_t p = 0; p < labels.size(); ++p) {
      scores[r].support += matrix[r * labels.size() + p];
      scores[p].predicted += matrix[r * labels.size() + p];
    }
  }
  return scores;
}

namespace {

double mean(const std::vector<LabelScores>& scores, double (LabelScores::*value)() const) {
  double sum = 0.0;
  for (const LabelScores& s : scores) sum += (s.*value)();
  return ratio(sum, static_cast<double>(scores.size()));
}
double weighted(const std::vector<LabelScores>& scores, double (LabelScores::*value)() const) {
  double sum = 0.0, all = 0.0;
  for (const LabelScores& s : scores) {
    sum += static_cast<double>(s.support) * (s.*value)();
    all += static_cast<double>(s.support);
  }
  return ratio(sum, all);
}

/// All labels as one.
LabelScores sum_of(const std::vector<LabelScores>& scores) {
  LabelScores sum;
  for (const LabelScores& s : scores) {
    sum.right += s.right;
    sum.predicted += s.predicted;
    sum.support += s.support;
  }
  return sum;
}

/// How many columns a label takes on a terminal, near enough: bytes that do not continue a character of UTF-8.
int width_of(const std::string& label) {
  return static_cast<int>(std::count_if(label.begin(), label.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}
int widest(const std::vector<std::string>& labels, int least) {
  for (const std::string& label : labels) least = std::max(least, width_of(label));
  return least;
}
std::string padded(const std::string& label, int width) {
  return label + std::string(static_cast<std::size_t>(std::max(0, width - width_of(label))), ' ');
}

/// The matrix with its labels; nothing for one that no terminal would hold.
std::string matrix_text(const Confusion& confusion) {
  const std::vector<std::string> labels = confusion.labels();
  if (labels.size() > 20) return "";
  const std::vector<std::int64_t> matrix = confusion.matrix();
  const int name = widest(labels, 5);
  int column = 1;
  for (const std::int64_t count : matrix) column = std::max(column, static_cast<int>(std::to_string(count).size()));
  column = widest(labels, column);
  std::string text = "\nright \\ predicted\n" + std::string(static_cast<std::size_t>(name), ' ');
  for (const std::string& label : labels) {
    text += "  " + std::string(static_cast<std::size_t>(column - width_of(label)), ' ') + label;
  }
  for (std::size_t r = 0; r < labels.size(); ++r) {
    text += "\n" + padded(labels[r], name);
    for (std::size_t p = 0; p < labels.size(); ++p) {
      text += formatted("  %*lld", column, static_cast<long long>(matrix[r * labels.size() + p]));
    }
  }
  return text;
}

}  // namespace

double micro_f1(const std::vector<LabelScores>& scores) {
  return sum_of(scores).f1();
}

std::string label_table(const std::vector<LabelScores>& scores, const std::vector<AverageRow>& more) {
  std::vector<std::string> labels;
  for (const LabelScores& s : scores) labels.push_back(s.label);
  const int width = widest(labels, 16);
  std::string text = "\n" + padded("label", width) + "  precision  recall      F1  support";
  const auto row = [&](const AverageRow& r, std::int64_t support) {
    text += "\n" + padded(r.name, width) +
            formatted("  %9.2f  %6.2f  %6.2f  %7lld", 100.0 * r.precision, 100.0 * r.recall, 100.0 * r.f1,
                      static_cast<long long>(support));
  };
  for (const LabelScores& s : scores) row({s.label, s.precision(), s.recall(), s.f1()}, s.support);
  const LabelScores all = sum_of(scores);
  row({"micro average", all.precision(), all.recall(), all.f1()}, all.support);
  row({"macro average", mean(scores, &LabelScores::precision), mean(scores, &LabelScores::recall),
       mean(scores, &LabelScores::f1)},
      all.support);
  row({"weighted average", weighted(scores, &LabelScores::precision), weighted(scores, &LabelScores::recall),
       weighted(scores, &LabelScores::f1)},
      all.support);
  for (const AverageRow& r : more) row(r, all.support);
  return text;
}

void Classification::add(std::span<const Segment> segments) {
  for_each_segment(segments, [this](const Segment& s) { confusion_.add(only_reference(s), s.hypothesis); });
}

double Classification::score() const {
  return 100.0 * mean(label_scores(confusion_), &LabelScores::f1);
}

std::string Classification::report() const {
  return formatted("classification macro F1 %.2f", score()) + label_table(label_scores(confusion_)) +
         matrix_text(confusion_);
}

void MeanIou::add(std::span<const Segment> segments) {
  for_each_segment(segments, [this](const Segment& segment) {
    const LabelPairs labels(segment);
    for (std::size_t k = 0; k < labels.right.size(); ++k) confusion_.add(labels.right[k], labels.predicted[k]);
  });
}

double MeanIou::score() const {
  return 100.0 * mean(label_scores(confusion_), &LabelScores::iou);
}

std::string MeanIou::report() const {
  const std::vector<LabelScores> scores = label_scores(confusion_);
  const int width = widest(confusion_.labels(), 5);
  std::string text = formatted("mean IoU %.2f\n", score()) + padded("label", width) + "     IoU  support";
  for (const LabelScores& s : scores) {
    text +=
        "\n" + padded(s.label, width) + formatted("  %6.2f  %7lld", 100.0 * s.iou(), static_cast<long long>(s.support));
  }
  return text;
}

void TokenAccuracy::count(const Segment& segment, std::span<double> statistics) const {
  const LabelPairs labels(segment);
  for (std::size_t k = 0; k < labels.right.size(); ++k) statistics[0] += labels.right[k] == labels.predicted[k];
  statistics[1] = static_cast<double>(labels.right.size());
}

std::string TokenAccuracy::report_of(std::span<const double> sums) const {
  return formatted("token accuracy %.2f (%.0f of %.0f)", score_of(sums), sums[0], sums[1]);
}

}  // namespace pipeformer
