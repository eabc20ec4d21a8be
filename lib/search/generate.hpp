/// Generation for a window of sentences: those of like length are computed together, and all come back in order.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/workspace.hpp"
#include "io/batch_stream.hpp"
#include "search/output_probe.hpp"
#include "search/search.hpp"

namespace pipeformer {

/// What is done where a record would leave the window of the model: the tokens that a language model was trained on
/// (Configuration::context), and those that learned positions allow.
enum class Beyond {
  refuse,
  slide,  ///< The later half of a full window begins the next one, computed anew at its new positions.
  go_on,  ///< Leave the context; learned positions end all the same.
};

struct GenerateSettings {
  SearchSettings search;
  std::int64_t batch_rows = 1024;  ///< Source positions times hypotheses that are computed at a time.
  std::int64_t max_length = -1;    ///< Most tokens to generate; 0: none; below: only the next limit.
  bool length_asked = false;  ///< max_length was asked for: where it cannot be, an error, and not a shorter output.
  Beyond beyond = Beyond::refuse;  ///< slide: of a decoder-only model, with one output for each record and a beam of 1.
  double max_length_factor = 0;    ///< At most this times the source length, plus kExtraLength; 0: only max_length.
  std::vector<const Transformer*> others;  ///< Further models of an ensemble; the vocabularies are the same.
  WeightType kept = WeightType::float32;   ///< What decoders keep keys and values as.
  const Probe* probe = nullptr;  ///< May change what is computed; sees each sentence by its number in the stream.
  static constexpr std::int64_t kExtraLength = 50;  ///< As Vaswani et al. 2017, section 6.1.
};

/// The memory of a batch: its rows, or, of ids, what the encoder makes of them, in the workspace. (batch.positions(),
/// width); null for a decoder-only model.
const float* source_memory(Context&, const Transformer&, const Batch&);

/// The ids, given and generated, that a decoder's window has room for; nothing when any number will do.
std::optional<std::int64_t> decoder_window(const Configuration&, Beyond);

/// For ids: throws Error naming the record unless every one is in the vocabulary, and each sequence with `extra` ids
/// more fits the model's learned positions, and (of a decoder-only model, begin not counted) its context.
void check_ids(const BatchStream&, std::int64_t vocabulary, const Configuration&, std::int64_t extra,
               Beyond = Beyond::refuse);

/// The sequences of a batch in another order, as records of their own; some may be left out or repeated.
Batch select_sequences(const Batch&, const std::vector<std::int64_t>& sequences);

/// What the records of a window come with.
struct Beside {
  const Batch* prefixes = nullptr;                 ///< Ids that each output begins with.
  const std::vector<Phrases>* banned = nullptr;    ///< Sequences that must not come: of each record, or one for all.
  const std::vector<Phrases>* required = nullptr;  ///< Those that must, likewise.
};

/// For each record of the input settings.search.nbest hypotheses. Input: source ids or memory vectors; of a
/// decoder-only model the prompt. What is forced (the prefixes, or the prompt) begins the ids of the output. An empty
/// input gives empty outputs, and so are filled up the outputs of a sentence that has fewer, with a score of -infinity.
/// done(n): n more sentences are ready. Throws Error naming the record that has leading axes (its outputs could not be
/// one record) or whose scores are not finite.
std::vector<std::vector<Hypothesis>> generate_window(const Transformer&, const BatchStream& input, const Beside&,
                                                     const GenerateSettings&,
                                                     const std::function<void(std::int64_t)>& done);

/// What is written of the outputs; any writer may be null.
struct HypothesisWriters {
  RecordWriter* ids = nullptr;           ///< Records (T,), ...
  bool keep_end = false;                 ///< ... with the end token, where there was one, ...
  std::int32_t copied_id = -1;           ///< ... and -1 - p for this id where it is aligned with source position p.
  RecordWriter* scores = nullptr;        ///< Log-probability and score (2,).
  RecordWriter* token_scores = nullptr;  ///< Log-probabilities (T,) of the ids; 0 of those that were given.
  RecordWriter* alignment = nullptr;     ///< Source positions (T,) of the ids.
  RecordWriter *alternatives = nullptr, *alternative_scores = nullptr;  ///< (rows, K) as OutputProbe has them.
  std::int64_t alternative_count = 0;                                   ///< K
};
/// seen: what an OutputProbe saw of each output, where that is written. Returns the number of generated ids, ends not
/// counted: those after the ones of `forced`, the prefixes or prompts (may be null).
std::int64_t write_hypotheses(const std::vector<std::vector<Hypothesis>>&, const Batch* forced,
                              const std::vector<OutputProbe::Seen>& seen, const HypothesisWriters&);

/// "1000 sentences, 12000 tokens, 1.234 s, 810 sentences/s, 9724 tokens/s"
std::string rate_summary(std::int64_t sentences, std::int64_t tokens, double seconds);

}  // namespace pipeformer
