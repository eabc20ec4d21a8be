#include "cli/training_start.hpp"

#include <algorithm>
#include <charconv>

#include "cli/model_options.hpp"
#include "core/selection.hpp"
#include "models/causal_encoder.hpp"
#include "models/classes.hpp"
#include "train/layer_rates.hpp"

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
    return Labels::load(files(labels_option(task_)), names, classes, *task_.labelled);
  }
  /// Hands the data over. labels: of a task that has some.
  std::unique_ptr<Examples> examples(const std::vector<Tower>& models, const Labels& labels) {
    const Configuration &c = models.front().configuration, &target_reader = models.back().configuration;
    if (task_.reads_source)
      c.reads_vectors() ? streams_.source.expect_vectors(c.input_width)
                        : streams_.source.expect_ids(c.source_vocabulary);
    if (task_.reads_target) streams_.target.expect_ids(target_reader.output_vocabulary());
    streams_.target_reader = target_reader;
    if (types_.records() > 0)
      streams_.source.attach_types(std::move(types_), std::max<std::int64_t>(c.encoder.token_types, 1));
    streams_.labels = labels;
    if (task_.labelled) streams_.labels_name = args_.list(prefix_ + labels_option(task_)).front();
    const std::vector<std::int64_t> ends = (task_.reads_source ? streams_.source : streams_.target).ends();
    std::unique_ptr<Examples> examples = task_.examples(args_, std::move(streams_), c);
    if (prefix_.empty() && args_.has("mix")) examples->mix(ends, mix(ends.size()));
    return examples;
  }

 private:
  /// The numbers of --mix, one for each file.
  std::vector<double> mix(std::size_t count) const {
    const std::string option = task_.reads_source ? "source" : "target", text = args_.text("mix");
    std::vector<double> times;
    bool good = true;
    for (const std::string& part : split(text, ',')) {
      const char* end = part.data() + part.size();
      const auto [at, error] = std::from_chars(part.data(), end, times.emplace_back());
      good &= error == std::errc() && at == end && times.back() >= 0 && times.back() <= 1000;
    }
    if (!good || times.size() != count || std::all_of(times.begin(), times.end(), [](double t) { return t == 0; }))
      throw UsageError(cat("--mix ", text, ": ", count, count == 1 ? " number" : " numbers",
                           " from 0 to 1000, one for each file of --", option, ", not all 0, expected"));
    return times;
  }

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

/// Whether vectors of sequences are what the task is about, in which a new head reads them.
bool pools(const TaskSpec& task) {
  return task.head == Head::classes || task.head == Head::none;
}

/// What the task begins with of the model that --from names: a language model is an encoder to a task of encoders that
/// gives it another head.
Configuration beginning_from(const TaskSpec& task, const Configuration& from) {
  const bool encodes = task.kind == ModelKind::encoder_only && task.head != Head::tokens;
  return encodes && from.kind == ModelKind::decoder_only ? causal_encoder(from) : from;
}

/// An encoder that was trained for something else gets a classifier (Devlin et al. 2019, section 3.2), or none.
bool gets_new_head(const TaskSpec& task, const Configuration& from) {
  return (task.labelled || task.head == Head::none) && from.kind == task.kind &&
         (from.head != task.head || from.problem_type != task.problem);
}

/// Whether an option says how the new head reads the sequence.
bool is_of_new_head(const Args& args, const TaskSpec& task, const std::string& option) {
  return pools(task) && (option == "pooling" || (option == "end-id" && args.text("pooling") == "end"));
}

void give_new_head(const Args& args, const TaskSpec& task, const Tokenizer* tokenizer, Configuration& c) {
  c.head = task.head;
  c.problem_type = task.problem;
  if (pools(task)) {
    const bool knows_end = c.pooling == Pooling::end && !args.has("end-id");
    if (args.given("pooling") || !c.encoder.causal) c.pooling = from_name<Pooling>(args.text("pooling"));
    if (c.pooling == Pooling::end && !c.reads_vectors() && !knows_end) c.end_id = pooled_end_id(args, tokenizer);
  }
  if (task.head != Head::classes) {
    c.pooler = c.normalize = c.head_dense = c.head_norm = c.output_bias = false;
    c.projection = 0;
  }
  // As the families of causal models have it, in which such a classifier can be exported.
  c.classifier_bias = !(task.head == Head::classes && c.encoder.causal && c.pooling == Pooling::last);
}

/// Throws unless the model of --from is one that the task trains, with the vocabulary of the tokenizer (may be null).
void check_from(const Args& args, const TaskSpec& task, const ModelFile& from, const Tokenizer* tokenizer) {
  if (!from.group().empty()) throw UsageError(cat("--from takes a whole model, not its part ", from.group()));
  const Configuration c = beginning_from(task, from.configuration());
  const bool new_head = gets_new_head(task, c);
  require(c.kind == task.kind && (c.head == task.head || new_head), from.name(), ": ", task.name,
          " trains a model of kind ", name_of(task.kind), " that predicts ", name_of(task.head), ", not of kind ",
          name_of(c.kind), " that predicts ", name_of(c.head));
  std::vector<std::string> given_by_model{"image", "text"};
  for (const Option& option : configuration_options())
    if (!(new_head && is_of_new_head(args, task, option.name))) given_by_model.push_back(option.name);
  for (const std::string& option : given_by_model)
    if (args.given(option)) throw UsageError(cat("--", option, " is given by the model that --from names"));
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
  require(labels.names.empty() || labels.count() == classes, args.list(labels_option(training_task_spec(args))).front(),
          ": has ", labels.count(), " names, ", from->name(), " has ", classes, " classes");
  return labels;
}

/// One model for both sides, or one for vectors and one for ids.
void check_sides(const TaskData& data, const TaskSpec& task, std::span<const ModelFile> from) {
  if (from.empty() || task.head != Head::none) return;
  const std::size_t wanted = data.input_width() > 0 ? 2 : 1;
  require(from.size() == wanted, from.front().name(), ": holds ",
          from.size() > 1 ? cat(from.size(), " models") : "one model", ", ",
          wanted == 1 ? "pairs of ids are read by one: name it, as in FILE:text"
                      : "pairs of vectors and ids are read by two");
  require(wanted == 1 || (from[0].configuration().reads_vectors() && !from[1].configuration().reads_vectors()),
          from.front().name(), ": its models are not one that reads vectors and one that reads ids");
}

/// Fresh hyper-parameters of the task's models, without what labels say.
std::vector<Tower> fresh_models(const Args& args, const TaskSpec& task, const Tokenizer* tokenizer,
                                std::int64_t input_width, std::int64_t classes) {
  Configuration kind;
  kind.kind = task.kind;
  kind.head = task.head;
  kind.problem_type = task.problem;
  kind.classes = classes;
  Configuration reads_vectors = kind;
  reads_vectors.input_width = input_width;
  if (task.head != Head::none || input_width == 0) {
    args.allow_only(false, "sources of vectors: pairs of ids have one encoder", {"image", "text"});
    return {{"", configuration_from(args, tokenizer, reads_vectors), {}}};
  }
  return {{"image", configuration_from(args, tokenizer, reads_vectors, "image"), {}},
          {"text", configuration_from(args, tokenizer, kind, "text"), {}}};
}

/// How often each class is right, and, of labels that hold or do not, how often it is not.
std::pair<std::vector<double>, std::vector<double>> count_classes(const Labels& labels, std::int64_t classes) {
  std::vector<double> right(static_cast<std::size_t>(classes), 0), wrong(right.size(), 0);
  for (std::size_t i = 0; i < labels.values.size(); ++i) {
    right[i % right.size()] += static_cast<double>(labels.values[i]);
    wrong[i % right.size()] += 1 - static_cast<double>(labels.values[i]);
  }
  for (const std::int32_t c : labels.classes)
    if (c >= 0) right[static_cast<std::size_t>(c)] += 1;
  return {right, wrong};
}

/// balanced: the mean weight of the answers is 1 (scikit-learn's class_weight), or a label weighs when it holds as much
/// as all together do in which it does not (PyTorch's pos_weight); 1 where it never does.
std::vector<float> balanced_weights(const Labels& labels, std::int64_t classes) {
  const auto [right, wrong] = count_classes(labels, classes);
  double answers = 0;
  for (const double count : right) answers += count;
  std::vector<float> weights;
  for (std::size_t c = 0; c < right.size(); ++c) {
    const double balanced =
        labels.width > 0 ? wrong[c] / right[c] : answers / (static_cast<double>(classes) * right[c]);
    weights.push_back(right[c] > 0 ? static_cast<float>(balanced) : 1.0f);
  }
  return weights;
}

/// Throws Error unless an answer weighs something: a mean of nothing is no loss. where: the file of the labels.
void expect_weight(const Labels& labels, std::span<const float> weights, const std::string& where) {
  if (weights.empty() || labels.width > 0) return;
  const auto weighs = [&](std::int32_t c) { return c >= 0 && weights[static_cast<std::size_t>(c)] > 0; };
  require(std::any_of(labels.classes.begin(), labels.classes.end(), weighs), where,
          ": holds no class that --class-weights lets weigh anything");
}

/// Those that the options give; none: all are 1.
std::vector<float> class_weights(const Args& args, const TaskSpec& task, const Labels& labels, std::int64_t classes) {
  const std::string option = task.problem == ProblemType::multi_label ? "pos-weights" : "class-weights";
  const std::vector<std::string> given = args.list(option);
  if (given.empty()) return {};
  if (given.size() == 1 && given.front() == "balanced") return balanced_weights(labels, classes);
  const std::vector<std::string> names = names_or_numbers(labels.names, classes);
  std::vector<float> weights(names.size(), 1.0f);
  for (const std::string& text : given) {
    const auto [name, weight] = named_number(option, text, "NAME=WEIGHT, or `balanced`,");
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end())
      throw UsageError(cat("--", option, " ", text, ": '", name, "' is none of the ", names.size(), " classes"));
    weights[static_cast<std::size_t>(found - names.begin())] = static_cast<float>(weight);
  }
  if (std::none_of(weights.begin(), weights.end(), [](float weight) { return weight > 0; }))
    throw UsageError(cat("--", option, ": no class weighs anything"));
  return weights;
}

}  // namespace

std::vector<ModelFile> models_to_start_from(const Args& args) {
  std::vector<ModelFile> models;
  if (!args.has("from")) return models;
  if (training_task_spec(args).head == Head::none) return open_towers(args.text("from"));
  models.emplace_back(args.text("from"));
  return models;
}

TrainingStart training_start(const Args& args, std::span<ModelFile> from) {
  const TaskSpec& task = training_task_spec(args);
  check_task_options(args, task);
  const auto tokenizer = args.has("tokenizer") ? Tokenizer::load(args.text("tokenizer")) : nullptr;
  for (const ModelFile& model : from) check_from(args, task, model, tokenizer.get());
  const bool new_head = !from.empty() && gets_new_head(task, beginning_from(task, from.front().configuration()));

  TrainingStart start;
  TaskData train(args, "", task);
  check_sides(train, task, from);
  Labels labels;
  if (task.labelled) labels = training_labels(args, train, new_head || from.empty() ? nullptr : &from.front());

  std::vector<Tower>& models = start.models;
  for (const ModelFile& model : from)
    models.push_back({from.size() == 1                        ? ""
                      : model.configuration().reads_vectors() ? "image"
                                                              : "text",
                      beginning_from(task, model.configuration()), model.texts()});
  if (from.empty()) {
    const bool vectors = task.labelled || task.head == Head::none;
    models = fresh_models(args, task, tokenizer.get(), vectors ? train.input_width() : 0, labels.count());
  }
  for (Tower& model : models) {
    Configuration& c = model.configuration;
    if (new_head) {
      give_new_head(args, task, tokenizer.get(), c);
      c.classes = labels.count();
    }
    if (task.head == Head::none) c.normalize = true;
    if (args.has("context")) c.context = args.integer("context");  // what decode will keep to
    if (tokenizer && (models.size() == 1 || !c.reads_vectors())) model.texts.tokenizer = tokenizer->bytes();
    if (!task.labelled) continue;
    model.texts.labels.clear();
    for (const std::string& name : labels.names) model.texts.labels += name + "\n";
  }

  if (task.labelled) start.class_weights = class_weights(args, task, labels, models.front().configuration.classes);
  if (task.labelled) expect_weight(labels, start.class_weights, args.list(labels_option(task)).front());
  start.train = train.examples(models, labels);
  if (validates(args, task)) {
    TaskData valid(args, "valid-", task);
    // Numbered classes get no names from the validation data.
    Labels valid_labels;
    const std::int64_t classes = models.front().configuration.classes;
    if (task.labelled) valid_labels = valid.labels(names_or_numbers(labels.names, classes), classes);
    if (task.labelled)
      expect_weight(valid_labels, start.class_weights, args.list("valid-" + labels_option(task)).front());
    start.valid = valid.examples(models, valid_labels);
  }
  return start;
}

void set_rate_factors(const Args& args, const TrainingStart& start, std::span<const ModelFile> from,
                      TrainingSettings& s) {
  const auto before_own = [&](const std::vector<std::pair<std::string, double>>& factors) {
    s.rate_factors.insert(s.rate_factors.begin(), factors.begin(), factors.end());
  };
  args.allow_only(s.adapters.rank > 0, "--adapter", {"adapter-alpha", "adapter-on"});
  args.allow_only(s.adapters.rank == 0, "training without --adapter", {"layer-decay"});
  if (args.has("layer-decay")) before_own(layer_rates(start.models, args.number("layer-decay")));
  if (s.adapters.rank == 0) return;
  if (from.empty()) throw UsageError("--adapter needs --from: it trains beside the weights of a model");
  // Nothing else is trained, but for what the model has not had, and what the user's own factors say.
  const bool pairs = compares_vectors(start.models);
  const bool had_scale = from.size() > 1 ? from[0].file().has_dataset(kLogitScale) : from[0].has(kLogitScale);
  const bool same_head = from[0].configuration().predicts_like(start.models[0].configuration);
  std::vector<std::pair<std::string, double>> factors{{"*", 0}, {"*/adapter_[ab]", 1}};
  if (pairs ? !had_scale : !same_head) factors.emplace_back(pairs ? kLogitScale : "classifier/*", 1);
  before_own(factors);
}

}  // namespace pipeformer
