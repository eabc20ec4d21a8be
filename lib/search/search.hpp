/// Generation: beam search (greedy is a beam of one) and sampling, for one batch of sentences. What comes out for a
/// sentence does not depend on the others.
///
/// Beam search keeps for each sentence the `beam` likeliest unfinished hypotheses, by the sum of the log-probabilities
/// of their tokens. A hypothesis is finished by the end token, when that is among the `beam` best continuations of its
/// step, or as it is at the length limit. Finished ones compete by
///   score = sum / length^A                   (average; fairseq, Marian)
///   score = sum / ((5 + length) / 6)^A       (gnmt; Wu et al. 2016, equation 14)
/// where length counts the generated tokens, with the end token. A sentence is done when `beam` hypotheses are
/// finished, or when no unfinished one can still enter the n best, whatever follows. Of equals the earlier one, then
/// the lower id is preferred.
///
/// With phrases that the output must hold, the beam is shared out anew at each step (dynamic beam allocation, Post and
/// Vilar 2018; in turns as Hu et al. 2019): the ids that phrases want next are among the continuations of each
/// hypothesis, continuations are put into banks by the number of required ids that they meet, and the banks take turns,
/// the best continuation of each, then the second best of each, until the beam is full. Within a turn the bank with the
/// likelier continuation comes first, so that a beam that is narrower than the banks are many keeps what the model
/// would say by itself, too. Only a hypothesis that holds all phrases ends; where the model would rather end than go
/// on, only what phrases want next can follow; a phrase that was begun only because it is wanted is brought to its end;
/// and no hypothesis is kept that has not room for what it lacks. (generate_window, which is asked for a beam of 1,
/// searches once more, with a wider one, for the sentences of which a phrase is there only because it is wanted.)
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "models/decoder_cache.hpp"
#include "search/candidates.hpp"
#include "search/logit_rules.hpp"
#include "search/mixture.hpp"
#include "search/requirement.hpp"
#include "search/stop_texts.hpp"

namespace pipeformer {

struct SearchSettings {
  bool sample = false;        ///< Draw tokens; else beam search.
  std::int64_t beam = 1;      ///< Unfinished hypotheses kept for each sentence.
  std::int64_t nbest = 1;     ///< Outputs for each sentence: the best of the beam (at most `beam`), or so many samples.
  double length_penalty = 1;  ///< A above, at least 0.
  bool gnmt = false;          ///< Wu et al.'s formula.
  LogitRuleSettings rules;
  Sampling sampling;
  std::uint64_t seed = 0;
  EnsembleMean ensemble_mean = EnsembleMean::probabilities;
  bool scores = true;               ///< Log-probabilities and scores are read; else what stands for them means nothing.
  const StopTexts* stop = nullptr;  ///< Texts that end a hypothesis; null: none. Not with phrases that are required.
  /// Of a sentence that is alone and has one hypothesis: called with all its ids, given and generated, without begin
  /// and end, after each token.
  std::function<void(const std::vector<std::int32_t>&)> grown{};
};

/// A further model of an ensemble: what it makes of the sources, and the memory of its cache.
struct EnsembleMember {
  const Transformer* model;
  const float* memory;
  DecoderCache::Storage* storage;
};

struct SearchInput {
  Ragged sources;                          ///< Empty for a decoder-only model,
  const float* memory = nullptr;           ///< which has no memory.
  std::span<const EnsembleMember> others;  ///< Of an ensemble; the beginnings are those of all.
  Ragged beginnings;                       ///< Begin id, and what is forced.
  const std::int32_t* beginning_ids = nullptr;
  std::span<const std::int64_t>
      limits;                  ///< [sentences] Most tokens to generate, with those that were; at least 1 more.
  std::int64_t generated = 0;  ///< Tokens at the end of each beginning that were generated, not given.
  std::span<const std::span<const std::int32_t>>
      given;  ///< [sentences] All ids so far, without begin, also where beginnings are cut; empty: there are none.
  std::span<const Phrases* const> banned;  ///< [sentences] Sequences that must not come; empty: none.
  std::span<const Requirement> required;   ///< [sentences] What outputs must hold (beam search only); empty: nothing.
  std::span<const std::int64_t>
      numbers;  ///< [sentences] Number in the whole stream: sampling draws by (seed, number, sample, position).
};

struct Hypothesis {
  std::vector<std::int32_t> ids;          ///< The generated ids, without begin and end.
  std::vector<double> log_probabilities;  ///< Of each of them; and of the end token, when there was one.
  double log_probability = 0;             ///< Sum over the generated tokens, with the end token when there was one.
  double score = 0;                       ///< The same, normalised for length.
  std::int32_t end = -1;                  ///< The end token; -1: a limit or a text ended it.
  bool urged = false;                     ///< Some of it is there only because it is required.
  bool stopped = false;                   ///< By one of SearchSettings::stop.
};

/// A sum of log-probabilities, normalised for the length.
double length_score(const SearchSettings&, double sum, std::int64_t length);

/// For each sentence settings.nbest hypotheses: by score, or in the order of drawing (fewer only when there are no more
/// different ones). Throws RowError with the number of the sentence when its scores are not finite, and when the rules
/// leave no token that could come next, or the limit no room for what is required.
std::vector<std::vector<Hypothesis>> search(Context&, const Transformer&, DecoderCache::Storage&, const SearchInput&,
                                            const SearchSettings&);

}  // namespace pipeformer
