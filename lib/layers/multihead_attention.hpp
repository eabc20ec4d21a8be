/// Multi-head attention (Vaswani et al. 2017, section 3.2.2): output(attend(query(x), key(m), value(m))), each
/// projection one big matrix whose columns are the heads side by side, as in torch.nn.MultiheadAttention.
#pragma once
#include <string>

#include "layers/context.hpp"
#include "layers/linear.hpp"
#include "ops/attention.hpp"

namespace pipeformer {

struct MultiheadAttentionShape {
  std::int64_t width = 0;
  std::int64_t heads = 1, kv_heads = 1;
  bool bias = true;
  bool rotary = false;  ///< Queries and keys are turned by their position.
  bool causal = false;
  std::int64_t head_width() const { return width / heads; }
  std::int64_t kv_width() const { return kv_heads * head_width(); }
};

/// Keys and values that are computed once and attended to many times: a source sentence's memory, or a decoder's own
/// past.
struct KeyValues {
  float *key = nullptr, *value = nullptr;  ///< (rows, kv_width), contiguous
};

class MultiheadAttention {
 public:
  struct Saved {
    const float *input = nullptr, *memory = nullptr;  ///< memory is null for self-attention
    float* query = nullptr;
    KeyValues kv;
    float *log_sum = nullptr, *context = nullptr;
    std::uint64_t seed = 0;
    AttentionMasks masks;
  };
  MultiheadAttention() = default;
  MultiheadAttention(ParameterSource&, const std::string& name, const MultiheadAttentionShape&);

  /// y (queries.rows(), width) from x and, for cross-attention, memory (keys.rows(), width); memory null:
  /// self-attention.
  void forward(Context&, const Ragged& queries, const float* x, const Ragged& keys, const float* memory, float* y,
               Saved&, const AttentionMasks& masks = {}) const;
  /// dx overwritten; d_memory added to.
  void backward(Context&, const Ragged& queries, const Ragged& keys, const Saved&, const float* dy, float* dx,
                float* d_memory) const;

  /// The projections of rows (n, width) to keys and values; positions are for rotary models (null otherwise).
  void project_keys(std::int64_t rows, const float* memory, const std::int32_t* positions, const KeyValues&) const;
  /// Attention of x against keys and values that stand ready: row r of the ragged keys is stored at row key_index[r]
  /// (or r when null).
  void attend_ready(Context&, const Ragged& queries, const float* x, const std::int32_t* positions, const Ragged& keys,
                    const KeyValues&, const std::int32_t* key_index, float* y) const;

  const MultiheadAttentionShape& shape() const { return shape_; }
  const std::string& name() const { return name_; }

 private:
  void attend(Context&, const Ragged& queries, const Ragged& keys, const std::int32_t* key_index, const Saved&,
              bool causal) const;
  AttentionShape attention_shape(const Context&, const Saved&, bool causal) const;
  AttentionInput attention_input(const Ragged& queries, const Ragged& keys, const std::int32_t* key_index,
                                 const Saved&) const;

  std::string name_;
  MultiheadAttentionShape shape_;
  Linear query_, key_, value_, output_;
};

/// The position of each row inside its sequence (for rotary models), counted from `first`.
void fill_positions(const Ragged&, std::int64_t first, std::int32_t* positions);

}  // namespace pipeformer
