/// Generation for a window of sentences: those of like length are computed together, and all come back in order.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/workspace.hpp"
#include "io/batch_stream.hpp"
#include "search/search.hpp"

namespace pipeformer {

struct GenerateSettings {
  SearchSettings search;
  std::int64_t batch_rows = 1024;  ///< Source positions times hypotheses that are computed at a time.
  std::int64_t max_length = 0;     ///< Most tokens to generate; 0: only the next limit.
  double max_length_factor = 0;    ///< At most this times the source length, plus kExtraLength; 0: only max_length.
  static constexpr std::int64_t kExtraLength = 50;  ///< As Vaswani et al. 2017, section 6.1.
};

/// The memory of a batch: its rows, or, of ids, what the encoder makes of them, in the workspace. (batch.positions(),
/// width); null for a decoder-only model.
const float* source_memory(Context&, const Transformer&, const Batch&);

/// For ids: throws Error naming the record unless every one is in the vocabulary, and each sequence with `extra` ids
/// more fits the model's learned positions.
void check_ids(const BatchStream&, std::int64_t vocabulary, const Configuration&, std::int64_t extra);

/// The sequences of a batch in another order, as records of their own; some may be left out or repeated.
Batch select_sequences(const Batch&, const std::vector<std::int64_t>& sequences);

/// For each record of the input settings.search.nbest hypotheses. Input: source ids or memory vectors; of a
/// decoder-only model the prompt. What is forced (`prefixes`, may be null, or the prompt) begins the ids of the output.
/// An empty input gives empty outputs, and so are filled up the outputs of a sentence that has fewer, with a score of
/// -infinity. done(n): n more sentences are ready. Throws Error naming the record that has leading axes (its outputs
/// could not be one record) or whose scores are not finite.
std::vector<std::vector<Hypothesis>> generate_window(const Transformer&, const BatchStream& input,
                                                     const Batch* prefixes, const GenerateSettings&,
                                                     const std::function<void(std::int64_t)>& done);

/// Writes the outputs as records of ids (T,) and, when there is a second writer, their log-probability and score as
/// records (2,). Returns the number of ids.
std::int64_t write_hypotheses(const std::vector<std::vector<Hypothesis>>&, RecordWriter& ids, RecordWriter* scores);

/// "1000 sentences, 12000 tokens, 1.234 s, 810 sentences/s, 9724 tokens/s"
std::string rate_summary(std::int64_t sentences, std::int64_t tokens, double seconds);

}  // namespace pipeformer
