// decode: memory or source ids to target ids; or what a model makes of given targets.
#include <chrono>
#include <mutex>

#include "cli/decoding_options.hpp"
#include "cli/layer_options.hpp"
#include "cli/probe_options.hpp"
#include "search/ensemble.hpp"
#include "search/forced.hpp"

using namespace pipeformer;

namespace {

const ToolSpec spec{
    .name = "decode",
    .summary = "the Transformer's decoder stack: generate ids, or score given ones",
    .description =
        "Reads memory vectors (S, D), as encode writes them, or source ids (S,), which it encodes itself, and writes "
        "the generated ids (T,) of each "
        "record, without begin and end. A decoder-only model reads prompts (S,), and its outputs begin with them. An "
        "empty record gives an empty "
        "record.\n\n"
        "A language model that was trained on windows (train --context N) is not asked for more than N ids, given and "
        "generated, unless told to: --slide goes on in a new window that begins with the later half of the full one, "
        "--beyond-context goes on in the same one, where its text decays. Learned positions always end.\n\n"
        "A beam of 1 is greedy search. A beam of K keeps for each sentence the K likeliest unfinished hypotheses; "
        "finished ones compete by "
        "log P / length^A (--length-penalty A), or log P / ((5 + length) / 6)^A (--length-penalty-kind gnmt; Wu et al. "
        "2016). At the length limit a "
        "hypothesis is finished as it is. --nbest N writes N records for each input, the best first. --sample draws "
        "each token from the model's "
        "distribution, by --seed, the number of the record and the position only.\n\n"
        "Rules about what may come next serve every way to search; what was given, a prompt or --prefix, counts as "
        "part of the output. --repetition-penalty changes the distribution (Keskar et al. 2019, CTRL) and with it the "
        "log-probabilities; --no-repeat-ngram (Paulus et al. 2018), --suppress and --ban only forbid ids. A record of "
        "--ban holds sequences one after another with -1 between them, as `tokenize --phrases` writes them. Where the "
        "rules leave nothing that could come next, the run stops.\n\n"
        "--require names in the same way the phrases that an output must hold, whatever the beam (dynamic beam "
        "allocation: Post and Vilar 2018, Hu et al. 2019); a wider beam finds better places for them. What counts are "
        "ids: those of a word are also there where they begin a longer one. A phrase in --prefix counts, one in a "
        "prompt does not.\n\n"
        "Beside the outputs: --scores, --token-scores, --alignment (the mean over the heads of a layer, Garg et al. "
        "2019) and --alternatives, whose row t is what could stand at position t, the last one after all; of a "
        "language model the rows begin after the prompt. Alternatives and their log-probabilities are the model's, "
        "before any rule.\n\n"
        "Several models (-m A -m B ...) with one vocabulary generate together, from ids: each token has the mean of "
        "their probabilities, or with --ensemble logs the mean of their log-probabilities, which do not add up to "
        "1.\n\n"
        "--target reads ids (T,), one record for each input, and generates nothing: it writes what --give names for "
        "the T ids and the end that follows "
        "them, log-probabilities (T + 1,), hidden states (T + 1, D) or logits (T + 1, V).\n\n"
        "--tap writes intermediates of the run by name, and --patch, --ablate, --scale and --add change them on their "
        "way, also while it generates (pipeformer(7), SEEING INSIDE); --list-taps names them. What is tapped has one "
        "record for each output record (or target): row t is the prediction of token t, the last one that of the end. "
        "--cache keeps the keys and values that a decoder attends to in 16 bits, or in 8 with a scale for each head of "
        "each position, and takes half or a quarter of their memory; all arithmetic stays float32. It rounds them so "
        "with "
        "--target too, which gives the log-probabilities of what is generated.\n\n"
        "Results do not depend on --batch-rows, --window or --threads.",
    .options = join({
        decoding_options(),
        weight_type_options(),
        probe_options(),
        batch_options(),
    }),
    .examples =
        {
            {"translate a text with a beam of 4",
             "tokenize -m model.h5 text.en | decode -m model.h5 --beam 4 | tokenize -m model.h5 --decode"},
            {"the log-probability of each token of given translations",
             "decode -m model.h5 text.en.npy --target text.de.npy -o scores.npy"},
            {"which source words each output word looks at",
             "decode -m model.h5 text.en.npy --tap 'decoder/0/cross_attn/weights' --tap-file w.h5 -o out.npy"},
        },
    .see_also = {"encode", "tokenize", "train", "score", "peek"},
    .text_options = {"list-taps"},
    .elsewhere = {{"prompt-template", "tokenize"}},
    .uses_models = true,
};

/// What both ways of decoding share: the files, and the model, of which memory vectors need only the decoder.
struct Decoding {
  explicit Decoding(const Args& a)
      : args(a),
        file(args.model(), weights_asked(a)),
        configuration(file.configuration()),
        encoder(configuration.has_encoder()),
        beyond(beyond_context(a, configuration)),
        probing(
            a, [&](ParameterSource& source) { Transformer(source, configuration); },
            a.has("alignment") || a.has("alternatives")) {
    if (!file.group().empty()) throw UsageError(cat("--model takes the whole model, not its part ", file.group()));
    require(configuration.has_decoder(), file.name(), ": a model of kind ", name_of(configuration.kind),
            " has no decoder: ", configuration.head == Head::classes ? "classify" : "encode", " reads it");
    if (probing.listed()) return;
    const std::vector<std::string> names = a.list("model");
    others.emplace(file, std::span(names).subspan(1), weights_asked(a));
    file.list_taps(probing.list());
    input.emplace(args.input(), encoder ? Accept::either : Accept::ids);
    writer = RecordWriter::open(args.output(), args.output_options());
  }
  /// Loads the model when the first records are there; checks them. A decoder needs room for `room` ids beside those
  /// that are given.
  void check(const BatchStream& sources, const BatchStream* ids, std::int64_t room) {
    std::call_once(loaded, [&] {
      model.emplace(file, configuration, sources.batch.ids ? Transformer::Stacks::all : Transformer::Stacks::decoder);
      others->load();
    });
    others->check(sources, ids, room, beyond);
    sources.expect_width(configuration.width, "the model's");
    check_ids_of(configuration, sources, ids, room, beyond);
  }
  void close(std::int64_t sequences) {
    probing.close(sequences);
    writer->close();
  }

  const Args& args;
  ModelFile file;
  const Configuration& configuration;
  bool encoder;
  Beyond beyond;
  Probing probing;
  std::once_flag loaded;
  std::optional<Transformer> model;
  std::optional<Ensemble> others;
  std::optional<BatchStream> input;
  std::unique_ptr<RecordWriter> writer;
};

void force(Decoding& d) {
  BatchStream target(d.args.text("target"), Accept::ids);
  const Batches batches = d.probing.writes() ? Batches::one_by_one : Batches::side_by_side;
  d.close(for_batches(d.args, {&*d.input, &target}, batches, [&](BatchTurn& turn) {
    const BatchStream &sources = turn[0], &targets = turn[1];
    d.check(sources, &targets, 1);
    turn.ctx.probe = d.probing.probe();
    turn.ctx.places.first = turn.first_sequence;
    turn.ctx.kept = kept_type(d.args);
    return d.file.explaining([&] {
      return force_targets(turn.ctx, *d.model, sources.batch, targets.batch, give_from_name(d.args.text("give")),
                           d.writer.get());
    });
  }));
}

void generate(Decoding& d) {
  GenerateSettings settings = generate_settings(d.args, d.configuration);
  settings.probe = d.probing.changes();
  std::optional<BatchStream> prefix;
  if (const auto path = optional_text(d.args, "prefix")) prefix.emplace(*path, Accept::ids);
  std::vector<BatchStream*> streams{&*d.input};
  if (prefix) streams.push_back(&*prefix);
  std::optional<PhraseStream> ban, require;
  if (const auto path = optional_text(d.args, "ban")) ban.emplace(*path, d.configuration.target_vocabulary);
  if (const auto path = optional_text(d.args, "require")) require.emplace(*path, d.configuration.target_vocabulary);
  HypothesisFiles files(d.args, d.writer.get());
  std::optional<OutputProbe> look;
  if (const auto view = output_view(d.args, d.configuration, d.probing)) look.emplace(*view);
  Workspace workspace;
  Progress progress(d.args, "", 0, "sentences");
  const auto start = std::chrono::steady_clock::now();
  std::int64_t sentences = 0, tokens = 0;
  while (read_batches(streams, d.args.integer("window"))) {
    d.check(*d.input, prefix ? &*prefix : nullptr, 2);
    const std::string name = d.input->reader->name();
    std::vector<Phrases> banned, required;
    if (ban) banned = ban->next(d.input->batch.records(), name);
    if (require) required = require->next(d.input->batch.records(), name);
    settings.others = d.others->models();
    const Beside beside{prefix ? &prefix->batch : nullptr, ban ? &banned : nullptr, require ? &required : nullptr};
    const auto outputs = d.file.explaining([&] {
      return generate_window(*d.model, *d.input, beside, settings,
                             [&](std::int64_t n) { progress.update(sentences += n); });
    });
    const Batch* forced = prefix ? &prefix->batch : d.encoder ? nullptr : &d.input->batch;
    if (look || d.probing.writes())
      force_outputs(workspace, *d.model, d.input->batch, outputs, settings, look ? *look : *d.probing.probe(),
                    d.input->batch.first_record);
    tokens +=
        write_hypotheses(outputs, forced, look ? look->take() : std::vector<OutputProbe::Seen>{}, files.writers());
  }
  if (ban) ban->finish(d.input->reader->name());
  if (require) require->finish(d.input->reader->name());
  files.close();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  progress.finish(rate_summary(d.input->reader->count(), tokens, seconds.count()));
  d.close(d.input->reader->count());
}

void decode(const Args& args) {
  check_decoding_options(args);
  expect_one_stdin(args, args.input(), {"target", "prefix", "ban", "require"});
  Decoding decoding(args);
  if (decoding.probing.listed()) return;
  args.has("target") ? force(decoding) : generate(decoding);
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, decode);
}
