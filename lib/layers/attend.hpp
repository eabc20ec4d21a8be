/// Scaled dot-product attention over record streams: checks, heads, scale, masks, and the weights when they are asked
/// for.
#pragma once
#include <cstdint>
#include <optional>

#include "io/batch_stream.hpp"
#include "layers/mask_streams.hpp"
#include "layers/pass.hpp"
#include "ops/attention.hpp"

namespace pipeformer {

struct AttendOptions {
  /// The last axis of queries is this many heads side by side (torch.nn.MultiheadAttention's form), that of keys and
  /// values kv_heads.
  std::int64_t heads = 1, kv_heads = 1;
  bool heads_axis = false;      ///< Weights, masks and biases have an axis of heads.
  std::optional<double> scale;  ///< Nothing: 1 / sqrt(d_k).
  bool causal = false;          ///< The last query sees all keys.
  bool rotary = false;          ///< Queries and keys are turned by their positions first.
  float dropout = 0;
  std::uint64_t seed = 0;
};

class Attend {
 public:
  Attend(const AttendOptions& options, MaskStreams masks) : options_(options), masks_(std::move(masks)) {}

  /// Writes one record (..., Tq, width) for each record of queries, and to `weights` (may be null) (..., heads, Tq,
  /// Tk). Throws Error when lengths or widths of queries, keys and values do not match, naming files and record.
  void write(Pass&, const BatchStream& query, const BatchStream& key, const BatchStream& value, RecordWriter& out,
             RecordWriter* weights);
  /// After the last batch: nothing may be left over.
  void finish(const BatchStream& query) { masks_.finish(query); }

 private:
  AttentionShape shape(const BatchStream& query, const BatchStream& key, const BatchStream& value) const;
  const float* turned(Pass&, const BatchStream&, std::int64_t heads, std::int64_t head_width) const;

  AttendOptions options_;
  MaskStreams masks_;
  std::int64_t sequences_ = 0;  ///< Before this batch: dropout is drawn by the sequence's place in the stream.
};

}  // namespace pipeformer
