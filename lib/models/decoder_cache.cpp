#include "models/decoder_cache.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

namespace pipeformer {

DecoderCache::DecoderCache(const Transformer& model, Storage& storage, WeightType kept)
    : model_(model),
      kept_(kept),
      row_bytes_(model.configuration().layer_shape(true, 0).self_attention.kept_row_bytes(kept)),
      storage_(storage) {
  // What is there may have been another model's.
  capacity_ = static_cast<std::int64_t>(storage_.past.size()) /
              (2 * std::max<std::int64_t>(1, static_cast<std::int64_t>(layers())) * row_bytes_);
  ids_.resize(static_cast<std::size_t>(capacity_));
  const StackSpec& stack = model.configuration().decoder;
  if (stack.positions == PositionKind::rotary && stack.rotary_scaling == RotaryScaling::longrope)
    renewed_length_ = stack.rotary_context + 1;
}

void DecoderCache::take_rows(std::int64_t count, std::int64_t each_step, std::vector<std::int32_t>& rows) {
  std::vector<bool> used(static_cast<std::size_t>(capacity_), false);
  for (const std::int32_t row : past_) used[static_cast<std::size_t>(row)] = true;
  rows.clear();
  for (std::int32_t row = 0; row < capacity_ && std::ssize(rows) < count; ++row)
    if (!used[static_cast<std::size_t>(row)]) rows.push_back(row);
  const std::int64_t lacking = count - std::ssize(rows);
  if (lacking == 0) return;
  // Room for some steps more, since to grow copies all; a huge page that is not filled is taken whole, so not for many.
  constexpr std::int64_t kSteps = 32;
  const std::int64_t old = capacity_, more = std::max(kSteps * each_step, capacity_ / 2);
  grow(capacity_ + lacking + std::min(more, steps_left_ * each_step));
  for (std::int64_t row = old; row < old + lacking; ++row) rows.push_back(static_cast<std::int32_t>(row));
}

void DecoderCache::grow(std::int64_t capacity) {
  const std::int64_t pieces = 2 * static_cast<std::int64_t>(layers()), each = pieces * row_bytes_;
  if (each > 0) capacity = static_cast<std::int64_t>(whole_pages(static_cast<std::size_t>(capacity * each))) / each;
  const std::int64_t before = capacity_ * row_bytes_, after = capacity * row_bytes_;
  Buffer<std::byte> past(static_cast<std::size_t>(pieces * after));
  for (std::int64_t piece = 0; piece < pieces && before > 0; ++piece)
    std::memcpy(past.data() + piece * after, storage_.past.data() + piece * before, static_cast<std::size_t>(before));
  storage_.past.swap(past);
  ids_.resize(static_cast<std::size_t>(capacity));
  capacity_ = capacity;
}

KeyValues DecoderCache::pair(Buffer<std::byte>& of, std::size_t layer, std::int64_t rows) const {
  std::byte* key = of.data() + 2 * static_cast<std::int64_t>(layer) * rows * row_bytes_;
  return {key, key + rows * row_bytes_, kept_};
}

void DecoderCache::keep_past(std::size_t layer, const KeyValues& from, const std::vector<std::int32_t>& rows) {
  const auto copy = [&, bytes = static_cast<std::size_t>(row_bytes_)](const void* x, void* to) {
    for (std::size_t r = 0; r < rows.size(); ++r)
      std::memcpy(static_cast<std::byte*>(to) + rows[r] * row_bytes_, static_cast<const std::byte*>(x) + r * bytes,
                  bytes);
  };
  copy(from.key, past(layer).key);
  copy(from.value, past(layer).value);
}

void DecoderCache::pass(Context& ctx, const TransformerLayer::Surroundings& around, const Ragged& ragged,
                        const std::int32_t* ids, const std::vector<std::int32_t>& kept, float* last) {
  const std::int64_t width = model_.configuration().width, rows = ragged.rows();
  const WorkspaceScope scope(ctx.workspace);
  for (std::size_t r = 0; r < kept.size(); ++r) ids_[static_cast<std::size_t>(kept[r])] = ids[r];
  TokenEmbedding::Saved embedding;
  Stack::Saved entry;
  const float* embedded = model_.decoder().enter(
      ctx, ragged, model_.target_embedding().forward(ctx, ragged, ids, nullptr, embedding), entry);
  TransformerLayer::Surroundings all = around;
  all.keeps = true;
  all.distance = model_.decoder().distance_bias(ctx, ragged.longest());
  float* x = ctx.workspace.get(rows * width);
  std::memcpy(x, embedded, static_cast<std::size_t>(rows * width) * sizeof(float));
  for (std::size_t l = 0; l < layers(); ++l) {
    const WorkspaceScope layer_scope(ctx.workspace);
    TransformerLayer::Saved saved;
    if (all.memory) all.memory_place = memory(l);
    const float* y = model_.decoder().layers()[l].forward(ctx, ragged, x, all, saved);
    std::memcpy(x, y, static_cast<std::size_t>(rows * width) * sizeof(float));
    keep_past(l, saved.self_attention.kept, kept);
  }
  for (std::int64_t s = 0; s < ragged.sequences(); ++s)
    std::memcpy(last + s * width, x + (ragged.begin(s + 1) - 1) * width,
                static_cast<std::size_t>(width) * sizeof(float));
}

const float* DecoderCache::start(Context& ctx, const Ragged& sources, const float* memory, const Ragged& beginnings,
                                 const std::int32_t* ids, std::int64_t steps) {
  const std::int64_t width = model_.configuration().width, sentences = beginnings.sequences();
  numbers_.clear();
  positions_.clear();
  for (std::int64_t s = 0; s < sentences; ++s) {
    numbers_.push_back(ctx.places.number(s));
    positions_.push_back(static_cast<std::int32_t>(beginnings.length(s) - 1));
  }
  sentence_numbers_ = numbers_;
  ctx.places = {0, numbers_.data(), nullptr, true};
  memory_rows_ = memory ? sources.rows() : 0;
  at_least(storage_.memory, 2 * static_cast<std::int64_t>(layers()) * memory_rows_ * row_bytes_);
  source_offsets_.assign(sources.offsets.begin(), sources.offsets.end());
  sentence_.resize(static_cast<std::size_t>(sentences));
  std::iota(sentence_.begin(), sentence_.end(), 0);
  past_.clear();
  steps_left_ = steps;
  take_rows(beginnings.rows(), sentences, past_);
  past_offsets_.assign(beginnings.offsets.begin(), beginnings.offsets.end());

  float* last = ctx.workspace.get(sentences * width);
  const WorkspaceScope scope(ctx.workspace);
  pass(ctx, {sources, memory}, beginnings, ids, past_, last);
  // The norm is a function of each row, so it can be taken of the last rows only.
  const std::vector<std::int64_t> one_each = one_row_each(sentences);
  ctx.places.positions = positions_.data();
  Norm::Saved norm;
  const float* hidden = model_.decoder().finish(ctx, {one_each}, last, norm);
  if (hidden != last) std::memcpy(last, hidden, static_cast<std::size_t>(sentences * width) * sizeof(float));
  return last;
}

void DecoderCache::pass_again(Context& ctx, float* y) {
  const std::int64_t width = model_.configuration().width;
  std::vector<std::int64_t> offsets{0}, which;
  std::vector<std::int32_t> ids, rows;
  for (std::int64_t i = 0; i < hypotheses(); ++i) {
    const auto begin = past_.begin() + past_offsets_[static_cast<std::size_t>(i)],
               end = past_.begin() + past_offsets_[static_cast<std::size_t>(i) + 1];
    if (end - begin != renewed_length_) continue;
    for (auto row = begin; row < end; ++row) ids.push_back(ids_[static_cast<std::size_t>(*row)]);
    offsets.push_back(static_cast<std::int64_t>(ids.size()));
    which.push_back(i);
  }
  if (which.empty()) return;
  take_rows(static_cast<std::int64_t>(ids.size()), hypotheses(), rows);
  float* last = ctx.workspace.get(static_cast<std::int64_t>(which.size()) * width);
  std::vector<std::int64_t> numbers;
  for (const std::int64_t i : which) numbers.push_back(numbers_[static_cast<std::size_t>(i)]);
  const Places places = std::exchange(ctx.places, {0, numbers.data(), nullptr, true});
  pass(ctx, {}, {offsets}, ids.data(), rows, last);
  ctx.places = places;
  for (std::size_t k = 0; k < which.size(); ++k) {
    std::copy(rows.begin() + offsets[k], rows.begin() + offsets[k + 1],
              past_.begin() + past_offsets_[static_cast<std::size_t>(which[k])]);
    std::copy_n(last + static_cast<std::int64_t>(k) * width, width, y + which[k] * width);
  }
}

const float* DecoderCache::step(Context& ctx, std::span<const std::int32_t> parents,
                                std::span<const std::int32_t> tokens) {
  const std::int64_t n = static_cast<std::int64_t>(parents.size());
  // Each new hypothesis: its parent's rows, then a row of its own, which the layers fill.
  std::vector<std::int32_t> new_rows, rows, sentence;
  std::vector<std::int64_t> past_offsets{0};
  steps_left_ = std::max<std::int64_t>(0, steps_left_ - 1);
  take_rows(n, n, new_rows);
  positions_.clear();
  numbers_.clear();
  for (std::size_t i = 0; i < parents.size(); ++i) {
    const auto parent = static_cast<std::size_t>(parents[i]);
    rows.insert(rows.end(), past_.begin() + past_offsets_[parent], past_.begin() + past_offsets_[parent + 1]);
    rows.push_back(new_rows[i]);
    past_offsets.push_back(static_cast<std::int64_t>(rows.size()));
    positions_.push_back(static_cast<std::int32_t>(past_offsets_[parent + 1] - past_offsets_[parent]));
    ids_[static_cast<std::size_t>(new_rows[i])] = tokens[i];
    sentence.push_back(sentence_[parent]);
    numbers_.push_back(sentence_numbers_[static_cast<std::size_t>(sentence.back())]);
  }
  past_ = std::move(rows);
  past_offsets_ = std::move(past_offsets);
  sentence_ = std::move(sentence);

  const std::vector<std::int64_t> one_each = one_row_each(n);
  std::vector<std::int64_t> by_sentence(source_offsets_.size(), 0);
  if (!by_sentence.empty()) {
    for (const std::int32_t s : sentence_) ++by_sentence[static_cast<std::size_t>(s) + 1];
    std::partial_sum(by_sentence.begin(), by_sentence.end(), by_sentence.begin());
  }

  ctx.places = {0, numbers_.data(), positions_.data(), true};

  const TokenEmbedding& embedding = model_.target_embedding();
  const std::int64_t embedded_width = embedding.width();
  float* x = ctx.workspace.get(n * embedded_width);
  embedding.look_up(n, tokens.data(), nullptr, x);
  ctx.show(embedding.embeddings_tap(), x, embedded_width, {one_each});
  for (std::int64_t i = 0; i < n;) {  // rows at the same position together
    std::int64_t end = i + 1;
    while (end < n && positions_[static_cast<std::size_t>(end)] == positions_[static_cast<std::size_t>(i)]) ++end;
    const Ragged rows{{one_each.data(), static_cast<std::size_t>(end - i) + 1}};
    float* at = x + i * embedded_width;
    embedding.add_positions(rows, positions_[static_cast<std::size_t>(i)], at, at);
    i = end;
  }
  ctx.show(embedding.positions_tap(), x, embedded_width, {one_each});
  Stack::Saved entry;
  const float* y = model_.decoder().enter(ctx, {one_each}, x, entry);
  const std::int64_t longest = n > 0 ? 1 + *std::max_element(positions_.begin(), positions_.end()) : 0;
  const DistanceBias distance = model_.decoder().distance_bias(ctx, longest);
  for (std::size_t l = 0; l < layers(); ++l) {
    TransformerLayer::Step step;
    step.positions = positions_.data();
    step.queries = {one_each};
    step.past = {{past_offsets_}, past(l), past_.data(), distance, {one_each}};
    step.new_rows = new_rows.data();
    step.memory_queries = {by_sentence};
    step.memory = {{source_offsets_}, memory(l), nullptr, {}, {one_each}};
    y = model_.decoder().layers()[l].step(ctx, step, y);
  }
  if (renewed_length_ > 0) {
    const std::int64_t count = n * model_.configuration().width;
    float* renewed = ctx.workspace.get(count);
    std::copy_n(y, count, renewed);
    pass_again(ctx, renewed);
    y = renewed;
  }
  Norm::Saved norm;
  return model_.decoder().finish(ctx, {one_each}, y, norm);
}

}  // namespace pipeformer
