// encode: the Transformer encoder stack (Vaswani et al. 2017, figure 1, left).
#include "cli/layer_options.hpp"
#include "models/dump.hpp"
#include "models/encode_batch.hpp"

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
        "Shapes: vectors (..., T, D) or ids (..., T) -> memory (..., T, D); weights (..., H, T, T).",
    .options =
        join({{text("dump", "FILE", "write intermediates to this HDF5 file"),
               list("select", "GLOB", "--dump: only names that match, for example 'encoder/*/weights'"),
               text("weights", "FILE", "write the attention weights of a layer to FILE"),
               integer("layer", "N", "--weights: of this layer, counted from 0 (default: the last)", "", 0, 999)},
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

static void encode(const Args& args) {
  ModelFile model(args.model());
  const Configuration& c = model.configuration();
  require(c.has_encoder(), model.name(), ": a model of kind ", name_of(c.kind), " has no encoder");
  if (!model.group().empty()) throw UsageError(cat("--model takes the whole model, not its part ", model.group()));
  const Transformer transformer(model, c, Transformer::Stacks::encoder);
  BatchStream stream(args.input(), Accept::either);
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  Dump dump;
  add_dumps(args, c, stream.batch, dump);
  for_batches(args, {&stream}, dump.active() ? Batches::one_by_one : Batches::side_by_side, [&](BatchTurn& turn) {
    const BatchStream& input = turn[0];
    input.expect_width(c.embedding_width(false), "the model's");
    if (dump.active()) turn.ctx.observer = &dump;
    const float* memory = encode_batch(turn.ctx, transformer, input.batch, args.integer("batch-rows"));
    turn.wait();
    write_rows(*writer, input.batch, memory, c.width);
  });
  dump.close();
  writer->close();
}

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, encode);
}
