#include "core/suggestion.hpp"

#include <algorithm>
#include <numeric>

#include "core/error.hpp"

namespace pipeformer {
namespace {

/// Edits (insert, delete, replace, swap of neighbours) that turn one word into another.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> before, last(b.size() + 1), now(b.size() + 1);
  std::iota(last.begin(), last.end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) now[j] = std::min(now[j], before[j - 2] + 1);
    }
    before = last;
    last = now;
  }
  return last[b.size()];
}

}  // namespace

std::string nearest_name(const std::string& typed, const std::vector<std::string>& names) {
  std::string best;
  std::size_t least = std::max<std::size_t>(1, typed.size() / 3) + 1;
  for (const auto& name : names) {
    const bool abbreviated = typed.size() >= 2 && name.compare(0, typed.size(), typed) == 0;
    const std::size_t d = abbreviated ? 1 : distance(typed, name);
    if (d < least) {
      least = d;
      best = name;
    }
  }
  return best;
}

std::string suggestion(const std::string& typed, const std::vector<std::string>& names, const std::string& prefix) {
  const std::string best = nearest_name(typed, names);
  return best.empty() ? "" : cat(" (did you mean '", prefix, best, "'?)");
}

}  // namespace pipeformer
