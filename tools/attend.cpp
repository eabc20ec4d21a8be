// attend: scaled dot-product attention (Vaswani et al. 2017, equation 1).
#include "cli/attend.hpp"

#include "cli/attention_options.hpp"
#include "cli/layer_options.hpp"
#include "cli/probe_options.hpp"
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
        "--tap writes what is computed on the way besides, and --patch, --ablate, --scale NAME=X and --add change it: "
        "query, key, value, scores, weights, context, with rotary positions query_rotated and key_rotated; with -m "
        "FILE:GROUP below that group's name, and as the layer calls it: what comes as a query is its query_norm, where "
        "it has norms of queries and keys (pipeformer(7), SEEING INSIDE). --list-taps without a model asks the streams "
        "for their widths.\n\n"
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
              tap_options(),
              change_options(),
              batch_options()}),
    .examples = {{"self-attention of vectors, with its weights", "attend x.npy --weights w.npy -o y.npy"},
                 {"the scores of a layer's heads", "attend -m model.h5:encoder/0/self_attn x.npy --give scores | peek"},
                 {"four heads of which the third looks nowhere",
                  "attend --heads 4 x.npy --ablate 'weights[;;2]' | peek"},
                 {"four causal heads of a memory", "attend --heads 4 --causal --key memory.npy x.npy | peek"}},
    .see_also = {"mhattn", "linear", "peek"},
    .uses_model = true,
    .text_options = {"list-taps"},
};

static ScoreStep score_step(const std::string& give) {
  return give == "scores"   ? ScoreStep::scaled
         : give == "capped" ? ScoreStep::capped
         : give == "biased" ? ScoreStep::biased
                            : ScoreStep::none;
}

/// --tap and its like. Without a model the streams tell the widths: the probe is there from the first batch on.
class AttendProbing {
 public:
  AttendProbing(const Args& args, Attend& attention) : args_(args), attention_(attention) {}
  bool asked() const { return asked_; }
  /// Once d_k and d_v of a head are known; true: --list-taps, and there is nothing else to do.
  bool begin(std::int64_t key_width, std::int64_t value_width) {
    if (!asked_ || probing_) return probing_ && probing_->listed();
    const auto name = [&](TapSource& source) {
      attention_.list_taps(source, key_width, value_width, args_.has("key"));
    };
    probing_.emplace(args_, name, kUse);
    TapSource source;
    source.list_taps(probing_->list());
    name(source);
    if (probing_->listed()) return true;
    const std::string give = args_.text("give");
    std::vector<std::string> outputs{give == "biased"                         ? "scores"
                                     : give == "context" || give == "weights" ? give
                                     : give == "capped"                       ? "given scores"
                                                                              : "given " + give};
    if (args_.has("weights")) outputs.push_back("weights");
    probing_->expect_effects(outputs, attend_reaches);
    return false;
  }
  const Probe* probe() const { return probing_ ? probing_->probe() : nullptr; }
  void close(std::int64_t sequences) {
    begin(1, 1);  // there was no batch
    if (probing_) probing_->close(sequences);
  }

 private:
  static constexpr ProbingUse kUse{.own_scale = true};  // of the scores
  const Args& args_;
  Attend& attention_;
  const bool asked_ = Probing::asked(args_, kUse);
  std::optional<Probing> probing_;
};

static void attend(const Args& args) {
  if (args.has("query") && !args.inputs().empty()) throw UsageError("--query and FILE are the same input: give one");
  const std::string input = args.has("query") ? args.text("query") : args.input();
  expect_one_stdin(args, input, {"key", "value", "mask", "bias", "lengths"});
  std::unique_ptr<StoredParameters> file;
  AttendOptions options = attend_options(args, file);
  options.dropout = static_cast<float>(args.number("dropout"));
  options.seed = args.seed();
  Attend attention(options);
  AttendProbing probing(args, attention);
  if (options.head_width > 0 && probing.begin(options.head_width, options.head_width)) return;
  BatchStream query(input, Accept::vectors);
  std::optional<BatchStream> own_key, own_value;
  if (args.has("key")) own_key.emplace(args.text("key"), Accept::vectors);
  if (args.has("value")) own_value.emplace(args.text("value"), Accept::vectors);
  BatchStream& key = own_key ? *own_key : query;
  BatchStream& value = own_value ? *own_value : key;

  const auto widths_known = [&](const BatchStream& k, const BatchStream& v) {
    return probing.begin(k.batch.width / options.kv_heads, v.batch.width / options.kv_heads);
  };
  if (args.given("list-taps")) {
    std::vector<BatchStream*> streams{&query};
    if (own_key) streams.push_back(&key);
    if (own_value) streams.push_back(&value);
    if (!read_batches(streams, 1)) throw Error(cat(query.reader->name(), ": no record tells the widths"));
    widths_known(key, value);
    return;
  }
  MaskStreams masks = mask_streams(args);
  args.allow_only(!masks.any(), "no streams of masks", {"skip", "take"});
  const std::string give = args.text("give");
  const ScoreStep step = score_step(give);
  const bool scores = step != ScoreStep::none, matrices = scores || give == "weights";
  OutputOptions output = args.output_options();
  output.any_shape = matrices;
  const auto writer = RecordWriter::open(args.output(), output);
  const auto weights = args.has("weights") ? open_weights(args.text("weights")) : nullptr;
  const Batches batches = masks.any() || probing.asked() ? Batches::one_by_one : Batches::side_by_side;
  const std::int64_t sequences = for_batches(args, {&query, &key, &value}, batches, [&](BatchTurn& turn) {
    const BatchStream &q = turn[0], &k = turn[1], &v = turn[2];
    widths_known(k, v);
    turn.ctx.probe = probing.probe();
    turn.ctx.places.first = turn.first_sequence;
    Attend::Result y = attention.forward(turn.ctx, {q, k, v}, masks, step, weights || give == "weights");
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
  probing.close(sequences);
  if (weights) weights->close();
  writer->close();
}

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, attend);
}
