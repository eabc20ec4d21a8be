/// Encoder and decoder layers (Vaswani et al. 2017, figure 1), post-norm or pre-norm:
///   post: x = norm(x + sublayer(x))         pre: x = x + sublayer(norm(x))
#pragma once
#include <string>

#include "layers/feed_forward.hpp"
#include "layers/multihead_attention.hpp"
#include "layers/norm.hpp"

namespace pipeformer {

struct LayerShape {
  MultiheadAttentionShape self_attention, cross_attention;
  FeedForwardShape feed_forward;
  NormShape norm;
  bool pre_norm = false;
  bool cross = false;  ///< A decoder layer with attention to a memory.
};

/// The frame around a sublayer: dropout, residual and norm.
class Residual {
 public:
  struct Saved {
    Norm::Saved norm;
    std::uint64_t seed = 0;
  };
  Residual() = default;
  Residual(ParameterSource&, const std::string& layer, const std::string& number, const LayerShape&);

  /// y = frame(x, sublayer), where sublayer(input, output) fills output (rows, width).
  template <class Sublayer>
  void forward(Context& ctx, const Ragged& ragged, const float* x, float* y, Saved& saved, Sublayer sublayer) const;
  /// dx from dy, where sublayer(d_output, d_input) overwrites d_input.
  template <class Sublayer>
  void backward(Context& ctx, std::int64_t rows, const Saved& saved, const float* dy, float* dx,
                Sublayer sublayer) const;

 private:
  std::string layer_, number_;
  Norm norm_;
  std::int64_t width_ = 0;
  bool pre_norm_ = false;
};

/// One layer of an encoder (no cross-attention) or a decoder. Parameters: self_attn, cross_attn, ffn, norm1, norm2,
/// norm3 below its name.
class TransformerLayer {
 public:
  struct Saved {
    MultiheadAttention::Saved self_attention, cross_attention;
    FeedForward::Saved feed_forward;
    Residual::Saved residual[3];
  };
  TransformerLayer(ParameterSource&, const std::string& name, const LayerShape&);

  /// y (rows, width), allocated in the workspace. memory is null without cross-attention.
  const float* forward(Context&, const Ragged&, const float* x, const Ragged& memory_ragged, const float* memory,
                       Saved&) const;
  /// Returns dx, allocated in the workspace; d_memory added to.
  const float* backward(Context&, const Ragged&, const Ragged& memory_ragged, const Saved&, const float* dy,
                        float* d_memory) const;

  /// One position of each sequence: rows x (n, width), each attending to its own past through past_index (which
  /// includes itself: its key and value are stored at row new_rows[i] first) and to the memory's ready keys. positions:
  /// for rotary models.
  struct Step {
    const std::int32_t* positions = nullptr;  ///< [n]
    Ragged queries;                           ///< One row a sequence.
    KeyValues past;                           ///< Storage of this layer.
    const std::int32_t* new_rows = nullptr;   ///< [n]
    Ragged past_keys;
    const std::int32_t* past_index = nullptr;
    Ragged memory_queries;  ///< The same rows grouped by source sentence.
    Ragged memory_keys;
    KeyValues memory;
  };
  const float* step(Context&, const Step&, const float* x) const;
  const MultiheadAttention& cross_attention() const { return cross_attention_; }
  const LayerShape& shape() const { return shape_; }

 private:
  std::string name_;
  LayerShape shape_;
  MultiheadAttention self_attention_, cross_attention_;
  FeedForward feed_forward_;
  Residual residual_[3];
};

}  // namespace pipeformer
