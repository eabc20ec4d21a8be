#include "models/configuration.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iomanip>
#include <iterator>
#include <type_traits>

#include "core/error.hpp"

namespace pipeformer {

#define PIPEFORMER_NAMES(Enum, ...)                             \
  const std::vector<std::string>& names_of(Enum) {              \
    static const std::vector<std::string> names{__VA_ARGS__};   \
    return names;                                               \
  }                                                             \
  template <>                                                   \
  Enum from_name<Enum>(const std::string& name) {               \
    return static_cast<Enum>(index_of(name, names_of(Enum{}))); \
  }

namespace {

constexpr const char* kFormat = "pipeformer model";

std::string joined(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list;
}

std::size_t index_of(const std::string& name, const std::vector<std::string>& names) {
  const auto found = std::find(names.begin(), names.end(), name);
  require(found != names.end(), "'", name, "' is none of ", joined(names));
  return static_cast<std::size_t>(found - names.begin());
}

}  // namespace

PIPEFORMER_NAMES(ModelKind, "encoder-decoder", "decoder-only", "encoder-only")
PIPEFORMER_NAMES(NormKind, "layer", "rms")
PIPEFORMER_NAMES(NormPosition, "post", "pre")
PIPEFORMER_NAMES(PositionKind, "sinusoidal", "sinusoidal-halved", "sinusoidal-fairseq", "learned", "rotary", "relative",
                 "alibi", "none")
PIPEFORMER_NAMES(Tied, "all", "target", "embeddings", "none")
PIPEFORMER_NAMES(Head, "none", "tokens", "classes", "token-classes")
PIPEFORMER_NAMES(ProblemType, "single-label", "multi-label", "regression")
PIPEFORMER_NAMES(Pooling, "mean", "first", "last", "max", "end", "class-tokens", "first-and-mean")
PIPEFORMER_NAMES(Activation, std::begin(kNamesOfActivations), std::end(kNamesOfActivations))
PIPEFORMER_NAMES(RotaryScaling, "none", "linear", "llama3", "yarn", "dynamic", "longrope")
#undef PIPEFORMER_NAMES

Sinusoid sinusoid_of(PositionKind kind) {
  return kind == PositionKind::sinusoidal          ? Sinusoid::interleaved
         : kind == PositionKind::sinusoidal_halved ? Sinusoid::halved
                                                   : Sinusoid::fairseq;
}

namespace {

template <class Owner>
using Field = ConfigurationField<Owner>;

constexpr double kLargest = 1 << 30;

/// A line of the table for a member of any type: a flag, an integer, a real number or an enumeration.
template <class Owner, class T>
Field<Owner> field(std::string name, int since, T Owner::*member, std::string help = "") {
  Field<Owner> f;
  f.name = std::move(name);
  f.since = since;
  f.help = std::move(help);
  if constexpr (std::is_enum_v<T>) {
    f.choices = names_of(T{});
    f.get = [member](const Owner& o) { return Attribute(name_of(o.*member)); };
    f.set = [member](Owner& o, const Attribute& value) {
      const auto* text = std::get_if<std::string>(&value);
      require(text != nullptr, "has the wrong type");
      o.*member = from_name<T>(*text);
    };
  } else {
    f.get = [member](const Owner& o) { return Attribute(o.*member); };
    f.set = [member](Owner& o, const Attribute& value) {
      const T* typed = std::get_if<T>(&value);
      require(typed != nullptr, "has the wrong type");
      o.*member = *typed;
    };
  }
  return f;
}

template <class Owner>
Field<Owner> optional(Field<Owner> f) {
  f.optional = true;
  return f;
}

template <class Owner>
Field<Owner> number(std::string name, int since, std::int64_t Owner::*member, double low, double high,
                    std::string help = "") {
  Field<Owner> f = field(std::move(name), since, member, std::move(help));
  f.low = low;
  f.high = high;
  return f;
}

template <class Owner>
Field<Owner> real(std::string name, int since, double Owner::*member, double low, double high, std::string help = "") {
  Field<Owner> f = field(std::move(name), since, member, std::move(help));
  f.low = low;
  f.high = high;
  return f;
}

template <class Owner>
Field<Owner> formerly(std::string name, Field<Owner> f) {
  f.old_name = std::move(name);
  return f;
}

template <class Owner>
Field<Owner> as_option(std::string name, Field<Owner> f) {
  f.option = std::move(name);
  return f;
}

/// Sets a field from a file or an option; errors name the place and the value's name.
template <class Owner>
void assign(const Field<Owner>& f, const std::string& name, Owner& owner, const Attribute& value,
            const std::string& where) {
  try {
    f.set(owner, value);
  } catch (const Error& error) {
    throw Error(cat(where, ": ", name, " ", std::holds_alternative<std::string>(value) ? "is " : "", error.what()));
  }
}

template <class Owner>
void check_range(const Field<Owner>& f, const std::string& name, const Owner& owner, const std::string& where) {
  if (f.low == f.high) return;
  const Attribute value = f.get(owner);
  const double x = std::holds_alternative<double>(value) ? std::get<double>(value)
                                                         : static_cast<double>(std::get<std::int64_t>(value));
  require(x >= f.low && x <= f.high, where, ": ", name, " is ", x, ", outside ", f.low, " to ", f.high);
}

/// Calls body(name, field, owner) for every field that a configuration of this kind has.
template <class Config, class Body>
void each_field(Config& c, Body body) {
  for (const auto& f : configuration_fields()) body(f.name, f, c);
  for (const auto& f : stack_fields()) {
    if (c.has_encoder()) body("encoder_" + f.name, f, c.encoder);
    if (c.has_decoder()) body("decoder_" + f.name, f, c.decoder);
  }
}

/// The shortest pattern that says the same, or none.
void shorten_pattern(StackSpec& s) {
  std::string layers;
  for (std::int64_t i = 0; i < s.layers; ++i) layers += s.windowed(i) ? 'w' : 'f';
  std::size_t period = 1;
  while (period < layers.size() && layers.compare(period, std::string::npos, layers, 0, layers.size() - period) != 0)
    ++period;
  s.window_pattern = layers.substr(0, period);
  if (s.window_pattern == "f") s.window = 0;
  if (period == 1) s.window_pattern.clear();
}

void check_rotary(const StackSpec& s, std::int64_t turned, const std::string& at) {
  require(s.rotary_scaling != RotaryScaling::dynamic || turned > 2, at,
          "rotary_scaling dynamic turns more than 2 columns");
  require(s.rotary_scaling != RotaryScaling::yarn || s.rotary_base > 1, at, "rotary_scaling yarn needs a base above 1");
  require(s.rotary_scaling != RotaryScaling::dynamic || s.rotary_factor >= 1, at,
          "rotary_scaling dynamic needs a factor of 1 or more");
  require(s.rotary_local_base == 0 || s.rotary_local_base >= 1, at, "rotary_local_base is ", s.rotary_local_base,
          ", neither 0 nor 1 or more");
  if (s.rotary_scaling != RotaryScaling::longrope) return;
  for (const auto& [name, list] : {std::pair{"rotary_short_factors", &s.rotary_short_factors},
                                   std::pair{"rotary_long_factors", &s.rotary_long_factors}}) {
    std::vector<double> factors;
    try {
      factors = numbers_in(*list);
    } catch (const Error& error) {
      throw Error(cat(at, name, ": ", error.what()));
    }
    require(std::ssize(factors) == turned / 2, at, name, " are ", factors.size(), " numbers, not ", turned / 2);
    for (const double f : factors) require(f >= 1e-6 && f <= 1e6, at, name, ": ", f, " is outside 1e-06 to 1e+06");
  }
}

}  // namespace

std::vector<double> numbers_in(const std::string& list) {
  std::vector<double> numbers;
  for (std::size_t begin = 0; begin < list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    double x = 0;
    const auto [stop, error] = std::from_chars(list.data() + begin, list.data() + end, x);
    require(error == std::errc() && stop == list.data() + end, "'", list.substr(begin, end - begin), "' is no number");
    numbers.push_back(x);
    begin = end + 1;
  }
  return numbers;
}

const std::vector<ConfigurationField<Configuration>>& configuration_fields() {
  using C = Configuration;
  static const std::vector<Field<C>> fields{
      field("kind", 1, &C::kind),
      number("source_vocabulary", 1, &C::source_vocabulary, 0, kLargest,
             "number of source ids (default: the tokenizer's)"),
      number("target_vocabulary", 1, &C::target_vocabulary, 0, kLargest,
             "number of target ids (default: the tokenizer's)"),
      number("width", 1, &C::width, 1, 1 << 20, "width of all layers, d_model"),
      field("tied", 1, &C::tied,
            "one matrix for both embeddings and the output; for target embedding and output; for both embeddings; or "
            "for none"),
      field("output_bias", 1, &C::output_bias, "a bias on the logits"),
      real("output_scale", 3, &C::output_scale, 1e-9, 1e9, "what the logits are multiplied by"),
      real("output_soft_cap", 4, &C::output_soft_cap, 0, 1e9, "logits l become cap * tanh(l / cap); 0: no cap"),
      number("begin_id", 1, &C::begin_id, -1, kLargest,
             "id that starts a target (default: the tokenizer's); -1: there is none"),
      number("forced_id", 3, &C::forced_id, -1, kLargest, "first id of every target; -1: none"),
      number("end_id", 1, &C::end_id, -1, kLargest,
             "id that ends a target, or that --pooling end takes the row of (default: the tokenizer's); -1: none"),
      number("end_id2", 3, &C::end_id2, -1, kLargest),
      number("end_id3", 3, &C::end_id3, -1, kLargest),
      field("forced_end", 3, &C::forced_end),
      number("suppressed_id", 3, &C::suppressed_id, -1, kLargest),
      number("context", 3, &C::context, 0, kLargest),
      field("head", 2, &C::head),
      number("classes", 2, &C::classes, 0, kLargest),
      optional(field("problem_type", 4, &C::problem_type)),
      optional(field("classifier_bias", 4, &C::classifier_bias)),
      field("head_dense", 3, &C::head_dense, "a linear layer and an activation before the output"),
      field("head_activation", 3, &C::head_activation, "the activation of --head-dense"),
      field("head_norm", 3, &C::head_norm, "a norm after --head-dense"),
      field(
          "pooling", 2, &C::pooling,
          "what stands for a whole sequence: the mean of its rows, the first, the last, the largest of each column, "
          "the row of the first end id, all class tokens side by side, or the first row beside the mean of the others"),
      field("pooler", 3, &C::pooler, "a linear layer and an activation after pooling"),
      field("pooler_activation", 3, &C::pooler_activation, "the activation of --pooler"),
      number("pooler_width", 4, &C::pooler_width, 0, 1 << 20, "width of what --pooler gives; 0: --width"),
      field("pooler_bias", 4, &C::pooler_bias, "a bias in --pooler"),
      number("projection", 3, &C::projection, 0, 1 << 20, "width that what is pooled is projected to; 0: it is not"),
      field("normalize", 3, &C::normalize, "divide what is pooled by its Euclidean length"),
      number("mask_id", 2, &C::mask_id, 0, kLargest,
             "id that stands for a masked one (default: the tokenizer's mask, or else its unknown id)"),
      number("input_width", 2, &C::input_width, 0, 1 << 20),
      field("input_bias", 3, &C::input_bias, "a bias where vectors enter"),
      number("class_tokens", 3, &C::class_tokens, 0, 16),
      number("patch_size", 3, &C::patch_size, 0, 1 << 15),
      number("channels", 3, &C::channels, 0, 1 << 15),
  };
  return fields;
}

const std::vector<ConfigurationField<StackSpec>>& stack_fields() {
  using S = StackSpec;
  static const std::vector<Field<S>> fields{
      number("layers", 1, &S::layers, 0, 1000, "layers of the"),
      formerly("heads", number("heads", 1, &S::heads, 1, 1 << 16, "attention heads; divides --width")),
      formerly("kv_heads", number("kv_heads", 1, &S::kv_heads, 0, 1 << 16,
                                  "key/value heads; divides --heads; 0: as many as heads")),
      number("head_width", 3, &S::head_width, 0, 1 << 16, "width of a head; 0: --width / --heads"),
      formerly("bias", field("attention_bias", 1, &S::attention_bias, "biases on queries, keys and values")),
      formerly("bias", field("attention_output_bias", 1, &S::attention_output_bias, "a bias on what attention gives")),
      real("attention_scale", 3, &S::attention_scale, 0, 1e9, "what scores are multiplied by; 0: 1/sqrt(head width)"),
      field("query_key_norm", 3, &S::query_key_norm, "a root-mean-square norm on each head of queries and keys"),
      field("causal", 3, &S::causal, "an encoder whose positions see only those before them"),
      number("window", 3, &S::window, 0, kLargest, "positions that a causal stack sees, with its own; 0: all"),
      field("window_pattern", 4, &S::window_pattern,
            "layers with --window (w) and without (f), again and again, as in wwf (default: all have it)"),
      real("attention_soft_cap", 4, &S::attention_soft_cap, 0, 1e9,
           "attention scores s become cap * tanh(s / cap); 0: no cap"),
      formerly("inner", number("inner", 1, &S::inner, 1, 1 << 22, "inner width of the feed-forward layers, d_ff")),
      formerly("activation", field("activation", 1, &S::activation, "activation of the feed-forward layers")),
      formerly("gated", field("gated", 1, &S::gated, "gated feed-forward layers")),
      formerly("bias", field("ffn_bias", 1, &S::ffn_bias, "biases in feed-forward layers")),
      formerly("norm_position", field("norm_position", 1, &S::norm_position,
                                      "norm after the residual (the paper) or before the sublayer")),
      as_option("norm-kind", formerly("norm", field("norm", 1, &S::norm, "layer norm or root-mean-square norm"))),
      formerly("norm_epsilon", real("norm_epsilon", 1, &S::norm_epsilon, 1e-30, 0.1, "what norms add to the variance")),
      field("parallel_residual", 3, &S::parallel_residual,
            "attention and feed-forward side by side, x + attention(norm1(x)) + ffn(norm2(x))"),
      field("shared_norm", 4, &S::shared_norm, "--parallel-residual with one norm for both"),
      field("sublayer_norm", 4, &S::sublayer_norm, "a norm on what each sublayer gives, beside the one before it"),
      field("layer_scale", 3, &S::layer_scale, "scale what a sublayer gives by a learned vector"),
      field("embedding_norm", 3, &S::embedding_norm, "a norm before the first layer"),
      formerly("final_norm", field("final_norm", 1, &S::final_norm,
                                   "a norm after the last layer of each stack (default: with --norm-position pre)")),
      formerly("positions", field("positions", 1, &S::positions, "how positions enter")),
      formerly("max_positions", number("max_positions", 1, &S::max_positions, 1, 2147483648.0,
                                       "longest sequence of a model with learned positions")),
      number("position_offset", 3, &S::position_offset, 0, kLargest, "number of the first sinusoidal position"),
      real("rotary_base", 3, &S::rotary_base, 1, 1e15, "base of the rotary frequencies"),
      real("rotary_local_base", 4, &S::rotary_local_base, 0, 1e15,
           "their base in layers with --window, where --rotary-scaling is none then; 0: --rotary-base"),
      number("rotary_width", 3, &S::rotary_width, 0, 1 << 16, "columns of a head that are turned; 0: all"),
      field("rotary_interleaved", 3, &S::rotary_interleaved, "turn neighbouring columns together"),
      field("rotary_scaling", 3, &S::rotary_scaling, "how rotary positions were stretched to a longer context"),
      real("rotary_factor", 3, &S::rotary_factor, 1e-6, 1e6, "by how much --rotary-scaling stretches"),
      real("rotary_low_frequency", 3, &S::rotary_low_frequency, 1e-6, 1e6,
           "turns in --rotary-context up to which --rotary-scaling llama3 and yarn stretch in full"),
      real("rotary_high_frequency", 3, &S::rotary_high_frequency, 1e-6, 1e6,
           "turns in --rotary-context from which --rotary-scaling llama3 and yarn stretch nothing"),
      number("rotary_context", 3, &S::rotary_context, 1, kLargest,
             "the context before --rotary-scaling llama3, yarn, dynamic and longrope"),
      real("rotary_attention_factor", 4, &S::rotary_attention_factor, 1e-6, 1e6,
           "what the columns that are turned are multiplied by"),
      field("rotary_short_factors", 4, &S::rotary_short_factors,
            "--rotary-scaling longrope: divisors of the frequencies, as in 1,1.5"),
      field("rotary_long_factors", 4, &S::rotary_long_factors,
            "--rotary-scaling longrope: those of a sequence longer than --rotary-context"),
      number("relative_buckets", 3, &S::relative_buckets, 2, 1 << 20, "buckets of --positions relative"),
      number("relative_distance", 3, &S::relative_distance, 1, kLargest,
             "distance from which --positions relative has one bucket"),
      formerly("embedding_scale",
               field("embedding_scale", 1, &S::embedding_scale, "multiply embeddings by the square root of --width")),
      number("embedding_width", 3, &S::embedding_width, 0, 1 << 20,
             "width of embeddings that a linear layer takes to --width; 0: --width"),
      number("token_types", 3, &S::token_types, 0, 1 << 20, "kinds of tokens that have a vector each"),
  };
  return fields;
}

Configuration Configuration::resolved() const {
  Configuration c = *this;
  if (c.pooler_width == 0) c.pooler_width = width;
  for (const bool decoding : {false, true}) {
    StackSpec& s = decoding ? c.decoder : c.encoder;
    if (s.heads < 1) continue;  // check() will say it
    s.kv_heads = s.key_value_heads();
    s.head_width = head_width(decoding);
    if (s.rotary_width == 0) s.rotary_width = s.head_width;
    if (!s.window_pattern.empty()) shorten_pattern(s);
    s.embedding_width = embedding_width(decoding);
  }
  return c;
}

void Configuration::each(const std::function<void(const std::string&, const Attribute&)>& body) const {
  each_field(*this, [&](const std::string& name, const auto& f, const auto& owner) { body(name, f.get(owner)); });
}

void Configuration::check(const std::string& where) const {
  each_field(*this,
             [&](const std::string& name, const auto& f, const auto& owner) { check_range(f, name, owner, where); });
  const auto in_range = [&](const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
    require(value >= low && value <= high, where, ": ", name, " is ", value, ", outside ", low, " to ", high);
  };
  for (const bool decoding : {false, true}) {
    if (decoding ? !has_decoder() : !has_encoder()) continue;
    const StackSpec& s = stack(decoding);
    const std::string at = cat(where, ": the ", decoding ? "decoder" : "encoder", "'s ");
    require(s.head_width > 0 || width % s.heads == 0, where, ": width ", width, " is not a multiple of heads ",
            s.heads);
    require(s.heads % s.key_value_heads() == 0, where, ": heads ", s.heads, " is not a multiple of kv_heads ",
            s.key_value_heads());
    const std::int64_t turned = s.rotary_width > 0 ? s.rotary_width : head_width(decoding);
    require(s.positions != PositionKind::rotary || (turned % 2 == 0 && turned <= head_width(decoding)), where,
            ": rotary positions need an even head width, not ", turned);
    require(s.positions > PositionKind::sinusoidal_fairseq || width % 2 == 0, where,
            ": sinusoidal positions need an even width, not ", width);
    require(s.positions != PositionKind::sinusoidal_fairseq || width >= 4, where,
            ": sinusoidal-fairseq positions need a width of 4 or more, not ", width);
    require(s.window == 0 || decoding || s.causal, at, "window needs a causal stack");
    require(!s.parallel_residual || s.norm_position == NormPosition::pre, at, "parallel residual needs norms before");
    require(!s.parallel_residual || !(decoding && has_cross_attention()), at,
            "parallel residual leaves no place for cross-attention");
    require(s.rotary_high_frequency > s.rotary_low_frequency ||
                (s.rotary_scaling != RotaryScaling::llama3 && s.rotary_scaling != RotaryScaling::yarn),
            at, "rotary_high_frequency is not above rotary_low_frequency");
    if (s.positions == PositionKind::rotary) check_rotary(s, turned, at);
    require(s.rotary_scaling != RotaryScaling::longrope || !(decoding && has_cross_attention()), at,
            "rotary_scaling longrope is not for a decoder with cross-attention");
    require(s.window_pattern.size() <= 1000, at, "window_pattern has ", s.window_pattern.size(),
            " letters, above 1000");
    require(s.window_pattern.find_first_not_of("wf") == std::string::npos, at, "window_pattern '", s.window_pattern,
            "' is not made of w and f");
    require(s.window_pattern.empty() || s.window > 0, at, "window_pattern needs a window");
    require(!s.shared_norm || s.parallel_residual, at, "shared_norm needs parallel residual");
    require(!s.sublayer_norm || s.norm_position == NormPosition::pre, at, "sublayer_norm needs norms before");
    require(embedding_width(decoding) == width || tied == Tied::none || !(has_encoder() && has_decoder()), at,
            "embedding_width needs --tied none beside another stack");
  }
  require(!has_decoder() || (head == Head::tokens && !reads_vectors()), where, ": a model of kind ", name_of(kind),
          " predicts tokens from ids");
  require(head != Head::tokens || !reads_vectors(), where, ": tokens cannot be predicted from vectors");
  require(class_tokens == 0 || reads_vectors(), where, ": a class token stands before vectors only (input_width)");
  require(pooling != Pooling::class_tokens || class_tokens > 0, where, ": there are no class tokens to pool");
  require(output_soft_cap == 0 || head == Head::tokens, where, ": output_soft_cap caps the logits of tokens only");
  require(pooler_width == 0 || pooler_width == width || (pooler && !head_dense), where,
          ": pooler_width needs a pooler, and no head_dense after it");
  require(!head_norm || head_dense, where, ": head_norm needs head_dense");
  if (head == Head::classes || head == Head::token_classes) in_range("classes", classes, 1, 1 << 30);
  require(problem_type == ProblemType::single_label || head == Head::classes, where, ": problem_type ",
          name_of(problem_type), " is of a model that predicts classes");
  if (has_encoder() && !reads_vectors()) in_range("source_vocabulary", source_vocabulary, 1, 1 << 30);
  if (!has_decoder() && head == Head::tokens) in_range("mask_id", mask_id, 0, source_vocabulary - 1);
  if (!has_decoder() && !reads_vectors() && pooling == Pooling::end)
    in_range("end_id", end_id, -1, source_vocabulary - 1);
  if (has_decoder()) in_range("target_vocabulary", target_vocabulary, 1, 1 << 30);
  if (kind == ModelKind::encoder_decoder && (tied == Tied::all || tied == Tied::embeddings))
    require(source_vocabulary == target_vocabulary, where, ": tied embeddings need one vocabulary, not ",
            source_vocabulary, " and ", target_vocabulary);
  if (has_decoder()) {
    in_range("begin_id", begin_id, -1, target_vocabulary - 1);
    in_range("end_id", end_id, -1, target_vocabulary - 1);
    for (const std::int64_t id : {end_id2, end_id3, forced_id, suppressed_id})
      in_range("a control id", id, -1, target_vocabulary - 1);
  }
}

void Configuration::write(Hdf5File& file, const std::string& group) const {
  file.set_attribute("format", std::string(kFormat), group);
  file.set_attribute("format_version", kFormatVersion, group);
  const Configuration whole = resolved();
  each_field(whole, [&](const std::string& name, const auto& f, const auto& owner) {
    const Attribute value = f.get(owner);
    if (f.optional && value == f.get(std::decay_t<decltype(owner)>{})) return;
    file.set_attribute(name, value, group);
  });
}

Configuration Configuration::read(const Hdf5File& file, const std::string& group) {
  const std::string where = group.empty() ? file.name() : cat(file.name(), ":", group);
  const auto format = file.attribute("format", group);
  require(format && std::holds_alternative<std::string>(*format) && std::get<std::string>(*format) == kFormat, where,
          ": is not a model (it has no attribute format = '", kFormat, "')");
  const auto stored_version = file.attribute("format_version", group);
  require(stored_version && std::holds_alternative<std::int64_t>(*stored_version), where, ": has no format_version");
  const std::int64_t version = std::get<std::int64_t>(*stored_version);
  require(version >= 1, where, ": format_version is ", version, "; the first one is 1");
  require(version <= kAdapterFormatVersion, where, ": is a model of format version ", version,
          "; this program reads up to ", kAdapterFormatVersion);
  Configuration c;
  const auto load = [&](const std::string& name, const auto& f, auto& owner) {
    const auto value = file.attribute(name, group);
    if (!value && (f.since > version || f.optional)) return;
    require(value.has_value(), where, ": model attribute ", name, " is missing");
    assign(f, "model attribute " + name, owner, *value, where);
  };
  for (const auto& f : configuration_fields()) load(f.name, f, c);
  for (const auto& f : stack_fields()) {
    const bool shared = version < 3 && !f.old_name.empty();
    if (c.has_encoder()) load(shared ? f.old_name : "encoder_" + f.name, f, c.encoder);
    if (c.has_decoder()) load(shared ? f.old_name : "decoder_" + f.name, f, c.decoder);
  }
  if (version == 1 && !c.has_decoder()) c.head = Head::none;
  if (version < 3 && c.begin_id != c.end_id) c.suppressed_id = c.begin_id;
  if (const auto one = file.attribute("class_token", group); version == 2 && one && *one == Attribute(true))
    c.class_tokens = 1;
  c.check(where);
  return c.resolved();
}

std::string Configuration::difference(const Configuration& other) const {
  const auto text = [](const Attribute& attribute) {
    return std::visit([](const auto& value) { return cat(std::boolalpha, std::setprecision(17), value); }, attribute);
  };
  std::vector<Attribute> wanted;
  each_field(*this, [&](const std::string&, const auto& f, const auto& owner) { wanted.push_back(f.get(owner)); });
  if (kind != other.kind) return cat("kind is ", name_of(other.kind), ", not ", name_of(kind));
  std::string first;
  std::size_t at = 0;
  each_field(other, [&](const std::string& name, const auto& f, const auto& owner) {
    const Attribute &expected = wanted[at++], found = f.get(owner);
    if (first.empty() && found != expected) first = cat(name, " is ", text(found), ", not ", text(expected));
  });
  return first;
}

RotarySpec StackSpec::rotary(std::int64_t whole_head, std::int64_t layer) const {
  RotarySpec spec{
      .base = rotary_base, .width = rotary_width > 0 ? rotary_width : whole_head, .interleaved = rotary_interleaved};
  if (rotary_local_base > 0 && windowed(layer)) {
    spec.base = rotary_local_base;
    return spec;
  }
  spec.scaling = rotary_scaling;
  spec.factor = rotary_factor;
  spec.low_frequency = rotary_low_frequency;
  spec.high_frequency = rotary_high_frequency;
  spec.original_context = rotary_context;
  spec.attention_factor = rotary_attention_factor;
  if (rotary_scaling == RotaryScaling::longrope) {
    spec.short_factors = numbers_in(rotary_short_factors);
    spec.long_factors = numbers_in(rotary_long_factors);
  }
  return spec;
}

NormShape Configuration::norm_shape(bool decoding) const {
  return {stack(decoding).norm == NormKind::rms, static_cast<float>(stack(decoding).norm_epsilon)};
}

LayerShape Configuration::layer_shape(bool decoding, std::int64_t layer) const {
  const StackSpec& s = stack(decoding);
  LayerShape shape;
  MultiheadAttentionShape& attention = shape.self_attention;
  attention.width = width;
  attention.heads = s.heads;
  attention.kv_heads = s.key_value_heads();
  attention.head_width = head_width(decoding);
  attention.bias = s.attention_bias;
  attention.output_bias = s.attention_output_bias;
  attention.scale = s.attention_scale > 0
                        ? static_cast<float>(s.attention_scale)
                        : static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_width(decoding))));
  attention.soft_cap = static_cast<float>(s.attention_soft_cap);
  shape.cross_attention = attention;
  shape.cross_attention.cross = true;
  attention.causal = decoding || s.causal;
  attention.window = s.windowed(layer) ? s.window : 0;
  if (s.query_key_norm) attention.query_key_norm = NormShape{true, static_cast<float>(s.norm_epsilon)};
  if (s.positions == PositionKind::rotary) attention.rotary = s.rotary(attention.head_width, layer);
  shape.feed_forward = {width, s.inner, s.activation, s.gated, s.ffn_bias};
  shape.norm = norm_shape(decoding);
  shape.pre_norm = s.norm_position == NormPosition::pre;
  shape.parallel = s.parallel_residual;
  shape.shared_norm = s.shared_norm;
  shape.sublayer_norm = s.sublayer_norm;
  shape.scaled = s.layer_scale;
  shape.cross = decoding && has_cross_attention();
  return shape;
}

}  // namespace pipeformer
