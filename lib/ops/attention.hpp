/// Scaled dot-product attention on ragged batches (Vaswani et al. 2017, equation 1), forward and backward.
///
///   Attention(Q, K, V) = softmax(Q K^T * scale + bias) V          for every head of every sequence
///
/// with a soft cap: softmax(cap tanh(Q K^T * scale / cap) + bias) V (Gemma Team 2024, Gemma 2).
///
/// The scores are computed in tiles with a running softmax (Milakov, Gimelshein 2018; Dao et al. 2022): no T x T matrix
/// is stored, and a look at scores and weights does not change the result. Tiles begin at fixed key
/// positions, so a query's bits depend on its own sequence only, and one query against a cache of keys gives the bits
/// of the whole sequence at once.
#pragma once
#include <cstdint>
#include <functional>

#include "core/ragged.hpp"
#include "core/workspace.hpp"
#include "ops/kept_vectors.hpp"

namespace pipeformer {

struct AttentionShape {
  std::int64_t heads = 1;
  std::int64_t kv_heads =
      1;  ///< Divides heads; query head h uses key/value head h * kv_heads / heads (Ainslie et al. 2023).
  std::int64_t key_width = 0;    ///< d_k of one head
  std::int64_t value_width = 0;  ///< d_v of one head
  float scale = 1.0f;            ///< usually 1 / sqrt(d_k)
  float soft_cap = 0.0f;         ///< 0: none.
  bool causal =
      false;  ///< Query i of Tq may attend to key j of Tk when j <= i + Tk - Tq (the last query sees all keys).
  /// Query i stands where key i stands, not where key i + Tk - Tq does: for the causal order, the window and distances
  /// (torch.nn.attention.bias's causal_upper_left). attention_backward has no distance biases then.
  bool upper_left = false;
  std::int64_t window = 0;  ///< With causal: of the keys that a query may attend to, only the last so many; 0: all.
  float dropout = 0.0f;     ///< On the weights, drawn by (dropout_seed, first_sequence + sequence, head, query, key).
  std::uint64_t dropout_seed = 0;
  std::int64_t first_sequence = 0;
};

/// A bias on the scores that depends on the distance between key and query alone (Raffel et al. 2020; Press et al.
/// 2022): the score of query i of Tq and key j of Tk gets values[head * stride + zero + j - (i + Tk - Tq)], so that a
/// query's biases are a slice of one array. Rows hold every distance there is: -(Tk - 1) to Tq - 1.
struct DistanceBias {
  const float* values = nullptr;  ///< (heads, stride)
  std::int64_t stride = 0, zero = 0;
};

/// Limits and shifts of the scores besides the causal order.
struct AttentionMasks {
  const std::uint8_t* const* mask = nullptr;  ///< [sequence * heads + head] -> (Tq, Tk) bytes, 1 = may attend
  const float* const* bias = nullptr;         ///< [sequence * heads + head] -> (Tq, Tk), added to the scaled scores
  const std::int64_t* key_lengths = nullptr;  ///< [sequence] keys that exist, at most Tk (for dense batches)
  DistanceBias distance{};
};

struct AttentionInput {
  const float* query = nullptr;  ///< (rows, heads * key_width), row stride query_stride
  std::int64_t query_stride = 0;
  const void* key = nullptr;      ///< (rows, kv_heads) vectors of key_width
  std::int64_t key_stride = 0;    ///< In elements of their type, as kept_elements counts them.
  const void* value = nullptr;    ///< (rows, kv_heads) vectors of value_width
  std::int64_t value_stride = 0;  ///< Likewise.
  /// Each sequence's keys stand transposed, as (kv_heads * key_width, keys), where its rows would: of float32, without
  /// an index, and not for attention_backward.
  bool transposed_keys = false;
  WeightType kept = WeightType::float32;  ///< What the vectors of keys and values are stored as.
  Ragged queries, keys;                   ///< Same number of sequences.
  const std::int32_t* key_index =
      nullptr;  ///< When given, key/value row r of the batch is stored at row key_index[r] (a cache).
  AttentionMasks masks{};
};

/// out (query rows, heads * value_width), contiguous. A query that may attend to nothing gives zeros.
/// log_sum (query rows, heads) may be null; backward needs it.
void attention_forward(const AttentionShape&, const AttentionInput&, float* out, float* log_sum);

/// Rows (rows, keys) of the scores or weights of one head of one sequence, from query `first` on.
struct AttentionRows {
  std::int64_t sequence, head, first, rows, keys;
  float* x;
};
/// Scores are scaled, with their biases, and -inf where a query may not attend; weights are their softmax (and dropped
/// where the shape says so). A step may change what it sees; an empty one is left out.
struct AttentionLook {
  using Step = std::function<void(const AttentionRows&)>;
  Step scores, weights;
};
/// Computes scores and weights in the open, in the order of sequences, heads and rows, a part of a head's at a time: no
/// T x T is held. out is what attention_forward gave. Rows that the steps leave as they are keep their bits there; a
/// row whose scores or weights were changed becomes the product of its weights with V, one chain of multiply-adds in
/// the order of the keys.
void attention_look(const AttentionShape&, const AttentionInput&, const AttentionLook&, float* out);

/// Shows the gradients of scores and weights instead, as parts that may not be changed, in the same order: with P the
/// weights and P' = dropped P, dP' = dO V^T are those of weights, dS = P * (dP - D) those of scores (D as below), which
/// come after dP'. out is what attention_forward gave.
void attention_look_backward(const AttentionShape&, const AttentionInput&, const float* out, const float* d_out,
                             const AttentionLook&);

/// Gradients, with the strides of their inputs; keys and values are float32.
struct AttentionGradients {
  float *query = nullptr, *key = nullptr, *value = nullptr;  ///< Overwritten.
  float* distance_bias = nullptr;  ///< As masks.distance.values; added to, sequence by sequence. May be null.
};
/// With P the weights, dP = dO V^T, D_i = dO_i . O_i:
///   dV = P^T dO,   dS = P * (dP - D) * scale,   dQ = dS K,   dK = dS^T Q,   dbias = P * (dP - D)
/// and with a soft cap dS * (1 - tanh^2).
void attention_backward(const AttentionShape&, const AttentionInput&, const float* out, const float* log_sum,
                        const float* d_out, const AttentionGradients&);

}  // namespace pipeformer
