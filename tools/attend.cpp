// attend: scaled dot-product attention (Vaswani et al. 2017, equation 1).
#include "cli/attend.hpp"

#include "cli/attention_options.hpp"
#include "cli/layer_options.hpp"
#include "cli/ranks.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "attend",
    .summary = "scaled dot-product attention",
    .description =
        "softmax(Q K^T / sqrt(d_k)) V for each record of queries, keys and values. Keys are the queries unless --key "
        "names a stream, values are the keys unless --value does. The streams pair by position.\n\n"
        "--heads N splits the last axis into N heads side by side, the form that torch.nn.MultiheadAttention has after "
        "its projections; the outputs of the heads stand side by side again. -m FILE:GROUP takes heads, scale, "
        "positions, window and causal order from a part of a model, for example model.h5:decoder/0/self_attn; "
        "queries, keys and values are then what its projections give (and its norms, where it has them).\n\n" +
        mask_description() +
        "\n\n"
        "--give writes what is computed on the way instead: the queries or keys as they are multiplied (turned by "
        "rotary positions); scores, Q K^T times the scale, of all queries and keys; capped, these after the soft cap; "
        "biased, these with the biases of positions and --bias, and -inf where a query may not attend, as the softmax "
        "reads them (what a model's tap calls scores); or the weights that it makes of them.\n\n"
        "Shapes: Q (..., Tq, d_k), K (..., Tk, d_k), V (..., Tk, d_v) -> (..., Tq, d_v), computed in float32; "
        "--weights (..., Tq, Tk). With --heads H: Q (..., Tq, H d_k), weights (..., H, Tq, Tk).",
    .options =
        join({{text("query", "FILE", "queries (default: the input)"),
               text("key", "FILE", "keys (default: the queries)"), text("value", "FILE", "values (default: the keys)")},
              attention_options(),
              {number("dropout", "P", "drop weights with probability P, drawn from --seed", "0", 0, 0.999)},
              mask_options(),
              {choice("give", "context|query|key|scores|capped|biased|weights", "what is written", "context"),
               text("weights", "FILE", "write the attention weights to FILE")},
              batch_options()}),
    .examples = {{"self-attention of vectors, with its weights", "attend x.npy --weights w.npy -o y.npy"},
                 {"the scores of a layer's heads", "attend -m model.h5:encoder/0/self_attn x.npy --give scores | peek"},
                 {"four causal heads of a memory", "attend --heads 4 --causal --key memory.npy x.npy | peek"}},
    .see_also = {"mhattn", "linear", "peek"},
    .uses_model = true,
};

static ScoreStep score_step(const std::string& give) {
  return give == "scores"   ? ScoreStep::scaled
         : give == "capped" ? ScoreStep::capped
         : give == "biased" ? ScoreStep::biased
                            : ScoreStep::none;
}

static void attend(const Args& args) {
  if (args.has("query") && !args.inputs().empty()) throw UsageError("--query and FILE are the same input: give one");
  const std::string input = args.has("query") ? args.text("query") : args.input();
  expect_one_stdin(args, input, {"key", "value", "mask", "bias", "lengths"});
  BatchStream query(input, Accept::vectors);
  std::optional<BatchStream> own_key, own_value;
  if (args.has("key")) own_key.emplace(args.text("key"), Accept::vectors);
  if (args.has("value")) own_value.emplace(args.text("value"), Accept::vectors);
  BatchStream& key = own_key ? *own_key : query;
  BatchStream& value = own_value ? *own_value : key;

  std::unique_ptr<StoredParameters> file;
  AttendOptions options = attend_options(args, file);
  options.dropout = static_cast<float>(args.number("dropout"));
  options.seed = args.seed();
  const Attend attention(options);
  MaskStreams masks = mask_streams(args);
  args.allow_only(!masks.any(), "no streams of masks", {"skip", "take"});
  const std::string give = args.text("give");
  const ScoreStep step = score_step(give);
  const bool scores = step != ScoreStep::none, matrices = scores || give == "weights";
  OutputOptions output = args.output_options();
  output.any_shape = matrices;
  const auto writer = RecordWriter::open(args.output(), output);
  const auto weights = args.has("weights") ? open_weights(args.text("weights")) : nullptr;
  const Batches batches = masks.any() ? Batches::one_by_one : Batches::side_by_side;
  for_batches(args, {&query, &key, &value}, batches, [&](BatchTurn& turn) {
    const BatchStream &q = turn[0], &k = turn[1], &v = turn[2];
    Attend::Result y =
        attention.forward(turn.ctx, q, k, v, masks, turn.first_sequence, step, weights || give == "weights");
    if (file) file->explain(y.context, q.batch.positions() * y.width);
    return [&, y = std::move(y)] {
      if (matrices)
        attention.write_matrices(*writer, q, k, scores ? y.scores : y.weights);
      else if (give == "key")
        write_rows(*writer, k.batch, y.key, k.batch.width);
      else
        write_rows(*writer, q.batch, give == "query" ? y.query : y.context, give == "query" ? q.batch.width : y.width);
      if (weights) attention.write_matrices(*weights, q, k, y.weights);
    };
  });
  masks.finish(query);
  if (weights) weights->close();
  writer->close();
}

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, attend);
}
