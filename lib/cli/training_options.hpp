/// The options of a training run: the task and its data, optimisation, what is kept.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/tool.hpp"
#include "models/model_file.hpp"
#include "text/tokenizer.hpp"
#include "train/trainer.hpp"

namespace pipeformer {

std::vector<Option> training_options();

/// Everything but the model and the data. Throws UsageError for options that make no sense together.
TrainingSettings training_settings(const Args&);

/// The task's model and data.
struct TrainingTask {
  Configuration configuration;
  std::unique_ptr<Examples> train, valid;  ///< valid: null without validation data.
  ModelTexts texts;                        ///< Tokenizer and names of classes.
};
/// from: the model that --from names, or null. Throws UsageError for options of another task, Error for bad data.
TrainingTask training_task(const Args&, ModelFile* from);

/// For --metric bleu: the BLEU of translations of the validation sources. Null for other metrics.
std::function<double(const Transformer&)> bleu_of_validation(const Args&, const TrainingTask&);

}  // namespace pipeformer
