#include "train/trainer.hpp"

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <sstream>

#include "core/error.hpp"
#include "io/output_file.hpp"

namespace pipeformer {
namespace {

constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();
constexpr const char* kLogHeader =
    "step\tepoch\ttrain_loss\ttrain_ppl\tvalid_loss\tvalid_ppl\tlearning_rate\ttokens_per_second\tseconds\n";

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string log_text(const LogRow& row) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out.precision(7);
  out << row.step << '\t' << row.epoch;
  for (const double value : {row.train_loss, row.train_perplexity, row.valid_loss, row.valid_perplexity,
                             row.learning_rate, row.tokens_per_second, row.seconds}) {
    out << '\t';
    if (!std::isnan(value)) out << value;
  }
  out << '\n';
  return out.str();
}

/// The log up to a step: a resumed run goes on from its checkpoint, so rows written after it are taken back.
void cut_log(const std::string& path, std::int64_t last_step) {
  std::string kept = kLogHeader;
  std::ifstream in;
  if (!is_special_file(path)) in.open(path);  // a terminal or a pipe has nothing to keep, and reading it may not end
  std::string line;
  std::getline(in, line);  // the header
  while (last_step > 0 && std::getline(in, line) && !in.eof() && std::stoll("0" + line) <= last_step)
    kept += line + "\n";
  OutputFile out(path, Content::text);
  out.write(kept);
  out.close();
}

void append_log(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::app);
  out << text << std::flush;
  require(out.good(), path, ": cannot be written");
}

/// Says before the work, and not after it, that an output cannot be created or that two outputs are one file.
void check_outputs(const TrainingFiles& files) {
  std::vector<std::unique_ptr<PendingFile>> all;
  for (const std::string* path : {&files.model, &files.checkpoint, &files.log, &files.gradients}) {
    require(!std::filesystem::is_directory(*path), *path, ": cannot open for writing: is a directory");
    if (!path->empty() && !is_special_file(*path)) all.push_back(std::make_unique<PendingFile>(*path));
  }
}

/// The fields of the state that a checkpoint holds: visit(name, field).
template <class State, class Visit>
void each_field(State& s, Visit visit) {
  visit("step", s.step);
  visit("epoch", s.epoch);
  visit("position", s.position);
  visit("stale", s.stale);
  visit("best_loss", s.best_loss);
  visit("best_step", s.best_step);
  visit("window_loss", s.window_loss);
  visit("window_nll", s.window_nll);
  visit("window_tokens", s.window_tokens);
  visit("elapsed", s.elapsed);
}

constexpr const char* kStateGroup = "training";

}  // namespace

Trainer::Trainer(const Configuration& configuration, const TrainingSettings& settings, TrainingFiles files,
                 const PairCorpus& train, const PairCorpus* valid)
    : configuration_(configuration),
      settings_(settings),
      files_(std::move(files)),
      train_(train),
      valid_(valid),
      arena_([&](ParameterSource& source) { Transformer(source, configuration); }),
      transformer_(arena_, configuration),
      adam_(arena_.size(), settings.adam) {}

std::int64_t Trainer::steps_per_epoch() const {
  const auto order = epoch_order(train_.pairs(), settings_.seed, 0);
  std::int64_t steps = 0;
  for (std::int64_t at = 0; at < train_.pairs(); ++steps) at = batch_end(train_, order, at, settings_.batch_tokens);
  return steps;
}

CrossEntropy Trainer::train_step() {
  if (order_.empty()) order_ = epoch_order(train_.pairs(), settings_.seed, state_.epoch);
  const std::int64_t end = batch_end(train_, order_, state_.position, settings_.batch_tokens);
  batch_.clear();
  for (std::int64_t i = state_.position; i < end; ++i)
    batch_.append(train_, order_[static_cast<std::size_t>(i)], static_cast<std::int32_t>(configuration_.begin_id),
                  static_cast<std::int32_t>(configuration_.end_id));
  Pass pass{workspace_, true, settings_.dropout,
            derive_key(derive_key(settings_.seed, 0x73746570), static_cast<std::uint64_t>(state_.step))};
  const Transformer::Pairs pairs{{batch_.source_offsets},
                                 {batch_.target_offsets},
                                 batch_.source.data(),
                                 batch_.target.data(),
                                 batch_.labels.data()};
  const CrossEntropy result = transformer_.loss(pass, pairs, static_cast<float>(settings_.label_smoothing),
                                                1.0f / static_cast<float>(batch_.target_tokens()));
  const double norm = settings_.clip_norm > 0 ? gradient_norm(arena_.size(), arena_.gradients()) : 0;
  require(std::isfinite(result.loss) && std::isfinite(norm), "step ", state_.step + 1,
          ": the loss is not finite; the last checkpoint is kept. ",
          "A lower --learning-rate, a longer --warmup or --clip-norm 1 may help");
  const double scale = norm > settings_.clip_norm && settings_.clip_norm > 0 ? settings_.clip_norm / norm : 1.0;
  ++state_.step;
  state_.position = end;
  if (end == train_.pairs()) {
    ++state_.epoch;
    state_.position = 0;
    order_.clear();
  }
  if (!files_.gradients.empty() && finished()) save_gradients();
  adam_.step(state_.step, settings_.schedule.rate(state_.step), scale, arena_.values(), arena_.gradients());
  state_.window_loss += result.loss;
  state_.window_nll += result.negative_log_likelihood;
  state_.window_tokens += result.rows;
  return result;
}

CrossEntropy Trainer::evaluate(const PairCorpus& corpus) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(corpus.pairs()));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
  // Inference keeps packed copies of weights, and the weights have changed since the last time: new layers over the
  // same arena.
  const Transformer frozen(arena_, configuration_);
  CrossEntropy total;
  for (std::int64_t at = 0; at < corpus.pairs();) {
    const std::int64_t end = batch_end(corpus, order, at, settings_.batch_tokens);
    batch_.clear();
    for (; at < end; ++at)
      batch_.append(corpus, at, static_cast<std::int32_t>(configuration_.begin_id),
                    static_cast<std::int32_t>(configuration_.end_id));
    Pass pass{workspace_, false};
    const Transformer::Pairs pairs{{batch_.source_offsets},
                                   {batch_.target_offsets},
                                   batch_.source.data(),
                                   batch_.target.data(),
                                   batch_.labels.data()};
    total.add(frozen.loss(pass, pairs, 0.0f, 1.0f));
  }
  return total;
}

void Trainer::log_row(const Watcher& watcher, double valid_loss, bool best) {
  const double now = seconds_now();
  const auto tokens = static_cast<double>(state_.window_tokens);
  LogRow row{state_.step,
             state_.epoch,
             kNotMeasured,
             kNotMeasured,
             valid_loss,
             std::exp(valid_loss),
             settings_.schedule.rate(state_.step),
             kNotMeasured,
             state_.elapsed + now - run_start_,
             best};
  if (state_.window_tokens > 0) {
    row.train_loss = state_.window_loss / tokens;
    row.train_perplexity = std::exp(state_.window_nll / tokens);
    row.tokens_per_second = tokens / (now - window_start_);
  }
  state_.window_loss = state_.window_nll = 0;
  state_.window_tokens = 0;
  if (!files_.log.empty()) append_log(files_.log, log_text(row));
  if (watcher.row) watcher.row(row);
  window_start_ = seconds_now();
}

void Trainer::save_model() const {
  Hdf5File file = Hdf5File::create(files_.model);
  arena_.write(file, configuration_, files_.tokenizer);
  file.close();
}

void Trainer::save_checkpoint() {
  const double now = seconds_now();
  state_.elapsed += now - run_start_;
  run_start_ = now;
  Hdf5File file = Hdf5File::create(files_.checkpoint);
  arena_.write(file, configuration_, files_.tokenizer);
  file.make_group(kStateGroup);
  each_field(state_, [&](const char* name, const auto& value) { file.set_attribute(name, value, kStateGroup); });
  file.set_attribute("seed", static_cast<std::int64_t>(settings_.seed), kStateGroup);
  file.set_attribute("batch_tokens", settings_.batch_tokens, kStateGroup);
  file.set_attribute("pairs", train_.pairs(), kStateGroup);
  file.set_attribute("corpus", train_.fingerprint(), kStateGroup);
  file.write(std::string(kStateGroup) + "/first_moment", DType::f4, {adam_.size()}, adam_.first_moment());
  file.write(std::string(kStateGroup) + "/second_moment", DType::f4, {adam_.size()}, adam_.second_moment());
  file.close();
}

void Trainer::resume() {
  ModelFile model(files_.checkpoint);
  require(model.file().has_group(kStateGroup), files_.checkpoint, ": is a model but no checkpoint of a training run");
  require(model.configuration() == configuration_, files_.checkpoint,
          ": was made with other hyper-parameters than this run has");
  arena_.load(model);
  const auto check = [&](const char* name, std::int64_t expected) {
    const auto attribute = model.file().attribute(name, kStateGroup);
    require(attribute && std::holds_alternative<std::int64_t>(*attribute), files_.checkpoint, ": has no ", name);
    require(std::get<std::int64_t>(*attribute) == expected, files_.checkpoint, ": was made with ", name, " ",
            std::get<std::int64_t>(*attribute), ", this run has ", expected);
  };
  check("seed", static_cast<std::int64_t>(settings_.seed));
  check("batch_tokens", settings_.batch_tokens);
  check("pairs", train_.pairs());
  require(model.file().attribute("corpus", kStateGroup) == Attribute(train_.fingerprint()), files_.checkpoint,
          ": was made with other training pairs than this run has");
  each_field(state_, [&](const char* name, auto& value) {
    const auto attribute = model.file().attribute(name, kStateGroup);
    const auto* typed = attribute ? std::get_if<std::decay_t<decltype(value)>>(&*attribute) : nullptr;
    require(typed != nullptr, files_.checkpoint, ": has no ", name);
    value = *typed;
  });
  require(!valid_ || state_.best_step == 0 || std::filesystem::exists(files_.model), files_.model,
          ": the best model so far (step ", state_.best_step, ") is missing; without it ", files_.checkpoint,
          " cannot be resumed");
  const auto moment = [&](const char* name, float* to) {
    const Array array = model.file().read(std::string(kStateGroup) + "/" + name);
    require(array.dtype == DType::f4 && array.shape == Shape{adam_.size()}, files_.checkpoint, ": ", name,
            " has shape ", shape_text(array.shape), ", expected ", shape_text({adam_.size()}));
    const auto values = array.values<float>();
    std::copy(values.begin(), values.end(), to);
  };
  moment("first_moment", adam_.first_moment());
  moment("second_moment", adam_.second_moment());
}

bool Trainer::finished() const {
  return (settings_.max_steps > 0 && state_.step >= settings_.max_steps) ||
         (settings_.max_epochs > 0 && state_.epoch >= settings_.max_epochs) ||
         (settings_.patience > 0 && state_.stale >= settings_.patience);
}

void Trainer::save_gradients() {
  Hdf5File file = Hdf5File::create(files_.gradients);
  for (const auto& entry : arena_.entries())
    file.write(entry.name, DType::f4, entry.shape, arena_.gradients() + entry.offset);
  file.close();
}

void Trainer::validate_and_save(const Watcher& watcher) {
  double valid_loss = kNotMeasured;
  bool best = false;
  if (valid_) {
    const CrossEntropy result = evaluate(*valid_);
    valid_loss = result.negative_log_likelihood / static_cast<double>(result.rows);
    best = state_.best_step == 0 || valid_loss < state_.best_loss;
    if (best) {
      state_.best_loss = valid_loss;
      state_.best_step = state_.step;
      state_.stale = 0;
      save_model();
    } else {
      ++state_.stale;
    }
  }
  log_row(watcher, valid_loss, best);
  save_checkpoint();
}

bool Trainer::run(const Watcher& watcher) {
  check_outputs(files_);
  run_start_ = window_start_ = seconds_now();
  if (!files_.log.empty()) cut_log(files_.log, state_.step);
  while (!finished()) {
    const std::int64_t epoch = state_.epoch;
    const double before = seconds_now();
    const CrossEntropy result = train_step();
    if (watcher.step)
      watcher.step(state_, result.loss / static_cast<double>(result.rows),
                   static_cast<double>(result.rows) / (seconds_now() - before));
    const bool due = settings_.validate_every > 0 ? state_.step % settings_.validate_every == 0 : state_.epoch > epoch;
    if (due || finished())
      validate_and_save(watcher);
    else if (state_.step % settings_.log_every == 0)
      log_row(watcher, kNotMeasured, false);
    if (watcher.stop && watcher.stop() && !finished()) {
      save_checkpoint();
      return false;
    }
  }
  if (!valid_) save_model();
  return true;
}

}  // namespace pipeformer
