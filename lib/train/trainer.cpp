#include "train/trainer.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>

#include "core/elementary.hpp"
#include "core/error.hpp"
#include "io/output_file.hpp"
#include "io/read_files.hpp"

namespace pipeformer {
namespace {

constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();
constexpr const char* kStateGroup = "training";
/// A batch is computed in micro-batches of about so many tokens: the caches then still hold much of what one op leaves
/// to the next, and intermediates need no more memory for a larger batch. Dropout is drawn by the place in the batch,
/// so that they are the same computation as the whole, but for the order of sums.
constexpr std::int64_t kMicroBatchTokens = 1024;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Says before the work, and not after it, that an output cannot be created or that two outputs are one file; clears
/// away what killed runs left half-written.
void prepare_outputs(const TrainingFiles& files, const KeptModels& kept) {
  namespace fs = std::filesystem;
  std::vector<std::unique_ptr<PendingFile>> all;
  for (const std::string* path : {&files.model, &files.checkpoint, &files.log, &files.gradients}) {
    require(!fs::is_directory(*path), *path, ": cannot open for writing: is a directory");
    if (path->empty() || is_special_file(*path)) continue;
    all.push_back(std::make_unique<PendingFile>(*path));
    const fs::path target = all.back()->target();
    remove_abandoned(target.has_parent_path() ? target.parent_path().string() : ".", [&](const std::string& name) {
      return name == target.filename() || (path == &files.model && kept.step_of(name) > 0);
    });
  }
}

/// A run that begins anew would remove what an earlier one kept: that is asked for, or refused.
void expect_no_kept_models(const KeptModels& kept) {
  const std::vector<std::string> others = kept.others();
  if (others.empty()) return;
  std::string names;
  for (const std::string& name : others) names += (names.empty() ? "" : ", ") + name;
  throw Error(cat(names, ": an earlier run kept ", others.size() > 1 ? "these" : "this", ", and this one would remove ",
                  others.size() > 1 ? "them" : "it", ": --resume goes on with that run, --overwrite lets them go"));
}

/// The fields of the state that a checkpoint holds: visit(name, field).
template <class State, class Visit>
void each_field(State& s, Visit visit) {
  visit("step", s.step);
  visit("epoch", s.epoch);
  visit("position", s.position);
  visit("stale", s.stale);
  visit("best_cost", s.best_cost);
  visit("best_step", s.best_step);
  visit("window_loss", s.window_loss);
  visit("window_nll", s.window_nll);
  visit("window_answers", s.window_answers);
  visit("window_tokens", s.window_tokens);
  visit("window_seconds", s.window_seconds);
  visit("elapsed", s.elapsed);
}

/// The settings that a run must be resumed with, because its past depends on them.
template <class Visit>
void each_fixed_setting(const TrainingSettings& s, Visit visit) {
  visit("seed", static_cast<std::int64_t>(s.seed));
  visit("batch_tokens", s.batches.tokens);
  visit("sort_window", s.batches.sort_window);
  visit("accumulate", s.accumulate);
}

/// Throws Error naming the file and the value unless a run can stand here. plan: of its epoch.
void check_state(const TrainingState& s, const TrainingSettings& settings, const Examples& examples,
                 const std::string& file) {
  const auto expect = [&](bool holds, const char* name, const auto& value, const std::string& rule) {
    require(holds, file, ": ", name, " is ", value, ", ", rule);
  };
  const std::int64_t most = std::int64_t{1} << 53;
  expect(s.step >= 1 && s.step <= most, "step", s.step, cat("outside 1 to ", most));
  expect(s.epoch >= 0 && s.epoch <= s.step, "epoch", s.epoch, cat("outside 0 to the ", s.step, " steps"));
  for (const auto& [name, count] : {std::pair("stale", s.stale), {"best_step", s.best_step}})
    expect(count >= 0 && count <= s.step, name, count, cat("outside 0 to the ", s.step, " steps"));
  for (const auto& [name, count] : {std::pair("window_answers", s.window_answers), {"window_tokens", s.window_tokens}})
    expect(count >= 0 && count <= most, name, count, cat("outside 0 to ", most));
  for (const auto& [name, sum] : {std::pair("window_loss", s.window_loss),
                                  {"window_nll", s.window_nll},
                                  {"window_seconds", s.window_seconds},
                                  {"elapsed", s.elapsed}})
    expect(std::isfinite(sum) && sum >= 0, name, sum, "not a sum of at least 0");
  expect(std::isfinite(s.best_cost), "best_cost", s.best_cost, "not finite");
  const std::int64_t batches = plan_epoch(examples, settings.batches, settings.seed, s.epoch).batches();
  expect(s.position >= 0 && s.position < batches && s.position % settings.accumulate == 0, "position", s.position,
         cat("not the beginning of an update in an epoch of ", batches, " batches"));
  // An epoch has one update at least, and no more than it has examples.
  const std::int64_t updates = s.position / settings.accumulate;
  const auto past = static_cast<double>(s.step - updates);
  const auto epochs = static_cast<double>(s.epoch), examples_count = static_cast<double>(examples.all().size());
  expect(past >= epochs && past <= epochs * examples_count, "step", s.step,
         cat("which batch ", s.position, " of epoch ", s.epoch + 1, " cannot be"));
}

std::string in_checkpoint(const std::string& name) {
  return std::string(kStateGroup) + "/" + name;
}

void read_state_array(const ModelFile& file, const std::string& name, Buffer<float>& to) {
  const Array array = file.file().read(in_checkpoint(name));
  const Shape expected{static_cast<std::int64_t>(to.size())};
  require(array.dtype == DType::f4 && array.shape == expected, file.name(), ": ", name, " has shape ",
          shape_text(array.shape), ", expected ", shape_text(expected));
  const auto values = array.values<float>();
  for (std::size_t i = 0; i < values.size(); ++i)
    require(std::isfinite(values[i]) && (name != "second_moment" || values[i] >= 0), file.name(), ": ", name, " holds ",
            values[i], " at ", i);
  std::copy(values.begin(), values.end(), to.begin());
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

/// What stands beside the models of a file.
static void load_beside(const ModelFile& model, ParameterArena& arena) {
  const Hdf5File& file = model.file();
  if (!file.has_dataset(kLogitScale)) return;
  const Array scale = file.read(kLogitScale);
  require(scale.dtype == DType::f4 && element_count(scale.shape) == 1, model.name(), ": ", kLogitScale,
          " is no number of type f4");
  require(std::isfinite(scale.values<float>()[0]), model.name(), ": ", kLogitScale, " is not finite");
  arena.mutable_values()[arena.entry(kLogitScale).offset] = scale.values<float>()[0];
}

static ParameterArena& listing(ParameterArena& arena, TapList* taps) {
  arena.list_taps(taps, true);
  return arena;
}

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

void Trainer::start_from(std::span<ModelFile> models) {
  draw_parameters();
  for (std::size_t m = 0; m < models.size(); ++m) {
    ModelFile& model = models[m];
    const bool new_head = model.configuration().head != models_[m].configuration.head;
    const auto keeps = [&](const ParameterArena::Entry& entry) {
      return adapters_.owns(entry.name) || (entry.name == kLogitScale && !model.has(entry.name)) ||
             (new_head && (!model.has(entry.name) || entry.name.starts_with("classifier/")));
    };
    arena_.load(model, keeps, models_[m].before());
  }
  if (models.size() > 1) load_beside(models.front(), arena_);
  if (settings_.average_decay > 0) average_.assign(arena_.values(), arena_.values() + arena_.size());
  adapters_.hold(arena_);
}

std::pair<std::int64_t, std::int64_t> Trainer::trained_parameters() const {
  std::int64_t trained = 0;
  for (const auto& entry : arena_.entries())
    for (const ParameterGroup& group : optimizer_.groups())
      if (group.rate != 0 && entry.offset >= group.offset && entry.offset < group.offset + group.size)
        trained += entry.size;
  return {trained, arena_.parameters()};
}

std::int64_t Trainer::steps_per_epoch() const {
  const std::int64_t batches = plan_epoch(train_, settings_.batches, settings_.seed, 0).batches();
  return (batches + settings_.accumulate - 1) / settings_.accumulate;
}

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
      gathered.answers += part.examples.answers();
      if (p / own == ranks_.rank() && !part.examples.empty()) micro_batches_.push_back(std::move(part));
    }
    gathered.tokens += tokens;
  }
  return gathered;
}

CrossEntropy Trainer::loss(std::int64_t end, float scale, const Probe* seen_by) {
  CrossEntropy result;
  const auto smoothing = static_cast<float>(settings_.label_smoothing);
  if (!pairs_) {
    for (const MicroBatch& part : micro_batches_) {
      Context ctx{workspace_, true, settings_.dropout, part.seed, seen_by};
      result.add(transformers_.front().loss(ctx, part.examples.view(), smoothing, scale));
    }
    return result;
  }
  std::span<const MicroBatch> parts(micro_batches_);
  for (std::int64_t b = state_.position; b < end; ++b) {
    const auto own = static_cast<std::size_t>(
        std::count_if(parts.begin(), parts.end(), [&](const MicroBatch& part) { return part.batch == b; }));
    result.add(pairs_->train(parts.first(own), plan_.end(b) - plan_.begin(b),
                             {settings_.dropout, {smoothing, scale, 0}, seen_by}, ranks_, workspace_));
    parts = parts.subspan(own);
  }
  return result;
}

void Trainer::update() {
  if (plan_.order.empty()) plan_ = plan_epoch(train_, settings_.batches, settings_.seed, state_.epoch);
  const std::int64_t end = std::min(state_.position + settings_.accumulate, plan_.batches());
  const Gathered gathered = gather(end);
  arena_.clear_gradients();  // and not after the step: the last ones may be asked for
  CrossEntropy result = loss(end, 1.0f / static_cast<float>(std::max<std::int64_t>(gathered.answers, 1)),
                             probe ? probe(state_.step + 1) : nullptr);
  ranks_.sum(std::span(arena_.gradients(), static_cast<std::size_t>(arena_.size())));
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
  state_.window_tokens += gathered.tokens;
}

CrossEntropy Trainer::validation_loss() {
  const EpochPlan plan = plan_validation(*valid_, std::min(settings_.batches.tokens, kMicroBatchTokens));
  CrossEntropy total;
  ExampleBatch batch;
  for (std::int64_t b = ranks_.rank(); b < plan.batches(); b += ranks_.size()) {
    batch.clear();
    for (std::int64_t i = plan.begin(b); i < plan.end(b); ++i) {
      const std::int64_t example = plan.order[static_cast<std::size_t>(i)];
      valid_->append(example, derive_seed(0x76616c6964, static_cast<std::uint64_t>(example)), batch);  // "valid"
    }
    Context ctx{workspace_, false};
    total.add(transformers_.front().loss(ctx, batch.view(), 0.0f, 1.0f));
  }
  return sum(total);
}

Trainer::Validation Trainer::validate() {
  std::vector<double> recall;
  CrossEntropy total;
  if (pairs_) {
    const PairCrossEntropy result = pairs_->validate(*valid_, kMicroBatchTokens, ranks_, workspace_);
    total = result.total;
    for (const auto& found : {result.targets_found, result.sources_found})
      for (const std::int64_t count : found)
        recall.push_back(2.0 * static_cast<double>(count) / static_cast<double>(total.rows));
  } else {
    total = validation_loss();
  }
  const double rows = static_cast<double>(std::max<std::int64_t>(total.rows, 1));
  require(std::isfinite(total.negative_log_likelihood), "step ", state_.step,
          ": the validation loss is not finite; the last checkpoint is kept");
  Validation v{total.negative_log_likelihood / rows, static_cast<double>(total.correct) / rows, kNotMeasured, 0,
               std::move(recall)};
  if (settings_.metric == "bleu") {
    v.bleu = ranks_.first() ? measure_bleu(transformers_.front()) : 0;
    ranks_.sum(std::span(&v.bleu, 1));
  }
  v.cost = settings_.metric == "bleu" ? -v.bleu : settings_.metric == "accuracy" ? -v.accuracy : v.loss;
  return v;
}

void Trainer::log_row(const Watcher& watcher, const Validation* validation, bool best) {
  const double now = seconds_now();
  const auto answers = static_cast<double>(state_.window_answers);
  LogRow row{};
  row.step = state_.step;
  row.epoch = state_.current_epoch();
  row.smoothed = settings_.label_smoothing > 0;
  row.train_loss = row.train_perplexity = row.tokens_per_second = kNotMeasured;
  if (state_.window_answers > 0) {
    row.train_loss = state_.window_loss / answers;
    row.train_perplexity = elementary::exp(state_.window_nll / answers);
    row.tokens_per_second = tokens_per_second(state_);
  }
  row.valid_loss = validation ? validation->loss : kNotMeasured;
  row.valid_perplexity = elementary::exp(row.valid_loss);
  row.valid_accuracy = validation ? validation->accuracy : kNotMeasured;
  row.valid_bleu = validation ? validation->bleu : kNotMeasured;
  if (validation) row.valid_recall = validation->recall;
  row.learning_rate = learning_rate_;
  row.seconds = state_.elapsed + now - run_start_;
  row.best = best;
  state_.window_loss = state_.window_nll = 0;
  state_.window_answers = state_.window_tokens = 0;
  state_.window_seconds = 0;
  log_->append(row);
  if (watcher.row && ranks_.first()) watcher.row(row);
}

void Trainer::write_model(Hdf5File& file) {
  adapters_.take_out(arena_);
  write_tower_heads(file, models_);
  arena_.write_parameters(file);
  adapters_.write_head(file);
  adapters_.put_in(arena_);
}

void Trainer::save_model(const std::string& path) {
  if (!ranks_.first()) return;
  Hdf5File file = Hdf5File::create(path);
  write_model(file);
  file.close();
}

void Trainer::save_checkpoint() {
  const double now = seconds_now();
  state_.elapsed += now - run_start_;
  run_start_ = now;
  if (!ranks_.first()) return;
  Hdf5File file = Hdf5File::create(files_.checkpoint);
  write_model(file);
  file.make_group(kStateGroup);
  const auto set = [&](const char* name, const auto& value) { file.set_attribute(name, value, kStateGroup); };
  each_field(state_, set);
  each_fixed_setting(settings_, set);
  set("metric", settings_.metric);
  set("corpus", fingerprint_);
  for (const auto& [name, moment] : optimizer_.state())
    file.write(in_checkpoint(name), DType::f4, {static_cast<std::int64_t>(moment->size())}, moment->data());
  if (!average_.empty())
    file.write(in_checkpoint("average"), DType::f4, {static_cast<std::int64_t>(average_.size())}, average_.data());
  const auto kept = static_cast<std::int64_t>(kept_.steps.size());
  file.write(in_checkpoint("kept_steps"), DType::i8, {kept}, kept_.steps.data());
  file.write(in_checkpoint("kept_costs"), DType::f8, {kept}, kept_.costs.data());
  file.close();
}

void Trainer::resume() {
  std::vector<ModelFile> stored = open_towers(files_.checkpoint);
  let_replace(files_.checkpoint);
  ModelFile& model = stored.front();
  const Hdf5File& file = model.file();
  require(file.has_group(kStateGroup), files_.checkpoint, ": is a model but no checkpoint of a training run");
  require(stored.size() == models_.size(), files_.checkpoint, ": holds ", stored.size(), " models, this run trains ",
          models_.size());
  for (std::size_t m = 0; m < models_.size(); ++m) {
    Configuration expected = models_[m].configuration;
    // Models of before did not say their context; that the data are the same says it.
    if (stored[m].configuration().context == 0) expected.context = 0;
    const std::string difference = expected.difference(stored[m].configuration());
    require(difference.empty(), files_.checkpoint,
            ": was made with other hyper-parameters than this run has: ", difference);
  }
  require(model.adapter_scale() == (adapters_.any() ? adapters_.scale() : 0), files_.checkpoint, ": was made with ",
          model.adapter_scale() > 0 ? cat("adapters of scale ", model.adapter_scale()) : "no adapters",
          ", this run has ", adapters_.any() ? cat("scale ", adapters_.scale()) : "none");
  for (std::size_t m = 0; m < models_.size(); ++m) {
    stored[m].keep_adapters_apart();
    arena_.load(stored[m], {}, models_[m].before());
  }
  if (models_.size() > 1) load_beside(model, arena_);
  adapters_.hold(arena_);
  each_fixed_setting(settings_, [&](const char* name, std::int64_t expected) {
    const auto attribute = file.attribute(name, kStateGroup);
    require(attribute && std::holds_alternative<std::int64_t>(*attribute), files_.checkpoint, ": has no ", name);
    require(std::get<std::int64_t>(*attribute) == expected, files_.checkpoint, ": was made with ", name, " ",
            std::get<std::int64_t>(*attribute), ", this run has ", expected);
  });
  require(file.attribute("metric", kStateGroup) == Attribute(settings_.metric), files_.checkpoint,
          ": was made with another metric than ", settings_.metric);
  require(file.attribute("corpus", kStateGroup) == Attribute(fingerprint_), files_.checkpoint,
          ": was made with other training data than this run has");
  each_field(state_, [&](const char* name, auto& value) {
    const auto attribute = file.attribute(name, kStateGroup);
    if (!attribute && name == std::string("window_seconds")) return;  // older files lack it
    const auto* typed = attribute ? std::get_if<std::decay_t<decltype(value)>>(&*attribute) : nullptr;
    require(typed != nullptr, files_.checkpoint, ": has no ", name);
    value = *typed;
  });
  check_state(state_, settings_, train_, files_.checkpoint);
  require(!valid_ || state_.best_step == 0 || std::filesystem::exists(files_.model), files_.model,
          ": the best model so far (step ", state_.best_step, ") is missing; without it ", files_.checkpoint,
          " cannot be resumed");
  for (const auto& [name, moment] : optimizer_.state()) {
    require(file.has_dataset(in_checkpoint(name)), files_.checkpoint, ": was made with another optimizer than ",
            settings_.optimizer.kind);
    read_state_array(model, name, *moment);
  }
  require(file.has_dataset(in_checkpoint("average")) == (settings_.average_decay > 0), files_.checkpoint, ": was made ",
          settings_.average_decay > 0 ? "without" : "with", " a moving average");
  if (settings_.average_decay > 0) {
    average_.resize(static_cast<std::size_t>(arena_.size()));
    read_state_array(model, "average", average_);
  }
  const Array steps = file.read(in_checkpoint("kept_steps")), costs = file.read(in_checkpoint("kept_costs"));
  require(steps.dtype == DType::i8 && costs.dtype == DType::f8 && steps.shape == costs.shape, files_.checkpoint,
          ": kept_steps and kept_costs do not fit");
  kept_.steps.assign(steps.values<std::int64_t>().begin(), steps.values<std::int64_t>().end());
  kept_.costs.assign(costs.values<double>().begin(), costs.values<double>().end());
  for (std::size_t i = 0; i < kept_.steps.size(); ++i) {
    const std::int64_t step = kept_.steps[i];
    require(step > (i > 0 ? kept_.steps[i - 1] : 0) && step <= state_.step, files_.checkpoint, ": kept_steps holds ",
            step, " at ", i, ", which is not after the one before and up to step ", state_.step);
    require(std::isfinite(kept_.costs[i]), files_.checkpoint, ": kept_costs holds ", kept_.costs[i], " at ", i);
  }
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

void Trainer::save_gradients() const {
  if (!ranks_.first()) return;
  Hdf5File file = Hdf5File::create(files_.gradients);
  for (const auto& entry : arena_.entries())
    file.write(entry.name, DType::f4, entry.shape, arena_.gradients() + entry.offset);
  file.close();
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

CrossEntropy Trainer::sum(const CrossEntropy& own) const {
  std::array<double, 4> sums{own.loss, own.negative_log_likelihood, static_cast<double>(own.correct),
                             static_cast<double>(own.rows)};
  ranks_.sum(sums);
  return {sums[0], sums[1], static_cast<std::int64_t>(sums[2]), static_cast<std::int64_t>(sums[3])};
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
    if (state_.step == 0 && !files_.overwrite) expect_no_kept_models(kept_);
    prepare_outputs(files_, kept_);
    ranks_.start();
  }
  check_same_start();
  time_is_up_ = settings_.max_seconds > 0 && state_.elapsed >= settings_.max_seconds;
  run_start_ = seconds_now();
  log_.emplace(ranks_.first() ? files_.log : "", state_.step);
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
