// linear: y = x W^T + b, as torch.nn.Linear.
#include <functional>
#include <memory>
#include <vector>

#include "cli/layer_options.hpp"
#include "cli/ranks.hpp"
#include "models/single_layers.hpp"
#include "ops/elementwise.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "linear",
    .summary = "linear layer, y = x W^T + b",
    .description =
        "Multiplies each vector by a weight (D_out, D_in), as torch.nn.Linear keeps it, and adds a bias (D_out,) when "
        "there is one.\n\n"
        "-m FILE:GROUP takes weight and bias from a part of a model, for example "
        "model.h5:encoder/0/self_attn/query; --weight and --bias take arrays. A weight (D,) stands for a diagonal: it "
        "multiplies column by column, as a model's layer scale does (Touvron et al. 2021).\n\n"
        "--transpose multiplies by the weight itself, y = x W: from vectors (..., D_out) back to (..., D_in), as a "
        "gradient goes through the layer, or from weights over a vocabulary to a mean of embeddings. A model's bias is "
        "then left out; --bias is an array (D_in,).\n\n"
        "--logits is the layer that makes the logits of -m FILE: its weight is the embeddings' in a model that ties "
        "them, "
        "and its input is scaled where the model scales its logits.\n\n"
        "Shapes: vectors (..., D_in) -> vectors (..., D_out). --logits of one class at each position: (...).",
    .options = join({{text("weight", "FILE", "weight, an array (D_out, D_in) or (D,)"),
                      text("bias", "FILE", "bias, an array (D_out,)"),
                      flag("transpose", "multiply by W in the place of its transpose W^T"),
                      flag("logits", "with -m FILE: the layer that makes the model's logits")},
                     batch_options()}),
    .examples =
        {{"the queries of a model's first layer", "linear -m model.h5:encoder/0/self_attn/query x.npy -o queries.npy"},
         {"a weight of one's own", "linear --weight table.npy x.npy | peek"},
         {"a gradient's way back through that layer",
          "linear --transpose -m model.h5:encoder/0/self_attn/query x.npy | peek"},
         {"the logits of a decoder's hidden states",
          "decode -m model.h5 memory.npy --target ids.npy --give hidden | linear -m model.h5 --logits -o logits.npy"}},
    .see_also = {"attend", "ffn", "mhattn"},
    .uses_model = true,
};

namespace {

/// y (rows, out) = layer(x (rows, in)).
struct Layer {
  std::int64_t in, out;
  std::int64_t axis;  ///< Of what is written; 0: one number a row.
  std::function<void(Context&, std::int64_t rows, const float* x, float* y)> forward;
};

Layer logits_of(ModelFile* model) {
  if (!model) throw UsageError("--logits needs --model");
  if (!model->group().empty()) throw UsageError(cat("--logits takes the whole model, not its part ", model->group()));
  const OutputHead output = make_logits(*model);
  const std::int64_t out = output.projection().out();
  const bool single = model->configuration().head == Head::token_classes && out == 1;  // as encode gives it
  return {output.width(), out, single ? 0 : out, [output](Context& ctx, std::int64_t rows, const float* x, float* y) {
            const std::int64_t offsets[] = {0, rows};
            output.logits(ctx, {offsets}, x, y);
          }};
}

/// y = x W, of the weight (D_out, D_in) that `linear` has.
Layer transposed(const Args& args, const LayerParameters& parameters) {
  StoredParameters& source = *parameters.source;
  const std::string weight = parameters.name + "/weight";
  const Shape shape = source.shape(weight);
  require(shape.size() == 2, source.where(), weight, ": --transpose needs a weight (D_out, D_in), not ",
          shape_text(shape));
  const std::int64_t rows = shape[0], columns = shape[1];
  const float* w = source.get(weight, shape, Initial::xavier).value;
  const auto turned = std::make_shared<std::vector<float>>(static_cast<std::size_t>(rows * columns));
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) (*turned)[static_cast<std::size_t>(c * rows + r)] = w[r * columns + c];
  const Parameter bias =
      args.has("bias") ? source.get(parameters.name + "/bias", {columns}, Initial::zero) : Parameter{};
  const Linear linear(Weight{{turned->data(), columns, rows}}, bias);
  return {rows, columns, columns,
          [linear, turned](Context&, std::int64_t count, const float* x, float* y) { linear.forward(count, x, y); }};
}

Layer layer_from(const Args& args, const LayerParameters& parameters) {
  StoredParameters& source = *parameters.source;
  if (args.flag("transpose") && args.flag("logits")) throw UsageError("--transpose and --logits exclude each other");
  if (args.flag("transpose")) return transposed(args, parameters);
  if (args.flag("logits")) return logits_of(dynamic_cast<ModelFile*>(&source));
  const std::string weight = parameters.name + "/weight";
  if (const Shape shape = args.has("weight") ? source.shape(weight) : Shape{}; shape.size() == 1) {
    if (args.has("bias")) throw UsageError("a weight (D,) takes no --bias");
    const Parameter scale = source.get(weight, shape, Initial::one);
    return {shape[0], shape[0], shape[0], [scale, shape](Context&, std::int64_t rows, const float* x, float* y) {
              scale_columns(rows, shape[0], x, scale.value, y);
            }};
  }
  const Linear linear = make_linear(source, parameters.name);
  return {linear.in(), linear.out(), linear.out(),
          [linear](Context&, std::int64_t rows, const float* x, float* y) { linear.forward(rows, x, y); }};
}

void linear(const Args& args) {
  const LayerParameters parameters = layer_parameters(args, {{"weight", {"weight"}, true}, {"bias", {"bias"}}});
  const Layer layer = layer_from(args, parameters);
  BatchStream input(args.input(), Accept::rows);
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  for_batches(args, {&input}, Batches::side_by_side, [&](BatchTurn& turn) {
    const BatchStream& x = turn[0];
    x.expect_width(layer.in, "the layer's");
    float* y = turn.ctx.workspace.get(x.batch.positions() * layer.out);
    layer.forward(turn.ctx, x.batch.positions(), x.batch.rows.data(), y);
    return rows_to(*writer, x.batch, y, layer.axis, parameters.source.get());
  });
  writer->close();
}

}  // namespace

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, linear);
}
