/// Scaled dot-product attention over record streams: checks, heads, positions, scale, masks, and the weights when they
/// are asked for.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/mask_streams.hpp"
#include "io/batch_stream.hpp"
#include "layers/context.hpp"
#include "layers/relative_positions.hpp"
#include "ops/attention.hpp"
#include "ops/embedding.hpp"

namespace pipeformer {

struct AttendOptions {
  std::string name;  ///< Of the layer in its model; what is computed on the way is named below it.
  /// The last axis of queries is this many heads side by side (torch.nn.MultiheadAttention's form), that of keys and
  /// values kv_heads.
  std::int64_t heads = 1, kv_heads = 1;
  bool normed = false;               ///< The layer normalises queries and keys: what comes is what its norms gave.
  bool heads_axis = false;           ///< Weights, masks and biases have an axis of heads.
  std::int64_t head_width = 0;       ///< d_k, where it is known before the streams are; 0: what they have.
  std::optional<float> scale;        ///< Nothing: 1 / sqrt(d_k).
  float soft_cap = 0;                ///< Scores s become cap * tanh(s / cap); 0: they do not.
  bool causal = false;               ///< The last query sees all keys, ...
  bool upper_left = false;           ///< ... or the first query the first key.
  std::int64_t window = 0;           ///< With causal: the newest keys that a query sees; 0: all.
  std::optional<RotarySpec> rotary;  ///< Queries and keys are turned by their positions first. Width 0: whole heads.
  std::optional<Array> angles;       ///< With rotary, f4 (positions, pairs): what turns each position.
  std::int64_t first_query = 0, first_key = 0;  ///< With rotary: the positions of the first of a sequence.
  RelativePositions relative{};                 ///< Biases by distance.
  float dropout = 0;
  std::uint64_t seed = 0;
};

/// How far scores are taken that are asked for.
enum class ScoreStep : std::uint8_t {
  none,    ///< Nobody asks.
  scaled,  ///< Q K^T * scale, of every query and key.
  capped,  ///< After the soft cap.
  biased,  ///< With biases, and -inf where a query may not attend: as the softmax reads them.
};

/// Whether `to` is computed from `from`, or is it: names of intermediates, or, before the layer's own name,
/// "given scores" and "given query" or "given key" for what --give writes of them.
bool attend_reaches(const std::string& from, const std::string& to);

/// What one looks at: queries, keys and values pair by position.
struct AttendStreams {
  const BatchStream &query, &key, &value;
};

class Attend {
 public:
  explicit Attend(const AttendOptions& options) : options_(options) {}

  /// Names what a probe sees, as models/ do: query or, of a layer that normalises them, query_norm, query_rotated, the
  /// same of keys, value, scores, weights, context. d_k and d_v: of one head. cross: keys are of another stream.
  void list_taps(TapSource&, std::int64_t key_width, std::int64_t value_width, bool cross);

  /// In the workspace.
  struct Result {
    float* context;                       ///< (positions of queries, width)
    std::int64_t width;                   ///< heads * d_v
    const float *query, *key;             ///< As they are multiplied: turned where there are rotary positions.
    std::vector<float*> scores, weights;  ///< [sequence * heads + head] -> (Tq, Tk), when they are asked for.
  };
  /// A batch whose first sequence is number ctx.places.first of the stream: dropout is drawn by it. Takes from `masks`
  /// what belongs to the batch. Throws Error when lengths or widths of queries, keys and values do not match, naming
  /// files and record.
  Result forward(Context&, const AttendStreams&, MaskStreams& masks, ScoreStep scores, bool weights) const;
  /// Scores or weights of a result: one record (..., heads, Tq, Tk) for each record of queries.
  void write_matrices(RecordWriter&, const BatchStream& query, const BatchStream& key,
                      const std::vector<float*>& matrices) const;

 private:
  AttentionShape shape(const AttendStreams&) const;
  std::int64_t rotary_width(std::int64_t head_width) const {
    if (options_.angles) return 2 * options_.angles->shape[1];
    return options_.rotary->width > 0 ? options_.rotary->width : head_width;
  }
  void check_rotary(const BatchStream& query, std::int64_t head_width) const;
  /// Queries or keys as they are multiplied: as they come, or turned by their positions, which count from `first`.
  struct Turning {
    std::int64_t heads, head_width, first;
    Tap raw, turned;
  };
  const float* turned(Context&, const BatchStream&, const Turning&) const;
  const float* values(Context&, const BatchStream&) const;
  void turn(Context&, const BatchStream&, const Turning&, float* rows) const;
  /// Shows scores and weights to the probe, and keeps those that are asked for.
  void look(Context&, const AttentionShape&, AttentionInput, ScoreStep, bool weights, Result&) const;

  AttendOptions options_;
  struct {
    Tap query, query_rotated, key, key_rotated, value, scores, weights, context;
  } taps_;
};

}  // namespace pipeformer
