#include "cli/training_tasks.hpp"

#include <algorithm>

#include "cli/model_options.hpp"
#include "io/address.hpp"
#include "io/output_file.hpp"
#include "io/text_lines.hpp"
#include "models/classes.hpp"
#include "search/translate.hpp"
#include "text/bleu.hpp"

namespace pipeformer {

namespace {

std::int64_t integer_or_none(const Args& args, const std::string& option) {
  return args.has(option) ? args.integer(option) : 0;
}

}  // namespace

const std::vector<TaskSpec>& training_tasks() {
  static const std::vector<TaskSpec> tasks{
      {
          .name = "translation",
          .help = "--source, --target: ids (T,), pair by pair: an\n"
                  "encoder-decoder predicts each target from its source\n"
                  "(Vaswani et al. 2017, section 5)",
          .reads_source = true,
          .reads_target = true,
          .metrics = {"loss", "accuracy", "bleu"},
          .label_smoothing = 0.1,
          .examples =
              [](const Args& args, TaskStreams streams, const Configuration& c) {
                return translation_examples(std::move(streams.source), std::move(streams.target), c,
                                            integer_or_none(args, "max-length"));
              },
      },
      {
          .name = "language-model",
          .help = "--target: ids: a decoder predicts each token from\n"
                  "those before it, record by record, or with --context\n"
                  "in windows of a running text",
          .kind = ModelKind::decoder_only,
          .reads_target = true,
          .options = {"context"},
          .examples =
              [](const Args& args, TaskStreams streams, const Configuration& c) {
                return language_examples(std::move(streams.target), c, integer_or_none(args, "context"),
                                         integer_or_none(args, "max-length"));
              },
      },
      {
          .name = "masked-language-model",
          .help = "--source: ids: an encoder predicts ids that were\n"
                  "hidden (Devlin et al. 2019)",
          .kind = ModelKind::encoder_only,
          .reads_source = true,
          .options = {"mask-rate", "mask-id"},
          .examples =
              [](const Args& args, TaskStreams streams, const Configuration& c) {
                return masked_examples(std::move(streams.source), c, args.number("mask-rate"),
                                       integer_or_none(args, "max-length"));
              },
      },
      {
          .name = "classification",
          .help = "--source: ids (T,), or vectors (T, D) such as patches\n"
                  "of images; --labels: names or numbers: an encoder and\n"
                  "a linear layer predict the class",
          .kind = ModelKind::encoder_only,
          .head = Head::classes,
          .reads_source = true,
          .options = {"labels", "valid-labels", "class-token", "pooling"},
          .examples =
              [](const Args& args, TaskStreams streams, const Configuration& c) {
                return classification_examples(std::move(streams.source), std::move(streams.labels.classes),
                                               streams.labels_name, c, integer_or_none(args, "max-length"));
              },
      },
  };
  return tasks;
}

const TaskSpec& training_task_spec(const Args& args) {
  const auto& tasks = training_tasks();
  return *std::find_if(tasks.begin(), tasks.end(), [&](const TaskSpec& t) { return t.name == args.text("task"); });
}

std::string training_tasks_help() {
  std::string text;
  for (const TaskSpec& task : training_tasks()) {
    constexpr std::size_t kColumn = 25;
    std::string line = "  " + task.name;
    line.resize(kColumn, ' ');
    text += line;
    for (const char c : task.help) text += c == '\n' ? "\n" + std::string(kColumn, ' ') : std::string(1, c);
    text += '\n';
  }
  return text;
}

std::vector<Option> task_options() {
  std::string names;
  for (const TaskSpec& task : training_tasks()) names += (names.empty() ? "" : "|") + task.name;
  return {
      choice("task", names, "what is learned", "translation"),
      list("source", "FILE", "source ids (classification: or vectors); several files are read one after another"),
      list("target", "FILE", "target ids; for a language model the text"),
      list("labels", "FILE", "classification: a name on each line, or class numbers"),
      list("valid-source", "FILE", "the same to validate on"),
      list("valid-target", "FILE", "the same to validate on"),
      list("valid-labels", "FILE", "the same to validate on"),
      text("valid-references", "FILE", "--metric bleu: the validation targets as text"),
      integer("context", "N", "language model: windows of N tokens of one running text (default: each record alone)",
              "", 1),
      number("mask-rate", "P", "masked language model: share of the ids that are predicted", "0.15", 0, 1),
      integer("max-length", "N", "leave out records of more than N tokens, and say how many", "", 1),
      text("tokenizer", "FILE", "tokenizer to store in the model; gives the vocabulary and control ids"),
      text(
          "from", "FILE",
          "start from this model's parameters and hyper-parameters (fine-tuning); an encoder may get a new classifier"),
  };
}

namespace {

/// The data of one side: training or validation ("valid-").
class TaskData {
 public:
  TaskData(const Args& args, std::string prefix, const TaskSpec& task)
      : args_(args), prefix_(std::move(prefix)), task_(task) {
    if (task_.reads_source) streams_.source = RecordSet::open(files("source"));
    if (task_.reads_target) streams_.target = RecordSet::open(files("target"));
  }

  /// Of the vectors that are the source; 0 for ids.
  std::int64_t input_width() const { return streams_.source.width(); }
  Labels labels(const std::vector<std::string>& names, std::int64_t classes) const {
    return Labels::load(files("labels"), names, classes);
  }
  /// Hands the data over. labels: of a classification.
  std::unique_ptr<Examples> examples(const Configuration& c, const Labels& labels) {
    if (task_.reads_source)
      c.reads_vectors() ? streams_.source.expect_vectors(c.input_width)
                        : streams_.source.expect_ids(c.source_vocabulary);
    if (task_.reads_target) streams_.target.expect_ids(c.target_vocabulary);
    streams_.labels = labels;
    if (task_.head == Head::classes) streams_.labels_name = args_.list(prefix_ + "labels").front();
    return task_.examples(args_, std::move(streams_), c);
  }

 private:
  std::vector<std::string> files(const std::string& name) const {
    auto files = args_.list(prefix_ + name);
    if (files.empty()) throw UsageError(cat("option '--", prefix_, name, "' is required"));
    return files;
  }

  const Args& args_;
  std::string prefix_;
  const TaskSpec& task_;
  TaskStreams streams_;
};

/// The stream without which there is no validation.
std::string valid_stream(const TaskSpec& task) {
  return task.reads_source ? "valid-source" : "valid-target";
}

bool validates(const Args& args, const TaskSpec& task) {
  return !args.list(valid_stream(task)).empty();
}

void check_task_options(const Args& args, const TaskSpec& task) {
  const auto only = [&](bool condition, const std::string& tasks, const std::vector<std::string>& options) {
    args.allow_only(condition, "--task " + tasks, options);
  };
  only(task.reads_source, "translation or another one with sources", {"source", "valid-source"});
  only(task.reads_target, "translation or language-model", {"target", "valid-target"});
  for (const TaskSpec& other : training_tasks()) only(&other == &task, other.name, other.options);
  args.allow_only(args.text("metric") == "bleu", "--metric bleu", {"valid-references"});
  std::ptrdiff_t stdins = 0;
  for (const char* option : {"source", "target", "labels", "valid-source", "valid-target", "valid-labels",
                             "valid-references", "tokenizer", "from"}) {
    const std::vector<std::string> files = args.list(option);
    stdins += std::count(files.begin(), files.end(), "-");
  }
  if (stdins > 1) throw UsageError("only one input can be standard input ('-')");
  if (args.has("context") && args.has("max-length")) throw UsageError("--context and --max-length exclude each other");
  args.allow_only(validates(args, task), "--" + valid_stream(task),
                  {"patience", "metric", "keep-best", "valid-references", "valid-labels"});
  if (task.reads_source) args.allow_only(validates(args, task), "--valid-source", {"valid-target"});
  if (std::find(task.metrics.begin(), task.metrics.end(), args.text("metric")) == task.metrics.end())
    throw UsageError(cat("--metric ", args.text("metric"), " needs --task translation"));
}

}  // namespace

TrainingTask training_task(const Args& args, ModelFile* from) {
  const TaskSpec& task = training_task_spec(args);
  check_task_options(args, task);
  const bool classifies = task.head == Head::classes;
  TrainingTask result;
  if (from) result.texts = from->texts();
  const auto tokenizer = args.has("tokenizer") ? Tokenizer::load(args.text("tokenizer")) : nullptr;
  if (tokenizer) result.texts.tokenizer = tokenizer->bytes();
  Configuration kind, &c = result.configuration;  // kind: what the task trains, before hyper-parameters are known
  kind.kind = task.kind;
  kind.head = task.head;
  bool new_head = false;
  if (from) {
    if (!from->group().empty()) throw UsageError(cat("--from takes a whole model, not its part ", from->group()));
    c = from->configuration();
    // An encoder that was trained for something else gets a classifier (Devlin et al. 2019, section 3.2).
    new_head = classifies && c.kind == kind.kind && c.head != kind.head;
    require(c.kind == kind.kind && (c.head == kind.head || new_head), from->name(), ": ", task.name,
            " trains a model of kind ", name_of(kind.kind), " that predicts ", name_of(kind.head), ", not of kind ",
            name_of(c.kind), " that predicts ", name_of(c.head));
    for (const Option& option : configuration_options())
      if (args.given(option.name) && !(new_head && option.name == "pooling"))
        throw UsageError(cat("--", option.name, " is given by the model that --from names"));
    if (tokenizer) {
      for (const std::int64_t vocabulary : {c.source_vocabulary, c.target_vocabulary})
        require(vocabulary == 0 || vocabulary == tokenizer->vocabulary_size(), args.text("tokenizer"), ": has ",
                tokenizer->vocabulary_size(), " ids, ", from->name(), " has ", vocabulary);
    }
  }
  const bool classes_given = from && !new_head;
  TaskData train(args, "", task);
  Labels labels;
  if (classifies) {
    labels = train.labels(classes_given ? from->labels() : std::vector<std::string>{}, classes_given ? c.classes : 0);
    kind.classes = labels.count();
    kind.input_width = train.input_width();
    std::string& names = result.texts.labels = "";
    for (const std::string& name : labels.names) names += name + "\n";
    require(!classes_given || names.empty() || kind.classes == c.classes, args.list("labels").front(), ": has ",
            kind.classes, " names, ", from ? from->name() : "", " has ", c.classes, " classes");
  }
  if (new_head) {
    c.head = kind.head;
    c.classes = kind.classes;
    c.pooling = from_name<Pooling>(args.text("pooling"));
  }
  if (!from) c = configuration_from(args, tokenizer.get(), kind);
  if (args.has("context")) c.context = args.integer("context");  // what decode will keep to
  result.train = train.examples(c, labels);
  if (validates(args, task)) {
    TaskData valid(args, "valid-", task);
    // Numbered classes get no names from the validation data.
    result.valid =
        valid.examples(c, classifies ? valid.labels(names_or_numbers(labels.names, c.classes), c.classes) : Labels{});
  }
  return result;
}

std::function<double(const Transformer&)> bleu_of_validation(const Args& args, const TrainingTask& task) {
  if (args.text("metric") != "bleu") return nullptr;
  if (task.texts.tokenizer.empty()) throw UsageError("--metric bleu needs --tokenizer");
  const std::vector<std::string> sources = args.list("valid-source");
  const auto tokenizer = std::make_shared<const std::unique_ptr<Tokenizer>>(
      Tokenizer::parse(task.texts.tokenizer, "the model's tokenizer"));
  const std::string references_name = args.text("valid-references");
  const std::vector<std::string> references = read_text_lines(references_name);
  const auto expect_references = [=, count = references.size()](std::size_t records) {
    require(count == records, references_name, " has ", count, " lines, --valid-source ", records, " records");
  };
  expect_references(task.valid->all().size() + static_cast<std::size_t>(task.valid->skipped()));
  for (const std::string& source : sources)
    if (const std::string file = split_address(source).file; file == "-" || is_special_file(file))
      throw UsageError("--metric bleu reads --valid-source at each validation: it must be a file");
  return [=](const Transformer& model) {
    GenerateSettings settings;  // greedy, which is quick and ranks models as a beam does
    settings.max_length_factor = 1;
    std::vector<std::string> lines;
    for (const std::string& source : sources) {
      const auto part = translate(model, source, **tokenizer, settings);
      lines.insert(lines.end(), part.begin(), part.end());
    }
    expect_references(lines.size());
    Bleu bleu;
    for (std::size_t i = 0; i < lines.size(); ++i) bleu.add(lines[i], references[i]);
    return bleu.score();
  };
}

}  // namespace pipeformer
