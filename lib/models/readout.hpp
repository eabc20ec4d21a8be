/// Readout: what stands between the last layer and an answer. A pooler makes one vector of a sequence; an output head
/// makes what the logits are a projection of.
#pragma once
#include <cstdint>
#include <optional>

#include "layers/linear.hpp"
#include "layers/norm.hpp"
#include "models/configuration.hpp"

namespace pipeformer {

/// Rows of hidden states on the way to the logits: perhaps a linear layer, an activation and a norm (Devlin et al.
/// 2019's masked language model), perhaps a scale (Raffel et al. 2020), then the projection.
class OutputHead {
 public:
  struct Saved {
    const float* input = nullptr;
    float *dense = nullptr, *active = nullptr;
    Norm::Saved norm;
  };
  OutputHead() = default;
  /// side: what parameter names begin with. projection: onto the logits; its weight may be an embedding's.
  OutputHead(ParameterSource&, const Configuration&, const std::string& side, std::int64_t width, Linear projection);

  /// The rows that the projection reads, in the workspace, or hidden (ragged.rows(), width) itself where nothing is to
  /// be done. The sequences of the rows matter to a probe only.
  const float* prepare(Context&, const Ragged& ragged, const float* hidden, Saved&) const;
  /// d_hidden overwritten; may be d_prepared. The rows as prepare() had them.
  void backward(Context&, const Ragged&, const Saved&, const float* d_prepared, float* d_hidden) const;
  const Linear& projection() const { return projection_; }
  std::int64_t width() const { return dense_ ? dense_->in() : projection_.in(); }  ///< Of the hidden states.
  float soft_cap() const { return soft_cap_; }                                     ///< Of the logits; 0: none.
  /// The projection and the soft cap of what prepare() gave: logits (ragged.rows(), projection().out()).
  void project(Context&, const Ragged& ragged, const float* prepared, float* logits) const;
  /// Both.
  void logits(Context&, const Ragged& ragged, const float* hidden, float* logits) const;
  /// Whether a probe looks at the logits (as the loss reads them), and at their gradients; shows both.
  bool logits_watched(const Context& ctx) const { return ctx.watched(output_tap_); }
  bool gradient_watched(const Context& ctx) const { return ctx.watched({output_tap_.gradient}); }
  void show_logits(Context& ctx, const Ragged& ragged, float* logits) const {
    ctx.show(output_tap_, logits, projection_.out(), ragged);
  }
  void show_gradient(Context& ctx, const Ragged& ragged, const float* d_logits) const {
    ctx.show_gradient(output_tap_, d_logits, projection_.out(), ragged);
  }
  /// Whether a probe looks at what happens here: then all rows of a sequence must come at once.
  bool watched(const Context&) const;

 private:
  std::optional<Linear> dense_;
  std::optional<Norm> norm_;
  Activation activation_ = Activation::gelu;
  float scale_ = 1, soft_cap_ = 0;
  Linear projection_;
  Tap dense_tap_, activation_tap_, norm_tap_, output_tap_;
};

/// One vector for each sequence: Configuration::pooling, then perhaps a linear layer with an activation.
class Pooler {
 public:
  struct Saved {
    Ragged ragged;
    const std::int32_t* rows = nullptr;  ///< The row that was taken of each sequence; -1: none.
    float *pooled = nullptr, *dense = nullptr;
  };
  Pooler() = default;
  Pooler(ParameterSource&, const Configuration&);

  /// (sequences, width()) in the workspace from hidden (ragged.rows(), width). ids: of the same rows, for pooling by
  /// the end id; null otherwise.
  const float* forward(Context&, const Ragged&, const float* hidden, const std::int32_t* ids, Saved&) const;
  /// d_hidden (ragged.rows(), width) overwritten.
  void backward(Context&, const Saved&, const float* d_pooled, float* d_hidden) const;
  std::int64_t width() const { return dense_ ? dense_->out() : pooled_width_; }

 private:
  const std::int32_t* chosen_rows(Context&, const Ragged&, const std::int32_t* ids, std::int64_t of_sequence) const;
  Pooling kind_ = Pooling::mean;
  std::int64_t hidden_width_ = 0, pooled_width_ = 0, class_tokens_ = 0, end_id_ = -1;
  std::optional<Linear> dense_;
  Activation activation_ = Activation::tanh;
  Tap pooled_tap_, dense_tap_, activation_tap_;
};

}  // namespace pipeformer
