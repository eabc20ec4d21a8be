#include "cli/training_start.hpp"

#include <algorithm>

#include "cli/model_options.hpp"
#include "models/classes.hpp"

namespace pipeformer {

namespace {

/// The data of one side: training or validation ("valid-").
class TaskData {
 public:
  TaskData(const Args& args, std::string prefix, const TaskSpec& task)
      : args_(args), prefix_(std::move(prefix)), task_(task) {
    if (task_.reads_source) streams_.source = RecordSet::open(files("source"));
    if (task_.reads_target) streams_.target = RecordSet::open(files("target"));
    if (given("words")) streams_.words = RecordSet::open(files("words"));
    if (given("types")) types_ = RecordSet::open(files("types"));
    if (!given("offsets")) return;
    if (!args_.has(prefix_ + "offsets")) throw UsageError(cat("option '--", prefix_, "offsets' is required"));
    streams_.offsets = MappedRecords::open(args_.text(prefix_ + "offsets"));
  }

  /// Of the vectors that are the source; 0 for ids.
  std::int64_t input_width() const { return streams_.source.width(); }
  Labels labels(const std::vector<std::string>& names, std::int64_t classes) const {
    return Labels::load(files("labels"), names, classes, *task_.labelled);
  }
  /// Hands the data over. labels: of a task that has some.
  std::unique_ptr<Examples> examples(const Configuration& c, const Labels& labels) {
    if (task_.reads_source)
      c.reads_vectors() ? streams_.source.expect_vectors(c.input_width)
                        : streams_.source.expect_ids(c.source_vocabulary);
    if (task_.reads_target) streams_.target.expect_ids(c.target_vocabulary);
    if (types_.records() > 0)
      streams_.source.attach_types(std::move(types_), std::max<std::int64_t>(c.encoder.token_types, 1));
    streams_.labels = labels;
    if (task_.labelled) streams_.labels_name = args_.list(prefix_ + "labels").front();
    return task_.examples(args_, std::move(streams_), c);
  }

 private:
  /// On either side: then both need it.
  bool given(const std::string& name) const { return args_.given(name) || args_.given("valid-" + name); }
  std::vector<std::string> files(const std::string& name) const {
    auto files = args_.list(prefix_ + name);
    if (files.empty()) throw UsageError(cat("option '--", prefix_, name, "' is required"));
    return files;
  }

  const Args& args_;
  std::string prefix_;
  const TaskSpec& task_;
  TaskStreams streams_;
  RecordSet types_;
};

/// An encoder that was trained for something else gets a classifier (Devlin et al. 2019, section 3.2).
bool gets_new_head(const TaskSpec& task, const Configuration& from) {
  return task.labelled && from.kind == task.kind && from.head != task.head;
}

void give_new_head(const Args& args, const TaskSpec& task, Configuration& c) {
  c.head = task.head;
  if (task.head == Head::classes) {
    c.pooling = from_name<Pooling>(args.text("pooling"));
  } else {
    c.pooler = c.normalize = c.head_dense = c.head_norm = c.output_bias = false;
    c.projection = 0;
  }
}

/// Throws unless the model of --from is one that the task trains, with the vocabulary of the tokenizer (may be null).
void check_from(const Args& args, const TaskSpec& task, const ModelFile& from, const Tokenizer* tokenizer) {
  if (!from.group().empty()) throw UsageError(cat("--from takes a whole model, not its part ", from.group()));
  const Configuration& c = from.configuration();
  const bool new_head = gets_new_head(task, c);
  require(c.kind == task.kind && (c.head == task.head || new_head), from.name(), ": ", task.name,
          " trains a model of kind ", name_of(task.kind), " that predicts ", name_of(task.head), ", not of kind ",
          name_of(c.kind), " that predicts ", name_of(c.head));
  for (const Option& option : configuration_options())
    if (args.given(option.name) && !(new_head && task.head == Head::classes && option.name == "pooling"))
      throw UsageError(cat("--", option.name, " is given by the model that --from names"));
  if (!tokenizer) return;
  for (const std::int64_t vocabulary : {c.source_vocabulary, c.target_vocabulary})
    require(vocabulary == 0 || vocabulary == tokenizer->vocabulary_size(), args.text("tokenizer"), ": has ",
            tokenizer->vocabulary_size(), " ids, ", from.name(), " has ", vocabulary);
}

/// The labels of the training data. from: the model whose classes they are, or null when they make the classes.
Labels training_labels(const Args& args, const TaskData& train, const ModelFile* from) {
  if (!from) return train.labels({}, 0);
  const std::int64_t classes = from->configuration().classes;
  Labels labels = train.labels(from->labels(), classes);
  require(labels.names.empty() || labels.count() == classes, args.list("labels").front(), ": has ", labels.count(),
          " names, ", from->name(), " has ", classes, " classes");
  return labels;
}

}  // namespace

TrainingStart training_start(const Args& args, ModelFile* from) {
  const TaskSpec& task = training_task_spec(args);
  check_task_options(args, task);
  const auto tokenizer = args.has("tokenizer") ? Tokenizer::load(args.text("tokenizer")) : nullptr;
  if (from) check_from(args, task, *from, tokenizer.get());
  const bool new_head = from && gets_new_head(task, from->configuration());

  TrainingStart start;
  if (from) start.texts = from->texts();
  if (tokenizer) start.texts.tokenizer = tokenizer->bytes();
  TaskData train(args, "", task);
  Labels labels;
  if (task.labelled) {
    labels = training_labels(args, train, new_head ? nullptr : from);
    start.texts.labels.clear();
    for (const std::string& name : labels.names) start.texts.labels += name + "\n";
  }

  Configuration& c = start.configuration;
  if (from) {
    c = from->configuration();
  } else {
    c.kind = task.kind;
    c.head = task.head;
    if (task.labelled) {
      c.classes = labels.count();
      c.input_width = train.input_width();
    }
    c = configuration_from(args, tokenizer.get(), c);
  }
  if (new_head) {
    give_new_head(args, task, c);
    c.classes = labels.count();
  }
  if (args.has("context")) c.context = args.integer("context");  // what decode will keep to

  start.train = train.examples(c, labels);
  if (validates(args, task)) {
    TaskData valid(args, "valid-", task);
    // Numbered classes get no names from the validation data.
    Labels valid_labels;
    if (task.labelled) valid_labels = valid.labels(names_or_numbers(labels.names, c.classes), c.classes);
    start.valid = valid.examples(c, valid_labels);
  }
  return start;
}

}  // namespace pipeformer
