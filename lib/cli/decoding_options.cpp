#include "cli/decoding_options.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "core/selection.hpp"
#include "models/quantization.hpp"

namespace pipeformer {

std::vector<Option> decoding_options() {
  return {
      integer("beam", "K", "hypotheses kept for each sentence", "1", 1, 1000),
      number("length-penalty", "A", "exponent of the length in a hypothesis's score; 0: none", "1", 0, 100),
      choice("length-penalty-kind", "average|gnmt", "how the length enters", "average"),
      integer("nbest", "N", "outputs for each input: the best of the beam, or N samples", "1", 1, 1000),
      text("scores", "FILE", "write for each output (2,): its log-probability, and its score with the length penalty"),
      text("token-scores", "FILE",
           "write the log-probability of each id of each output (T,); 0 of those that were given"),
      text("alignment", "FILE", "write for each id of each output (T,) the source position that it is aligned with"),
      integer("alignment-layer", "L", "the layer whose cross-attention aligns, from 0 (default: the last but one)", "",
              0),
      text("alternatives", "FILE", "write the likeliest ids at each position of each output (T + 1, K)"),
      text("alternatives-scores", "FILE", "--alternatives: write their log-probabilities (T + 1, K)"),
      integer("alternatives-count", "K", "--alternatives: so many at each position", "5", 1),
      integer(
          "max-length", "N",
          "most tokens to generate; 0: none, as for --tap of prompts alone (default for a decoder-only model: 256, or "
          "what its context leaves)",
          "", 0),
      number("max-length-factor", "F", "most tokens to generate: F x source length + 50", "2", 0.01, 1e6),
      flag("slide", "language model: where its context is full, its later half begins the next one"),
      flag("beyond-context", "language model: go beyond the context that it was trained on"),
      integer("min-length", "N", "least tokens to generate", "0", 0),
      text("prefix", "FILE", "ids that each output begins with, one record for each input"),
      integer("no-repeat-ngram", "N", "no N ids in a row come twice (0: they may)", "0", 0, 1000),
      number("repetition-penalty", "P",
             "the logit of an id that was there is divided by P, or multiplied where it is below 0 (1: nothing)", "1",
             0.001, 1000),
      text("suppress", "IDS", "ids that are never generated, such as 0,7-9"),
      text("ban", "FILE", "sequences of ids that must not come: a record for each input, or one for all"),
      text("require", "FILE", "phrases of ids that must come: a record for each input, or one for all"),
      choice("cache", "f32|f16|bf16|int8", "the type that the decoder's keys and values are kept as", "f32"),
      list("stop", "TEXT",
           "an output ends with the token that makes its generated text hold TEXT, whatever --min-length is"),
      flag("keep-end", "the end token stays at the end of an output"),
      flag("stream", "write text, token by token as it comes, a line for each record"),
      flag("replace-unknown", "write -1 - p for an unknown id that is aligned with source position p"),
      flag("sample", "draw the tokens"),
      number("temperature", "T", "sampling: divide the logits by T", "1", 0.001, 1000),
      integer("top-k", "N", "sampling: only the N most probable tokens (0: all)", "0", 0),
      number("top-p", "P", "sampling: only the most probable tokens that together reach P", "1", 0, 1),
      choice("ensemble", "probabilities|logs",
             "several models: the mean of their probabilities, or of their log-probabilities", "probabilities"),
      text("target", "FILE", "ids to decode against the inputs, instead of generating"),
      choice("give", "log-probabilities|hidden|logits", "with --target: what to write", "log-probabilities"),
      integer("window", "N",
              "sort the sentences of about N input positions by length; changes the speed, never the result", "65536",
              1),
  };
}

void check_decoding_options(const Args& args) {
  args.allow_only(!args.has("target"), "generation: no --target",
                  {"beam",
                   "length-penalty",
                   "length-penalty-kind",
                   "nbest",
                   "scores",
                   "max-length",
                   "max-length-factor",
                   "min-length",
                   "prefix",
                   "sample",
                   "window",
                   "slide",
                   "no-repeat-ngram",
                   "repetition-penalty",
                   "suppress",
                   "ban",
                   "require",
                   "keep-end",
                   "token-scores",
                   "alignment",
                   "alternatives",
                   "stop",
                   "stream",
                   "replace-unknown"});
  args.allow_only(!args.flag("stream"), "records: no --stream",
                  {"beam", "nbest", "scores", "token-scores", "alignment", "alternatives", "replace-unknown", "require",
                   "keep-end", "tap-file", "format", "dtype"});
  args.allow_only(args.list("stop").empty(), "no --stop, which may end an output before", {"require"});
  const bool several = args.list("model").size() > 1;
  args.allow_only(several, "several models", {"ensemble"});
  args.allow_only(!several, "one model",
                  {"target", "alignment", "alternatives", "replace-unknown", "list-taps", "tap-file", "patch", "ablate",
                   "scale", "add"});
  args.allow_only(args.has("alignment") || args.flag("replace-unknown"), "--alignment or --replace-unknown",
                  {"alignment-layer"});
  args.allow_only(args.has("alternatives"), "--alternatives", {"alternatives-scores", "alternatives-count"});
  if (args.flag("slide") && args.flag("beyond-context"))
    throw UsageError("--slide and --beyond-context exclude each other");
  if (args.flag("slide") && args.has("tap-file"))
    throw UsageError("--slide computes positions anew that --tap would show once: give one of them");
  args.allow_only(!args.flag("slide"), "positions that are computed once: no --slide", {"alignment", "alternatives"});
  if (args.flag("slide") && (args.integer("beam") > 1 || args.integer("nbest") > 1))
    throw UsageError("--slide follows one output for each record: no --beam, no --nbest");
  args.allow_only(args.has("target"), "--target", {"give"});
  args.allow_only(args.flag("sample"), "--sample", {"temperature", "top-k", "top-p", "seed"});
  args.allow_only(!args.flag("sample"), "beam search: no --sample",
                  {"beam", "length-penalty", "length-penalty-kind", "require"});
  args.allow_only(!args.flag("slide"), "one window: no --slide", {"require"});
  if (!args.flag("sample") && args.integer("nbest") > args.integer("beam"))
    throw UsageError(cat("--nbest ", args.integer("nbest"), " is more than --beam ", args.integer("beam")));
  args.allow_only(!args.has("max-length") || args.integer("max-length") > 0, "a --max-length above 0", {"require"});
  if (args.has("max-length") && args.integer("min-length") > args.integer("max-length"))
    throw UsageError(
        cat("--min-length ", args.integer("min-length"), " is more than --max-length ", args.integer("max-length")));
}

namespace {

LogitRuleSettings logit_rule_settings(const Args& args, const Configuration& configuration) {
  LogitRuleSettings rules;
  rules.repetition_penalty = args.number("repetition-penalty");
  rules.no_repeat_ngram = args.integer("no-repeat-ngram");
  rules.min_length = args.integer("min-length");
  if (!args.has("suppress")) return rules;
  const Selection ids(args.text("suppress"), "--suppress");
  if (ids.all()) throw UsageError("--suppress: no ids");
  const std::int64_t vocabulary = configuration.target_vocabulary;
  if (ids.largest() >= vocabulary)
    throw UsageError(cat("--suppress: id ", ids.largest(), " is outside the vocabulary of ", vocabulary));
  for (const std::int64_t id : ids.below(vocabulary)) rules.suppressed.push_back(static_cast<std::int32_t>(id));
  return rules;
}

}  // namespace

std::optional<OutputView> output_view(const Args& args, const Configuration& configuration, const Probing& probing) {
  const bool aligns = args.has("alignment") || args.flag("replace-unknown");
  if (!aligns && !args.has("alternatives")) return std::nullopt;
  OutputView view;
  view.also = probing.probe();
  if (aligns) {
    const std::string option = args.has("alignment") ? "--alignment" : "--replace-unknown";
    if (!configuration.has_encoder()) throw UsageError(cat(option, " needs an encoder"));
    const std::int64_t last = configuration.decoder.layers - 1;
    const std::int64_t layer =
        args.has("alignment-layer") ? args.integer("alignment-layer") : std::max<std::int64_t>(0, last - 1);
    if (layer > last) throw UsageError(cat("--alignment-layer ", layer, ": the last layer is ", last));
    view.weights = probing.tap(cat("decoder/", layer, "/cross_attn/weights"), option + ": ");
  }
  if (args.has("alternatives")) {
    view.alternatives = args.integer("alternatives-count");
    if (view.alternatives > configuration.target_vocabulary)
      throw UsageError(cat("--alternatives-count ", view.alternatives, " is more than the vocabulary of ",
                           configuration.target_vocabulary));
    view.logits = probing.tap("logits", "--alternatives: ");
  }
  return view;
}

Beyond beyond_context(const Args& args, const Configuration& configuration) {
  if (args.flag("beyond-context")) return Beyond::go_on;
  if (!args.flag("slide")) return Beyond::refuse;
  if (configuration.has_encoder()) throw UsageError("--slide needs a language model");
  const auto window = decoder_window(configuration, Beyond::slide);
  if (!window) throw UsageError("--slide: the model does not say what context it was trained with");
  if (*window < 2) throw UsageError("--slide: a window of one id has no later half");
  return Beyond::slide;
}

HypothesisFiles::HypothesisFiles(const Args& args, RecordWriter* ids) {
  const auto open = [&](const char* option) -> RecordWriter* {
    if (!args.has(option)) return nullptr;
    return files_.emplace_back(RecordWriter::open(args.text(option), {{}, args.output_options().dtype, false})).get();
  };
  writers_ = {ids,
              args.flag("keep-end"),
              -1,
              open("scores"),
              open("token-scores"),
              open("alignment"),
              open("alternatives"),
              open("alternatives-scores"),
              args.integer("alternatives-count")};
}

void HypothesisFiles::name_copied(std::int32_t id, const std::string& model) {
  require(id >= 0, model, ": its tokenizer has no unknown id");
  writers_.copied_id = id;
}

void HypothesisFiles::close() {
  for (const auto& file : files_) file->close();
}

WeightType kept_type(const Args& args) {
  return weight_type_from_name(args.text("cache"));
}

GenerateSettings generate_settings(const Args& args, const Configuration& configuration) {
  GenerateSettings s;
  s.search = {args.flag("sample"),
              args.integer("beam"),
              args.integer("nbest"),
              args.number("length-penalty"),
              args.text("length-penalty-kind") == "gnmt",
              logit_rule_settings(args, configuration),
              {args.number("temperature"), args.integer("top-k"), args.number("top-p")},
              args.seed(),
              args.text("ensemble") == "logs" ? EnsembleMean::logs : EnsembleMean::probabilities};
  s.search.scores = args.has("scores") || args.has("token-scores");
  s.length_asked = args.given("max-length");
  s.beyond = beyond_context(args, configuration);
  s.batch_rows = args.integer("batch-rows");
  s.kept = kept_type(args);
  s.max_length = args.has("max-length") ? args.integer("max-length") : configuration.has_encoder() ? -1 : 256;
  s.max_length_factor =
      configuration.has_encoder() || args.given("max-length-factor") ? args.number("max-length-factor") : 0;
  return s;
}

}  // namespace pipeformer
