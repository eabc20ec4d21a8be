#include "train/examples.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/random.hpp"

namespace pipeformer {

void ExampleBatch::clear() {
  for (auto* ids : {&source_ids, &source_types, &target_ids, &labels, &rows}) ids->clear();
  source_vectors.clear();
  values.clear();
  source_offsets.assign(1, 0);
  target_offsets.assign(1, 0);
  source_first = target_first = {};
}

std::int64_t ExampleBatch::sequences() const {
  return static_cast<std::int64_t>(std::max(source_offsets.size(), target_offsets.size())) - 1;
}

Transformer::Examples ExampleBatch::view() const {
  Transformer::Examples view;
  view.source.ragged = {source_offsets};
  if (vectors) view.source.kind = Transformer::Source::Kind::vectors;
  view.source.ids = source_ids.data();
  if (!source_types.empty()) view.source.types = source_types.data();
  view.source.rows = source_vectors.data();
  view.source.first = source_first;
  view.target = {{target_offsets}, target_ids.data(), target_first};
  view.labels = labels;
  view.rows = rows.data();
  view.spans = spans;
  if (!values.empty()) view.values = values.data();
  return view;
}

Transformer::Source ExampleBatch::target_source() const {
  Transformer::Source source;
  source.ragged = {target_offsets};
  source.ids = target_ids.data();
  source.first = target_first;
  return source;
}

std::int64_t ExampleBatch::answers() const {
  if (pairs) return 2 * sequences();
  if (!values.empty()) return std::ssize(values);
  return std::count_if(labels.begin(), labels.end(), [](std::int32_t label) { return label >= 0; });
}

double ExampleBatch::weight(std::span<const float> of_classes) const {
  if (of_classes.empty() || pairs || !values.empty()) return static_cast<double>(answers());
  double sum = 0;
  for (const std::int32_t label : labels)
    if (label >= 0) sum += static_cast<double>(of_classes[static_cast<std::size_t>(label)]);
  return sum;
}

std::vector<std::int64_t> Examples::epoch(std::uint64_t seed) const {
  if (part_times_.empty()) return all_;
  std::vector<std::int64_t> examples;
  for (const std::int64_t i : all_) {
    const auto part = std::upper_bound(part_ends_.begin(), part_ends_.end(), i) - part_ends_.begin();
    const double times = part_times_[static_cast<std::size_t>(part)], whole = std::floor(times);
    const bool once_more = Random(derive_seed(seed, static_cast<std::uint64_t>(i))).uniform() < times - whole;
    examples.insert(examples.end(), static_cast<std::size_t>(whole) + once_more, i);
  }
  if (examples.empty()) examples.push_back(all_[static_cast<std::size_t>(seed % all_.size())]);
  return examples;
}

void Examples::mix(std::vector<std::int64_t> ends, std::vector<double> times) {
  part_ends_ = std::move(ends);
  part_times_ = std::move(times);
  for (const double t : part_times_) fingerprint_ = derive_seed(fingerprint_, std::bit_cast<std::uint64_t>(t));
}

std::int64_t Examples::most_in_epoch() const {
  double most = 1;
  for (const double times : part_times_) most = std::max(most, std::ceil(times));
  return static_cast<std::int64_t>(most) * std::ssize(all_);
}

}  // namespace pipeformer
