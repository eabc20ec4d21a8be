#include "cli/training_options.hpp"

#include <algorithm>
#include <charconv>

#include "cli/model_options.hpp"
#include "io/address.hpp"
#include "io/output_file.hpp"
#include "io/text_lines.hpp"
#include "models/classes.hpp"
#include "search/translate.hpp"
#include "text/bleu.hpp"
#include "train/labels.hpp"

namespace pipeformer {

std::vector<Option> training_options() {
  return {
      choice("task", "translation|language-model|masked-language-model|classification", "what is learned",
             "translation"),
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

      integer("batch-tokens", "N", "tokens of a batch, at most (target tokens, when there are targets)", "4096", 1),
      integer("sort-window", "N", "sort N shuffled examples by length, so that batches are even (0: do not)", "0", 0),
      integer("accumulate", "N", "add up the gradients of N batches for each update", "1", 1, 1000000),
      integer("steps", "N", "stop after so many updates in all", "", 1),
      integer("epochs", "N", "stop after so many epochs in all (default: 10, without --steps and --minutes)", "", 1),
      number("minutes", "M", "stop after so many minutes in all, with validations", "", 0.001, 1e7),
      integer("validate-every", "N", "steps between validations (default: each epoch)", "", 1),
      choice("metric", "loss|accuracy|bleu", "what makes a validation better than another", "loss"),
      integer("patience", "N", "stop after so many validations without a better one (0: never)", "0", 0),

      choice("optimizer", "adam|adamw|sgd", "Adam, AdamW or gradient descent with momentum", "adam"),
      number("learning-rate", "R", "peak learning rate", "0.001", 0, 10),
      choice("schedule", "inverse-sqrt|constant|linear|cosine",
             "learning rate after the warm-up; linear and cosine end at --steps, or else with --minutes",
             "inverse-sqrt"),
      integer("warmup", "N", "steps of linear rise to the peak", "4000", 0),
      number("final-rate", "R", "where linear and cosine end", "0", 0, 10),
      number("beta1", "B", "Adam's decay of the first moment", "0.9", 0, 0.999999),
      number("beta2", "B", "Adam's decay of the second moment", "0.98", 0, 0.999999),
      number("epsilon", "E", "Adam's epsilon", "1e-9", 1e-30, 1),
      number("momentum", "M", "--optimizer sgd: momentum", "0.9", 0, 0.999999),
      number("weight-decay", "W", "--optimizer adamw: decoupled weight decay, not of biases and norms", "0.01", 0, 1e6),
      list("rate-factor", "GLOB=F", "multiply the learning rate of the parameters that match, e.g. 'encoder/*=0.1'"),
      list("freeze", "GLOB", "do not train the parameters that match"),
      number("clip-norm", "C", "scale gradients down to this norm (0: never)", "0", 0, 1e30),
      number("label-smoothing", "E", "share of the probability spread over all answers (default: 0.1 for translation)",
             "", 0, 0.999),
      number("dropout", "P", "dropout on embeddings and sublayer outputs", "0.1", 0, 0.999),
      number("attention-dropout", "P", "dropout on attention weights", "0", 0, 0.999),
      number("activation-dropout", "P", "dropout inside the feed-forward layers", "0", 0, 0.999),
      number("layer-drop", "P", "leave out each layer with this probability, batch by batch", "0", 0, 0.999),
      number("l1", "L", "penalty L * |w| on every parameter but biases and norms", "0", 0, 1e6),
      number("l2", "L", "penalty L / 2 * w^2 on the same", "0", 0, 1e6),
      number("average-decay", "D", "validate and save an exponential moving average of the parameters (0: do not)", "0",
             0, 0.999999),

      text("checkpoint", "FILE", "state of the run (default: --output with .checkpoint.h5)"),
      flag("resume", "go on from the checkpoint, if there is one"),
      flag("overwrite", "--keep-last, --keep-best: remove the models OUTPUT.step-S.h5 that an earlier run kept"),
      integer("keep-last", "N", "also keep the models of the last N validations, as OUTPUT.step-S.h5", "0", 0, 100000),
      integer("keep-best", "N", "also keep the models of the best N validations", "0", 0, 100000),
      text("log", "FILE", "log of the run as TSV"),
      integer("log-every", "N", "steps between rows of the log", "50", 1),
      text("gradients", "FILE.h5", "write the gradient of each parameter at the last update, before clipping"),
  };
}

namespace {

/// "encoder/*=0.1"
std::pair<std::string, double> rate_factor(const std::string& text) {
  const std::size_t at = text.rfind('=');
  double factor = 0;
  const char* end = text.data() + text.size();
  if (at == std::string::npos || at == 0 || std::from_chars(text.data() + at + 1, end, factor).ptr != end ||
      !(factor >= 0 && factor <= 1e6))
    throw UsageError(cat("--rate-factor ", text, ": GLOB=FACTOR expected"));
  return {text.substr(0, at), factor};
}

}  // namespace

TrainingSettings training_settings(const Args& args) {
  TrainingSettings s;
  const std::string optimizer = args.text("optimizer"), schedule = args.text("schedule"), task = args.text("task");
  args.allow_only(optimizer != "sgd", "--optimizer adam or adamw", {"beta1", "beta2", "epsilon"});
  args.allow_only(optimizer == "sgd", "--optimizer sgd", {"momentum"});
  args.allow_only(optimizer == "adamw", "--optimizer adamw", {"weight-decay"});
  args.allow_only(schedule == "linear" || schedule == "cosine", "--schedule linear or cosine", {"final-rate"});
  args.allow_only(args.integer("keep-last") + args.integer("keep-best") > 0, "--keep-last or --keep-best",
                  {"overwrite"});
  s.seed = args.seed();
  s.batches = {args.integer("batch-tokens"), args.integer("sort-window")};
  s.accumulate = args.integer("accumulate");
  s.max_steps = args.has("steps") ? args.integer("steps") : 0;
  s.max_epochs = args.has("epochs") ? args.integer("epochs") : args.has("steps") || args.has("minutes") ? 0 : 10;
  s.max_seconds = args.has("minutes") ? 60 * args.number("minutes") : 0;
  s.validate_every = args.has("validate-every") ? args.integer("validate-every") : 0;
  s.metric = args.text("metric");
  s.patience = args.integer("patience");
  s.log_every = args.integer("log-every");
  s.label_smoothing = args.has("label-smoothing") ? args.number("label-smoothing") : task == "translation" ? 0.1 : 0;
  s.clip_norm = args.number("clip-norm");
  s.average_decay = args.number("average-decay");
  s.dropout = {static_cast<float>(args.number("dropout")), static_cast<float>(args.number("attention-dropout")),
               static_cast<float>(args.number("activation-dropout")), static_cast<float>(args.number("layer-drop"))};
  s.schedule = {schedule, args.number("learning-rate"), args.integer("warmup"), s.max_steps, args.number("final-rate")};
  if ((schedule == "linear" || schedule == "cosine") && s.max_steps == 0 && s.max_seconds == 0)
    throw UsageError(cat("--schedule ", schedule, " needs --steps or --minutes"));
  s.optimizer = {optimizer,
                 args.number("beta1"),
                 args.number("beta2"),
                 args.number("epsilon"),
                 args.number("momentum"),
                 args.number("l1"),
                 args.number("l2"),
                 optimizer == "adamw" ? args.number("weight-decay") : 0.0};
  for (const std::string& text : args.list("rate-factor")) s.rate_factors.push_back(rate_factor(text));
  for (const std::string& pattern : args.list("freeze")) s.rate_factors.emplace_back(pattern, 0.0);
  s.keep = {args.integer("keep-last"), args.integer("keep-best")};
  return s;
}

namespace {

/// What the task trains, before hyper-parameters are known.
Configuration kind_of_task(const std::string& task) {
  Configuration c;
  if (task == "language-model") c.kind = ModelKind::decoder_only;
  if (task == "masked-language-model" || task == "classification") c.kind = ModelKind::encoder_only;
  if (task == "classification") c.head = Head::classes;
  return c;
}

/// The data of one side: training or validation ("valid-").
class TaskData {
 public:
  TaskData(const Args& args, std::string prefix, std::string task)
      : args_(args), prefix_(std::move(prefix)), task_(std::move(task)) {
    if (task_ != "language-model") source_ = RecordSet::open(files("source"));
    if (task_ == "translation" || task_ == "language-model") target_ = RecordSet::open(files("target"));
  }

  /// Of the vectors that are the source; 0 for ids.
  std::int64_t input_width() const { return source_.width(); }
  Labels labels(const std::vector<std::string>& names, std::int64_t classes) const {
    return Labels::load(files("labels"), names, classes);
  }
  /// Hands the data over. labels: of a classification.
  std::unique_ptr<Examples> examples(const Configuration& c, const Labels& labels) {
    const std::int64_t longest = args_.has("max-length") ? args_.integer("max-length") : 0;
    if (task_ != "language-model")
      c.reads_vectors() ? source_.expect_vectors(c.input_width) : source_.expect_ids(c.source_vocabulary);
    if (c.has_decoder()) target_.expect_ids(c.target_vocabulary);
    if (task_ == "translation") return translation_examples(std::move(source_), std::move(target_), c, longest);
    if (task_ == "language-model")
      return language_examples(std::move(target_), c, args_.has("context") ? args_.integer("context") : 0, longest);
    if (task_ == "masked-language-model")
      return masked_examples(std::move(source_), c, args_.number("mask-rate"), longest);
    return classification_examples(std::move(source_), labels.classes, args_.list(prefix_ + "labels").front(), c,
                                   longest);
  }

 private:
  std::vector<std::string> files(const std::string& name) const {
    auto files = args_.list(prefix_ + name);
    if (files.empty()) throw UsageError(cat("option '--", prefix_, name, "' is required"));
    return files;
  }

  const Args& args_;
  std::string prefix_, task_;
  RecordSet source_, target_;
};

void check_task_options(const Args& args, const std::string& task) {
  const auto only = [&](bool condition, const std::string& tasks, const std::vector<std::string>& options) {
    args.allow_only(condition, "--task " + tasks, options);
  };
  only(task != "language-model", "translation or another one with sources", {"source", "valid-source"});
  only(task == "translation" || task == "language-model", "translation or language-model", {"target", "valid-target"});
  only(task == "classification", "classification", {"labels", "valid-labels", "class-token", "pooling"});
  only(task == "language-model", "language-model", {"context"});
  only(task == "masked-language-model", "masked-language-model", {"mask-rate", "mask-id"});
  args.allow_only(args.text("metric") == "bleu", "--metric bleu", {"valid-references"});
  std::ptrdiff_t stdins = 0;
  for (const char* option : {"source", "target", "labels", "valid-source", "valid-target", "valid-labels",
                             "valid-references", "tokenizer", "from"}) {
    const std::vector<std::string> files = args.list(option);
    stdins += std::count(files.begin(), files.end(), "-");
  }
  if (stdins > 1) throw UsageError("only one input can be standard input ('-')");
  if (args.has("context") && args.has("max-length")) throw UsageError("--context and --max-length exclude each other");
  const bool validates = !args.list(task == "language-model" ? "valid-target" : "valid-source").empty();
  args.allow_only(validates, task == "language-model" ? "--valid-target" : "--valid-source",
                  {"patience", "metric", "keep-best", "valid-references", "valid-labels"});
  if (task == "translation") args.allow_only(validates, "--valid-source", {"valid-target"});
  if (args.text("metric") == "bleu" && task != "translation")
    throw UsageError("--metric bleu needs --task translation");
}

}  // namespace

TrainingTask training_task(const Args& args, ModelFile* from) {
  const std::string task = args.text("task");
  check_task_options(args, task);
  const bool classifies = task == "classification";
  TrainingTask result;
  if (from) result.texts = from->texts();
  const auto tokenizer = args.has("tokenizer") ? Tokenizer::load(args.text("tokenizer")) : nullptr;
  if (tokenizer) result.texts.tokenizer = tokenizer->bytes();
  Configuration kind = kind_of_task(task), &c = result.configuration;
  bool new_head = false;
  if (from) {
    if (!from->group().empty()) throw UsageError(cat("--from takes a whole model, not its part ", from->group()));
    c = from->configuration();
    // An encoder that was trained for something else gets a classifier (Devlin et al. 2019, section 3.2).
    new_head = classifies && c.kind == kind.kind && c.head != kind.head;
    require(c.kind == kind.kind && (c.head == kind.head || new_head), from->name(), ": ", task,
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
  if (!args.list(task == "language-model" ? "valid-target" : "valid-source").empty()) {
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
