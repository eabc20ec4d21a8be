/// The Transformer family over one configuration: embeddings, encoder stack, decoder stack, what is read
/// out of them (output projection or classifier), and the loss.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "layers/transformer_layers.hpp"
#include "models/configuration.hpp"
#include "models/embeddings.hpp"
#include "ops/cross_entropy.hpp"

namespace pipeformer {

/// A stack of layers and perhaps a final norm.
class Stack {
 public:
  struct Saved {
    std::vector<TransformerLayer::Saved> layers;
    std::vector<char> dropped;  ///< In training, layers that this batch went around.
    Norm::Saved norm;
  };
  Stack() = default;
  Stack(ParameterSource&, const Configuration&, bool decoder);

  /// Output (rows, d), in the workspace. memory is null without cross-attention.
  const float* forward(Context&, const Ragged&, const float* x, const Ragged& memory_ragged, const float* memory,
                       Saved&) const;
  const float* backward(Context&, const Ragged&, const Ragged& memory_ragged, const Saved&, const float* dy,
                        float* d_memory) const;

  const std::vector<TransformerLayer>& layers() const { return layers_; }
  /// The final norm (or a plain pass) of rows x.
  const float* finish(Context&, const Ragged&, const float* x, Norm::Saved&) const;

 private:
  std::string name_;
  std::vector<TransformerLayer> layers_;
  std::optional<Norm> norm_;
  std::int64_t width_ = 0;
};

class Transformer {
 public:
  enum class Parts { all, encoder, decoder };
  /// Builds the parts that are asked for, and that the configuration has, from a source.
  Transformer(ParameterSource&, const Configuration&, Parts = Parts::all);

  const Configuration& configuration() const { return configuration_; }
  const TokenEmbedding& source_embedding() const { return source_embedding_; }
  const VectorEmbedding& vector_embedding() const { return vector_embedding_; }
  const TokenEmbedding& target_embedding() const { return target_embedding_; }
  const Stack& encoder() const { return encoder_; }
  const Stack& decoder() const { return decoder_; }
  const Linear& output() const { return output_; }

  /// What the encoder reads, ids or vectors (the other is null), and what it keeps for the way back.
  struct Source {
    Ragged ragged;
    const std::int32_t* ids = nullptr;
    const float* vectors = nullptr;  ///< (ragged.rows(), input_width)
    BatchOffset first{};             ///< Of the rows, when they are a part of a batch.
  };
  struct Encoded {
    TokenEmbedding::Saved tokens;
    VectorEmbedding::Saved vectors;
    Stack::Saved stack;
    Ragged ragged;                  ///< Of the memory: with a class token each sequence has one row more.
    const float* memory = nullptr;  ///< (ragged.rows(), width), in the workspace
  };
  void encode(Context&, const Source&, Encoded&) const;
  /// Adds to the gradients of everything before the memory.
  void encode_backward(Context&, const Source&, const Encoded&, const float* d_memory) const;

  /// Of a model with head classes: the probabilities of the classes, (sequences, classes).
  void classify(Context&, const Source&, float* probabilities) const;

  /// One training or validation batch.
  struct Examples {
    Source source;
    Ragged target;                             ///< Of a decoder: what it reads,
    const std::int32_t* target_ids = nullptr;  ///< begin and tokens, for example.
    BatchOffset target_first{};
    /// The right answers: one for each row of the target; of an encoder-only model one for each of `rows` (of the
    /// source, ascending: the masked positions) or one for each sequence (classes).
    std::span<const std::int32_t> labels;
    const std::int32_t* rows = nullptr;
  };
  /// Adds to the gradients (of loss * scale) when pass.training.
  CrossEntropy loss(Context&, const Examples&, float smoothing, float scale) const;

 private:
  void enter_encoder(Context&, const Source&) const;
  /// What the classifier sees of each sequence: (sequences, width), in the workspace.
  const float* pool(Context&, const Encoded&) const;

  Configuration configuration_;
  TokenEmbedding source_embedding_, target_embedding_;
  VectorEmbedding vector_embedding_;
  Stack encoder_, decoder_;
  Linear output_;
};

}  // namespace pipeformer
