// decode: memory or source ids to target ids; or what a model makes of given targets.
#include "cli/decoding.hpp"
#include "cli/layer_options.hpp"
#include "cli/probe_options.hpp"
#include "cli/ranks.hpp"

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
        "--stop TEXT ends an output with the token that makes the text of what was generated hold TEXT; the ids of the "
        "text stay in it. --stream writes text, a line for each record, each token as soon as it is there and its "
        "characters are whole: what `tokenize --decode` makes of the ids. --replace-unknown writes -1 - p for an "
        "unknown id, where p is the source position that it is aligned with, and `tokenize --decode --replace-unknown "
        "TEXTS` puts that word there.\n\n"
        "--require names in the same way the phrases that an output must hold, whatever the beam (dynamic beam "
        "allocation: Post and Vilar 2018, Hu et al. 2019); greedy search gives a sentence of which it "
        "would put a phrase at the end a beam of its own. What counts are "
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
        "Results do not depend on --batch-rows, --window or --threads. --skip and --take choose records, which keep "
        "their numbers, so that parts of a stream have the bits of the whole (share/pipeformer/shards). Started by "
        "mpirun, several processes share the records (pipeformer(7), SCALE).",
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
            {"a translation as it comes, up to a full stop",
             "tokenize -m model.h5 text.en | decode -m model.h5 --take 1 --stream --stop ."},
            {"the log-probability of each token of given translations",
             "decode -m model.h5 text.en.npy --target text.de.npy -o scores.npy"},
            {"which source words each output word looks at",
             "decode -m model.h5 text.en.npy --tap 'decoder/0/cross_attn/weights' --tap-file w.h5 -o out.npy"},
        },
    .see_also = {"encode", "tokenize", "train", "score", "peek"},
    .text_options = {"list-taps", "stream"},
    .elsewhere = {{"prompt-template", "tokenize"}},
    .uses_models = true,
};

void decode(const Args& args) {
  check_decoding_options(args);
  expect_one_stdin(args, args.input(), {"target", "prefix", "ban", "require"});
  DecodeRun run(args);
  if (run.listed()) return;
  if (args.has("target")) return run.force();
  args.flag("stream") ? run.stream() : run.generate();
}

}  // namespace

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, decode);
}
