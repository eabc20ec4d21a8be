/// What a training begins with: the model and the data that the options give.
#pragma once
#include <memory>

#include "cli/training_tasks.hpp"
#include "models/model_file.hpp"

namespace pipeformer {

struct TrainingStart {
  Configuration configuration;
  std::unique_ptr<Examples> train, valid;  ///< valid: null without validation data.
  ModelTexts texts;                        ///< Tokenizer and names of classes.
};
/// from: the model that --from names, or null. Throws UsageError for options of another task, Error for bad data.
TrainingStart training_start(const Args&, ModelFile* from);

}  // namespace pipeformer
