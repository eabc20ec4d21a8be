#include "cli/training_tasks.hpp"

#include <algorithm>
#include <charconv>

namespace pipeformer {

namespace {

std::int64_t integer_or_none(const Args& args, const std::string& option) {
  return args.has(option) ? args.integer(option) : 0;
}

std::unique_ptr<Examples> valued(const Args& args, TaskStreams streams, const Configuration& c) {
  return valued_examples(std::move(streams.source), streams.labels, streams.labels_name, c,
                         integer_or_none(args, "max-length"));
}

}  // namespace

std::string labels_option(const TaskSpec& task) {
  return task.labelled == Labelled::numbers ? "target-values" : "labels";
}

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
          .labelled = Labelled::records,
          .options = {"class-token", "pooling", "class-weights"},
          .examples =
              [](const Args& args, TaskStreams streams, const Configuration& c) {
                return classification_examples(std::move(streams.source), std::move(streams.labels.classes),
                                               streams.labels_name, c, integer_or_none(args, "max-length"));
              },
      },
      {
          .name = "multi-label",
          .help = "--source: the same; --labels: names on a line, those\n"
                  "that hold, or none, or numbers 0 to 1 (..., C): each\n"
                  "label is a question of its own (binary cross-entropy)",
          .kind = ModelKind::encoder_only,
          .head = Head::classes,
          .problem = ProblemType::multi_label,
          .reads_source = true,
          .labelled = Labelled::sets,
          .options = {"class-token", "pooling", "pos-weights"},
          .examples = valued,
      },
      {
          .name = "regression",
          .help = "--source: the same; --target-values: a number on each\n"
                  "line, or several, or records (..., N): a linear layer\n"
                  "gives them (mean squared error)",
          .kind = ModelKind::encoder_only,
          .head = Head::classes,
          .problem = ProblemType::regression,
          .reads_source = true,
          .labelled = Labelled::numbers,
          .options = {"class-token", "pooling"},
          .metrics = {"loss"},
          .examples = valued,
      },
      {
          .name = "tagging",
          .help = "--source: the same; --labels: names on a line, or\n"
                  "numbers (T,): an encoder and a linear layer predict\n"
                  "the class of each position, or with --words of each\n"
                  "word's first one (Devlin et al. 2019, section 5.3)",
          .kind = ModelKind::encoder_only,
          .head = Head::token_classes,
          .reads_source = true,
          .labelled = Labelled::positions,
          .options = {"words", "valid-words", "class-weights"},
          .examples =
              [](const Args& args, TaskStreams streams, const Configuration& c) {
                return tagging_examples(std::move(streams.source), streams.words, streams.labels, streams.labels_name,
                                        c, integer_or_none(args, "max-length"));
              },
      },
      {
          .name = "spans",
          .help = "--source: ids of pairs, question and text, --types:\n"
                  "their types; --labels: two numbers: an encoder and a\n"
                  "linear layer predict the first and the last position\n"
                  "of the answer, 0 and 0 where there is none, or with\n"
                  "--offsets the characters of the text, begin and end\n"
                  "(Devlin et al. 2019, section 4.2)",
          .kind = ModelKind::encoder_only,
          .head = Head::token_classes,
          .reads_source = true,
          .labelled = Labelled::spans,
          .options = {"offsets", "valid-offsets"},
          .examples =
              [](const Args& args, TaskStreams streams, const Configuration& c) {
                return span_examples(std::move(streams.source), streams.labels.classes,
                                     streams.offsets ? &*streams.offsets : nullptr, streams.labels_name, c,
                                     integer_or_none(args, "max-length"));
              },
      },
      {
          .name = "contrastive",
          .help = "--source, --target: ids (T,), pair by pair: an\n"
                  "encoder gives vectors that are nearest for what\n"
                  "belongs together; with sources of vectors (T, D),\n"
                  "such as patches, two encoders, `image` and `text` in\n"
                  "one file (Radford et al. 2021, CLIP)",
          .kind = ModelKind::encoder_only,
          .head = Head::none,
          .reads_source = true,
          .reads_target = true,
          .options = {"class-token", "pooling", "projection", "image", "text"},
          .examples =
              [](const Args& args, TaskStreams streams, const Configuration& c) {
                return pair_examples(std::move(streams.source), std::move(streams.target), c, streams.target_reader,
                                     integer_or_none(args, "max-length"));
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
      list("source", "FILE",
           "source ids (classification, tagging, contrastive: or vectors); several files are read one after another"),
      list("target", "FILE", "target ids; for a language model the text"),
      text("mix", "W,W,...",
           "how often an epoch goes through each of several files of --source (a language model: of --target): 2 is "
           "twice, 0.25 another random quarter each time (default: once)"),
      list("labels", "FILE",
           "classification: a name on each line, or class numbers; tagging: several, with spaces between, or records "
           "(T,), in which -1 is no label; multi-label: those that hold"),
      list("target-values", "FILE", "regression: the numbers that are to be predicted"),
      list("words", "FILE", "tagging: word numbers (T,) of the ids (tokenize --words); labels are those of words"),
      list("valid-source", "FILE", "the same to validate on"),
      list("valid-target", "FILE", "the same to validate on"),
      list("valid-labels", "FILE", "the same to validate on"),
      list("valid-target-values", "FILE", "the same to validate on"),
      list("class-weights", "NAME=W",
           "classification, tagging: what an answer counts whose class this is (1 unless given), in a weighted mean; "
           "or `balanced`, inverse to how often it occurs"),
      list("pos-weights", "NAME=W",
           "multi-label: what a label that holds counts (1 unless given); or `balanced`, as often as it does not"),
      list("types", "FILE", "of an encoder alone: token types (T,) of the ids (tokenize --types)"),
      text("offsets", "FILE", "spans: where the ids stand (T, 3) (tokenize --offsets); labels are characters"),
      list("valid-words", "FILE", "the same to validate on"),
      list("valid-types", "FILE", "the same to validate on"),
      text("valid-offsets", "FILE", "the same to validate on"),
      text("valid-references", "FILE", "--metric bleu: the validation targets as text"),
      integer("context", "N", "language model: windows of N tokens of one running text (default: each record alone)",
              "", 1),
      number("mask-rate", "P", "masked language model: share of the ids that are predicted", "0.15", 0, 1),
      list("image", "NAME=VALUE",
           "contrastive: an option of a stack, or pooling, for the encoder of vectors alone, as in layers=4"),
      list("text", "NAME=VALUE", "the same for the encoder of ids alone"),
      integer("max-length", "N", "leave out records of more than N tokens, and say how many", "", 1),
      text("tokenizer", "FILE", "tokenizer to store in the model; gives the vocabulary and control ids"),
      text(
          "from", "FILE",
          "start from this model's parameters and hyper-parameters (fine-tuning); an encoder may get a new classifier, "
          "and so may a language model, read as an encoder whose last position stands for the sequence"),
  };
}

std::pair<std::string, double> named_number(const std::string& option, const std::string& text,
                                            const std::string& expected) {
  const std::size_t at = text.rfind('=');
  double number = 0;
  const char* end = text.data() + text.size();
  if (at == std::string::npos || at == 0 || std::from_chars(text.data() + at + 1, end, number).ptr != end ||
      !(number >= 0 && number <= 1e6))
    throw UsageError(cat("--", option, " ", text, ": ", expected, " expected"));
  return {text.substr(0, at), number};
}

namespace {

/// "classification or contrastive": the tasks that have an option.
std::string tasks_with(const std::string& option) {
  std::string names;
  for (const TaskSpec& task : training_tasks())
    if (std::find(task.options.begin(), task.options.end(), option) != task.options.end())
      names += (names.empty() ? "" : " or ") + task.name;
  return names;
}

/// The stream without which there is no validation.
std::string valid_stream(const TaskSpec& task) {
  return task.reads_source ? "valid-source" : "valid-target";
}

}  // namespace

bool validates(const Args& args, const TaskSpec& task) {
  return !args.list(valid_stream(task)).empty();
}

void check_task_options(const Args& args, const TaskSpec& task) {
  const auto only = [&](bool condition, const std::string& tasks, const std::vector<std::string>& options) {
    args.allow_only(condition, "--task " + tasks, options);
  };
  only(task.reads_source, "translation or another one with sources", {"source", "valid-source"});
  only(task.reads_target, "translation or another one with targets", {"target", "valid-target"});
  const bool numbers = task.labelled == Labelled::numbers;
  only(task.labelled && !numbers, "classification, multi-label, tagging or spans", {"labels", "valid-labels"});
  only(numbers, "regression", {"target-values", "valid-target-values"});
  only(task.problem == ProblemType::single_label, "with one answer each, which regression and multi-label have not",
       {"label-smoothing"});
  only(task.kind == ModelKind::encoder_only, "of an encoder alone", {"types", "valid-types"});
  for (const TaskSpec& other : training_tasks())
    for (const std::string& option : other.options)
      only(std::find(task.options.begin(), task.options.end(), option) != task.options.end(), tasks_with(option),
           {option});
  if (task.head == Head::none && args.given("normalize") && !args.flag("normalize"))
    throw UsageError(cat("--no-normalize is not for --task ", task.name, ", which compares vectors of length 1"));
  args.allow_only(args.text("metric") == "bleu", "--metric bleu", {"valid-references"});
  std::ptrdiff_t stdins = 0;
  for (const char* option :
       {"source", "target", "labels", "words", "types", "valid-source", "valid-target", "valid-labels", "target-values",
        "valid-target-values", "valid-types", "valid-words", "valid-references", "tokenizer", "from"}) {
    const std::vector<std::string> files = args.list(option);
    stdins += std::count(files.begin(), files.end(), "-");
  }
  if (stdins > 1) throw UsageError("only one input can be standard input ('-')");
  if (args.has("context") && args.has("max-length")) throw UsageError("--context and --max-length exclude each other");
  args.allow_only(!args.has("context"), "examples that are records: no --context", {"mix"});
  args.allow_only(validates(args, task), "--" + valid_stream(task),
                  {"patience", "metric", "keep-best", "valid-references", "valid-labels", "valid-target-values",
                   "valid-words", "valid-types", "valid-offsets"});
  if (task.reads_source) args.allow_only(validates(args, task), "--valid-source", {"valid-target"});
  if (std::find(task.metrics.begin(), task.metrics.end(), args.text("metric")) == task.metrics.end())
    throw UsageError(
        cat("--metric ", args.text("metric"), numbers ? " is not of --task regression" : " needs --task translation"));
}

}  // namespace pipeformer
