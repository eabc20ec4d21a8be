/// What a training begins with: the model and the data that the options give.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "cli/training_tasks.hpp"
#include "models/towers.hpp"
#include "train/trainer.hpp"

namespace pipeformer {

struct TrainingStart {
  std::vector<Tower> models;               ///< One, or the encoder of vectors and that of ids.
  std::unique_ptr<Examples> train, valid;  ///< valid: null without validation data.
  std::vector<float> class_weights;        ///< Of --class-weights or --pos-weights; empty: none are given.
};
/// from: the model that --from names, or two that are compared, or none. Throws UsageError for options of another task,
/// Error for bad data.
TrainingStart training_start(const Args&, std::span<ModelFile> from);
/// The models of --from, those that the task trains; none without it.
std::vector<ModelFile> models_to_start_from(const Args&);
/// Which factors of the learning rate --layer-decay and --adapter give to the parameters; the user's own count after
/// them.
void set_rate_factors(const Args&, const TrainingStart&, std::span<const ModelFile> from, TrainingSettings&);

}  // namespace pipeformer
