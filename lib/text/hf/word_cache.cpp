#include "text/hf/word_cache.hpp"

#include <atomic>

namespace pipeformer::hf {

WordCache& WordCache::of(std::uint64_t owner) {
  thread_local WordCache cache;
  if (cache.owner_ != owner) {
    cache.entries_.assign(entries, Entry{});
    cache.owner_ = owner;
  }
  return cache;
}

std::uint64_t WordCache::new_owner() {
  static std::atomic<std::uint64_t> last = 0;
  return ++last;
}

}  // namespace pipeformer::hf
