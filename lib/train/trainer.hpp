/// A training run on the examples of any task: steps, validation, early stopping, checkpoints, exact resumption.
///
/// All randomness is a function of (seed, epoch) or (seed, step), and the state that is saved is complete, so a run
/// that was killed and resumed computes the same bits as one that ran through (law 4), on processors of one instruction
/// set. A schedule that follows the clock (max_seconds) has other rates in each run, and so other bits.
///
/// Several ranks (Communicator) go through the same batches, each computing its part; gradients are added up in one
/// pass over the arena, and all take the same step: their parameters and states stay the same, and the loss is that of
/// one rank within rounding, whatever their number. The first rank alone writes files and tells the watcher.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "models/adapters.hpp"
#include "models/model_file.hpp"
#include "models/towers.hpp"
#include "models/transformer.hpp"
#include "train/communicator.hpp"
#include "train/epoch_plan.hpp"
#include "train/examples.hpp"
#include "train/kept_models.hpp"
#include "train/optimizer.hpp"
#include "train/pair_encoders.hpp"
#include "train/training_log.hpp"

namespace pipeformer {

struct TrainingSettings {
  std::uint64_t seed = 1;
  BatchSettings batches;
  std::int64_t accumulate = 1;      ///< Batches whose gradients make one update.
  std::int64_t max_steps = 0;       ///< 0: no bound
  std::int64_t max_epochs = 0;      ///< 0: no bound
  double max_seconds = 0;           ///< Of TrainingState::elapsed; 0: no bound
  std::int64_t validate_every = 0;  ///< Steps; 0: at the end of each epoch.
  std::int64_t patience = 0;        ///< Validations without a better one before stopping; 0: never stop early.
  std::int64_t log_every = 50;      ///< Steps between rows of the log.
  double label_smoothing = 0.1;
  std::vector<float> class_weights;  ///< In the loss, of each class, or of each label that holds; empty: all 1.
  bool bfloat16_gradients = false;   ///< Of several ranks: Communicator::set_bfloat16_gradients().
  bool recompute = false;            ///< Context::recompute.
  double clip_norm = 0;              ///< 0: no clipping
  double average_decay = 0;          ///< Of an exponential moving average, which is validated and saved; 0: none.
  std::string metric = "loss";       ///< What "better" means: loss, accuracy, bleu (needs Trainer::measure_bleu).
  DropoutRates dropout{};
  Schedule schedule;
  OptimizerSettings optimizer;
  std::vector<std::pair<std::string, double>> rate_factors;  ///< (pattern of parameter names, factor; 0: frozen)
  AdapterSettings adapters;                                  ///< Then the other parameters are frozen by rate_factors.
  KeepSettings keep;
  TapList* taps = nullptr;  ///< The names of intermediates, when Trainer::probe is used.
};

/// Where a run stands. Everything but the seconds is the same for the same seed and data.
struct TrainingState {
  std::int64_t step = 0;      ///< Updates done.
  std::int64_t epoch = 0;     ///< Epochs completed.
  std::int64_t position = 0;  ///< Batches of the current epoch that are done.
  std::int64_t stale = 0;     ///< Validations since the best one.
  double best_cost = 0;       ///< Of the best model, lower is better; meaningful when best_step > 0.
  std::int64_t best_step = 0;
  double window_loss = 0;  ///< Sums since the last log row, over updates alone.
  double window_nll = 0;
  std::int64_t window_answers = 0;
  double window_weight = 0;  ///< Of the answers, by which the losses are divided.
  std::int64_t window_tokens = 0;
  double window_seconds = 0;
  double elapsed = 0;  ///< Seconds of training, over all resumptions.

  /// The epoch of the last update, counted from 1.
  std::int64_t current_epoch() const { return epoch + (position > 0); }
};

/// Of the updates since the last row of the log, without validations and checkpoints.
inline double tokens_per_second(const TrainingState& s) {
  return s.window_seconds > 0 ? static_cast<double>(s.window_tokens) / s.window_seconds : 0;
}

struct TrainingFiles {
  std::string model;       ///< The best model by validation; without validation data the last one.
  std::string checkpoint;  ///< The last state, for --resume: model, optimizer moments and TrainingState.
  std::string log;         ///< TSV; empty: none.
  std::string gradients;   ///< HDF5: the gradient of each parameter at the last update, before clipping; empty: none.
  /// A run that begins anew may remove the kept models of an earlier one.
  bool overwrite = false;
};

class Trainer {
 public:
  /// models: one, or the towers of a model that compares vectors.
  Trainer(std::vector<Tower> models, const TrainingSettings&, TrainingFiles, const Examples& train,
          const Examples* valid, Communicator&);

  void initialize();  ///< Fresh parameters.
  /// Parameters of existing models, one for each of ours; those of a new head and adapters are fresh.
  void start_from(std::span<ModelFile> models);
  void resume();  ///< Parameters and state from the checkpoint; throws Error when it does not fit this configuration,
                  ///< data or settings.
  /// The BLEU of the model's translations of the validation sources, for metric bleu.
  std::function<double(const Transformer&)> measure_bleu;
  /// Who sees the intermediates of an update, by its number from 1: its examples in their order, dropped out as they
  /// are. Null: nobody.
  std::function<const Probe*(std::int64_t step)> probe;

  struct Watcher {
    std::function<void(const TrainingState&)> step;
    std::function<void(const LogRow&)> row;
    std::function<bool()> stop;  ///< Asked after each step; true on any rank: write a checkpoint and return.
  };
  /// Runs until a bound, early stopping or watcher.stop. Returns false when stopped by the watcher. Throws Error when
  /// the loss is not finite; the checkpoint and the best model on disk stay.
  bool run(const Watcher&);

  const TrainingState& state() const { return state_; }
  /// How many numbers are trained, and how many the model and its adapters have.
  std::pair<std::int64_t, std::int64_t> trained_parameters() const;
  /// Whether losses are logarithms of probabilities, which have perplexities and accuracies.
  bool predicts_probabilities() const;
  /// Updates that an epoch of this seed and these data has; the first epoch's count.
  std::int64_t steps_per_epoch() const;

 private:
  class AverageInPlace;
  struct Validation {
    double loss, accuracy, bleu, cost;
    std::vector<double> recall;  ///< As in LogRow.
  };
  struct Gathered {
    double weight = 0;  ///< Of the answers of all ranks.
    std::int64_t tokens = 0;
  };
  void update();
  /// The share of max_seconds that is over, the same on all ranks.
  double time_share() const;
  /// Builds this rank's micro-batches of the batches [position, end) of the epoch.
  Gathered gather(std::int64_t end);
  /// This rank's share of the loss and the gradients (of the loss times scale) of the batches up to `end`.
  LossSums loss(std::int64_t end, float scale, const Probe*);
  /// The sum over the ranks.
  LossSums sum(const LossSums&) const;
  void check_same_start();
  void draw_parameters();
  LossSums validation_loss();
  /// The form of a loss with these settings.
  CrossEntropyForm form(double smoothing, float scale) const;
  Validation validate();
  void validate_and_save(const Watcher&);
  void log_row(const Watcher&, const Validation*, bool best);
  /// Before the work, and not after it: throws Error for what cannot be written.
  void prepare_files() const;
  void count_time();  ///< The seconds since it was called last, or since the run began, are counted as elapsed.
  /// The model as it is now, into a file that is being made.
  void write_model(Hdf5File&);
  void save_model(const std::string& path);
  void save_checkpoint();
  void save_gradients() const;
  bool finished() const;

  std::vector<Tower> models_;
  TrainingSettings settings_;
  TrainingFiles files_;
  const Examples& train_;
  const Examples* valid_;
  Communicator& ranks_;
  std::int64_t fingerprint_;
  Adapters adapters_;
  ParameterArena arena_;
  std::vector<Transformer> transformers_;  ///< Of models_.
  std::optional<PairEncoders> pairs_;      ///< Where vectors are compared.
  Optimizer optimizer_;
  Buffer<float> average_;  ///< Empty without --average-decay.
  KeptModels kept_;
  TrainingState state_;
  std::optional<TrainingLog> log_;
  Workspace workspace_;
  std::vector<MicroBatch> micro_batches_;  ///< Of this update, those that this rank computes.
  EpochPlan plan_;
  double run_start_ = 0, learning_rate_ = 0;
  bool time_is_up_ = false;
};

}  // namespace pipeformer
