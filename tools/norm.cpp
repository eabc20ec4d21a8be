// norm: layer normalisation (Ba, Kiros, Hinton 2016) or RMS normalisation (Zhang, Sennrich 2019).
#include <algorithm>

#include "cli/layer_options.hpp"
#include "cli/ranks.hpp"
#include "models/single_layers.hpp"
#include "ops/pooling.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "norm",
    .summary = "layer normalisation or root-mean-square normalisation",
    .description =
        "Normalises each vector over its elements:\n\n"
        "    layer: y = (x - mean) / sqrt(variance + epsilon) * weight + bias\n"
        "    rms:   y = x / sqrt(mean of squares + epsilon) * weight\n"
        "    unit:  y = x / Euclidean length, without parameters\n\n"
        "-m FILE:GROUP takes weight, bias, kind and epsilon from a part of a model, for example "
        "model.h5:encoder/0/norm1; --weight and --bias take arrays (D,). Layer normalisation needs both.\n\n"
        "--heads N normalises each of N heads side by side by itself, as the query_norm and key_norm of a model's "
        "attention do with theirs.\n\n"
        "--give mean and --give rstd write what layer and rms compute of each vector first, its mean and 1 / sqrt(... "
        "+ "
        "epsilon), without weight and bias.\n\n"
        "Shapes: vectors (..., D) -> vectors (..., D); of N heads vectors (..., N D). --give: (..., D) -> (..., 1), of "
        "N "
        "heads (..., N).",
    .options = join({{text("weight", "FILE", "weight, an array (D,)"), text("bias", "FILE", "bias, an array (D,)"),
                      choice("give", "vectors|mean|rstd", "what is written", "vectors"),
                      choice("kind", "layer|rms|unit", "without a model: which normalisation", "layer"),
                      integer("heads", "N", "without a model: heads, each normalised by itself", "1", 1),
                      number("epsilon", "E", "added to the variance (default: the model's, else 1e-5)", "", 0, 1)},
                     batch_options()}),
    .examples = {{"what a layer of a model does", "norm -m model.h5:encoder/0/norm1 x.npy -o y.npy"},
                 {"RMS normalisation by a bias that a layer has",
                  "norm --kind rms --weight model.h5:encoder/0/ffn/linear2/bias x.npy | peek"},
                 {"how large the vectors of a layer are", "norm --kind rms --give rstd x.npy | peek"}},
    .see_also = {"add", "ffn", "encode"},
    .uses_model = true,
};

/// How many heads stand side by side, each with a norm of its own.
static std::int64_t heads_from(const Args& args, const LayerParameters& parameters) {
  if (!parameters.configuration) return args.integer("heads");
  const StackSpec& stack = parameters.configuration->stack(is_in_decoder(parameters.name));
  return parameters.name.ends_with("/query_norm") ? stack.heads
         : parameters.name.ends_with("/key_norm") ? stack.key_value_heads()
                                                  : 1;
}

static NormShape shape_from(const Args& args, const LayerParameters& parameters) {
  NormShape shape;
  if (parameters.configuration) {
    for (const char* option : {"kind", "heads"})
      if (args.given(option)) throw UsageError(cat("the model gives --", option));
    shape = parameters.configuration->norm_shape(is_in_decoder(parameters.name));
    if (parameters.name.ends_with("/query_norm") || parameters.name.ends_with("/key_norm")) shape.rms = true;
  } else {
    shape.rms = args.text("kind") == "rms";
    if (args.text("give") == "vectors" && shape.rms == args.has("bias"))
      throw UsageError(shape.rms ? "rms takes no --bias" : "--bias FILE is needed");
  }
  if (args.has("epsilon")) shape.epsilon = static_cast<float>(args.number("epsilon"));
  return shape;
}

static void expect_heads(const BatchStream& x, std::int64_t heads) {
  require(x.batch.width % heads == 0, x.where_record(0), ": width ", x.batch.width, " is not a multiple of ", heads,
          " heads");
}

/// Without parameters: each head of each vector gets length 1.
static void unit_stream(const Args& args) {
  for (const char* option : {"model", "weight", "bias", "epsilon", "give"})
    if (args.given(option)) throw UsageError(cat("--kind unit takes no --", option));
  const std::int64_t heads = args.integer("heads");
  BatchStream input(args.input(), Accept::rows);
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  for_batches(args, {&input}, Batches::side_by_side, [&](BatchTurn& turn) {
    const BatchStream& x = turn[0];
    expect_heads(x, heads);
    float* y = turn.ctx.workspace.get(x.batch.positions() * x.batch.width);
    std::copy_n(x.batch.rows.data(), x.batch.rows.size(), y);
    normalize_rows(x.batch.positions() * heads, x.batch.width / heads, y);
    return rows_to(*writer, x.batch, y, x.batch.width);
  });
  writer->close();
}

/// --give mean|rstd: a number for each head of each vector. Weight and bias have no part in it.
static void statistics_stream(const Args& args) {
  const bool mean = args.text("give") == "mean";
  for (const char* option : {"weight", "bias"})
    if (args.has(option)) throw UsageError(cat("--give ", args.text("give"), " takes no --", option));
  LayerParameters parameters;
  std::int64_t layer_width = 0;
  if (args.has("model")) parameters = layer_parameters(args, {});
  const NormShape shape = shape_from(args, parameters);
  if (mean && shape.rms) throw UsageError("rms takes no mean: --give rstd is what there is");
  if (parameters.source) layer_width = make_norm(*parameters.source, parameters.name, shape).width();
  const std::int64_t heads = heads_from(args, parameters);
  BatchStream input(args.input(), Accept::rows);
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  for_batches(args, {&input}, Batches::side_by_side, [&](BatchTurn& turn) {
    const BatchStream& x = turn[0];
    if (layer_width > 0) x.expect_width(heads * layer_width, "the layer's");
    expect_heads(x, heads);
    const std::int64_t rows = x.batch.positions() * heads, width = x.batch.width / heads;
    Workspace& workspace = turn.ctx.workspace;
    float* ones = workspace.get(width);
    std::fill_n(ones, width, 1.0f);
    const NormStatistics found{workspace.get(rows), workspace.get(rows)};
    norm(shape, {x.batch.rows.data(), rows, width}, ones, nullptr, workspace.get(rows * width), found);
    return rows_to(*writer, x.batch, mean ? found.mean : found.rstd, heads);
  });
  writer->close();
}

static void norm_stream(const Args& args) {
  if (args.text("kind") == "unit") return unit_stream(args);
  if (args.text("give") != "vectors") return statistics_stream(args);
  LayerParameters parameters = layer_parameters(args, {{"weight", {"weight"}, true}, {"bias", {"bias"}}});
  const Norm layer = make_norm(*parameters.source, parameters.name, shape_from(args, parameters));
  const std::int64_t heads = heads_from(args, parameters), width = heads * layer.width();
  BatchStream input(args.input(), Accept::rows);
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  for_batches(args, {&input}, Batches::side_by_side, [&](BatchTurn& turn) {
    const BatchStream& x = turn[0];
    x.expect_width(width, "the layer's");
    float* y = turn.ctx.workspace.get(x.batch.positions() * width);
    Norm::Saved saved;
    layer.forward(turn.ctx, x.batch.positions() * heads, x.batch.rows.data(), y, saved);
    return rows_to(*writer, x.batch, y, width, parameters.source.get());
  });
  writer->close();
}

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, norm_stream);
}
