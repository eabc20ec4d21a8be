#include "cli/attention_options.hpp"

#include <charconv>
#include <cmath>
#include <utility>

#include "cli/layer_options.hpp"
#include "cli/model_options.hpp"
#include "models/single_layers.hpp"

namespace pipeformer {
namespace {

/// A function, since the tables of options of the tools are made before main() begins.
const std::vector<std::string>& rotary_fields() {
  static const std::vector<std::string> names{"rotary_base",           "rotary_width",       "rotary_interleaved",
                                              "rotary_scaling",        "rotary_factor",      "rotary_low_frequency",
                                              "rotary_high_frequency", "rotary_context",     "rotary_attention_factor",
                                              "rotary_short_factors",  "rotary_long_factors"};
  return names;
}

std::vector<std::string> names_of(const std::vector<Option>& options) {
  std::vector<std::string> names;
  for (const Option& o : options) names.push_back(o.name);
  return names;
}

/// What --scale says of the scores; what it says of intermediates has a name.
std::optional<float> score_scale(const Args& args) {
  std::optional<float> scale;
  for (const std::string& text : args.list("scale")) {
    if (text.find('=') != std::string::npos) continue;
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(static_cast<float>(value)))
      throw UsageError(cat("option '--scale': '", text, "' is neither a finite number nor NAME=X"));
    if (scale) throw UsageError("--scale: the scores have one scale");
    scale = static_cast<float>(value);
  }
  return scale;
}

AttendOptions options_of_model(const Args& args, std::unique_ptr<StoredParameters>& file) {
  auto model = std::make_unique<ModelFile>(args.model());
  const std::string name = model->group();
  const MultiheadAttentionShape layer = attention_shape(*model, name, model->configuration());
  AttendOptions options;
  options.name = name;
  options.heads_axis = true;
  options.heads = layer.heads;
  options.kv_heads = layer.kv_heads;
  options.head_width = layer.head_width;
  options.scale = layer.scale;
  options.soft_cap = layer.soft_cap;
  options.causal = args.given("causal") ? args.flag("causal") : layer.causal;
  options.window = layer.window;
  options.rotary = layer.rotary;
  options.normed = layer.query_key_norm.has_value();
  options.relative = relative_positions(*model, name, model->configuration());
  file = std::move(model);
  return options;
}

/// Where queries and keys begin, and the angles that turn them.
void set_places(const Args& args, AttendOptions& options) {
  options.first_query = args.integer("first-query");
  options.first_key = args.integer("first-key");
  if (!args.has("rotary-table")) return;
  for (const std::string& field : names_of(stack_options(rotary_fields())))
    if (field != "rotary-interleaved" && args.given(field))
      throw UsageError(cat("--rotary-table and --", field, " exclude each other"));
  const std::string file = args.text("rotary-table");
  Array angles = read_single(file);
  require(is_floating(angles.dtype) && angles.rank() == 2, file, ": angles are numbers (positions, pairs), not ",
          dtype_name(angles.dtype), " of shape ", shape_text(angles.shape));
  options.angles = angles.as(DType::f4);
  for (const float angle : std::as_const(*options.angles).values<float>())
    require(std::isfinite(angle), file, ": holds an angle that is not finite");
}

RelativePositions relative_from(const Args& args, std::int64_t heads, std::unique_ptr<StoredParameters>& file) {
  RelativeShape shape;
  shape.heads = heads;
  shape.alibi = args.flag("alibi");
  shape.bidirectional = !args.flag("causal") && !args.flag("causal-upper-left");
  shape.max_distance = args.integer("relative-distance");
  auto arrays = std::make_unique<ArrayParameters>();
  if (args.has("relative")) {
    arrays->add({"relative/weight"}, args.text("relative"));
    shape.buckets = arrays->shape("relative/weight")[0];
  }
  RelativePositions relative(*arrays, "relative", shape);
  file = std::move(arrays);
  return relative;
}

}  // namespace

std::vector<Option> attention_options() {
  return join(
      {{integer("heads", "N", "split the last axis into N heads", "", 1),
        integer("kv-heads", "N", "heads of keys and values; divides --heads (default: as many)", "", 1),
        list("scale", "S|NAME[SEL]=X", "multiply the scores by S (default: 1 / sqrt(d_k)), or an intermediate by X"),
        number("soft-cap", "C", "scores s become C * tanh(s / C); 0: they do not", "0", 0, 1e9),
        flag("causal-upper-left", "as --causal, but the first query is aligned with the first key"),
        integer("window", "N", "--causal: a query sees the newest N of its keys; 0: all", "0", 0),
        flag("rotary", "turn queries and keys by their positions first (Su et al. 2021)")},
       stack_options(rotary_fields()),
       {text("rotary-table", "FILE",
             "--rotary: angles in radians, an array (positions, pairs) of which a row turns each position"),
        integer("first-query", "N", "--rotary: the position of the first query of each sequence", "0", 0, 1048576),
        integer("first-key", "N", "--rotary: the position of the first key", "0", 0, 1048576)},
       {flag("alibi", "subtract from the scores the distance times a slope of the head (Press et al. 2022)"),
        text("relative", "FILE",
             "add to the scores a row of this array (buckets, heads) for each bucket of distances (Raffel et "
             "al. 2020)"),
        integer("relative-distance", "N", "--relative: from here on all distances share a bucket", "128", 1)}});
}

AttendOptions attend_options(const Args& args, std::unique_ptr<StoredParameters>& file) {
  if (args.has("model")) {
    for (const std::string& name : names_of(attention_options()))
      if (name == "scale" ? score_scale(args).has_value() : args.given(name))
        throw UsageError(cat("the model gives --", name));
    return options_of_model(args, file);
  }
  if (args.flag("causal") && args.flag("causal-upper-left"))
    throw UsageError("--causal and --causal-upper-left exclude each other");
  args.allow_only(args.flag("causal") || args.flag("causal-upper-left"), "--causal", {"window"});
  args.allow_only(args.flag("rotary"), "--rotary", names_of(stack_options(rotary_fields())));
  args.allow_only(args.flag("rotary"), "--rotary", {"rotary-table", "first-query", "first-key"});
  args.allow_only(args.has("relative"), "--relative", {"relative-distance"});
  if (args.flag("alibi") && args.has("relative")) throw UsageError("--alibi and --relative exclude each other");
  AttendOptions options;
  options.heads_axis = args.has("heads");
  if (options.heads_axis) options.heads = options.kv_heads = args.integer("heads");
  if (args.has("kv-heads")) options.kv_heads = args.integer("kv-heads");
  if (options.heads % options.kv_heads != 0) throw UsageError("--kv-heads does not divide --heads");
  options.scale = score_scale(args);
  options.soft_cap = static_cast<float>(args.number("soft-cap"));
  options.causal = args.flag("causal") || args.flag("causal-upper-left");
  options.upper_left = args.flag("causal-upper-left");
  options.window = args.integer("window");
  if (args.flag("rotary")) {
    StackSpec stack;
    set_fields(args, rotary_fields(), stack);
    try {
      options.rotary = stack.rotary(0, 0);
    } catch (const Error& error) {
      throw UsageError(cat("--rotary-short-factors, --rotary-long-factors: ", error.what()));
    }
    set_places(args, options);
  }
  if (args.flag("alibi") || args.has("relative")) options.relative = relative_from(args, options.heads, file);
  return options;
}

std::string mask_description() {
  return "--causal aligns the last query with the last key: query i of Tq sees key j of Tk when j <= i + Tk - Tq. "
         "--mask holds booleans, "
         "1 = may attend; --bias is added to the scaled scores. Both have one record for each record of queries, or "
         "one for all; a "
         "record is (Tq, Tk), or has leading axes that broadcast as NumPy's do. --lengths says for dense batches (B, "
         "Tk, D) how many "
         "keys each sequence has: integers (B,). A query that may attend to nothing gives zeros.";
}

std::vector<Option> mask_options() {
  return {flag("causal", "no query sees a later key; the last query is aligned with the last key"),
          text("mask", "FILE", "booleans, 1 = may attend"),
          text("bias", "FILE", "numbers that are added to the scaled scores"),
          text("lengths", "FILE", "integers: keys that exist, of each sequence of a dense batch")};
}

MaskStreams mask_streams(const Args& args) {
  return MaskStreams(optional_text(args, "mask"), optional_text(args, "bias"), optional_text(args, "lengths"));
}

std::unique_ptr<RecordWriter> open_weights(const std::string& address) {
  OutputOptions options;
  options.any_shape = true;
  return RecordWriter::open(address, options);
}

}  // namespace pipeformer
