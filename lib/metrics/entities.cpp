#include "metrics/entities.hpp"

#include "core/error.hpp"
#include "metrics/labels.hpp"

namespace pipeformer {

std::vector<Entity> entities(std::span<const std::string_view> labels) {
  std::vector<Entity> all;
  char before = 'O';
  std::string_view type_before;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::string_view label = labels[i];
    const bool outside = label == "O";
    if (!outside &&
        (label.size() < 2 || label[1] != '-' || std::string_view("BIES[]").find(label[0]) == std::string_view::npos)) {
      throw Error(cat("label '", label, "' is neither O nor B-, I-, E- or S- and a type"));
    }
    const char letter = label[0];
    const std::string_view type = outside ? "" : label.substr(2);
    if (!outside) {
      const bool ended = std::string_view("OES[]").find(before) != std::string_view::npos;
      const bool begins = std::string_view("BS[]").find(letter) != std::string_view::npos;
      if (ended || begins || type != type_before) all.push_back({i, i, type});
      all.back().end = i + 1;
    }
    before = letter;
    type_before = type;
  }
  return all;
}

void Entities::add(std::span<const Segment> segments) {
  for_each_segment(segments, [this](const Segment& segment) {
    const LabelPairs labels(segment);
    const std::vector<Entity> found = entities(labels.predicted), wanted = entities(labels.right);
    const auto counts = [this](std::string_view type) -> Counts& {
      const auto at = types_.find(type);
      return at != types_.end() ? at->second : types_[std::string(type)];
    };
    for (const Entity& e : found) ++counts(e.type).found;
    for (const Entity& e : wanted) ++counts(e.type).wanted;
    for (std::size_t f = 0, w = 0; f < found.size() && w < wanted.size();) {
      if (found[f] == wanted[w]) ++counts(found[f].type).right;
      const std::size_t begin_found = found[f].begin, begin_wanted = wanted[w].begin;
      f += begin_found <= begin_wanted;
      w += begin_wanted <= begin_found;
    }
    for (std::size_t k = 0; k < labels.right.size(); ++k) right_labels_ += labels.right[k] == labels.predicted[k];
    labels_ += static_cast<std::int64_t>(labels.right.size());
  });
}

Entities::Counts Entities::all() const {
  Counts sum;
  for (const auto& [type, counts] : types_) {
    sum.right += counts.right;
    sum.found += counts.found;
    sum.wanted += counts.wanted;
  }
  return sum;
}

double Entities::score() const {
  return all().f1();
}

std::string Entities::report() const {
  const Counts sum = all();
  std::string text = formatted(
      "entity F1 %.2f (P %.2f, R %.2f; %lld right, %lld found, %lld wanted; label accuracy %.2f of %lld)", sum.f1(),
      sum.precision(), sum.recall(), static_cast<long long>(sum.right), static_cast<long long>(sum.found),
      static_cast<long long>(sum.wanted),
      100.0 * ratio(static_cast<double>(right_labels_), static_cast<double>(labels_)), static_cast<long long>(labels_));
  for (const auto& [type, c] : types_) {
    text += formatted("\n%s F1 %.2f (P %.2f, R %.2f; %lld right, %lld found, %lld wanted)", type.c_str(), c.f1(),
                      c.precision(), c.recall(), static_cast<long long>(c.right), static_cast<long long>(c.found),
                      static_cast<long long>(c.wanted));
  }
  return text;
}

}  // namespace pipeformer
