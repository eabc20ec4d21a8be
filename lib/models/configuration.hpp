/// Configuration: the hyper-parameters of a model, kept in its file as typed scalar attributes of the root.
///
/// One table describes every field (configuration_fields(), stack_fields() in configuration.cpp): its name, the format
/// version that brought it, its choices or range, its help. The reader and the writer of model files, check(), the
/// options of `model make` and `train`, and `model describe` all read that table: a new hyper-parameter is one line.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "io/hdf5.hpp"
#include "layers/transformer_layers.hpp"
#include "ops/embedding.hpp"

namespace pipeformer {

enum class ModelKind { encoder_decoder, decoder_only, encoder_only };
enum class NormKind { layer, rms };
enum class NormPosition { post, pre };
/// What models are written as; and those with adapters (models/adapters.hpp), which a reader of the former would pass
/// over. The hyper-parameters are the same.
constexpr std::int64_t kFormatVersion = 4, kAdapterFormatVersion = 5;

/// How positions enter. sinusoidal: sines and cosines in turn (the paper); sinusoidal_halved: all sines, then all
/// cosines (tensor2tensor, Marian); sinusoidal_fairseq: halved, with frequencies 10000^(-i / (d/2 - 1)); learned: a
/// table; rotary: queries and keys are turned (Su et al. 2021); relative: a learned bias on the scores for each
/// distance, in buckets (Raffel et al. 2020); alibi: a fixed slope a head (Press et al. 2022).
enum class PositionKind { sinusoidal, sinusoidal_halved, sinusoidal_fairseq, learned, rotary, relative, alibi, none };
/// all: one matrix for both embeddings and the output; target: target embedding and output; embeddings: source and
/// target embedding, the output apart; none.
enum class Tied { all, target, embeddings, none };
/// The kind of prediction. tokens: ids, by the decoder, or by an encoder-only model; classes: one for each sequence;
/// token_classes: one for each position; none.
enum class Head { none, tokens, classes, token_classes };
/// What the outputs of head classes are, and so what loss they are trained by: classes of which one holds (softmax),
/// labels of which each holds or does not (sigmoid), or numbers (squared error).
enum class ProblemType { single_label, multi_label, regression };
/// How a sequence becomes one vector: the mean of its rows, the first, the last, the maximum of each column, the row of
/// the first end id (of the largest id, in a model without an end id); all class tokens side by side (Touvron et al.
/// 2021, DeiT); or the first row beside the mean of the others (Oquab et al. 2023, DINOv2).
enum class Pooling { mean, first, last, max, end, class_tokens, first_and_mean };

/// "1,2.5": the numbers. Throws Error for what is none.
std::vector<double> numbers_in(const std::string& list);

/// The names of an enumeration's values in files and options, in the order of their numbers.
const std::vector<std::string>& names_of(ModelKind);
const std::vector<std::string>& names_of(NormKind);
const std::vector<std::string>& names_of(NormPosition);
const std::vector<std::string>& names_of(PositionKind);
Sinusoid sinusoid_of(PositionKind);  ///< Of one of the three sinusoidal kinds.
const std::vector<std::string>& names_of(Tied);
const std::vector<std::string>& names_of(Head);
const std::vector<std::string>& names_of(ProblemType);
const std::vector<std::string>& names_of(Pooling);
const std::vector<std::string>& names_of(Activation);
const std::vector<std::string>& names_of(RotaryScaling);
template <class Enum>
const std::string& name_of(Enum value) {
  return names_of(value)[static_cast<std::size_t>(value)];
}
/// Throws Error that lists the names.
template <class Enum>
Enum from_name(const std::string& name);

/// The hyper-parameters of an encoder or decoder stack.
struct StackSpec {
  std::int64_t layers = 6;      ///< N
  std::int64_t heads = 8;       ///< h
  std::int64_t kv_heads = 0;    ///< Fewer than heads: grouped-query attention; 0: as many.
  std::int64_t head_width = 0;  ///< d_k = d_v; 0: width / heads.
  bool attention_bias = true;   ///< On queries, keys and values.
  bool attention_output_bias = true;
  double attention_scale = 0;     ///< Of the scores; 0: 1 / sqrt(head_width).
  bool query_key_norm = false;    ///< An RMS norm on each head of queries and keys.
  bool causal = false;            ///< An encoder whose positions see only those before them. Decoders always are.
  std::int64_t window = 0;        ///< A causal stack's positions see themselves and window - 1 before; 0: all.
  std::string window_pattern;     ///< "wf": layers with the window (w) and without it (f) in turn; empty: all have it.
  double attention_soft_cap = 0;  ///< Scores s become cap * tanh(s / cap) (Gemma Team 2024, Gemma 2); 0: no cap.
  std::int64_t inner = 2048;      ///< d_ff
  Activation activation = Activation::relu;
  bool gated = false;
  bool ffn_bias = true;
  NormPosition norm_position = NormPosition::post;
  NormKind norm = NormKind::layer;
  double norm_epsilon = 1e-5;
  bool parallel_residual = false;  ///< Pre-norm: x + attention(norm1(x)) + ffn(norm2(x)).
  bool shared_norm = false;        ///< Both of them read the same norm of x.
  bool sublayer_norm = false;      ///< Pre-norm: what a sublayer gives passes a norm of its own.
  bool layer_scale = false;        ///< What a sublayer gives is scaled by a learned vector (Touvron et al. 2021).
  bool embedding_norm = false;     ///< A norm before the first layer.
  bool final_norm = false;         ///< A norm after the last layer (always useful with pre-norm).
  PositionKind positions = PositionKind::sinusoidal;
  std::int64_t max_positions = 512;  ///< Only for learned positions.
  std::int64_t position_offset = 0;  ///< Sinusoids of the first position are those of this one.
  double rotary_base = 10000;
  double rotary_local_base = 0;     ///< Of layers with the window, which know no scaling then; 0: rotary_base.
  std::int64_t rotary_width = 0;    ///< The columns of a head that are turned; 0: all.
  bool rotary_interleaved = false;  ///< Pairs are neighbours, not half a head apart.
  RotaryScaling rotary_scaling = RotaryScaling::none;
  double rotary_factor = 1;
  double rotary_low_frequency = 1, rotary_high_frequency = 4;
  std::int64_t rotary_context = 8192;                     ///< The context before it was extended.
  double rotary_attention_factor = 1;                     ///< Of the sines and cosines.
  std::string rotary_short_factors, rotary_long_factors;  ///< longrope: numbers with commas between, one a frequency.
  std::int64_t relative_buckets = 32;
  std::int64_t relative_distance = 128;  ///< From here on all distances share a bucket.
  bool embedding_scale = true;           ///< Embeddings are multiplied by sqrt(width), as in the paper.
  std::int64_t embedding_width = 0;      ///< Of embeddings that a linear layer takes to the width; 0: the width.
  std::int64_t token_types = 0;          ///< Kinds of tokens that have a vector each (Devlin et al. 2019's segments).

  std::int64_t key_value_heads() const { return kv_heads > 0 ? kv_heads : heads; }
  bool windowed(std::int64_t layer) const {
    return window > 0 &&
           (window_pattern.empty() || window_pattern[static_cast<std::size_t>(layer) % window_pattern.size()] == 'w');
  }
  /// What turns heads of this width in a layer. Throws Error for factors that are no numbers.
  RotarySpec rotary(std::int64_t whole_head, std::int64_t layer) const;
  bool operator==(const StackSpec&) const = default;
};

struct Configuration {
  ModelKind kind = ModelKind::encoder_decoder;
  std::int64_t source_vocabulary = 0;  ///< Ids of the encoder (0 when there is none).
  std::int64_t target_vocabulary = 0;  ///< Ids of the decoder and of the output (0 when there is none).
  std::int64_t width = 512;            ///< d_model
  StackSpec encoder, decoder;          ///< Only of the stacks that the kind has.
  Tied tied = Tied::all;
  bool output_bias = false;                 ///< A bias on the logits.
  double output_scale = 1;                  ///< What the logits are multiplied by (T5: 1 / sqrt(width)).
  double output_soft_cap = 0;               ///< Logits l of tokens become cap * tanh(l / cap); 0: no cap.
  std::int64_t begin_id = 1;                ///< What a decoder starts from; -1: there is no such id, the prompt begins.
  std::int64_t forced_id = -1;              ///< The first id that a decoder gives (a language's); -1: free.
  std::int64_t end_id = 2;                  ///< What ends a generated sequence; -1: nothing does.
  std::int64_t end_id2 = -1, end_id3 = -1;  ///< Others that end it.
  bool forced_end = false;                  ///< The last id that a length limit allows is the end.
  std::int64_t suppressed_id = -1;          ///< Never generated (a padding id that is also the beginning).
  std::int64_t context = 0;                 ///< Longest sequence that a language model was trained on; 0: not known.
  Head head = Head::tokens;
  std::int64_t classes = 0;                              ///< Only for heads classes and token_classes.
  ProblemType problem_type = ProblemType::single_label;  ///< Only for head classes.
  bool classifier_bias = true;
  bool head_dense = false;  ///< A linear layer and an activation before the output.
  Activation head_activation = Activation::gelu;
  bool head_norm = false;  ///< And a norm after them.
  Pooling pooling = Pooling::mean;
  bool pooler = false;  ///< What is pooled passes a linear layer and an activation.
  Activation pooler_activation = Activation::tanh;
  std::int64_t pooler_width = 0;  ///< Of what that layer gives; 0: the width.
  bool pooler_bias = true;
  std::int64_t projection = 0;    ///< What is pooled is projected to this width (CLIP); 0: it is not.
  bool normalize = false;         ///< What is pooled is divided by its Euclidean length.
  std::int64_t mask_id = 0;       ///< What stands for a masked id.
  std::int64_t input_width = 0;   ///< The encoder reads vectors of this width (patches of images); 0: ids.
  bool input_bias = true;         ///< Of the linear layer that takes them to the width.
  std::int64_t class_tokens = 0;  ///< Learned vectors before those of a sequence (Devlin et al. 2019's [CLS]).
  std::int64_t patch_size = 0;    ///< Images: pixels on each side of a patch.
  std::int64_t channels = 0;      ///< Images: colours of a pixel.

  bool has_encoder() const { return kind != ModelKind::decoder_only; }
  bool has_decoder() const { return kind != ModelKind::encoder_only; }
  bool has_cross_attention() const { return kind == ModelKind::encoder_decoder; }
  bool reads_vectors() const { return input_width > 0; }
  /// Whether outputs mean the same kind of thing as another model's, so that its head can be trained on.
  bool predicts_like(const Configuration& other) const {
    return head == other.head && problem_type == other.problem_type;
  }
  std::int64_t output_vocabulary() const { return has_decoder() ? target_vocabulary : source_vocabulary; }
  /// The ids that end a generated sequence.
  std::vector<std::int64_t> end_ids() const {
    std::vector<std::int64_t> ids;
    for (const std::int64_t id : {end_id, end_id2, end_id3})
      if (id >= 0) ids.push_back(id);
    return ids;
  }
  bool ends(std::int64_t id) const { return id >= 0 && (id == end_id || id == end_id2 || id == end_id3); }
  const StackSpec& stack(bool decoding) const { return decoding ? decoder : encoder; }
  /// Calls body for the spec of each stack that the kind has.
  template <class Body>
  void stacks(Body body) {
    if (has_encoder()) body(encoder);
    if (has_decoder()) body(decoder);
  }
  std::int64_t head_width(bool decoding) const {
    return stack(decoding).head_width > 0 ? stack(decoding).head_width : width / stack(decoding).heads;
  }
  /// Width of what pooling gives: several rows side by side have several widths.
  std::int64_t pooled_width() const {
    return width * (pooling == Pooling::class_tokens ? class_tokens : pooling == Pooling::first_and_mean ? 2 : 1);
  }
  /// Width of one vector of a sequence, before it is projected.
  std::int64_t vector_width() const { return !pooler ? pooled_width() : pooler_width > 0 ? pooler_width : width; }
  /// Width of a side's embeddings.
  std::int64_t embedding_width(bool decoding) const {
    return stack(decoding).embedding_width > 0 ? stack(decoding).embedding_width : width;
  }
  /// Longest sequence that the learned positions of a stack allow; nothing when any length will do.
  std::optional<std::int64_t> longest(bool decoding) const {
    const StackSpec& s = stack(decoding);
    return s.positions == PositionKind::learned ? std::optional(s.max_positions) : std::nullopt;
  }
  /// The same with its zeros that stand for another value (kv_heads, head_width, rotary_width, embedding_width)
  /// replaced by that value, as files hold them.
  Configuration resolved() const;
  /// Calls body(name, value) for each hyper-parameter.
  void each(const std::function<void(const std::string& name, const Attribute& value)>& body) const;
  /// Throws Error naming the first value that does not make a model, prefixed by `where`.
  void check(const std::string& where) const;

  /// group: "" for the root of the file.
  void write(Hdf5File&, const std::string& group = "") const;
  /// Reads and checks; throws Error when the file is no model of ours or one of a newer format.
  static Configuration read(const Hdf5File&, const std::string& group = "");

  NormShape norm_shape(bool decoding) const;
  LayerShape layer_shape(bool decoding, std::int64_t layer) const;
  bool operator==(const Configuration&) const = default;
  /// The first value in which another configuration differs, "width is 64, not 32"; empty when they are equal.
  std::string difference(const Configuration& other) const;
};

/// One line of the table: a hyper-parameter of a Configuration or a StackSpec.
template <class Owner>
struct ConfigurationField {
  std::string name;       ///< In files; in options with '-' for '_'. Of a stack, files put encoder_ or decoder_ before.
  int since = 1;          ///< Format version that brought it.
  bool optional = false;  ///< Files leave it out where it has its default: such files were written before it came.
  std::string old_name;   ///< Of a stack's field in versions 1 and 2, where both stacks shared one value.
  std::vector<std::string> choices;  ///< Of an enumeration.
  double low = 0, high = 0;          ///< Of a number, inclusive.
  std::string help;                  ///< Of its option; empty: it has none (the kind, the task or the import says it).
  std::string option;                ///< Where the option has another name.
  std::function<Attribute(const Owner&)> get;
  std::function<void(Owner&, const Attribute&)> set;  ///< Throws Error for another type and an unknown choice.
};
const std::vector<ConfigurationField<Configuration>>& configuration_fields();
const std::vector<ConfigurationField<StackSpec>>& stack_fields();

}  // namespace pipeformer
