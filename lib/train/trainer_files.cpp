/// What a run reads and writes: models to start from, models, checkpoints, gradients.
#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string_view>

#include "core/error.hpp"
#include "core/random.hpp"
#include "io/output_file.hpp"
#include "io/read_files.hpp"
#include "models/causal_encoder.hpp"
#include "train/trainer.hpp"

namespace pipeformer {
namespace {

constexpr const char* kStateGroup = "training";

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
  visit("window_weight", s.window_weight);
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

/// Further ones, which older checkpoints do not name.
template <class Visit>
void each_later_setting(const TrainingSettings& s, Visit visit) {
  std::uint64_t weights = 0;
  for (const float weight : s.class_weights) weights = mix64(weights ^ std::bit_cast<std::uint32_t>(weight));
  visit("label_smoothing", s.label_smoothing);
  visit("reduce", std::string(s.bfloat16_gradients ? "bf16" : "float32"));
  visit("class_weights", static_cast<std::int64_t>(weights));
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
                                  {"window_weight", s.window_weight},
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
  const auto epochs = static_cast<double>(s.epoch), examples_count = static_cast<double>(examples.most_in_epoch());
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

/// Throws Error unless the run that the checkpoint is of had the same settings and data.
void expect_same_run(const Hdf5File& file, const TrainingSettings& settings, std::int64_t fingerprint) {
  each_fixed_setting(settings, [&](const char* name, std::int64_t expected) {
    const auto attribute = file.attribute(name, kStateGroup);
    require(attribute && std::holds_alternative<std::int64_t>(*attribute), file.name(), ": has no ", name);
    require(std::get<std::int64_t>(*attribute) == expected, file.name(), ": was made with ", name, " ",
            std::get<std::int64_t>(*attribute), ", this run has ", expected);
  });
  each_later_setting(settings, [&](const char* name, const auto& expected) {
    const auto attribute = file.attribute(name, kStateGroup);
    if (!attribute || *attribute == Attribute(expected)) return;
    require(name != std::string_view("class_weights"), file.name(), ": was made with other weights of classes");
    throw Error(cat(file.name(), ": was made with ", name, " ",
                    std::visit([](const auto& found) { return cat(found); }, *attribute), ", this run has ", expected));
  });
  require(file.attribute("metric", kStateGroup) == Attribute(settings.metric), file.name(),
          ": was made with another metric than ", settings.metric);
  require(file.attribute("corpus", kStateGroup) == Attribute(fingerprint), file.name(),
          ": was made with other training data than this run has");
}

/// The models that the run has kept, as the checkpoint lists them.
void read_kept(const Hdf5File& file, std::int64_t last_step, KeptModels& kept) {
  const Array steps = file.read(in_checkpoint("kept_steps")), costs = file.read(in_checkpoint("kept_costs"));
  require(steps.dtype == DType::i8 && costs.dtype == DType::f8 && steps.shape == costs.shape, file.name(),
          ": kept_steps and kept_costs do not fit");
  kept.steps.assign(steps.values<std::int64_t>().begin(), steps.values<std::int64_t>().end());
  kept.costs.assign(costs.values<double>().begin(), costs.values<double>().end());
  for (std::size_t i = 0; i < kept.steps.size(); ++i) {
    const std::int64_t step = kept.steps[i];
    require(step > (i > 0 ? kept.steps[i - 1] : 0) && step <= last_step, file.name(), ": kept_steps holds ", step,
            " at ", i, ", which is not after the one before and up to step ", last_step);
    require(std::isfinite(kept.costs[i]), file.name(), ": kept_costs holds ", kept.costs[i], " at ", i);
  }
}

/// What stands beside the models of a file.
void load_beside(const ModelFile& model, ParameterArena& arena) {
  const Hdf5File& file = model.file();
  if (!file.has_dataset(kLogitScale)) return;
  const Array scale = file.read(kLogitScale);
  require(scale.dtype == DType::f4 && element_count(scale.shape) == 1, model.name(), ": ", kLogitScale,
          " is no number of type f4");
  require(std::isfinite(scale.values<float>()[0]), model.name(), ": ", kLogitScale, " is not finite");
  arena.mutable_values()[arena.entry(kLogitScale).offset] = scale.values<float>()[0];
}

/// The layers of a language model, which become those of an encoder; what stands after them is left as it was drawn.
void load_as_encoder(ModelFile& model, const Adapters& adapters, ParameterArena& arena) {
  for (const ParameterEntry& entry : arena.entries()) {
    const std::string theirs = name_in_language_model(entry.name);
    if (theirs == entry.name || adapters.owns(entry.name)) continue;
    const Parameter parameter = model.get(theirs, entry.shape, entry.initial);
    model.explain(parameter.value, entry.size);
    std::copy_n(parameter.value, entry.size, arena.mutable_values() + entry.offset);
  }
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

}  // namespace

void Trainer::prepare_files() const {
  if (state_.step == 0 && !files_.overwrite) expect_no_kept_models(kept_);
  prepare_outputs(files_, kept_);
}

void Trainer::start_from(std::span<ModelFile> models) {
  draw_parameters();
  for (std::size_t m = 0; m < models.size(); ++m) {
    ModelFile& model = models[m];
    if (model.configuration().kind != models_[m].configuration.kind) {
      load_as_encoder(model, adapters_, arena_);
      continue;
    }
    const bool new_head = !models_[m].configuration.predicts_like(model.configuration());
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

void Trainer::write_model(Hdf5File& file) {
  adapters_.take_out(arena_);
  write_tower_heads(file, models_);
  arena_.write_parameters(file);
  for (const Tower& tower : models_) adapters_.write_head(file, tower.group);
  adapters_.put_in(arena_);
}

void Trainer::save_model(const std::string& path) {
  if (!ranks_.first()) return;
  Hdf5File file = Hdf5File::create(path);
  write_model(file);
  file.close();
}

void Trainer::save_checkpoint() {
  count_time();
  if (!ranks_.first()) return;
  Hdf5File file = Hdf5File::create(files_.checkpoint);
  write_model(file);
  file.make_group(kStateGroup);
  const auto set = [&](const char* name, const auto& value) { file.set_attribute(name, value, kStateGroup); };
  each_field(state_, set);
  each_fixed_setting(settings_, set);
  each_later_setting(settings_, set);
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
  for (std::size_t m = 0; m < models_.size(); ++m) {
    const double found = stored[m].adapter_scale(), expected = adapters_.scale_below(models_[m].before());
    require(found == expected, files_.checkpoint, ": was made with ",
            found > 0 ? cat("adapters of scale ", found) : "no adapters", ", this run has ",
            expected > 0 ? cat("scale ", expected) : "none");
  }
  for (std::size_t m = 0; m < models_.size(); ++m) {
    stored[m].keep_adapters_apart();
    arena_.load(stored[m], {}, models_[m].before());
  }
  if (models_.size() > 1) load_beside(model, arena_);
  adapters_.hold(arena_);
  expect_same_run(file, settings_, fingerprint_);
  // Older files lack the sums of seconds and of weights.
  each_field(state_, [&](const char* name, auto& value) {
    const auto attribute = file.attribute(name, kStateGroup);
    if (!attribute && (name == std::string("window_seconds") || name == std::string("window_weight"))) return;
    const auto* typed = attribute ? std::get_if<std::decay_t<decltype(value)>>(&*attribute) : nullptr;
    require(typed != nullptr, files_.checkpoint, ": has no ", name);
    value = *typed;
  });
  if (!file.attribute("window_weight", kStateGroup)) state_.window_weight = static_cast<double>(state_.window_answers);
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
  read_kept(file, state_.step, kept_);
}

void Trainer::save_gradients() const {
  if (!ranks_.first()) return;
  Hdf5File file = Hdf5File::create(files_.gradients);
  for (const auto& entry : arena_.entries())
    file.write(entry.name, DType::f4, entry.shape, arena_.gradients() + entry.offset);
  file.close();
}

}  // namespace pipeformer
