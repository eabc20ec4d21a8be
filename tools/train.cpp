// train: id streams (or vectors) to a model.
#include <csignal>
#include <filesystem>

#include "cli/model_options.hpp"
#include "cli/probe_options.hpp"
#include "cli/ranks.hpp"
#include "cli/training_options.hpp"
#include "cli/training_start.hpp"
#include "cli/validation_bleu.hpp"
#include "io/output_file.hpp"
#include "io/read_files.hpp"
#include "train/report.hpp"

using namespace pipeformer;

namespace {

const ToolSpec spec{
    .name = "train",
    .summary = "train a Transformer: translation, language models, classes, values, tags, answers, pairs",
    .description =
        "Trains a model from random or given (--from) parameters. What it learns is the --task:\n\n" +
        training_tasks_help() +
        "\n"
        "Targets hold no control ids: the decoder reads begin and the target, and predicts the target and end. Batches "
        "hold about --batch-tokens tokens, in a fresh order each epoch. With validation data the best model is written "
        "to --output whenever it improves; without, the last one at the end. The state of the run goes to --checkpoint "
        "after each validation; --resume goes on from there and ends in the same bits as a run that was never stopped. "
        "An interrupt (or SIGTERM, or a closed terminal) finishes the step and writes the checkpoint. With --minutes "
        "and without --steps the rates of a linear or cosine "
        "schedule follow the clock, and so no "
        "two runs are the same.\n\n"
        "Started by mpirun -n N (when built with MPI), N processes on one or several machines compute each batch "
        "together, each its part; the loss is that of one process within rounding, and all must see the same files. "
        "With "
        "--reduce bf16 each rank's gradients are rounded to bfloat16, added up in float32 in the order of the ranks, "
        "and "
        "the sums rounded again: half the bytes on the network, the same bits in each run with as many ranks.\n\n"
        "Pairs are compared with all others of their batch: the larger --batch-tokens, which counts both sides, the "
        "more "
        "there is to tell apart. Their validation compares all pairs with each other, and its line shows how many "
        "percent of the targets are among the best 1, 5 and 10 for their source, and of the sources for their target "
        "(recall@1 A/B), as the log's last columns do; --metric accuracy is the mean of both at 1.\n\n"
        "--adapter R freezes the model of --from and trains A (R, in) and B (out, R) beside some of its weights W, "
        "which "
        "compute as W + alpha / R * B A; the file holds both, every tool runs it, and `model merge` makes an ordinary "
        "model "
        "of it with the same results.\n\n"
        "The log (TSV) takes a row every --log-every steps and at each validation: losses are means per answer in "
        "nats, the training loss with label smoothing, its perplexity without; both, and tokens a second, are over the "
        "updates "
        "since the row before, without validations and checkpoints. The loss of --task regression is a mean squared "
        "error, which has no perplexity, and weights of classes weigh in all means but the accuracy. The epoch is that "
        "of the last update, from 1.\n\n"
        "--tap writes intermediates of the updates that --tap-steps names, below step-N: its examples in their order, "
        "with their ids, before dropout, and their gradients, gradient/NAME (pipeformer(7), SEEING INSIDE).",
    .arguments = "",
    .options = join({training_options(),
                     configuration_options(),
                     tap_options(),
                     {text("tap-steps", "SELECTION", "--tap: at these updates, as in 1,100-102", "1")}}),
    .examples =
        {
            {"a small translator from pairs of sentences",
             "train --source text.en.npy --target text.de.npy --tokenizer tok.model --width 32 --heads 4 --inner 64 "
             "--encoder-layers 1 --decoder-layers 1 --steps 20 --warmup 10 -o small.h5"},
            {"a language model of lines; go on from its checkpoint, if there is one",
             "train --task language-model --target text.de.npy --tokenizer tok.model --width 32 --heads 4 --inner 64 "
             "--decoder-layers 1 --steps 30 --warmup 10 --resume --log log.tsv -o lm.h5"},
            {"vectors in which a sentence is nearest to its translation",
             "train --task contrastive --source text.en.npy --target text.de.npy --tokenizer tok.model --width 32 "
             "--heads 4 --inner 64 --encoder-layers 1 --steps 20 --warmup 10 -o pairs.h5 &&\n"
             "  encode -m pairs.h5 --pool model text.de.npy -o de.npy &&\n"
             "  encode -m pairs.h5 --pool model text.en.npy | nearest de.npy --labels text.de"},
        },
    .see_also = {"tokenize", "decode", "classify", "tag", "answer", "model", "peek"},
    .writes_records = false,
};

volatile std::sig_atomic_t caught_signal = 0;

void train(const Args& args, Communicator& ranks) {
  TrainingSettings settings = training_settings(args);
  if (args.output() == "-" && !args.given("list-taps")) throw UsageError("--output is needed: a model is a file");
  // A trial that keeps no model (-o /dev/null): names beside the output would be names among the devices.
  if (is_special_file(args.output()) && !std::filesystem::is_directory(args.output())) {
    if (!args.has("checkpoint"))
      throw UsageError(cat("--output ", args.output(), " is no file: --checkpoint is needed"));
    args.allow_only(false, "an --output that is a file", {"keep-last", "keep-best"});
  }
  for (const char* output : {"checkpoint", "log", "gradients"})
    if (args.has(output) && args.text(output) == "-")
      throw UsageError(cat("--", output, " needs a file, not standard output"));
  std::vector<ModelFile> from = models_to_start_from(args);
  const TrainingStart start = training_start(args, from);
  settings.class_weights = start.class_weights;
  set_rate_factors(args, start, from, settings);
  const TrainingFiles files{
      args.output(), args.has("checkpoint") ? args.text("checkpoint") : args.output() + ".checkpoint.h5",
      args.has("log") ? args.text("log") : "", args.has("gradients") ? args.text("gradients") : "",
      // Killed before its first checkpoint, a run may have kept a model: --resume begins anew.
      args.flag("overwrite") || args.flag("resume")};
  for (const std::string& output : {files.model, files.checkpoint, files.log, files.gradients}) check_not_read(output);

  Probing probing(args, [&](ParameterSource& source) { build_towers(source, start.models); }, {.training = true});
  if (probing.listed()) return;
  if (probing.writes() && ranks.size() > 1) throw UsageError("--tap-file: one process only");
  args.allow_only(probing.writes(), "--tap-file", {"tap-steps"});
  settings.taps = probing.list();
  const Selection steps(probing.writes() ? args.text("tap-steps") : "", "--tap-steps");
  if (!steps.all() && steps.has(0)) throw UsageError("--tap-steps: the first update is number 1");
  if (settings.max_steps > 0 && steps.largest() > settings.max_steps)
    throw UsageError(cat("--tap-steps ", args.text("tap-steps"), ": the run ends at step ", settings.max_steps));

  ranks.set_bfloat16_gradients(settings.bfloat16_gradients);
  Trainer trainer(start.models, settings, files, *start.train, start.valid.get(), ranks);
  trainer.measure_bleu = bleu_of_validation(args, start);
  std::int64_t seen = 0;
  if (probing.writes())
    trainer.probe = [&](std::int64_t step) -> const Probe* {
      if (!steps.has(step)) return nullptr;
      probing.begin_group(cat("step-", step));
      ++seen;
      return probing.probe();
    };
  if (args.flag("resume") && std::filesystem::exists(files.checkpoint))
    trainer.resume();
  else if (!from.empty())
    trainer.start_from(from);
  else
    trainer.initialize();
  from.clear();

  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    if (std::signal(signal, [](int s) { caught_signal = s; }) == SIG_IGN) std::signal(signal, SIG_IGN);  // nohup
  Progress progress(args, "", training_steps(settings, trainer.steps_per_epoch()), "steps");
  if (ranks.first() && start.train->skipped() > 0) progress.line(skipped_note(*start.train, "training"));
  if (ranks.first() && start.valid && start.valid->skipped() > 0)
    progress.line(skipped_note(*start.valid, "validation"));
  if (const auto [trained, all] = trainer.trained_parameters(); ranks.first() && trained < all)
    progress.line(trained_note(trained, all));
  if (ranks.first() && trainer.state().step > 0) progress.line(resumed_note(trainer, files.checkpoint));
  const bool done = trainer.run({
      [&](const TrainingState& state) {
        progress.update(state.step, step_note(trainer, settings.label_smoothing > 0));
      },
      [&](const LogRow& row) { progress.line(row_note(row)); },
      [] { return caught_signal != 0; },
  });
  if (probing.writes()) {
    require(seen > 0, "--tap-steps ", args.text("tap-steps"), ": the run ended at step ", trainer.state().step);
    probing.close(seen);
  }
  if (ranks.first() && done) progress.finish();
  if (ranks.first() && !done) progress.line(cat("interrupted at step ", trainer.state().step, "; go on with --resume"));
}

}  // namespace

int main(int argc, char** argv) {
  const int status = run_ranks(spec, argc, argv, train);
  if (caught_signal == 0) return status;
  std::signal(caught_signal, SIG_DFL);  // end as the signal would have ended us: 130, 143, 129
  return std::raise(caught_signal);
}
