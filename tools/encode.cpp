// encode: the Transformer encoder stack (Vaswani et al. 2017, figure 1, left).
#include "cli/layer_options.hpp"
#include "cli/probe_options.hpp"
#include "cli/ranks.hpp"
#include "models/encode_batch.hpp"
#include "models/image_input.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "encode",
    .summary = "Transformer encoder stack: vectors or ids to memory",
    .description =
        "Runs a model's encoder. Vectors are what embed and posenc make; ids are embedded and given their positions "
        "here first, to the same bits.\n\n"
        "--tap writes intermediates of the run by name, and --patch, --ablate, --scale and --add change them on their "
        "way (pipeformer(7), SEEING INSIDE); --list-taps names them.\n\n"
        "Models of patches take patches (..., T, P) and, when imported, normalised images (..., C, H, W) as well. "
        "--types "
        "names a stream of token types beside ids (default: all 0).\n\n"
        "--pool writes one vector for each sequence: `--pool model` as the model says, with its pooler, projection and "
        "normalisation; --give pooled is the same. Another kind of pooling leaves the pooler out. --give logits writes "
        "what an encoder-only model predicts.\n\n"
        "Shapes: vectors (..., T, D) or ids (..., T) -> memory (..., T, D); pooled (..., D).",
    .options = join({{choice("give", "hidden|logits|pooled|first",
                             "hidden states, logits, a vector for each sequence, or its first hidden state", "hidden"),
                      choice("pool", "model|mean|first|last|max|end", "write a vector for each sequence, pooled so"),
                      flag("normalize", "pooled vectors get length 1 (default: as the model says)"),
                      text("types", "FILE", "types of the ids, a stream beside the input")},
                     weight_type_options(),
                     probe_options(),
                     batch_options()}),
    .examples = {{"ids to memory", "encode -m model.h5 ids.npy -o memory.npy"},
                 {"the same as a pipeline, keeping all attention weights",
                  "embed -m model.h5 ids.npy | posenc -m model.h5 |\n"
                  "  encode -m model.h5 --tap '*/weights' --tap-file inside.h5 -o memory.npy"},
                 {"without head 1 of layer 0",
                  "encode -m model.h5 --ablate 'encoder/0/self_attn/context[;;1]' ids.npy | peek"}},
    .see_also = {"embed", "posenc", "mhattn", "decode"},
    .uses_model = true,
    .text_options = {"list-taps"},
};

/// The model's configuration with the pooling that the options ask for.
static Configuration pooled_as_asked(const Args& args, Configuration c) {
  if (args.has("pool") || args.text("give") == "pooled") c.head = Head::none;  // a classifier may read another pooling
  if (args.given("normalize")) c.normalize = args.flag("normalize");
  if (!args.has("pool") || args.text("pool") == "model") return c;
  c.pooling = from_name<Pooling>(args.text("pool"));
  c.pooler = false;
  return c;
}

static void encode(const Args& args) {
  ModelFile model(args.model(), weights_asked(args));
  require(model.configuration().has_encoder(), model.name(), ": a model of kind ", name_of(model.configuration().kind),
          " has no encoder: decode reads it");
  if (!model.group().empty()) throw UsageError(cat("--model takes the whole model, not its part ", model.group()));
  if (args.has("pool") && args.given("give")) throw UsageError("--pool and --give exclude each other");
  const EncoderOutput output = args.has("pool") ? EncoderOutput::pooled : encoder_output_from_name(args.text("give"));
  args.allow_only(output == EncoderOutput::pooled, "--pool", {"normalize"});
  const Configuration c = pooled_as_asked(args, model.configuration());
  check_output(c, output, model.name());
  const auto build = [&](ParameterSource& source) {
    return Transformer(source, c, Transformer::Stacks::encoder, readout_of(output));
  };
  Probing probing(args, build);
  if (probing.listed()) return;
  model.list_taps(probing.list());
  const Transformer transformer = build(model);
  expect_one_stdin(args, args.input(), {"types"});
  BatchStream stream(images_to_patches(RecordReader::open(args.input()), c), Accept::either);
  std::optional<BatchStream> types;
  if (const auto path = optional_text(args, "types")) types.emplace(*path, Accept::ids);
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  const Batches batches = probing.writes() ? Batches::one_by_one : Batches::side_by_side;
  const auto body = [&](BatchTurn& turn) -> BatchOutput {
    const BatchStream& input = turn[0];
    if (types) turn[1].expect_shapes_of(input);
    turn.ctx.probe = probing.probe();
    turn.ctx.places.first = turn.first_sequence;
    const EncodedBatch encoded =
        encode_batch(turn.ctx, transformer, input.batch, source_kind(c, input.batch, input.where_record(0)),
                     types ? &turn[1].batch : nullptr);
    const GivenRows given = give(turn.ctx, transformer, input.batch, encoded, output);
    model.explain(given.rows, given.count(encoded));
    return [&, encoded, given] { write_given(*writer, input.batch, encoded, given); };
  };
  probing.close(types ? for_batches(args, {&stream, &*types}, batches, body)
                      : for_batches(args, {&stream}, batches, body));
  writer->close();
}

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, encode);
}
