/// Encoder and decoder layers (Vaswani et al. 2017, figure 1), post-norm or pre-norm:
///   post: x = norm(x + sublayer(x))         pre: x = x + sublayer(norm(x))
/// and with attention and feed-forward side by side (Wang, Komatsuzaki 2021): x + attention(norm1(x)) + ffn(norm2(x)).
#pragma once
#include <optional>
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
  bool parallel = false;       ///< Pre-norm, without cross-attention: the sublayers side by side.
  bool shared_norm = false;    ///< Parallel: one norm for both sublayers.
  bool sublayer_norm = false;  ///< What a sublayer gives passes a norm of its own (Gemma Team 2024, Gemma 2).
  bool scaled = false;  ///< What a sublayer gives is multiplied by a learned vector (Touvron et al. 2021, LayerScale).
  bool cross = false;   ///< A decoder layer with attention to a memory.
};

/// The frame around a sublayer: norms, scale, dropout and residual.
class Residual {
 public:
  struct Saved {
    Norm::Saved norm, sublayer_norm;
    const float* unscaled = nullptr;
    std::uint64_t seed = 0;
  };
  Residual() = default;
  Residual(ParameterSource&, const std::string& layer, const std::string& number, const LayerShape&);

  /// y = frame(x, sublayer), where sublayer(input, output) fills output (rows, width). What the sublayer gives is added
  /// to `base`, which is x but for sublayers side by side.
  template <class Sublayer>
  void forward(Context& ctx, const Ragged& ragged, const float* x, const float* base, float* y, Saved& saved,
               Sublayer sublayer) const;
  /// dx (+)= its gradient through frame and sublayer, where sublayer(d_output, d_input) overwrites d_input. Without
  /// `with_base` that of the base is left out.
  template <class Sublayer>
  void backward(Context& ctx, const Ragged& ragged, const Saved& saved, const float* dy, float* dx, bool with_base,
                Sublayer sublayer) const;
  Tap tap() const { return residual_tap_; }  ///< One of its layer's.

 private:
  std::string layer_, number_;
  bool shares_norm_ = false;  ///< With the sublayer before.
  Norm norm_;
  std::optional<Norm> sublayer_norm_;
  Parameter scale_;
  Tap norm_tap_, sublayer_norm_tap_, scale_tap_, residual_tap_;
  std::int64_t width_ = 0;
  bool pre_norm_ = false;
};

/// One layer of an encoder (no cross-attention) or a decoder. Parameters: self_attn, cross_attn, ffn, norm1, norm2,
/// norm3 (and sublayer_norm1, scale1 ...) below its name.
class TransformerLayer {
 public:
  struct Saved {
    MultiheadAttention::Saved self_attention, cross_attention;
    FeedForward::Saved feed_forward;
    Residual::Saved residual[3];
  };
  TransformerLayer(ParameterSource&, const std::string& name, const LayerShape&);

  /// The other inputs of a layer's attention, beside its own rows.
  struct Surroundings {
    Ragged memory_ragged{};
    const float* memory = nullptr;  ///< Null without cross-attention.
    DistanceBias distance{};        ///< On the scores of self-attention.
    float* d_memory = nullptr;      ///< Backward: added to.
    float* d_distance = nullptr;    ///< Backward: added to; may be null.
    bool keeps = false;             ///< In inference, too, the keys and values in Saved are read afterwards.
    KeyValues memory_place{};       ///< Where those of the memory are to be kept, as MultiheadAttention::Input says.
  };
  /// y (rows, width), allocated in the workspace.
  const float* forward(Context&, const Ragged&, const float* x, const Surroundings&, Saved&) const;
  /// Returns dx, allocated in the workspace.
  const float* backward(Context&, const Ragged&, const Surroundings&, const Saved&, const float* dy) const;
  /// Tells a probe that these sequences do not come through here, or their gradients do not.
  void left_out(Context& ctx, const Ragged& ragged, bool gradients) const {
    if (ctx.probe) ctx.probe->left_out(residual_[0].tap(), ragged, gradients);
  }

  /// One position of each sequence: rows x (n, width), each attending to its own past through past.index (which
  /// includes itself: its key and value are stored at row new_rows[i] first) and to the memory's ready keys. positions:
  /// for rotary models.
  struct Step {
    const std::int32_t* positions = nullptr;  ///< [n]
    Ragged queries;                           ///< One row a sequence.
    MultiheadAttention::Ready past;           ///< Storage of this layer.
    const std::int32_t* new_rows = nullptr;   ///< [n]
    Ragged memory_queries;                    ///< The same rows grouped by source sentence.
    MultiheadAttention::Ready memory;
  };
  const float* step(Context&, const Step&, const float* x) const;
  const MultiheadAttention& cross_attention() const { return cross_attention_; }
  const LayerShape& shape() const { return shape_; }
  bool is_packed() const { return feed_forward_.is_packed(); }  ///< As of the feed-forward layer, its largest part.

 private:
  std::string name_;
  LayerShape shape_;
  MultiheadAttention self_attention_, cross_attention_;
  FeedForward feed_forward_;
  Residual residual_[3];
};

}  // namespace pipeformer
