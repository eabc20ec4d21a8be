/// The options of a training run: optimisation, bounds, what is kept. What is learned from which data is in
/// training_tasks.hpp.
#pragma once
#include <vector>

#include "cli/tool.hpp"
#include "train/trainer.hpp"

namespace pipeformer {

/// With those of the tasks.
std::vector<Option> training_options();

/// Everything but the model and the data. Throws UsageError for options that make no sense together.
TrainingSettings training_settings(const Args&);

}  // namespace pipeformer
