// train: id streams to a model.
#include <csignal>
#include <filesystem>

#include "cli/model_options.hpp"
#include "cli/tool.hpp"
#include "train/report.hpp"

using namespace pipeformer;

namespace {

const ToolSpec spec{
    .name = "train",
    .summary = "train a Transformer on pairs of id streams",
    .description =
        "Reads two streams of id records (T,), source and target, pair by pair, and trains an encoder-decoder to "
        "predict each target from its "
        "source (Vaswani et al. 2017, section 5): Adam, label smoothing, dropout, batches of about --batch-tokens "
        "target tokens in a fresh order "
        "each epoch. The targets hold no control ids: the decoder reads begin and the target, and predicts the target "
        "and end.\n\n"
        "With validation streams the model with the best validation loss is written to --output whenever it improves; "
        "without, the last one at "
        "the end. The state of the run goes to --checkpoint after each validation; --resume goes on from there and "
        "ends in the same bits as a run "
        "that was never stopped. An interrupt finishes the step and writes the checkpoint. A log (TSV) takes a row "
        "every --log-every "
        "steps and at each validation: losses are means per target token in nats, the training loss with label "
        "smoothing.",
    .arguments = "",
    .options = join({
        {
            text("source", "FILE", "source ids, one record a sentence"),
            text("target", "FILE", "target ids"),
            text("valid-source", "FILE", "source ids to validate on"),
            text("valid-target", "FILE", "target ids to validate on"),
            text("tokenizer", "FILE", "tokenizer to store in the model; gives the vocabulary and control ids"),
            text("from", "FILE", "start from this model's parameters and hyper-parameters (fine-tuning)"),
            text("checkpoint", "FILE", "state of the run (default: --output with .checkpoint.h5)"),
            text("gradients", "FILE.h5", "write the gradient of each parameter at the last update, before clipping"),
            flag("resume", "go on from the checkpoint, if there is one"),
            text("log", "FILE", "log of the run as TSV"),
            integer("log-every", "N", "steps between rows of the log", "50", 1),
            integer("batch-tokens", "N", "target tokens of a batch, at most (at least one pair)", "4096", 1),
            integer("steps", "N", "stop after so many updates in all", "", 1),
            integer("epochs", "N", "stop after so many epochs in all (default: 10, without --steps)", "", 1),
            integer("validate-every", "N", "steps between validations (default: each epoch)", "", 1),
            integer("patience", "N", "stop after so many validations without a better loss (0: never)", "0", 0),
            number("learning-rate", "R", "peak learning rate", "0.001", 0, 10),
            choice("schedule", "inverse-sqrt|constant|linear|cosine",
                   "learning rate after the warm-up; linear and cosine end at --steps", "inverse-sqrt"),
            integer("warmup", "N", "steps of linear rise to the peak", "4000", 0),
            number("beta1", "B", "Adam's decay of the first moment", "0.9", 0, 0.999999),
            number("beta2", "B", "Adam's decay of the second moment", "0.98", 0, 0.999999),
            number("epsilon", "E", "Adam's epsilon", "1e-9", 1e-30, 1),
            number("clip-norm", "C", "scale gradients down to this norm (0: never)", "0", 0, 1e30),
            number("label-smoothing", "E", "share of the target's probability spread over the vocabulary", "0.1", 0,
                   0.999),
            number("dropout", "P", "dropout on embeddings and sublayer outputs", "0.1", 0, 0.999),
            number("attention-dropout", "P", "dropout on attention weights", "0", 0, 0.999),
            number("activation-dropout", "P", "dropout inside the feed-forward layers", "0", 0, 0.999),
            number("l1", "L", "penalty L * |w| on every parameter", "0", 0, 1e6),
            number("l2", "L", "penalty L / 2 * w^2 on every parameter", "0", 0, 1e6),
        },
        configuration_options(),
    }),
    .examples =
        {
            {"a small model on pairs of sentences",
             "train --source text.en.npy --target text.de.npy --tokenizer tok.model --width 32 --heads 4 --inner 64 "
             "--encoder-layers 1 --decoder-layers 1 --steps 20 --warmup 10 -o small.h5"},
            {"go on from the checkpoint of a run",
             "train --source text.en.npy --target text.de.npy --tokenizer tok.model --width 32 --heads 4 --inner 64 "
             "--encoder-layers 1 --decoder-layers 1 --steps 30 --warmup 10 --resume --log log.tsv -o small.h5"},
        },
    .see_also = {"tokenize", "decode", "model", "peek"},
    .writes_records = false,
};

volatile std::sig_atomic_t caught_signal = 0;

TrainingSettings settings_from(const Args& args) {
  TrainingSettings s;
  s.seed = args.seed();
  s.batch_tokens = args.integer("batch-tokens");
  s.max_steps = args.has("steps") ? args.integer("steps") : 0;
  s.max_epochs = args.has("epochs") ? args.integer("epochs") : args.has("steps") ? 0 : 10;
  s.validate_every = args.has("validate-every") ? args.integer("validate-every") : 0;
  s.patience = args.integer("patience");
  s.log_every = args.integer("log-every");
  s.label_smoothing = args.number("label-smoothing");
  s.clip_norm = args.number("clip-norm");
  s.dropout = {static_cast<float>(args.number("dropout")), static_cast<float>(args.number("attention-dropout")),
               static_cast<float>(args.number("activation-dropout"))};
  s.schedule = {args.text("schedule"), args.number("learning-rate"), args.integer("warmup"), s.max_steps};
  if ((s.schedule.kind == "linear" || s.schedule.kind == "cosine") && s.max_steps == 0)
    throw UsageError(cat("--schedule ", s.schedule.kind, " needs --steps"));
  s.adam = {args.number("beta1"), args.number("beta2"), args.number("epsilon"), args.number("l1"), args.number("l2")};
  return s;
}

}  // namespace

int main(int argc, char** argv) {
  const int status = run_tool(spec, argc, argv, [](const Args& args) {
    const TrainingSettings settings = settings_from(args);
    args.allow_only(args.has("valid-source"), "--valid-source", {"patience"});
    const auto tokenizer = args.has("tokenizer") ? Tokenizer::load(args.text("tokenizer")) : nullptr;
    std::optional<ModelFile> from;
    if (args.has("from")) {
      for (const Option& option : configuration_options())
        if (args.given(option.name))
          throw UsageError(cat("--", option.name, " is given by the model that --from names"));
      from.emplace(args.text("from"));
    }
    const Configuration configuration = from ? from->configuration() : configuration_from(args, tokenizer.get());
    require(!from || configuration.kind == "encoder-decoder", from ? from->name() : "",
            ": pairs train an encoder-decoder, not a model of kind ", configuration.kind);
    if (configuration.kind != "encoder-decoder")
      throw UsageError("pairs train an encoder-decoder, not a model of kind " + configuration.kind);
    if (args.output() == "-") throw UsageError("--output is needed: a model is a file");
    TrainingFiles files{args.output(),
                        args.has("checkpoint") ? args.text("checkpoint") : args.output() + ".checkpoint.h5",
                        args.has("log") ? args.text("log") : "", args.has("gradients") ? args.text("gradients") : "",
                        tokenizer ? tokenizer->bytes()
                        : from    ? from->tokenizer().value_or("")
                                  : ""};
    const auto load = [&](const std::string& source, const std::string& target) {
      return PairCorpus::load(source, target, configuration.source_vocabulary, configuration.target_vocabulary);
    };
    const std::string source = args.text("source"), target = args.text("target");
    const auto corpus = load(source, target);
    std::optional<PairCorpus> valid;
    if (args.has("valid-source") || args.has("valid-target"))
      valid = load(args.text("valid-source"), args.text("valid-target"));

    Trainer trainer(configuration, settings, files, corpus, valid ? &*valid : nullptr);
    if (args.flag("resume") && std::filesystem::exists(files.checkpoint))
      trainer.resume();
    else if (from)
      trainer.start_from(*from);
    else
      trainer.initialize();

    for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int s) { caught_signal = s; });
    Progress progress(args, "train", training_steps(settings, trainer.steps_per_epoch()), "steps");
    const bool done = trainer.run({
        [&](const TrainingState& state, double loss, double rate) {
          progress.update(state.step, step_note(state, loss, rate));
        },
        [&](const LogRow& row) { progress.line(row_note(row)); },
        [] { return caught_signal != 0; },
    });
    if (done) progress.finish();
  });
  if (caught_signal == 0) return status;
  std::signal(caught_signal, SIG_DFL);  // end as the signal would have ended us: 130, 143
  return std::raise(caught_signal);
}
