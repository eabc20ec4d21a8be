/// Questions answered by a span of a text: where it begins and where it ends (Devlin et al. 2019, sections 4.2
/// and 4.3).
#pragma once
#include <cstdint>
#include <vector>

#include "core/text_spans.hpp"
#include "io/batch.hpp"
#include "models/transformer.hpp"

namespace pipeformer {

struct SpanSettings {
  std::int64_t most_positions = 30;  ///< Of an answer.
  std::int64_t nbest = 1;            ///< Answers of a question.
  std::int64_t window = 0;           ///< Most positions that are read at once; 0: all.
  std::int64_t stride = 128;         ///< Positions of the text that are in two windows.
  double threshold = 0;              ///< There is no answer when its score is higher than the best one's by more.
};

struct FoundSpan {
  TextSpan span;  ///< In the whole sequence; 0 .. 0: there is no answer.
  double score;   ///< The sum of both logits; of no answer those of the first position, less the threshold.
};

/// What stands beside ids: streams of the same records, which may be null.
struct PairStreams {
  const Batch* types = nullptr;    ///< Token types (T,).
  const Batch* offsets = nullptr;  ///< (T, 3): answers are ids of the second text (core/text_spans.hpp).
};

/// For each sequence of ids its best answers, best first, no answer being one of them: sums of the logits of a first
/// and a last position. A sequence longer than the window is read in several: all that stands before and after the
/// second text, with the next part of the text between; of a span in two windows the higher score counts, of no answer
/// the lowest. Without offsets an answer is any span that does not begin at the first position. Throws RowError for a
/// window that leaves no room for the text.
std::vector<std::vector<FoundSpan>> find_spans(Context&, const Transformer&, const Batch& ids, const PairStreams&,
                                               const SpanSettings&);

/// The characters [begin, end) of the second text that a span covers; 0 and 0 for no answer.
TextSpan characters_of(const TextSpan&, std::span<const std::int32_t> offsets);

}  // namespace pipeformer
