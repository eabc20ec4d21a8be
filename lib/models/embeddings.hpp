/// What stands before the first layer: ids or vectors become rows of the model's width, with positions (Vaswani et al.
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
  /// kind: sinusoidal or sinusoidal-halved.
  explicit Positions(std::string kind) : kind_(std::move(kind)) {}

  bool added() const { return kind_ != "rotary" && kind_ != "none"; }
  /// Throws RowError for a sequence whose rows, counted from `first`, go beyond the last learned position.
  void check(const Ragged&, std::int64_t first) const;
  /// y (rows, width) = x + positions, counted from `first` in each sequence; y may be x. Throws RowError beyond the
  /// last learned position.
  void add(const Ragged&, std::int64_t width, std::int64_t first, const float* x, float* y) const;
  /// The table, of at least (positions, width). Throws Error for an odd width of sinusoids, or when learned positions
  /// are fewer.
  std::shared_ptr<const float> table(std::int64_t positions, std::int64_t width) const;
  const Parameter& learned() const { return learned_; }

 private:
  std::string kind_ = "none";
  Parameter learned_;
  std::int64_t max_positions_ = 0;
  /// Sinusoids, made longer when they are needed, on any thread.
  struct Sinusoids {
    std::mutex growing;
    std::shared_ptr<const Buffer<float>> table;
    std::int64_t width = 0;
  };
  std::shared_ptr<Sinusoids> sinusoids_ = std::make_shared<Sinusoids>();
};

/// Ids to vectors: rows of a table times sqrt(d), and positions. The two halves are what the tools embed and posenc do.
class TokenEmbedding {
 public:
  struct Saved {
    const std::int32_t* ids = nullptr;
    std::uint64_t seed = 0;
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
  const float* forward(Context&, const Ragged&, const std::int32_t* ids, Saved&) const;
  void backward(Context&, const Ragged&, const Saved&, const float* dy) const;

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

/// Vectors (patches of images) to rows: x W^T + b, a learned class token before each sequence when the model has one,
/// and positions.
class VectorEmbedding {
 public:
  struct Saved {
    const float* x = nullptr;
    std::uint64_t seed = 0;
    std::vector<std::int64_t> offsets;  ///< Of the rows that come out.
    Ragged ragged() const { return {offsets}; }
  };
  VectorEmbedding() = default;
  VectorEmbedding(ParameterSource&, const Configuration&);

  /// Rows (saved.ragged().rows(), width) before positions, in the workspace. x (ragged.rows(), input_width).
  const float* project(Context&, const Ragged&, const float* x, Saved&) const;
  const float* forward(Context&, const Ragged&, const float* x, Saved&) const;
  void backward(Context&, const Ragged&, const Saved&, const float* dy) const;
  std::int64_t input_width() const { return input_.in(); }
  std::int64_t width() const { return input_.out(); }

 private:
  Linear input_;
  Parameter class_token_;
  Positions positions_;
};

}  // namespace pipeformer
