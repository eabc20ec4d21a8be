/// The Transformer family over one configuration: embeddings, encoder stack, decoder stack, output projection.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "layers/transformer_layers.hpp"
#include "models/configuration.hpp"
#include "ops/cross_entropy.hpp"

namespace pipeformer {

/// The positions that are added to vectors: sinusoidal, learned, or nothing at all (rotary models, models without
/// positions).
class Positions {
 public:
  Positions() = default;
  /// side: "encoder" or "decoder".
  Positions(ParameterSource&, const Configuration&, const std::string& side);
  /// kind: sinusoidal or sinusoidal-halved.
  explicit Positions(std::string kind) : kind_(std::move(kind)) {}

  bool added() const { return kind_ != "rotary" && kind_ != "none"; }
  /// y (rows, width) = x + positions, counted from `first` in each sequence; y may be x. Throws RowError beyond the
  /// last learned position.
  void add(const Ragged&, std::int64_t width, std::int64_t first, const float* x, float* y) const;
  /// The table (positions, width), valid until the next call. Throws Error for an odd width of sinusoids, or when
  /// learned positions are fewer.
  const float* table(std::int64_t positions, std::int64_t width) const;
  const Parameter& learned() const { return learned_; }

 private:
  std::string kind_ = "none";
  Parameter learned_;
  std::int64_t max_positions_ = 0;
  mutable Buffer<float> sinusoids_;
  mutable std::int64_t width_ = 0;  ///< Of the sinusoids.
};

/// Ids to vectors: rows of a table times sqrt(d), and positions. The two halves are what the tools embed and posenc do.
class TokenEmbedding {
 public:
  struct Saved {
    const std::int32_t* ids = nullptr;
    std::uint64_t key = 0;
  };
  TokenEmbedding() = default;
  /// side: "encoder" or "decoder".
  TokenEmbedding(ParameterSource&, const Configuration&, const std::string& side);
  /// A table (vocabulary, width) of its own, without positions.
  TokenEmbedding(Parameter table, std::int64_t vocabulary, std::int64_t width, float scale)
      : table_(table), vocabulary_(vocabulary), width_(width), scale_(scale) {}

  /// y (rows, d) = table[ids] * scale. Throws RowError for an id outside the vocabulary.
  void look_up(std::int64_t rows, const std::int32_t* ids, float* y) const;
  /// y = x + positions, counted from `first` in each sequence; copies x for models without added positions. Throws
  /// RowError beyond the last learned position.
  void add_positions(const Ragged& ragged, std::int64_t first, const float* x, float* y) const {
    positions_.add(ragged, width_, first, x, y);
  }
  const float* forward(Pass&, const Ragged&, const std::int32_t* ids, Saved&) const;
  void backward(Pass&, const Ragged&, const Saved&, const float* dy) const;

  const Parameter& table() const { return table_; }
  std::int64_t vocabulary() const { return vocabulary_; }
  std::int64_t width() const { return width_; }
  const Positions& positions() const { return positions_; }

 private:
  std::string side_;
  Parameter table_;
  std::int64_t vocabulary_ = 0, width_ = 0;
  float scale_ = 1.0f;
  Positions positions_;
};

/// A stack of layers and perhaps a final norm.
class Stack {
 public:
  struct Saved {
    std::vector<TransformerLayer::Saved> layers;
    Norm::Saved norm;
  };
  Stack() = default;
  Stack(ParameterSource&, const Configuration&, bool decoder);

  /// Output (rows, d), in the workspace. memory is null without cross-attention.
  const float* forward(Pass&, const Ragged&, const float* x, const Ragged& memory_ragged, const float* memory,
                       Saved&) const;
  const float* backward(Pass&, const Ragged&, const Ragged& memory_ragged, const Saved&, const float* dy,
                        float* d_memory) const;

  const std::vector<TransformerLayer>& layers() const { return layers_; }
  /// The final norm (or a plain pass) of rows x.
  const float* finish(Pass&, const Ragged&, const float* x, Norm::Saved&) const;

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
  const TokenEmbedding& target_embedding() const { return target_embedding_; }
  const Stack& encoder() const { return encoder_; }
  const Stack& decoder() const { return decoder_; }
  const Linear& output() const { return output_; }

  /// One training or validation batch of pairs. target holds, for each sequence, begin_id, tokens; labels hold tokens,
  /// end_id, with the same offsets. Adds to the gradients (of loss * scale) when pass.training.
  struct Pairs {
    Ragged source, target;
    const std::int32_t *source_ids = nullptr, *target_ids = nullptr, *labels = nullptr;
  };
  CrossEntropy loss(Pass&, const Pairs&, float smoothing, float scale) const;

 private:
  Configuration configuration_;
  TokenEmbedding source_embedding_, target_embedding_;
  Stack encoder_, decoder_;
  Linear output_;
};

}  // namespace pipeformer
