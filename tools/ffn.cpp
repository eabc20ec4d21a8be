// ffn: the position-wise feed-forward layer (Vaswani et al. 2017, equation 2), plain or gated (Shazeer 2020).
#include "cli/layer_options.hpp"
#include "cli/ranks.hpp"
#include "models/single_layers.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "ffn",
    .summary = "position-wise feed-forward layer",
    .description =
        "Two linear layers with an activation f between them, the same at every position:\n\n"
        "    y = linear2(f(linear1(x)));  gated: y = linear2(f(gate(x)) * linear1(x))\n\n"
        "-m FILE:GROUP takes parameters and activation from a part of a model, for example model.h5:encoder/0/ffn; the "
        "other options take arrays, weights (D_out, D_in) as in PyTorch. Biases come all or none.\n\n"
        "Shapes: vectors (..., T, D) -> vectors (..., T, D).",
    .options = join(
        {{text("linear1-weight", "FILE", "weight (F, D) of the first layer"),
          text("linear1-bias", "FILE", "bias (F,) of the first layer"),
          text("gate-weight", "FILE", "weight (F, D) of the gate"), text("gate-bias", "FILE", "bias (F,) of the gate"),
          text("linear2-weight", "FILE", "weight (D, F) of the second layer"),
          text("linear2-bias", "FILE", "bias (D,) of the second layer"),
          choice("activation", activation_choices(), "without a model: the activation", "relu")},
         batch_options()}),
    .examples = {{"what a layer of a model does", "ffn -m model.h5:encoder/0/ffn x.npy -o y.npy"},
                 {"with arrays, here without biases",
                  "ffn --linear1-weight model.h5:encoder/0/ffn/linear1/weight \\\n"
                  "  --linear2-weight model.h5:encoder/0/ffn/linear2/weight --activation gelu x.npy | peek"}},
    .see_also = {"linear", "add", "norm"},
    .uses_model = true,
};

static void ffn(const Args& args) {
  LayerParameters parameters = layer_parameters(args, {{"linear1-weight", {"linear1/weight"}, true},
                                                       {"linear1-bias", {"linear1/bias"}},
                                                       {"gate-weight", {"gate/weight"}},
                                                       {"gate-bias", {"gate/bias"}},
                                                       {"linear2-weight", {"linear2/weight"}, true},
                                                       {"linear2-bias", {"linear2/bias"}}});
  if (parameters.configuration && args.given("activation")) throw UsageError("the model gives --activation");
  const auto& model = parameters.configuration;
  const Activation activation =
      model ? model->stack(is_in_decoder(parameters.name)).activation : from_name<Activation>(args.text("activation"));
  const FeedForward layer = make_feed_forward(*parameters.source, parameters.name, activation);
  BatchStream input(args.input(), Accept::vectors);
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  for_batches(args, {&input}, Batches::side_by_side, [&](BatchTurn& turn) {
    const BatchStream& x = turn[0];
    x.expect_width(layer.shape().width, "the layer's");
    float* y = turn.ctx.workspace.get(x.batch.positions() * x.batch.width);
    FeedForward::Saved saved;
    layer.forward(turn.ctx, x.batch.ragged(), x.batch.rows.data(), y, saved);
    return rows_to(*writer, x.batch, y, x.batch.width, parameters.source.get());
  });
  writer->close();
}

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, ffn);
}
