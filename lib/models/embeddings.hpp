/// The stage before the first layer: ids or vectors become rows of the model's width, with positions (Vaswani et al.
/// 2017, sections 3.4 and 3.5; Dosovitskiy et al. 2021, equation 1).
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "layers/context.hpp"
#include "layers/linear.hpp"
#include "models/configuration.hpp"

namespace pipeformer {

/// The positions that are added to vectors: sinusoidal, learned, or nothing at all (rotary models, models without
/// positions).
class Positions {
 public:
  Positions() = default;
  /// side: "encoder" or "decoder".
  Positions(ParameterSource&, const Configuration&, const std::string& side);
  /// One of the sinusoidal kinds.
  explicit Positions(PositionKind kind) : kind_(kind) {}

  bool added() const { return kind_ <= PositionKind::learned; }
  /// Throws RowError for a sequence whose rows, counted from `first`, go beyond the last position.
  void check(const Ragged&, std::int64_t first) const;
  /// y (rows, width) = x + positions, counted from `first` in each sequence; y may be x. Throws RowError beyond the
  /// last learned position.
  void add(const Ragged&, std::int64_t width, std::int64_t first, const float* x, float* y) const;
  /// Positions first, first + 1, ...: at least (count, width). Throws Error for an odd width of sinusoids, and beyond
  /// the last position that there is.
  std::shared_ptr<const float> table(std::int64_t first, std::int64_t count, std::int64_t width) const;
  const Parameter& learned() const { return learned_; }

 private:
  std::int64_t positions() const;                   ///< How many there are.
  std::string beyond(std::int64_t position) const;  ///< For messages.
  PositionKind kind_ = PositionKind::none;
  Parameter learned_;
  std::int64_t max_positions_ = 0;
  std::int64_t offset_ = 0;  ///< Of sinusoids.
  /// Sinusoids of some positions, made longer when they are needed, on any thread.
  struct Sinusoids {
    std::mutex growing;
    std::shared_ptr<const Buffer<float>> table;
    std::int64_t width = 0, first = 0, end = 0;
  };
  std::shared_ptr<Sinusoids> sinusoids_ = std::make_shared<Sinusoids>();
};

/// The table of a side's ids, (vocabulary, embedding_width); perhaps that of both sides.
Weight embedding_table(ParameterSource&, const Configuration&, const std::string& side);

/// Ids to vectors: rows of a table times sqrt(d), those of the tokens' types, and positions. The two halves are what
/// the tools embed and posenc do.
class TokenEmbedding {
 public:
  struct Saved {
    const std::int32_t *ids = nullptr, *types = nullptr;
  };
  TokenEmbedding() = default;
  /// side: "encoder" or "decoder".
  TokenEmbedding(ParameterSource&, const Configuration&, const std::string& side);
  /// A table (vocabulary, width) of its own, without positions.
  TokenEmbedding(Weight table, float scale)
      : table_(table), vocabulary_(table.stored.rows), width_(table.stored.columns), scale_(scale) {}

  /// y (rows, d) = table[ids] * scale + type_table[types]; types may be null: all are type 0. Throws RowError for an id
  /// or a type outside its table.
  void look_up(std::int64_t rows, const std::int32_t* ids, const std::int32_t* types, float* y) const;
  /// y = x + positions, counted from `first` in each sequence; copies x for models without added positions. Throws
  /// RowError beyond the last learned position.
  void add_positions(const Ragged& ragged, std::int64_t first, const float* x, float* y) const {
    positions_.add(ragged, width_, first, x, y);
  }
  const float* forward(Context&, const Ragged&, const std::int32_t* ids, const std::int32_t* types, Saved&) const;
  void backward(Context&, const Ragged&, const Saved&, const float* dy) const;
  /// What forward() shows: rows before and after positions are added.
  Tap embeddings_tap() const { return embeddings_tap_; }
  Tap positions_tap() const { return positions_tap_; }

  const Weight& table() const { return table_; }
  std::int64_t vocabulary() const { return vocabulary_; }
  std::int64_t width() const { return width_; }
  std::int64_t types() const { return types_; }  ///< How many types of tokens there are.
  const Positions& positions() const { return positions_; }

 private:
  Weight table_;
  Parameter type_table_;
  Tap embeddings_tap_, positions_tap_;
  std::int64_t vocabulary_ = 0, width_ = 0, types_ = 0;
  float scale_ = 1.0f;
  Positions positions_;
};

/// Vectors (patches of images) to rows: x W^T + b, before each sequence the learned class tokens that the model has,
/// and positions.
class VectorEmbedding {
 public:
  struct Saved {
    const float* x = nullptr;
    std::vector<std::int64_t> offsets;  ///< Of the rows that come out.
    Ragged ragged() const { return {offsets}; }
  };
  VectorEmbedding() = default;
  VectorEmbedding(ParameterSource&, const Configuration&);

  /// Rows (saved.ragged().rows(), width) before positions, in the workspace. x (ragged.rows(), input_width).
  float* project(Context&, const Ragged&, const float* x, Saved&) const;
  const float* forward(Context&, const Ragged&, const float* x, Saved&) const;
  void backward(Context&, const Ragged&, const Saved&, const float* dy) const;
  std::int64_t input_width() const { return input_.in(); }
  std::int64_t width() const { return input_.out(); }
  std::int64_t class_tokens() const { return class_tokens_; }
  /// Of the rows that come out.
  std::vector<std::int64_t> offsets(const Ragged&) const;

 private:
  Linear input_;
  Parameter class_token_;  ///< (class_tokens, width)
  std::int64_t class_tokens_ = 0;
  Positions positions_;
  Tap embeddings_tap_, positions_tap_;
};

}  // namespace pipeformer
