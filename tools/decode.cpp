// decode: memory or source ids to target ids; or what a model makes of given targets.
#include <chrono>
#include <mutex>

#include "cli/decoding_options.hpp"
#include "cli/layer_options.hpp"
#include "models/dump.hpp"
#include "search/forced.hpp"
#include "search/generate.hpp"

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
        "--target reads ids (T,), one record for each input, and generates nothing: it writes what --give names for "
        "the T ids and the end that follows "
        "them, log-probabilities (T + 1,), hidden states (T + 1, D) or logits (T + 1, V).\n\n"
        "--weights writes the cross-attention of a layer for each output record (or target): (H, T + 1, S), row t the "
        "prediction of token t, the last one "
        "that of the end. Results do not depend on --batch-rows, --window or --threads.",
    .options = join({
        decoding_options(),
        quantize_options(),
        batch_options(),
    }),
    .examples =
        {
            {"translate a text with a beam of 4",
             "tokenize -m model.h5 text.en | decode -m model.h5 --beam 4 | tokenize -m model.h5 --decode"},
            {"the log-probability of each token of given translations",
             "decode -m model.h5 text.en.npy --target text.de.npy -o scores.npy"},
        },
    .see_also = {"encode", "tokenize", "train", "score", "peek"},
    .uses_model = true,
    .elsewhere = {{"prompt-template", "tokenize"}},
};

/// What both ways of decoding share: the files, and the model, of which memory vectors need only the decoder.
struct Decoding {
  explicit Decoding(const Args& a)
      : args(a),
        file(args.model(), weights_asked(a)),
        configuration(file.configuration()),
        encoder(configuration.has_encoder()),
        beyond(beyond_context(a, configuration)) {
    if (!file.group().empty()) throw UsageError(cat("--model takes the whole model, not its part ", file.group()));
    require(configuration.has_decoder(), file.name(), ": a model of kind ", name_of(configuration.kind),
            " has no decoder: ", configuration.head == Head::classes ? "classify" : "encode", " reads it");
    input.emplace(args.input(), encoder ? Accept::either : Accept::ids);
    if (const auto path = optional_text(args, "weights"))
      weights.emplace(*path, configuration, args.has("layer") ? args.integer("layer") : -1,
                      args.text("weights-heads") == "mean");
    writer = RecordWriter::open(args.output(), args.output_options());
  }
  /// Loads the model when the first records are there; checks them. A decoder needs room for `room` ids beside those
  /// that are given.
  void check(const BatchStream& sources, const BatchStream* ids, std::int64_t room) {
    std::call_once(loaded, [&] {
      model.emplace(file, configuration, sources.batch.ids ? Transformer::Stacks::all : Transformer::Stacks::decoder);
    });
    sources.expect_width(configuration.width, "the model's");
    check_ids(sources, encoder ? configuration.source_vocabulary : configuration.target_vocabulary, configuration,
              encoder ? 0 : room, beyond);
    if (ids) check_ids(*ids, configuration.target_vocabulary, configuration, room, beyond);
  }
  WeightsWriter* weights_writer() { return weights ? &*weights : nullptr; }
  void close() {
    if (weights) weights->close();
    writer->close();
  }

  const Args& args;
  ModelFile file;
  const Configuration& configuration;
  bool encoder;
  Beyond beyond;
  std::once_flag loaded;
  std::optional<Transformer> model;
  std::optional<BatchStream> input;
  std::optional<WeightsWriter> weights;
  std::unique_ptr<RecordWriter> writer;
};

void force(Decoding& d) {
  BatchStream target(d.args.text("target"), Accept::ids);
  Dump dump;
  if (const auto path = optional_text(d.args, "dump")) dump.add_file(*path, d.args.list("select"));
  const Batches batches = dump.active() || d.weights ? Batches::one_by_one : Batches::side_by_side;
  for_batches(d.args, {&*d.input, &target}, batches, [&](BatchTurn& turn) {
    const BatchStream &sources = turn[0], &targets = turn[1];
    d.check(sources, &targets, 1);
    if (dump.active()) turn.ctx.observer = &dump;
    return d.file.explaining([&] {
      return force_targets(turn.ctx, *d.model, sources.batch, targets.batch, give_from_name(d.args.text("give")),
                           d.writer.get(), d.weights_writer());
    });
  });
  dump.close();
}

void generate(Decoding& d) {
  const GenerateSettings settings = generate_settings(d.args, d.configuration);
  std::optional<BatchStream> prefix;
  if (const auto path = optional_text(d.args, "prefix")) prefix.emplace(*path, Accept::ids);
  std::vector<BatchStream*> streams{&*d.input};
  if (prefix) streams.push_back(&*prefix);
  std::unique_ptr<RecordWriter> scores;
  if (const auto path = optional_text(d.args, "scores"))
    scores = RecordWriter::open(*path, {{}, d.args.output_options().dtype, false});
  Workspace workspace;
  Progress progress(d.args, "", 0, "sentences");
  const auto start = std::chrono::steady_clock::now();
  std::int64_t sentences = 0, tokens = 0;
  while (read_batches(streams, d.args.integer("window"))) {
    d.check(*d.input, prefix ? &*prefix : nullptr, 2);
    const auto outputs = d.file.explaining([&] {
      return generate_window(*d.model, *d.input, prefix ? &prefix->batch : nullptr, settings,
                             [&](std::int64_t n) { progress.update(sentences += n); });
    });
    const Batch* forced = prefix ? &prefix->batch : d.encoder ? nullptr : &d.input->batch;
    tokens += write_hypotheses(outputs, forced, *d.writer, scores.get());
    if (d.weights) force_outputs(workspace, *d.model, d.input->batch, outputs, settings.batch_rows, *d.weights);
  }
  if (scores) scores->close();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  progress.finish(rate_summary(d.input->reader->count(), tokens, seconds.count()));
}

void decode(const Args& args) {
  check_decoding_options(args);
  expect_one_stdin(args, args.input(), {"target", "prefix"});
  Decoding decoding(args);
  args.has("target") ? force(decoding) : generate(decoding);
  decoding.close();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, decode);
}
