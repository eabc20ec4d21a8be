// encode: the Transformer encoder stack (Vaswani et al. 2017, figure 1, left).
#include "cli/layer_options.hpp"
#include "models/dump.hpp"
#include "models/encode_batch.hpp"
#include "models/image_input.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "encode",
    .summary = "Transformer encoder stack: vectors or ids to memory",
    .description =
        "Runs a model's encoder. Vectors are what embed and posenc make; ids are embedded and given their positions "
        "here first, to the same bits.\n\n"
        "--dump writes intermediates by name to an HDF5 file: below each name 'data' and 'offsets', one record for "
        "each sequence. The names are encoder/embedding, encoder/positions (both for ids), encoder/N/ self_attn/query, "
        "self_attn/key, self_attn/value, self_attn/weights, self_attn/context, self_attn, add1, norm1, ffn/linear1, "
        "ffn/inner, ffn, add2, norm2, and encoder/norm. Attention weights (H, Tq, Tk) lie flat in 'data', their shapes "
        "in 'shapes'.\n\n"
        "Models of patches take patches (..., T, P) and, when imported, normalised images (..., C, H, W) as well. "
        "--types "
        "names a stream of token types beside ids (default: all 0).\n\n"
        "--pool writes one vector for each sequence: `--pool model` as the model says, with its pooler, projection and "
        "normalisation; --give pooled is the same. Another kind of pooling leaves the pooler out. --give logits writes "
        "what an encoder-only model predicts.\n\n"
        "Shapes: vectors (..., T, D) or ids (..., T) -> memory (..., T, D); pooled (..., D); weights (..., H, T, T).",
    .options =
        join({{choice("give", "hidden|logits|pooled|first",
                      "hidden states, logits, a vector for each sequence, or its first hidden state", "hidden"),
               choice("pool", "model|mean|first|last|max|end", "write a vector for each sequence, pooled so"),
               flag("normalize", "pooled vectors get length 1 (default: as the model says)"),
               text("types", "FILE", "types of the ids, a stream beside the input"),
               text("dump", "FILE", "write intermediates to this HDF5 file"),
               list("select", "GLOB", "--dump: only names that match, for example 'encoder/*/weights'"),
               text("weights", "FILE", "write the attention weights of a layer to FILE"),
               integer("layer", "N", "--weights: of this layer, counted from 0 (default: the last)", "", 0, 999)},
              quantize_options(),
              batch_options()}),
    .examples = {{"ids to memory", "encode -m model.h5 ids.npy -o memory.npy"},
                 {"the same as a pipeline, keeping all attention weights",
                  "embed -m model.h5 ids.npy | posenc -m model.h5 |\n"
                  "  encode -m model.h5 --dump stages.h5 --select '*/weights' -o memory.npy"}},
    .see_also = {"embed", "posenc", "mhattn", "decode"},
    .uses_model = true,
};

static void add_dumps(const Args& args, const Configuration& c, const Batch& layout, Dump& dump) {
  if (args.has("dump")) dump.add_file(args.text("dump"), args.list("select"));
  args.allow_only(args.has("dump"), "--dump", {"select"});
  args.allow_only(args.has("weights"), "--weights", {"layer"});
  if (!args.has("weights")) return;
  const std::int64_t layer = args.has("layer") ? args.integer("layer") : c.encoder.layers - 1;
  if (layer < 0 || layer >= c.encoder.layers)
    throw UsageError(cat("no layer ", layer, ": the encoder has ", c.encoder.layers));
  dump.add_stream(cat("encoder/", layer, "/self_attn/weights"), args.text("weights"), layout, layout);
}

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
  const Transformer transformer(model, c, Transformer::Stacks::encoder);
  expect_one_stdin(args, args.input(), {"types"});
  BatchStream stream(images_to_patches(RecordReader::open(args.input()), c), Accept::either);
  std::optional<BatchStream> types;
  if (const auto path = optional_text(args, "types")) types.emplace(*path, Accept::ids);
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  Dump dump;
  add_dumps(args, c, stream.batch, dump);
  const Batches batches = dump.active() ? Batches::one_by_one : Batches::side_by_side;
  const auto body = [&](BatchTurn& turn) -> BatchOutput {
    const BatchStream& input = turn[0];
    if (types) turn[1].expect_shapes_of(input);
    if (dump.active()) turn.ctx.observer = &dump;
    const EncodedBatch encoded =
        encode_batch(turn.ctx, transformer, input.batch, source_kind(c, input.batch, input.where_record(0)),
                     args.integer("batch-rows"), types ? &turn[1].batch : nullptr);
    const GivenRows given = give(turn.ctx, transformer, input.batch, encoded, output);
    model.explain(given.rows, given.count(encoded));
    return [&, encoded, given] { write_given(*writer, input.batch, encoded, given); };
  };
  types ? for_batches(args, {&stream, &*types}, batches, body) : for_batches(args, {&stream}, batches, body);
  dump.close();
  writer->close();
}

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, encode);
}
