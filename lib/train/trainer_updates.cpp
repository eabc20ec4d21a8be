/// What a run computes: the losses of its updates and validations.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.hpp"
#include "train/trainer.hpp"

namespace pipeformer {
namespace {

/// A batch is computed in micro-batches of about so many tokens: the caches then still hold much of what one op leaves
/// to the next, and intermediates need no more memory for a larger batch. Dropout is drawn by the place in the batch,
/// so that they are the same computation as the whole, but for the order of sums.
constexpr std::int64_t kMicroBatchTokens = 1024;
}  // namespace

Trainer::Gathered Trainer::gather(std::int64_t end) {
  const std::uint64_t seed = derive_seed(derive_seed(settings_.seed, 0x6578616d706c65),  // "example"
                                         static_cast<std::uint64_t>(state_.epoch));
  const std::uint64_t step_seed =
      derive_seed(derive_seed(settings_.seed, 0x73746570), static_cast<std::uint64_t>(state_.step));  // "step"
  micro_batches_.clear();
  Gathered gathered;
  for (std::int64_t b = state_.position; b < end; ++b) {
    const std::int64_t tokens = batch_tokens(train_, plan_, b);
    const std::int64_t own =
        std::max<std::int64_t>(1, (tokens / ranks_.size() + kMicroBatchTokens / 2) / kMicroBatchTokens);
    const std::vector<std::int64_t> cuts = cut_batch(train_, plan_, b, own * ranks_.size());
    BatchOffset source, target;
    for (std::int64_t p = 0; p < own * ranks_.size(); ++p) {
      MicroBatch part{
          {},
          b == state_.position ? step_seed : derive_seed(step_seed, static_cast<std::uint64_t>(b - state_.position)),
          b};
      part.examples.source_first = source;
      part.examples.target_first = target;
      for (std::int64_t i = cuts[static_cast<std::size_t>(p)]; i < cuts[static_cast<std::size_t>(p) + 1]; ++i) {
        const std::int64_t example = plan_.order[static_cast<std::size_t>(i)];
        train_.append(example, derive_seed(seed, static_cast<std::uint64_t>(example)), part.examples);
      }
      source = part.examples.source_end();
      target = part.examples.target_end();
      gathered.weight += part.examples.weight(settings_.class_weights);
      if (p / own == ranks_.rank() && !part.examples.empty()) micro_batches_.push_back(std::move(part));
    }
    gathered.tokens += tokens;
  }
  return gathered;
}

CrossEntropyForm Trainer::form(double smoothing, float scale) const {
  return {static_cast<float>(smoothing), scale, 0,
          settings_.class_weights.empty() ? nullptr : settings_.class_weights.data()};
}

LossSums Trainer::loss(std::int64_t end, float scale, const Probe* seen_by) {
  LossSums result;
  const CrossEntropyForm wanted = form(settings_.label_smoothing, scale);
  if (!pairs_) {
    for (const MicroBatch& part : micro_batches_) {
      Context ctx{workspace_, true, settings_.dropout, part.seed, seen_by};
      ctx.recompute = settings_.recompute;
      result.add(transformers_.front().loss(ctx, part.examples.view(), wanted));
    }
    return result;
  }
  std::span<const MicroBatch> parts(micro_batches_);
  for (std::int64_t b = state_.position; b < end; ++b) {
    const auto own = static_cast<std::size_t>(
        std::count_if(parts.begin(), parts.end(), [&](const MicroBatch& part) { return part.batch == b; }));
    result.add(pairs_->train(parts.first(own), plan_.end(b) - plan_.begin(b),
                             {settings_.dropout, wanted, settings_.recompute, seen_by}, ranks_, workspace_));
    parts = parts.subspan(own);
  }
  return result;
}

void Trainer::update() {
  if (plan_.order.empty()) plan_ = plan_epoch(train_, settings_.batches, settings_.seed, state_.epoch);
  const std::int64_t end = std::min(state_.position + settings_.accumulate, plan_.batches());
  const Gathered gathered = gather(end);
  arena_.clear_gradients();  // and not after the step: the last ones may be asked for
  LossSums result = loss(end, gathered.weight > 0 ? 1.0f / static_cast<float>(gathered.weight) : 1.0f,
                         probe ? probe(state_.step + 1) : nullptr);
  ranks_.sum_gradients(std::span(arena_.gradients(), static_cast<std::size_t>(arena_.size())));
  result = sum(result);
  adapters_.backward(arena_);
  optimizer_.forget_frozen(arena_.gradients());
  const double norm = settings_.clip_norm > 0 ? gradient_norm(arena_.size(), arena_.gradients()) : 0;
  // All ranks see it: the first one says it and ends the others, which wait for it at the next sum.
  require(!ranks_.first() || (std::isfinite(result.loss) && std::isfinite(norm)), "step ", state_.step + 1,
          ": the loss is not finite; the last checkpoint is kept. ",
          "A lower --learning-rate, a longer --warmup or --clip-norm 1 may help");
  const double share = settings_.max_seconds > 0 ? time_share() : 0;
  const double scale = norm > settings_.clip_norm && settings_.clip_norm > 0 ? settings_.clip_norm / norm : 1.0;
  ++state_.step;
  state_.position = end;
  if (end == plan_.batches()) {
    ++state_.epoch;
    state_.position = 0;
    plan_ = {};
  }
  learning_rate_ = settings_.schedule.rate(state_.step, share);
  optimizer_.step(state_.step, learning_rate_, scale, arena_.mutable_values(), arena_.gradients());
  if (pairs_) pairs_->limit_scale();
  adapters_.put_in(arena_);
  if (!average_.empty())
    optimizer_.update_average(settings_.average_decay, state_.step, arena_.values(), average_.data());
  state_.window_loss += result.loss;
  state_.window_nll += result.negative_log_likelihood;
  state_.window_answers += result.rows;
  state_.window_weight += result.weight;
  state_.window_tokens += gathered.tokens;
}

LossSums Trainer::validation_loss() {
  const EpochPlan plan = plan_validation(*valid_, std::min(settings_.batches.tokens, kMicroBatchTokens));
  LossSums total;
  ExampleBatch batch;
  for (std::int64_t b = ranks_.rank(); b < plan.batches(); b += ranks_.size()) {
    batch.clear();
    for (std::int64_t i = plan.begin(b); i < plan.end(b); ++i) {
      const std::int64_t example = plan.order[static_cast<std::size_t>(i)];
      valid_->append(example, derive_seed(0x76616c6964, static_cast<std::uint64_t>(example)), batch);  // "valid"
    }
    Context ctx{workspace_, false};
    total.add(transformers_.front().loss(ctx, batch.view(), form(0, 1)));
  }
  return sum(total);
}

Trainer::Validation Trainer::validate() {
  std::vector<double> recall;
  LossSums total;
  if (pairs_) {
    const PairCrossEntropy result = pairs_->validate(*valid_, kMicroBatchTokens, ranks_, workspace_);
    total = result.total;
    for (const auto& found : {result.targets_found, result.sources_found})
      for (const std::int64_t count : found)
        recall.push_back(2.0 * static_cast<double>(count) / static_cast<double>(total.rows));
  } else {
    total = validation_loss();
  }
  require(std::isfinite(total.negative_log_likelihood), "step ", state_.step,
          ": the validation loss is not finite; the last checkpoint is kept");
  require(total.weight > 0, "the validation data hold no answer that weighs anything");
  constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();
  Validation v{total.negative_log_likelihood / total.weight, kNothing, kNothing, 0, std::move(recall)};
  if (predicts_probabilities())
    v.accuracy = static_cast<double>(total.correct) / static_cast<double>(std::max<std::int64_t>(total.rows, 1));
  if (settings_.metric == "bleu") {
    v.bleu = ranks_.first() ? measure_bleu(transformers_.front()) : 0;
    ranks_.sum(std::span(&v.bleu, 1));
  }
  v.cost = settings_.metric == "bleu" ? -v.bleu : settings_.metric == "accuracy" ? -v.accuracy : v.loss;
  return v;
}

}  // namespace pipeformer
