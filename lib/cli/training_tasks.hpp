/// What `train` can learn, as a table: a new task is one entry.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/tool.hpp"
#include "models/configuration.hpp"
#include "train/examples.hpp"
#include "train/labels.hpp"

namespace pipeformer {

/// The data of one side, training or validation; a task reads some of them.
struct TaskStreams {
  RecordSet source, target;
  Configuration target_reader;  ///< The encoder of the targets, of a task that has one.
  RecordSet words;              ///< Of --words; no records: each position has a label.
  std::optional<MappedRecords> offsets;
  Labels labels;
  std::string labels_name;  ///< For messages.
};

struct TaskSpec {
  std::string name;  ///< Of --task.
  std::string help;  ///< Lines of at most 54 characters.
  ModelKind kind = ModelKind::encoder_decoder;
  Head head = Head::tokens;
  ProblemType problem = ProblemType::single_label;
  bool reads_source = false, reads_target = false;
  std::optional<Labelled> labelled = {};                    ///< What has one of labels_option().
  std::vector<std::string> options = {};                    ///< That not every task has.
  std::vector<std::string> metrics = {"loss", "accuracy"};  ///< What may make a validation better than another.
  double label_smoothing = 0;                               ///< Unless --label-smoothing is given.
  std::function<std::unique_ptr<Examples>(const Args&, TaskStreams, const Configuration&)> examples;
};
/// Of what is right of each example: "labels", or "target-values".
std::string labels_option(const TaskSpec&);
const std::vector<TaskSpec>& training_tasks();
const TaskSpec& training_task_spec(const Args&);  ///< That of --task.
std::string training_tasks_help();
/// --task, the data, and where a model begins.
std::vector<Option> task_options();

/// "encoder/*=0.1" of an option that takes NAME=X, X from 0 to 1e6. Throws UsageError that says what was expected.
std::pair<std::string, double> named_number(const std::string& option, const std::string& text,
                                            const std::string& expected);

/// Throws UsageError for options of another task.
void check_task_options(const Args&, const TaskSpec&);
bool validates(const Args&, const TaskSpec&);  ///< Whether validation data are given.

}  // namespace pipeformer
