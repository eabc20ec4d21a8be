/// What answer writes: spans of texts as numbers, ids or text.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "io/batch.hpp"
#include "search/spans.hpp"

namespace pipeformer {

struct AnswerForm {
  std::string give;  ///< positions, characters, ids or scores
  bool several;      ///< An axis of the best ones (--nbest).
};

/// The offsets (T, 3) of a batch's sequence.
std::span<const std::int32_t> offsets_of(const Batch&, std::int64_t s);

/// Writes a record of the best answers to sequence s of `ids`; offsets are needed for characters.
void write_answer(RecordWriter&, const AnswerForm&, const std::vector<FoundSpan>& best, const Batch& ids,
                  std::int64_t s, const Batch* offsets);

/// The line of the best answers, cut from `text`; of several each with its score, with tabs between.
std::string answer_line(const std::vector<FoundSpan>& best, bool several, const std::string& text,
                        std::span<const std::int32_t> offsets);

}  // namespace pipeformer
