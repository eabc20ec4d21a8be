/// Multi-head attention (Vaswani et al. 2017, section 3.2.2): output(attend(query(x), key(m), value(m))), each
/// projection one big matrix whose columns are the heads side by side, as in torch.nn.MultiheadAttention.
#pragma once
#include <optional>
#include <string>

#include "layers/context.hpp"
#include "layers/linear.hpp"
#include "layers/norm.hpp"
#include "ops/attention.hpp"
#include "ops/embedding.hpp"

namespace pipeformer {

struct MultiheadAttentionShape {
  std::int64_t width = 0;
  std::int64_t heads = 1, kv_heads = 1;
  std::int64_t head_width = 0;
  bool bias = true;         ///< On queries, keys and values.
  bool output_bias = true;  ///< On the output.
  float scale = 1;          ///< Of the scores, 1 / sqrt(head_width) in the paper.
  float soft_cap = 0;       ///< Scores s become cap * tanh(s / cap); 0: they do not.
  bool causal = false;
  bool cross = false;                       ///< Keys and values are those of a memory.
  std::int64_t window = 0;                  ///< With causal: the newest keys that a query sees; 0: all.
  std::optional<RotarySpec> rotary;         ///< Queries and keys are turned by their position.
  std::optional<NormShape> query_key_norm;  ///< Each head of queries and keys is normalised, before it is turned.
  std::int64_t query_width() const { return heads * head_width; }
  std::int64_t kv_width() const { return kv_heads * head_width; }
  /// Bytes of a row of keys, or of values, that are kept.
  std::int64_t kept_row_bytes(WeightType type) const { return kv_heads * kept_bytes(type, head_width); }
};

/// Keys and values that are computed once and attended to many times: a source sentence's memory, or a decoder's own
/// past.
struct KeyValues {
  void *key = nullptr, *value = nullptr;  ///< (rows, kv_heads) vectors of head_width, contiguous
  WeightType type = WeightType::float32;  ///< As keep_vectors stores them.
  bool transposed_keys = false;           ///< Those of each sequence are, as AttentionInput says.
};

class MultiheadAttention {
 public:
  /// Queries or keys on their way from the projection to the scores.
  struct Projected {
    float* raw = nullptr;  ///< What the projection gave, where a norm follows it.
    Norm::Saved norm;
  };
  struct Saved {
    const float *input = nullptr, *memory = nullptr;  ///< memory is null for self-attention
    float *query = nullptr, *key = nullptr, *value = nullptr;
    KeyValues kept;  ///< What is attended to: key and value, or these in fewer bits.
    Projected query_norm, key_norm;
    float *log_sum = nullptr, *context = nullptr;
    std::uint64_t seed = 0;
    AttentionMasks masks;
  };
  MultiheadAttention() = default;
  MultiheadAttention(ParameterSource&, const std::string& name, const MultiheadAttentionShape&);

  /// y (queries.rows(), width) from x and, for cross-attention, memory (keys.rows(), width); memory null:
  /// self-attention.
  struct Input {
    Ragged queries;
    const float* x = nullptr;
    Ragged keys;
    const float* memory = nullptr;
    AttentionMasks masks{};
    KeyValues place{};  ///< Where keys and values are to be kept, as the context says; null: in the workspace.
  };
  void forward(Context&, const Input&, float* y, Saved&) const;
  /// Gradients that backward adds to, beside dx.
  struct Gradients {
    float* memory = nullptr;         ///< (keys.rows(), width)
    float* distance_bias = nullptr;  ///< As masks.distance.
  };
  /// dx overwritten.
  void backward(Context&, const Ragged& queries, const Ragged& keys, const Saved&, const float* dy, float* dx,
                const Gradients&) const;

  /// The projections of rows (ragged.rows(), width) to keys and values; positions are for rotary models (null
  /// otherwise).
  void project_keys(Context&, const Ragged& ragged, const float* memory, const RowPositions& positions, float* key,
                    float* value) const;
  /// The same, stored in the rows index[r] of what stands ready.
  void keep_keys(Context&, const Ragged& ragged, const float* memory, const RowPositions& positions,
                 const std::int32_t* index, const KeyValues& to) const;
  /// Keys and values that stand ready: row r of the ragged keys is stored at row index[r] (or r when null).
  struct Ready {
    Ragged keys;
    KeyValues kv;
    const std::int32_t* index = nullptr;
    DistanceBias distance{};
    Ragged each{};  ///< The rows of x, each a sequence of its own as Context::places has them: for a probe.
  };
  /// Attention of rows x against what stands ready. A query is the last of its sequence's keys, or in cross-attention
  /// sees them all.
  void attend_ready(Context&, const Ragged& queries, const float* x, const RowPositions& positions, const Ready&,
                    float* y) const;

  const MultiheadAttentionShape& shape() const { return shape_; }
  const std::string& name() const { return name_; }

 private:
  /// What the output projection reads, into saved.context. `shown`: how the context's places see the queries.
  void attend(Context&, const AttentionInput&, const Ragged& shown, const AttentionShape&, const Saved&) const;
  /// saved.kept of saved.key and saved.value.
  void keep(Context&, const Ragged& keys, const KeyValues& place, Saved&) const;
  AttentionShape attention_shape(const Context&, const Saved&) const;
  AttentionInput attention_input(const Ragged& queries, const Ragged& keys, const std::int32_t* key_index,
                                 const Saved&) const;
  /// To queries or keys.
  struct Projection {
    Linear linear;
    std::optional<Norm> norm;  ///< Of each head.
    Tap raw_tap{}, norm_tap{}, rotated_tap{};
    std::int64_t heads(std::int64_t width) const { return linear.out() / width; }
  };
  /// A projection of rows, normalised and turned where the layer does so.
  void project(Context&, const Projection&, const Ragged& ragged, const float* x, const RowPositions& positions,
               float* y, Projected&) const;
  /// dy, the gradient of what project() gave, becomes that of what the linear layer gave.
  void project_backward(Context&, const Projection&, const Ragged&, const RowPositions& positions, const Projected&,
                        float* dy) const;
  void turn(std::int64_t rows, std::int64_t heads, const RowPositions& positions, bool back, float* x) const;

  std::string name_;
  MultiheadAttentionShape shape_;
  Projection query_, key_;
  Linear value_, output_;
  Tap value_tap_, scores_tap_, weights_tap_, context_tap_, output_tap_;
};

/// Shows scores, weights or their gradients to the context's probe under a tap; empty when nobody looks. queries: of
/// the input. growing_keys: while the context's sequences grow, so do their keys. The step refers to the context and
/// the offsets.
AttentionLook::Step probe_step(Context&, Tap, const Ragged& queries, bool growing_keys);

/// The position of each row inside its sequence, and the lengths of these where the angles depend on them; in the
/// workspace.
RowPositions rotary_positions(Workspace&, const Ragged&, const RotarySpec&);

}  // namespace pipeformer
