#include "cli/training_options.hpp"

#include <type_traits>

#include "cli/training_tasks.hpp"

namespace pipeformer {
namespace {

using Settings = TrainingSettings;

/// One line of the table: an option, and where its value goes.
struct Setting {
  Option option;
  std::function<void(Settings&, const Args&)> set = [](Settings&, const Args&) {};
};

/// An option whose value is the member that `member` gives; one that is not given and has no default leaves it.
template <class Member>
Setting into(Option option, Member member) {
  return {option, [member, name = option.name](Settings& s, const Args& args) {
            if (!args.has(name)) return;
            auto& value = member(s);
            using T = std::decay_t<decltype(value)>;
            if constexpr (std::is_same_v<T, std::string>)
              value = args.text(name);
            else if constexpr (std::is_integral_v<T>)
              value = args.integer(name);
            else
              value = static_cast<T>(args.number(name));
          }};
}

const std::vector<Setting>& training_table() {
  static const std::vector<Setting> table{
      into(
          integer("batch-tokens", "N", "tokens of a batch, at most (target tokens, when there are targets)", "4096", 1),
          [](Settings & s) -> auto& { return s.batches.tokens; }),
      into(
          integer("sort-window", "N", "sort N shuffled examples by length, so that batches are even (0: do not)", "0",
                  0),
          [](Settings & s) -> auto& { return s.batches.sort_window; }),
      into(
          integer("accumulate", "N", "add up the gradients of N batches for each update", "1", 1, 1000000),
          [](Settings & s) -> auto& { return s.accumulate; }),
      into(
          integer("steps", "N", "stop after so many updates in all", "", 1),
          [](Settings & s) -> auto& { return s.max_steps; }),
      into(
          integer("epochs", "N", "stop after so many epochs in all (default: 10, without --steps and --minutes)", "",
                  1),
          [](Settings & s) -> auto& { return s.max_epochs; }),
      {number("minutes", "M", "stop after so many minutes in all, with validations", "", 0.001, 1e7),
       [](Settings& s, const Args& a) { s.max_seconds = a.has("minutes") ? 60 * a.number("minutes") : 0; }},
      into(
          integer("validate-every", "N", "steps between validations (default: each epoch)", "", 1),
          [](Settings & s) -> auto& { return s.validate_every; }),
      into(
          choice("metric", "loss|accuracy|bleu", "what makes a validation better than another", "loss"),
          [](Settings & s) -> auto& { return s.metric; }),
      into(
          integer("patience", "N", "stop after so many validations without a better one (0: never)", "0", 0),
          [](Settings & s) -> auto& { return s.patience; }),
      into(
          choice("optimizer", "adam|adamw|sgd", "Adam, AdamW or gradient descent with momentum", "adam"),
          [](Settings & s) -> auto& { return s.optimizer.kind; }),
      into(
          number("learning-rate", "R", "peak learning rate", "0.001", 0, 10),
          [](Settings & s) -> auto& { return s.schedule.peak; }),
      into(
          choice("schedule", "inverse-sqrt|constant|linear|cosine",
                 "learning rate after the warm-up; linear and cosine end at --steps, or else with --minutes",
                 "inverse-sqrt"),
          [](Settings & s) -> auto& { return s.schedule.kind; }),
      into(
          integer("warmup", "N", "steps of linear rise to the peak", "4000", 0),
          [](Settings & s) -> auto& { return s.schedule.warmup; }),
      into(
          number("final-rate", "R", "where linear and cosine end", "0", 0, 10),
          [](Settings & s) -> auto& { return s.schedule.floor; }),
      into(
          number("beta1", "B", "Adam's decay of the first moment", "0.9", 0, 0.999999),
          [](Settings & s) -> auto& { return s.optimizer.beta1; }),
      into(
          number("beta2", "B", "Adam's decay of the second moment", "0.98", 0, 0.999999),
          [](Settings & s) -> auto& { return s.optimizer.beta2; }),
      into(
          number("epsilon", "E", "Adam's epsilon", "1e-9", 1e-30, 1),
          [](Settings & s) -> auto& { return s.optimizer.epsilon; }),
      into(
          number("momentum", "M", "--optimizer sgd: momentum", "0.9", 0, 0.999999),
          [](Settings & s) -> auto& { return s.optimizer.momentum; }),
      into(
          number("weight-decay", "W", "--optimizer adamw: decoupled weight decay, not of biases and norms", "0.01", 0,
                 1e6),
          [](Settings & s) -> auto& { return s.optimizer.weight_decay; }),
      {list("rate-factor", "GLOB=F", "multiply the learning rate of the parameters that match, e.g. 'encoder/*=0.1'"),
       [](Settings& s, const Args& a) {
         for (const std::string& text : a.list("rate-factor"))
           s.rate_factors.push_back(named_number("rate-factor", text, "GLOB=FACTOR"));
       }},
      {number("layer-decay", "D",
              "multiply the learning rate of each layer by D once more than that of the layer after it, and of what is "
              "before the first one once more",
              "", 0.001, 1)},
      {list("freeze", "GLOB", "do not train the parameters that match"),
       [](Settings& s, const Args& a) {
         for (const std::string& pattern : a.list("freeze")) s.rate_factors.emplace_back(pattern, 0.0);
       }},
      into(
          integer("adapter", "R", "--from: train adapters of rank R (Hu et al. 2022, LoRA), and else a new head only",
                  "", 1),
          [](Settings & s) -> auto& { return s.adapters.rank; }),
      into(
          number("adapter-alpha", "A", "adapters count A / R times (default: R, so once)", "", 1e-6, 1e6),
          [](Settings & s) -> auto& { return s.adapters.alpha; }),
      {list("adapter-on", "GLOB",
            "weights that get an adapter (default: '*_attn/query/weight' and '*_attn/value/weight')"),
       [](Settings& s, const Args& a) { s.adapters.patterns = a.list("adapter-on"); }},
      into(
          number("clip-norm", "C", "scale gradients down to this norm (0: never)", "0", 0, 1e30),
          [](Settings & s) -> auto& { return s.clip_norm; }),
      into(
          number("label-smoothing", "E",
                 "share of the probability spread over all answers (default: 0.1 for translation)", "", 0, 0.999),
          [](Settings & s) -> auto& { return s.label_smoothing; }),
      into(
          number("dropout", "P", "dropout on embeddings and sublayer outputs", "0.1", 0, 0.999),
          [](Settings & s) -> auto& { return s.dropout.residual; }),
      into(
          number("attention-dropout", "P", "dropout on attention weights", "0", 0, 0.999),
          [](Settings & s) -> auto& { return s.dropout.attention; }),
      into(
          number("activation-dropout", "P", "dropout inside the feed-forward layers", "0", 0, 0.999),
          [](Settings & s) -> auto& { return s.dropout.activation; }),
      into(
          number("layer-drop", "P", "leave out each layer with this probability, batch by batch", "0", 0, 0.999),
          [](Settings & s) -> auto& { return s.dropout.layer; }),
      {flag("checkpoint-activations",
            "keep of each layer its input alone and compute it again in the backward pass: less memory, the same bits"),
       [](Settings& s, const Args& a) { s.recompute = a.flag("checkpoint-activations"); }},
      into(
          number("l1", "L", "penalty L * |w| on every parameter but biases and norms", "0", 0, 1e6),
          [](Settings & s) -> auto& { return s.optimizer.l1; }),
      into(
          number("l2", "L", "penalty L / 2 * w^2 on the same", "0", 0, 1e6),
          [](Settings & s) -> auto& { return s.optimizer.l2; }),
      into(
          number("average-decay", "D", "validate and save an exponential moving average of the parameters (0: do not)",
                 "0", 0, 0.999999),
          [](Settings & s) -> auto& { return s.average_decay; }),
      {choice("reduce", "float32|bf16",
              "started by mpirun: how ranks add up gradients; bf16 sends half the bytes, rounded to bfloat16",
              "float32")},
      {text("checkpoint", "FILE", "state of the run (default: --output with .checkpoint.h5)")},
      {flag("resume", "go on from the checkpoint, if there is one")},
      {flag("overwrite", "--keep-last, --keep-best: remove the models OUTPUT.step-S.h5 that an earlier run kept")},
      into(
          integer("keep-last", "N", "also keep the models of the last N validations, as OUTPUT.step-S.h5", "0", 0,
                  100000),
          [](Settings & s) -> auto& { return s.keep.last; }),
      into(
          integer("keep-best", "N", "also keep the models of the best N validations", "0", 0, 100000),
          [](Settings & s) -> auto& { return s.keep.best; }),
      {text("log", "FILE", "log of the run as TSV")},
      into(
          integer("log-every", "N", "steps between rows of the log", "50", 1),
          [](Settings & s) -> auto& { return s.log_every; }),
      {text("gradients", "FILE.h5", "write the gradient of each parameter at the last update, before clipping")},
  };
  return table;
}

}  // namespace

std::vector<Option> training_options() {
  std::vector<Option> options = task_options();
  for (const Setting& setting : training_table()) options.push_back(setting.option);
  return options;
}

TrainingSettings training_settings(const Args& args) {
  TrainingSettings s;
  s.label_smoothing = training_task_spec(args).label_smoothing;
  for (const Setting& setting : training_table()) setting.set(s, args);
  const std::string &optimizer = s.optimizer.kind, &schedule = s.schedule.kind;
  const bool falls = schedule == "linear" || schedule == "cosine";
  args.allow_only(optimizer != "sgd", "--optimizer adam or adamw", {"beta1", "beta2", "epsilon"});
  args.allow_only(optimizer == "sgd", "--optimizer sgd", {"momentum"});
  args.allow_only(optimizer == "adamw", "--optimizer adamw", {"weight-decay"});
  args.allow_only(falls, "--schedule linear or cosine", {"final-rate"});
  args.allow_only(s.keep.last + s.keep.best > 0, "--keep-last or --keep-best", {"overwrite"});
  if (falls && s.max_steps == 0 && s.max_seconds == 0)
    throw UsageError(cat("--schedule ", schedule, " needs --steps or --minutes"));
  s.seed = args.seed();
  s.bfloat16_gradients = args.text("reduce") == "bf16";
  if (!args.has("epochs") && s.max_steps == 0 && s.max_seconds == 0) s.max_epochs = 10;
  s.schedule.last_step = s.max_steps;
  if (optimizer != "adamw") s.optimizer.weight_decay = 0;
  return s;
}

}  // namespace pipeformer
