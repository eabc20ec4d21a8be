/// Training of an encoder-decoder on pairs: steps, validation, early stopping, checkpoints, exact resumption.
///
/// All randomness is a function of (seed, epoch) or (seed, step), and the state that is saved is complete, so a run
/// that was killed and resumed computes the same bits as one that ran through (law 4).
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "models/model_file.hpp"
#include "models/transformer.hpp"
#include "train/corpus.hpp"
#include "train/optimizer.hpp"

namespace pipeformer {

struct TrainingSettings {
  std::uint64_t seed = 1;
  std::int64_t batch_tokens = 4096;  ///< Target tokens of a batch, end tokens counted.
  std::int64_t max_steps = 0;        ///< 0: no bound
  std::int64_t max_epochs = 0;       ///< 0: no bound
  std::int64_t validate_every = 0;   ///< Steps; 0: at the end of each epoch.
  std::int64_t patience = 0;         ///< Validations without a better loss before stopping; 0: never stop early.
  std::int64_t log_every = 50;       ///< Steps between rows of the log.
  double label_smoothing = 0.1;
  double clip_norm = 0;  ///< 0: no clipping
  DropoutRates dropout{};
  Schedule schedule;
  AdamSettings adam;
};

/// Where a run stands. Everything but `elapsed` is the same for the same seed and data.
struct TrainingState {
  std::int64_t step = 0;      ///< Updates done.
  std::int64_t epoch = 0;     ///< Epochs completed.
  std::int64_t position = 0;  ///< Pairs of the current epoch that are done.
  std::int64_t stale = 0;     ///< Validations since the best one.
  double best_loss = 0;       ///< Validation loss of the best model; meaningful when best_step > 0.
  std::int64_t best_step = 0;
  double window_loss = 0;  ///< Sums since the last log row.
  double window_nll = 0;
  std::int64_t window_tokens = 0;
  double elapsed = 0;  ///< Seconds of training, over all resumptions.
};

/// One row of the log. Losses are means per target token in nats (the training loss with label smoothing); NaN where
/// not measured.
struct LogRow {
  std::int64_t step, epoch;
  double train_loss, train_perplexity, valid_loss, valid_perplexity, learning_rate, tokens_per_second, seconds;
  bool best;  ///< The validation loss is the best so far.
};

struct TrainingFiles {
  std::string model;       ///< The best model by validation loss; without validation data the last one.
  std::string checkpoint;  ///< The last state, for --resume: model, optimizer moments and TrainingState.
  std::string log;         ///< TSV; empty: none.
  std::string gradients;   ///< HDF5: the gradient of each parameter at the last update, before clipping; empty: none.
  std::string tokenizer;   ///< Bytes stored in the model.
};

class Trainer {
 public:
  Trainer(const Configuration&, const TrainingSettings&, TrainingFiles, const PairCorpus& train,
          const PairCorpus* valid);

  void initialize() { arena_.initialize(settings_.seed); }   ///< Fresh parameters.
  void start_from(ModelFile& model) { arena_.load(model); }  ///< Parameters of an existing model.
  void resume();  ///< Parameters and state from the checkpoint; throws Error when it does not fit this configuration,
                  ///< data or seed.

  struct Watcher {
    std::function<void(const TrainingState&, double loss, double tokens_per_second)> step;
    std::function<void(const LogRow&)> row;
    std::function<bool()> stop;  ///< Asked after each step; true: write a checkpoint and return.
  };
  /// Runs until a bound, early stopping or watcher.stop. Returns false when stopped by the watcher. Throws Error when
  /// the loss is not finite; the checkpoint and the best model on disk stay.
  bool run(const Watcher&);

  const TrainingState& state() const { return state_; }
  ParameterArena& arena() { return arena_; }
  const Transformer& transformer() const { return transformer_; }
  /// Updates that an epoch of this seed and these data has; the first epoch's count.
  std::int64_t steps_per_epoch() const;
  /// Loss of a corpus with the current parameters: no dropout, no smoothing in negative_log_likelihood.
  CrossEntropy evaluate(const PairCorpus&);

 private:
  CrossEntropy train_step();
  void validate_and_save(const Watcher&);
  void log_row(const Watcher&, double valid_loss, bool best);
  void save_model() const;
  void save_checkpoint();
  void save_gradients();
  bool finished() const;

  Configuration configuration_;
  TrainingSettings settings_;
  TrainingFiles files_;
  const PairCorpus& train_;
  const PairCorpus* valid_;
  ParameterArena arena_;
  Transformer transformer_;
  Adam adam_;
  TrainingState state_;
  Workspace workspace_;
  PairBatch batch_;
  std::vector<std::int64_t> order_;
  double window_start_ = 0, run_start_ = 0;
};

}  // namespace pipeformer
