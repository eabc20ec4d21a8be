// linear: y = x W^T + b, as torch.nn.Linear.
#include "cli/layer_options.hpp"
#include "models/single_layers.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "linear",
    .summary = "linear layer, y = x W^T + b",
    .description =
        "Multiplies each vector by a weight (D_out, D_in), as torch.nn.Linear keeps it, and adds a bias (D_out,) when "
        "there is one.\n\n"
        "-m FILE:GROUP takes weight and bias from a part of a model, for example "
        "model.h5:encoder/0/self_attn/query; --weight and --bias take arrays.\n\n"
        "Shapes: vectors (..., T, D_in) -> vectors (..., T, D_out).",
    .options = join(
        {{text("weight", "FILE", "weight, an array (D_out, D_in)"), text("bias", "FILE", "bias, an array (D_out,)")},
         batch_options()}),
    .examples = {{"the queries of a model's first layer",
                  "linear -m model.h5:encoder/0/self_attn/query x.npy -o queries.npy"},
                 {"a weight of one's own", "linear --weight table.npy x.npy | peek"}},
    .see_also = {"attend", "ffn", "mhattn"},
    .uses_model = true,
};

static void linear(const Args& args) {
  LayerParameters parameters = layer_parameters(args, {{"weight", {"weight"}, true}, {"bias", {"bias"}}});
  const Linear layer = make_linear(*parameters.source, parameters.name);
  BatchStream input(args.input(), Accept::vectors);
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  for_batches(args, {&input}, Batches::side_by_side, [&](BatchTurn& turn) {
    const BatchStream& x = turn[0];
    x.expect_width(layer.in(), "the layer's");
    float* y = turn.ctx.workspace.get(x.batch.positions() * layer.out());
    layer.forward(x.batch.positions(), x.batch.rows.data(), y);
    return rows_to(*writer, x.batch, y, layer.out(), parameters.source.get());
  });
  writer->close();
}

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, linear);
}
