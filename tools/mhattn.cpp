// mhattn: multi-head attention with its projections (Vaswani et al. 2017, section 3.2.2).
#include "cli/attention_options.hpp"
#include "cli/layer_options.hpp"
#include "cli/probe_options.hpp"
#include "cli/ranks.hpp"
#include "models/single_layers.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "mhattn",
    .summary = "multi-head attention with a model's parameters",
    .description =
        "output(attend(query(x), key(m), value(m))): four linear layers around scaled dot-product attention in heads. "
        "The memory m is x itself unless --memory names a stream, which pairs with the input by position.\n\n"
        "-m FILE:GROUP takes parameters, heads, positions, window and causal order from a part of a model, for example "
        "model.h5:decoder/0/cross_attn; --no-causal lets a decoder's queries see later keys. The array options take "
        "the parameters of a torch.nn.MultiheadAttention.\n\n"
        "--tap writes intermediates of the run by name: below the layer's name query, key, value, scores, weights, "
        "context, output and those that a model has besides (pipeformer(7), SEEING INSIDE).\n\n" +
        mask_description() +
        "\n\n"
        "Shapes: X (..., Tq, D), memory (..., Tk, D) -> (..., Tq, D).",
    .options = join({{text("memory", "FILE", "what to attend to (default: the input)"),
                      text("in-proj-weight", "FILE", "query, key and value weights, an array (3 D, D)"),
                      text("in-proj-bias", "FILE", "their biases, an array (3 D,)"),
                      text("out-proj-weight", "FILE", "output weight, an array (D, D)"),
                      text("out-proj-bias", "FILE", "output bias, an array (D,)"),
                      integer("heads", "N", "without a model: number of heads", "", 1)},
                     mask_options(),
                     probe_options(),
                     batch_options()}),
    .examples = {{"a layer's self-attention and its weights",
                  "mhattn -m model.h5:encoder/0/self_attn x.npy --tap '*/weights' --tap-file w.npy -o y.npy"},
                 {"attention of one stream to another",
                  "mhattn -m model.h5:decoder/0/cross_attn --memory memory.npy x.npy | peek"}},
    .see_also = {"attend", "linear", "encode"},
    .uses_model = true,
    .text_options = {"list-taps"},
};

static MultiheadAttentionShape shape_from(const Args& args, const LayerParameters& parameters) {
  const auto& model = parameters.configuration;
  if (model && args.has("heads")) throw UsageError("the model gives --heads");
  MultiheadAttentionShape shape = model ? attention_shape(*parameters.source, parameters.name, *model)
                                        : attention_shape(*parameters.source, parameters.name, args.integer("heads"));
  if (!model || args.given("causal")) shape.causal = args.flag("causal");
  if (args.has("memory")) shape.cross = true;
  return shape;
}

static void mhattn(const Args& args) {
  LayerParameters parameters =
      layer_parameters(args, {{"in-proj-weight", {"query/weight", "key/weight", "value/weight"}, true},
                              {"in-proj-bias", {"query/bias", "key/bias", "value/bias"}},
                              {"out-proj-weight", {"output/weight"}, true},
                              {"out-proj-bias", {"output/bias"}}});
  const MultiheadAttentionShape shape = shape_from(args, parameters);
  Probing probing(args, [&](ParameterSource& source) { MultiheadAttention(source, parameters.name, shape); });
  if (probing.listed()) return;
  parameters.source->list_taps(probing.list());
  const MultiheadAttention attention(*parameters.source, parameters.name, shape);
  RelativePositions relative;
  if (const auto& model = parameters.configuration)
    relative = relative_positions(*parameters.source, parameters.name, *model);
  const std::int64_t width = attention.shape().width;
  const std::string input = args.input();
  expect_one_stdin(args, input, {"memory", "mask", "bias", "lengths"});
  BatchStream queries(input, Accept::vectors);
  std::optional<BatchStream> own_memory;
  if (args.has("memory")) own_memory.emplace(args.text("memory"), Accept::vectors);
  BatchStream& keys = own_memory ? *own_memory : queries;

  const auto writer = RecordWriter::open(args.output(), args.output_options());
  MaskStreams masks = mask_streams(args);
  args.allow_only(!masks.any(), "no streams of masks", {"skip", "take"});
  const bool alone = probing.writes() || masks.any();
  const std::int64_t sequences =
      for_batches(args, {&queries, &keys}, alone ? Batches::one_by_one : Batches::side_by_side, [&](BatchTurn& turn) {
        Context& ctx = turn.ctx;
        const BatchStream &x = turn[0], &memory = turn[1];
        x.expect_width(width, "the layer's");
        memory.expect_width(width, "the layer's");
        ctx.probe = probing.probe();
        ctx.places.first = turn.first_sequence;
        float* y = ctx.workspace.get(x.batch.positions() * width);
        MultiheadAttention::Saved saved;
        MultiheadAttention::Input in{x.batch.ragged(), x.batch.rows.data(), memory.batch.ragged()};
        if (own_memory) in.memory = memory.batch.rows.data();
        in.masks = masks.next(x, memory, attention.shape().heads, true);
        if (!own_memory) in.masks.distance = relative.bias(ctx, in.queries.longest());
        attention.forward(ctx, in, y, saved);
        return rows_to(*writer, x.batch, y, width, parameters.source.get());
      });
  masks.finish(queries);
  probing.close(sequences);
  writer->close();
}

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, mhattn);
}
