/// The encoder over a batch of records, and what is asked of it: hidden states, logits, one vector for each sequence.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/batch.hpp"
#include "models/transformer.hpp"

namespace pipeformer {

/// The memory of a batch, in the workspace.
struct EncodedBatch {
  std::vector<std::int64_t> offsets;  ///< Of its rows: with class tokens each sequence has more than were read.
  const float* memory = nullptr;      ///< (offsets.back(), width)
  Ragged ragged() const { return {offsets}; }
};

/// What the vectors of a batch are, for a model: what its first layer reads (embeddings with positions, as posenc gives
/// them), or, of a model of vectors, what goes into its embedding (patches). Where both have the same width they are
/// the former. Throws Error naming both widths.
Transformer::Source::Kind source_kind(const Configuration&, const Batch&, const std::string& where);

/// Encodes ids or vectors; types (may be null) are those of the ids, row for row. Throws RowError.
EncodedBatch encode_batch(Context&, const Transformer&, const Batch&, Transformer::Source::Kind,
                          const Batch* types = nullptr);

/// What `encode --give` writes. hidden: (..., T, D); logits: of tokens or of classes at each position (..., T, C), of
/// classes of sequences (..., C); pooled: one vector (..., D); first: the first hidden state (..., D).
enum class EncoderOutput { hidden, logits, pooled, first };
EncoderOutput encoder_output_from_name(const std::string&);
/// What of a model it needs.
Transformer::Readout readout_of(EncoderOutput);

/// Throws Error when a model does not have such an output.
void check_output(const Configuration&, EncoderOutput, const std::string& model);

/// Rows to be written, in the workspace.
struct GivenRows {
  const float* rows = nullptr;
  std::int64_t width = 0;      ///< 0: one number for each row (a model of one class at each position).
  bool each_position = false;  ///< Otherwise one row for each sequence.
  std::int64_t count(const EncodedBatch&) const;  ///< Of all numbers.
};
GivenRows give(Context&, const Transformer&, const Batch&, const EncodedBatch&, EncoderOutput);

/// Writes them, one record for each record of the batch.
void write_given(RecordWriter&, const Batch&, const EncodedBatch&, const GivenRows&);

}  // namespace pipeformer
