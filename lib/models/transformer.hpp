/// The Transformer family over one configuration: embeddings, encoder stack, decoder stack, what is read
/// out of them (output projection or classifier), and the loss.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "layers/relative_positions.hpp"
#include "layers/transformer_layers.hpp"
#include "models/configuration.hpp"
#include "models/embeddings.hpp"
#include "models/readout.hpp"
#include "ops/cross_entropy.hpp"

namespace pipeformer {

/// The relative positions that a stack's layers share; none in other models.
RelativePositions make_relative_positions(ParameterSource&, const Configuration&, bool decoding);

/// The linear layer that makes logits of tokens or classes, or the vectors of Configuration::projection; nothing where
/// there is none. Its weight may be an embedding's.
std::optional<Linear> output_projection(ParameterSource&, const Configuration&);

/// A stack of layers: perhaps a norm and a linear layer before the first one, perhaps a norm after the last.
class Stack {
 public:
  struct Saved {
    std::vector<const float*> inputs;  ///< Of the layers, where Context::recompute drops all else of them.
    Norm::Saved entry_norm;
    const float* normed = nullptr;  ///< What the entry's linear layer read.
    std::uint64_t seed = 0;
    DistanceBias distance;
    std::vector<TransformerLayer::Saved> layers;
    std::vector<char> dropped;  ///< In training, layers that this batch went around.
    Norm::Saved norm;
  };
  /// The memory that the decoder attends to; null without cross-attention.
  struct Memory {
    Ragged ragged{};
    const float* rows = nullptr;
  };
  Stack() = default;
  Stack(ParameterSource&, const Configuration&, bool decoding);

  /// Output (rows, width), in the workspace, from x (rows, input_width()).
  const float* forward(Context&, const Ragged&, const float* x, const Memory&, Saved&) const;
  /// The gradient of x. d_memory is added to.
  const float* backward(Context&, const Ragged&, const Memory&, const Saved&, const float* dy, float* d_memory) const;

  /// The steps of forward(): what the first layer reads, ...
  const float* enter(Context&, const Ragged&, const float* x, Saved&) const;
  /// ... the biases of sequences of up to `longest` positions, ...
  DistanceBias distance_bias(Context& ctx, std::int64_t longest) const { return relative_.bias(ctx, longest); }
  const std::vector<TransformerLayer>& layers() const { return layers_; }
  /// ... and the final norm (or a plain pass) of rows x.
  const float* finish(Context&, const Ragged&, const float* x, Norm::Saved&) const;

  std::int64_t input_width() const { return input_width_; }
  bool is_packed() const { return !layers_.empty() && layers_.back().is_packed(); }

 private:
  /// One layer in training, of which the backward pass computes all but the result again.
  const float* forward_again(Context&, const Ragged&, std::size_t layer, const float* x,
                             const TransformerLayer::Surroundings&, Saved&) const;
  const float* backward_again(Context&, const Ragged&, std::size_t layer, const TransformerLayer::Surroundings&,
                              const Saved&, const float* dy) const;

  std::string name_;
  std::optional<Norm> entry_norm_;
  std::optional<Linear> entry_linear_;
  RelativePositions relative_;
  std::vector<TransformerLayer> layers_;
  std::optional<Norm> norm_;
  Tap entry_norm_tap_, entry_linear_tap_, norm_tap_;
  std::int64_t width_ = 0, input_width_ = 0;
};

class Transformer {
 public:
  /// Which of its stacks a tool needs.
  enum class Stacks { all, encoder, decoder };
  /// What is computed of the rows of an encoder that no decoder reads; other intermediates are not listed.
  enum class Readout {
    any,        ///< It is not known.
    hidden,     ///< Nothing.
    pooled,     ///< A vector for each sequence, and its projection.
    predicted,  ///< What the head of the model says.
  };
  /// Builds the stacks that are asked for, and that the configuration has, from a source.
  Transformer(ParameterSource&, const Configuration&, Stacks = Stacks::all, Readout = Readout::any);

  const Configuration& configuration() const { return configuration_; }
  const TokenEmbedding& target_embedding() const { return target_embedding_; }
  const Stack& encoder() const { return encoder_; }
  const Stack& decoder() const { return decoder_; }
  const OutputHead& head() const { return head_; }
  const Pooler& pooler() const { return pooler_; }

  /// The encoder's input: ids, vectors, or embeddings with positions (what posenc gives).
  struct Source {
    enum class Kind { ids, vectors, embedded };
    Ragged ragged;
    Kind kind = Kind::ids;
    const std::int32_t* ids = nullptr;
    const float* rows = nullptr;          ///< (ragged.rows(), input_width or the embeddings' width)
    BatchOffset first{};                  ///< Where the rows are in the batch.
    const std::int32_t* types = nullptr;  ///< Of the ids; null: all are type 0.
  };
  struct Encoded {
    TokenEmbedding::Saved tokens;
    VectorEmbedding::Saved vectors;
    Stack::Saved stack;
    Ragged ragged;                  ///< Of the memory: with class tokens each sequence has more rows.
    const float* memory = nullptr;  ///< (ragged.rows(), width), in the workspace
  };
  /// Fills `encoded`, which keeps what backward needs. Inference without a probe computes a large batch in parts, side
  /// by side. Throws RowError.
  void encode(Context&, const Source&, Encoded&) const;
  /// Adds to the gradients of everything before the memory.
  void encode_backward(Context&, const Source&, const Encoded&, const float* d_memory) const;

  /// The decoder's input.
  struct Target {
    Ragged ragged;
    const std::int32_t* ids = nullptr;
    BatchOffset first{};
  };
  struct Decoded {
    TokenEmbedding::Saved tokens;
    Stack::Saved stack;
    const float* hidden = nullptr;  ///< (ragged.rows(), width), in the workspace
  };
  void decode(Context&, const Target&, const Stack::Memory&, Decoded&) const;
  void decode_backward(Context&, const Target&, const Stack::Memory&, const Decoded&, const float* d_hidden,
                       float* d_memory) const;

  /// One vector for each sequence: (sequences, pooler().width()), in the workspace.
  const float* pool(Context&, const Source&, const Encoded&, Pooler::Saved&) const;
  /// The logits of a model with head classes or token-classes: (sequences or memory rows, classes).
  void class_logits(Context&, const Source&, const Encoded&, float* logits) const;
  /// The whole way, of a model with head classes: (sequences, classes).
  void classify_logits(Context&, const Source&, float* logits) const;
  /// What they say: their softmax, or of labels that each hold or do not their sigmoid; or they are the values.
  void classify(Context&, const Source&, float* values) const;

  /// One training or validation batch.
  struct Examples {
    Source source;
    Target target;  ///< Of a decoder: begin and tokens, for example.
    /// The right answers: one for each row of the target; of an encoder-only model one for each of `rows` (of the
    /// source, ascending: the masked positions) or one for each sequence (classes); or the first and the last row of a
    /// span in each sequence, counted from its first one, -1 for none (spans, of a model of two classes of positions).
    std::span<const std::int32_t> labels;
    const std::int32_t* rows = nullptr;
    bool spans = false;
    const float* values = nullptr;  ///< In the place of labels: (sequences, classes) of another problem than one label.
  };
  /// Adds to the gradients (of loss * form.scale) when ctx.training. The soft cap is the model's.
  LossSums loss(Context&, const Examples&, const CrossEntropyForm& form) const;

 private:
  void build_readout(ParameterSource&, Stacks, Readout);
  void enter_encoder(Context&, const Source&) const;
  void encode_parts(Context&, const Source&, std::span<const std::int64_t> cuts, Encoded&) const;
  LossSums span_loss(Context&, const Examples&, const CrossEntropyForm&) const;
  LossSums value_loss(Context&, const Examples&, const CrossEntropyForm&) const;

  Configuration configuration_;
  TokenEmbedding source_embedding_, target_embedding_;
  VectorEmbedding vector_embedding_;
  Stack encoder_, decoder_;
  Pooler pooler_;
  OutputHead head_;
};

}  // namespace pipeformer
