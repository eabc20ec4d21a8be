#include "train/trainer.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <limits>

#include "core/elementary.hpp"
#include "core/error.hpp"

namespace pipeformer {
namespace {

constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

ParameterArena& listing(ParameterArena& arena, TapList* taps) {
  arena.list_taps(taps, true);
  return arena;
}

}  // namespace

/// Validation and saving see the moving average where the parameters are, as long as this lives.
class Trainer::AverageInPlace {
 public:
  explicit AverageInPlace(Trainer& trainer) : trainer_(trainer) { swap(); }
  ~AverageInPlace() { swap(); }
  AverageInPlace(const AverageInPlace&) = delete;
  AverageInPlace& operator=(const AverageInPlace&) = delete;

 private:
  void swap() {
    if (trainer_.average_.empty()) return;
    trainer_.adapters_.take_out(trainer_.arena_);
    std::swap_ranges(trainer_.average_.begin(), trainer_.average_.end(), trainer_.arena_.mutable_values());
    trainer_.adapters_.put_in(trainer_.arena_);
  }
  Trainer& trainer_;
};

Trainer::Trainer(std::vector<Tower> models, const TrainingSettings& settings, TrainingFiles files,
                 const Examples& train, const Examples* valid, Communicator& ranks)
    : models_(std::move(models)),
      settings_(settings),
      files_(std::move(files)),
      train_(train),
      valid_(valid),
      ranks_(ranks),
      fingerprint_(static_cast<std::int64_t>(train.fingerprint())),
      adapters_(settings.adapters, list_parameters([&](ParameterSource& source) { build_towers(source, models_); })),
      arena_([&](ParameterSource& source) {
        build_towers(source, models_);
        adapters_.build(source);
      }),
      transformers_(build_towers(listing(arena_, settings.taps), models_)),
      optimizer_(arena_.size(), settings.optimizer, parameter_groups(arena_, settings.rate_factors)),
      kept_(files_.model, settings.keep) {
  if (compares_vectors(models_)) pairs_.emplace(transformers_, arena_);
}

void Trainer::draw_parameters() {
  arena_.initialize(settings_.seed);
  if (pairs_) pairs_->initialize();
}

void Trainer::initialize() {
  draw_parameters();
  if (settings_.average_decay > 0) average_.assign(arena_.values(), arena_.values() + arena_.size());
}

std::pair<std::int64_t, std::int64_t> Trainer::trained_parameters() const {
  std::int64_t trained = 0;
  for (const auto& entry : arena_.entries())
    for (const ParameterGroup& group : optimizer_.groups())
      if (group.rate != 0 && entry.offset >= group.offset && entry.offset < group.offset + group.size)
        trained += entry.size;
  return {trained, arena_.parameters()};
}

bool Trainer::predicts_probabilities() const {
  return models_.front().configuration.problem_type != ProblemType::regression;
}

std::int64_t Trainer::steps_per_epoch() const {
  const std::int64_t batches = plan_epoch(train_, settings_.batches, settings_.seed, 0).batches();
  return (batches + settings_.accumulate - 1) / settings_.accumulate;
}

void Trainer::log_row(const Watcher& watcher, const Validation* validation, bool best) {
  const double now = seconds_now();
  LogRow row{};
  row.step = state_.step;
  row.epoch = state_.current_epoch();
  row.smoothed = settings_.label_smoothing > 0;
  row.train_loss = row.train_perplexity = row.tokens_per_second = kNotMeasured;
  if (state_.window_answers > 0) {
    row.train_loss = state_.window_loss / state_.window_weight;
    if (predicts_probabilities()) row.train_perplexity = elementary::exp(state_.window_nll / state_.window_weight);
    row.tokens_per_second = tokens_per_second(state_);
  }
  row.valid_loss = validation ? validation->loss : kNotMeasured;
  row.valid_perplexity = predicts_probabilities() ? elementary::exp(row.valid_loss) : kNotMeasured;
  row.valid_accuracy = validation ? validation->accuracy : kNotMeasured;
  row.valid_bleu = validation ? validation->bleu : kNotMeasured;
  if (validation) row.valid_recall = validation->recall;
  row.learning_rate = learning_rate_;
  row.seconds = state_.elapsed + now - run_start_;
  row.best = best;
  state_.window_loss = state_.window_nll = state_.window_weight = 0;
  state_.window_answers = state_.window_tokens = 0;
  state_.window_seconds = 0;
  log_->append(row);
  if (watcher.row && ranks_.first()) watcher.row(row);
}

void Trainer::count_time() {
  const double now = seconds_now();
  state_.elapsed += now - run_start_;
  run_start_ = now;
}

double Trainer::time_share() const {
  double share = ranks_.first() ? (state_.elapsed + seconds_now() - run_start_) / settings_.max_seconds : 0;
  ranks_.sum(std::span(&share, 1));  // the clock of the first rank is everybody's
  return share;
}

bool Trainer::finished() const {
  return time_is_up_ || (settings_.max_steps > 0 && state_.step >= settings_.max_steps) ||
         (settings_.max_epochs > 0 && state_.epoch >= settings_.max_epochs) ||
         (settings_.patience > 0 && state_.stale >= settings_.patience);
}

void Trainer::validate_and_save(const Watcher& watcher) {
  std::optional<Validation> validation;
  bool best = false;
  {
    const AverageInPlace average(*this);
    if (valid_) {
      validation = validate();
      best = state_.best_step == 0 || validation->cost < state_.best_cost;
      state_.stale = best ? 0 : state_.stale + 1;
      if (best) {
        state_.best_cost = validation->cost;
        state_.best_step = state_.step;
        save_model(files_.model);
      }
    }
    if (kept_.active()) {
      kept_.add(state_.step, validation ? validation->cost : 0);
      if (!kept_.steps.empty() && kept_.steps.back() == state_.step) save_model(kept_.path(state_.step));
    }
  }
  log_row(watcher, validation ? &*validation : nullptr, best);
  if (!files_.gradients.empty() && finished()) save_gradients();
  save_checkpoint();
  if (ranks_.first()) kept_.remove_others();
}

LossSums Trainer::sum(const LossSums& own) const {
  std::array<double, 5> sums{own.loss, own.negative_log_likelihood, static_cast<double>(own.correct),
                             static_cast<double>(own.rows), own.weight};
  ranks_.sum(sums);
  return {sums[0], sums[1], static_cast<std::int64_t>(sums[2]), static_cast<std::int64_t>(sums[3]), sums[4]};
}

/// Ranks on several machines may see different files under the same names.
void Trainer::check_same_start() {
  if (ranks_.size() == 1) return;
  std::uint64_t mixed = derive_seed(train_.fingerprint(), static_cast<std::uint64_t>(state_.step));
  for (std::int64_t i = 0; i < arena_.size(); ++i)
    mixed = mix64(mixed ^ std::bit_cast<std::uint32_t>(arena_.values()[i]));
  const auto mine = static_cast<double>(mixed >> 32);  // sums of these are exact
  double all = mine;
  ranks_.sum(std::span(&all, 1));
  require(!ranks_.first() || all == mine * ranks_.size(),
          "the ranks do not all have the same training data and the same parameters to begin with");
}

bool Trainer::run(const Watcher& watcher) {
  if (ranks_.first()) {
    prepare_files();
    ranks_.start();
  }
  check_same_start();
  time_is_up_ = settings_.max_seconds > 0 && state_.elapsed >= settings_.max_seconds;
  run_start_ = seconds_now();
  log_.emplace(ranks_.first() ? files_.log : "", state_.step, pairs_.has_value());
  while (!finished()) {
    const std::int64_t epoch = state_.epoch;
    const double before = seconds_now();
    update();
    state_.window_seconds += seconds_now() - before;
    if (settings_.max_seconds > 0) time_is_up_ = time_share() >= 1;
    if (watcher.step && ranks_.first()) watcher.step(state_);
    const bool due = settings_.validate_every > 0 ? state_.step % settings_.validate_every == 0 : state_.epoch > epoch;
    if (due || finished())
      validate_and_save(watcher);
    else if (state_.step % settings_.log_every == 0)
      log_row(watcher, nullptr, false);
    if (watcher.stop && ranks_.any(watcher.stop()) && !finished()) {
      save_checkpoint();
      return false;
    }
  }
  if (!valid_) {
    const AverageInPlace average(*this);
    save_model(files_.model);
  }
  return true;
}

}  // namespace pipeformer
