/// Rules about the next token: what a hypothesis holds so far changes the logits of what may follow, or forbids it (a
/// logit of -infinity). There is one table of them, which greedy search, beam search and sampling all use.
///
/// A rule that forbids leaves the log-probabilities of the other tokens as the model gave them; the repetition penalty
/// makes another distribution, with log-probabilities of its own.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "models/configuration.hpp"
#include "search/candidates.hpp"
#include "search/phrases.hpp"

namespace pipeformer {

struct LogitRuleSettings {
  /// theta of Keskar et al. 2019 (CTRL), section 4.1, as checkpoints' generation settings mean it: the logit of each
  /// token that the hypothesis holds is divided by it, or multiplied where it is below 0. 1: off.
  double repetition_penalty = 1;
  std::int64_t no_repeat_ngram =
      0;  ///< No n-gram of this length comes twice (Paulus et al. 2018, section 2.5). 0: off.
  std::vector<std::int32_t> suppressed;  ///< Tokens that never come.
  std::int64_t min_length = 0;           ///< Before so many generated tokens there is no end token.
};

/// A hypothesis, about to get its next token.
struct Growing {
  std::span<const std::int32_t>
      ids;                          ///< All so far, without begin: what was given (a prompt, a prefix), and generated.
  std::int64_t length = 1;          ///< Generated tokens that it has with the next one.
  const Phrases* banned = nullptr;  ///< Sequences that must not come; may be null.
};

class LogitRules {
 public:
  struct Row;
  struct Rule;

  /// The rules that are on. bans: hypotheses come with banned sequences. The settings must outlive it.
  LogitRules(const LogitRuleSettings&, const Configuration&, bool bans);
  /// Whether Growing::ids is wanted.
  bool read_ids() const { return read_ids_; }
  /// Changes a row of logits (vocabulary).
  void apply(const Growing&, std::int64_t vocabulary, RowOfLogits&) const;

 private:
  const LogitRuleSettings& settings_;
  const Configuration& configuration_;
  std::vector<const Rule*> rules_;
  bool read_ids_ = false;
};

}  // namespace pipeformer
