/// What `train` can learn, as a table: a new task is one entry.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/tool.hpp"
#include "models/model_file.hpp"
#include "text/tokenizer.hpp"
#include "train/labels.hpp"
#include "train/trainer.hpp"

namespace pipeformer {

/// The data of one side, training or validation; a task reads some of them.
struct TaskStreams {
  RecordSet source, target;
  Labels labels;
  std::string labels_name;  ///< For messages.
};

struct TaskSpec {
  std::string name;  ///< Of --task.
  std::string help;  ///< Lines of at most 54 characters.
  ModelKind kind = ModelKind::encoder_decoder;
  Head head = Head::tokens;
  bool reads_source = false, reads_target = false;
  std::vector<std::string> options = {};                    ///< That no other task has.
  std::vector<std::string> metrics = {"loss", "accuracy"};  ///< What may make a validation better than another.
  double label_smoothing = 0;                               ///< Unless --label-smoothing is given.
  std::function<std::unique_ptr<Examples>(const Args&, TaskStreams, const Configuration&)> examples;
};
const std::vector<TaskSpec>& training_tasks();
const TaskSpec& training_task_spec(const Args&);  ///< That of --task.
std::string training_tasks_help();
/// --task, the data, and where a model begins.
std::vector<Option> task_options();

/// A task's model and data.
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
