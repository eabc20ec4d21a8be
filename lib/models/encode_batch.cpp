#include "models/encode_batch.hpp"

#include "core/error.hpp"
#include "core/one_nan.hpp"
#include "models/sequence_vectors.hpp"
#include "ops/pooling.hpp"

namespace pipeformer {

using Source = Transformer::Source;

Source::Kind source_kind(const Configuration& c, const Batch& batch, const std::string& where) {
  if (batch.ids) {
    require(!c.reads_vectors(), where, ": holds ids, the model reads vectors");
    return Source::Kind::ids;
  }
  if (batch.width == c.embedding_width(false)) return Source::Kind::embedded;
  if (c.reads_vectors() && batch.width == c.input_width) return Source::Kind::vectors;
  throw Error(cat(where, ": width ", batch.width, " does not match the model's width ", c.embedding_width(false),
                  c.reads_vectors() ? cat(", nor that of its patches, ", c.input_width) : ""));
}

EncodedBatch encode_batch(Context& ctx, const Transformer& model, const Batch& batch, Source::Kind kind,
                          const Batch* types) {
  Source source{.ragged = batch.ragged(), .kind = kind};
  if (batch.ids) source.ids = batch.tokens.data();
  if (!batch.ids) source.rows = batch.rows.data();
  if (types) source.types = types->tokens.data();
  Transformer::Encoded encoded;
  model.encode(ctx, source, encoded);
  const auto& offsets = encoded.ragged.offsets;
  return {{offsets.begin(), offsets.end()}, encoded.memory};
}

EncoderOutput encoder_output_from_name(const std::string& name) {
  return name == "logits"   ? EncoderOutput::logits
         : name == "pooled" ? EncoderOutput::pooled
         : name == "first"  ? EncoderOutput::first
                            : EncoderOutput::hidden;
}

Transformer::Readout readout_of(EncoderOutput output) {
  return output == EncoderOutput::logits   ? Transformer::Readout::predicted
         : output == EncoderOutput::pooled ? Transformer::Readout::pooled
                                           : Transformer::Readout::hidden;
}

void check_output(const Configuration& c, EncoderOutput output, const std::string& model) {
  if (output == EncoderOutput::logits)
    require(c.head != Head::none && !c.has_decoder(), model, ": a model of kind ", name_of(c.kind), " that predicts ",
            name_of(c.head), " has no logits of its encoder");
}

std::int64_t GivenRows::count(const EncodedBatch& encoded) const {
  const Ragged ragged = encoded.ragged();
  return (each_position ? ragged.rows() : ragged.sequences()) * std::max<std::int64_t>(width, 1);
}

GivenRows give(Context& ctx, const Transformer& model, const Batch& batch, const EncodedBatch& encoded,
               EncoderOutput output) {
  const Configuration& c = model.configuration();
  const Ragged ragged = encoded.ragged();
  const std::int64_t sequences = ragged.sequences();
  if (output == EncoderOutput::hidden) return {encoded.memory, c.width, true};
  if (output == EncoderOutput::first) {
    auto* rows = ctx.workspace.get<std::int32_t>(sequences);
    for (std::int64_t s = 0; s < sequences; ++s)
      rows[s] = ragged.length(s) > 0 ? static_cast<std::int32_t>(ragged.begin(s)) : -1;
    float* y = ctx.workspace.get(sequences * c.width);
    gather_rows(sequences, c.width, rows, encoded.memory, y);
    return {y, c.width, false};
  }
  const Linear& projection = model.head().projection();
  const bool positions = output == EncoderOutput::logits && c.head != Head::classes;
  if (positions) {
    float* y = ctx.workspace.get(ragged.rows() * projection.out());
    model.head().logits(ctx, ragged, encoded.memory, y);
    return {y, c.head == Head::token_classes && c.classes == 1 ? 0 : projection.out(), true};
  }
  Pooler::Saved saved;
  const float* pooled =
      model.pooler().forward(ctx, ragged, encoded.memory, batch.ids ? batch.tokens.data() : nullptr, saved);
  if (output == EncoderOutput::logits) {
    float* y = ctx.workspace.get(sequences * projection.out());
    model.head().logits(ctx, {one_row_each(sequences)}, pooled, y);
    return {y, projection.out(), false};
  }
  SequenceVectors vectors;
  return {finish_vectors(ctx, model, sequences, pooled, vectors), sequence_vector_width(c), false};
}

void write_given(RecordWriter& writer, const Batch& batch, const EncodedBatch& encoded, const GivenRows& given) {
  if (given.each_position) return write_rows(writer, with_lengths(batch, encoded.ragged()), given.rows, given.width);
  const float* rows = given.rows;
  Buffer<float> copy;
  for (std::int64_t r = 0; r < batch.records(); ++r) {
    Shape shape = batch.leading_axes(r);
    const std::int64_t sequences = element_count(shape);
    shape.push_back(given.width);
    writer.write(DType::f4, shape, with_one_nan(rows, element_count(shape), copy));
    rows += sequences * given.width;
  }
  writer.flush();
}

}  // namespace pipeformer
