/// Requirement: the phrases that an output must hold, and how far a hypothesis has come with them. What beam search
/// with lexical constraints needs to know: Post and Vilar 2018 (dynamic beam allocation), Hu et al. 2019.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "models/configuration.hpp"
#include "search/phrases.hpp"

namespace pipeformer {

class Requirement {
 public:
  /// A phrase that is given twice, or is a part of another one, asks for nothing more.
  explicit Requirement(const Phrases&);

  bool empty() const { return phrases_.empty(); }
  /// All ids that are asked for.
  std::int64_t total() const { return total_; }

  /// [phrases] How many of the first ids of each phrase the hypothesis ends with; all of them once it holds the phrase.
  using Progress = std::span<std::int32_t>;
  std::size_t phrases() const { return phrases_.size(); }
  /// Progress after one more id.
  void advance(Progress, std::int32_t id) const;
  /// Ids that are met: those of phrases that are held, and of the phrase that is furthest. total() when all are held;
  /// at most total() - met() ids more are enough.
  std::int64_t met(std::span<const std::int32_t>) const;
  /// The next id of each phrase that is not held, or, begun, of those of them that are furthest only.
  void wanted(std::span<const std::int32_t>, bool begun, std::vector<std::int32_t>& ids) const;
  /// Whether a phrase is begun that is not held yet.
  bool begun(std::span<const std::int32_t>) const;

 private:
  struct Phrase {
    std::vector<std::int32_t> ids;
    /// [n] Of its first n ids: the longest proper beginning that is also their end (Knuth, Morris and Pratt 1977).
    std::vector<std::int32_t> fallback;
  };
  std::int64_t furthest(std::span<const std::int32_t>) const;
  std::vector<Phrase> phrases_;
  std::int64_t total_ = 0;
};

/// Throws Error that begins with `where` when a phrase that is required can never come: an id of it is suppressed or
/// ends a sequence, or it holds a phrase that is banned. banned: may be null.
void expect_possible(const Phrases& required, const Phrases* banned, const Configuration&,
                     const std::vector<std::int32_t>& suppressed, const std::string& where);

}  // namespace pipeformer
