#include "search/logit_rules.hpp"

#include <algorithm>
#include <limits>

namespace pipeformer {

/// What a rule works on.
struct LogitRules::Row {
  const LogitRuleSettings& settings;
  const Configuration& configuration;
  const Growing& hypothesis;
  float* logits;
  void forbid(std::int64_t id) const { logits[id] = -std::numeric_limits<float>::infinity(); }
};

struct LogitRules::Rule {
  bool (*on)(const LogitRuleSettings&, const Configuration&, bool bans);
  void (*apply)(const Row&);
  bool reads_ids;
  bool new_distribution;  ///< And does not only forbid.
};

namespace {

using Row = LogitRules::Row;
using Ids = std::span<const std::int32_t>;

void penalize_repetition(const Row& row) {
  thread_local std::vector<std::int32_t> seen;
  seen.assign(row.hypothesis.ids.begin(), row.hypothesis.ids.end());
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  const auto penalty = static_cast<float>(row.settings.repetition_penalty);
  for (const std::int32_t id : seen) {
    float& logit = row.logits[id];
    logit = logit < 0 ? logit * penalty : logit / penalty;
  }
}

/// Whether the n ids that end before `end` are the last ones of `ids`.
bool ends_like(Ids ids, std::size_t end, std::size_t n) {
  return std::equal(ids.end() - static_cast<std::ptrdiff_t>(n), ids.end(),
                    ids.begin() + static_cast<std::ptrdiff_t>(end - n));
}

void forbid_repeated_ngrams(const Row& row) {
  const Ids ids = row.hypothesis.ids;
  const auto before = static_cast<std::size_t>(row.settings.no_repeat_ngram) - 1;
  for (std::size_t next = before; next < ids.size(); ++next)
    if (ends_like(ids, next, before)) row.forbid(ids[next]);
}

void forbid_banned(const Row& row) {
  const Ids ids = row.hypothesis.ids;
  if (row.hypothesis.banned == nullptr) return;
  for (const auto& phrase : *row.hypothesis.banned) {
    const std::size_t before = phrase.size() - 1;
    if (before <= ids.size() && std::equal(phrase.begin(), phrase.end() - 1, ids.end() - std::ptrdiff_t(before)))
      row.forbid(phrase.back());
  }
}

void forbid_suppressed(const Row& row) {
  if (row.configuration.suppressed_id >= 0) row.forbid(row.configuration.suppressed_id);
  for (const std::int32_t id : row.settings.suppressed) row.forbid(id);
}

void forbid_early_end(const Row& row) {
  if (row.hypothesis.length > row.settings.min_length) return;
  for (const std::int64_t id : row.configuration.end_ids()) row.forbid(id);
}

using Settings = LogitRuleSettings;

/// In the order in which they are applied.
constexpr LogitRules::Rule kRules[] = {
    {[](const Settings& s, const Configuration&, bool) { return s.repetition_penalty != 1; }, penalize_repetition, true,
     true},
    {[](const Settings& s, const Configuration&, bool) { return s.no_repeat_ngram > 0; }, forbid_repeated_ngrams, true,
     false},
    {[](const Settings&, const Configuration&, bool bans) { return bans; }, forbid_banned, true, false},
    {[](const Settings& s, const Configuration& c, bool) { return c.suppressed_id >= 0 || !s.suppressed.empty(); },
     forbid_suppressed, false, false},
    {[](const Settings& s, const Configuration&, bool) { return s.min_length > 0; }, forbid_early_end, false, false},
};

}  // namespace

LogitRules::LogitRules(const LogitRuleSettings& settings, const Configuration& configuration, bool bans)
    : settings_(settings), configuration_(configuration) {
  for (const Rule& rule : kRules)
    if (rule.on(settings, configuration, bans)) {
      rules_.push_back(&rule);
      read_ids_ = read_ids_ || rule.reads_ids;
    }
}

void LogitRules::apply(const Growing& hypothesis, std::int64_t vocabulary, RowOfLogits& logits) const {
  for (const Rule* rule : rules_) {
    rule->apply({settings_, configuration_, hypothesis, logits.values});
    if (rule->new_distribution) logits.measure(vocabulary);
  }
}

}  // namespace pipeformer
