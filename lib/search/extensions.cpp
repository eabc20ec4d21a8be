#include "search/extensions.hpp"

#include <algorithm>
#include <tuple>

namespace pipeformer {
namespace {

bool likelier(const Extension& a, const Extension& b) {
  return std::tie(b.sum, a.from, a.id) < std::tie(a.sum, b.from, b.id);
}

}  // namespace

std::int64_t sort_likeliest(std::vector<Extension>& extensions, std::int64_t enough) {
  const std::int64_t count = std::min(enough, std::ssize(extensions));
  std::partial_sort(extensions.begin(), extensions.begin() + count, extensions.end(), likelier);
  return count;
}

void share_beam(std::vector<Extension>& extensions, const Requirement& required, std::int64_t least,
                const std::function<std::vector<std::int32_t>(std::size_t from)>& progress_of) {
  for (Extension& e : extensions) {
    std::vector<std::int32_t> progress = progress_of(e.from);
    required.advance(progress, e.id);
    e.bank = required.met(progress);
  }
  std::erase_if(extensions, [&](const Extension& e) { return e.bank < least; });
  std::sort(extensions.begin(), extensions.end(), likelier);
  std::vector<std::int64_t> turns(static_cast<std::size_t>(required.total()) + 1, 0);
  for (Extension& e : extensions) e.turn = turns[static_cast<std::size_t>(e.bank)]++;
  std::stable_sort(extensions.begin(), extensions.end(),
                   [](const Extension& a, const Extension& b) { return a.turn < b.turn; });
}

}  // namespace pipeformer
