#include "search/requirement.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace pipeformer {
namespace {

bool holds(const std::vector<std::int32_t>& ids, const std::vector<std::int32_t>& phrase) {
  return std::search(ids.begin(), ids.end(), phrase.begin(), phrase.end()) != ids.end();
}

}  // namespace

Requirement::Requirement(const Phrases& all) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    bool asked = false;
    for (std::size_t j = 0; j < all.size() && !asked; ++j)
      asked = j != i && holds(all[j], all[i]) && (all[j].size() > all[i].size() || j < i);
    if (asked) continue;
    Phrase phrase{all[i], {0, 0}};
    std::int32_t length = 0;
    for (std::size_t n = 1; n < phrase.ids.size(); ++n) {
      while (length > 0 && phrase.ids[static_cast<std::size_t>(length)] != phrase.ids[n])
        length = phrase.fallback[static_cast<std::size_t>(length)];
      length += phrase.ids[static_cast<std::size_t>(length)] == phrase.ids[n];
      phrase.fallback.push_back(length);
    }
    total_ += std::ssize(phrase.ids);
    phrases_.push_back(std::move(phrase));
  }
}

void Requirement::advance(Progress progress, std::int32_t id) const {
  for (std::size_t p = 0; p < phrases_.size(); ++p) {
    const Phrase& phrase = phrases_[p];
    std::int32_t& length = progress[p];
    if (length == std::ssize(phrase.ids)) continue;
    while (length > 0 && phrase.ids[static_cast<std::size_t>(length)] != id)
      length = phrase.fallback[static_cast<std::size_t>(length)];
    length += phrase.ids[static_cast<std::size_t>(length)] == id;
  }
}

std::int64_t Requirement::furthest(std::span<const std::int32_t> progress) const {
  std::int32_t furthest = 0;
  for (std::size_t p = 0; p < phrases_.size(); ++p)
    if (progress[p] < std::ssize(phrases_[p].ids)) furthest = std::max(furthest, progress[p]);
  return furthest;
}

std::int64_t Requirement::met(std::span<const std::int32_t> progress) const {
  std::int64_t held = 0;
  for (std::size_t p = 0; p < phrases_.size(); ++p)
    if (progress[p] == std::ssize(phrases_[p].ids)) held += progress[p];
  return held + furthest(progress);
}

bool Requirement::begun(std::span<const std::int32_t> progress) const {
  return furthest(progress) > 0;
}

void Requirement::wanted(std::span<const std::int32_t> progress, bool begun, std::vector<std::int32_t>& ids) const {
  ids.clear();
  const std::int64_t least = begun ? furthest(progress) : 0;
  for (std::size_t p = 0; p < phrases_.size(); ++p)
    if (progress[p] >= least && progress[p] < std::ssize(phrases_[p].ids))
      ids.push_back(phrases_[p].ids[static_cast<std::size_t>(progress[p])]);
}

void expect_possible(const Phrases& required, const Phrases* banned, const Configuration& c,
                     const std::vector<std::int32_t>& suppressed, const std::string& where) {
  for (const auto& phrase : required) {
    for (const std::int32_t id : phrase) {
      const bool never = id == c.suppressed_id || std::count(suppressed.begin(), suppressed.end(), id) > 0;
      if (never) throw Error(cat(where, ": id ", id, " is required, but is suppressed"));
      if (c.ends(id)) throw Error(cat(where, ": id ", id, " is required, but ends what is generated"));
    }
    if (!banned) continue;
    for (const auto& ban : *banned)
      if (std::search(phrase.begin(), phrase.end(), ban.begin(), ban.end()) != phrase.end())
        throw Error(cat(where, ": a phrase that is required holds one that is banned, of ", ban.size(), " ids from ",
                        ban.front(), " on"));
  }
}

}  // namespace pipeformer
