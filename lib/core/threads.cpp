#include "core/threads.hpp"

#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace pipeformer {
namespace {

/// How deep this thread is in pieces of loops.
thread_local int depth = 0;

struct InPieces {
  InPieces() { ++depth; }
  ~InPieces() { --depth; }
};

/// A pool of workers. A loop is shared with the workers that have nothing to do; when none has, its caller does it
/// alone, which costs nothing. Loops nest: who has no more pieces of an outer loop helps with the inner ones of those
/// who have. Workers spin for some microseconds before they sleep, so that the many short loops of a decoding step do
/// not pay a wake-up each, and a waiting tool of a pipeline leaves the processor to the others.
class Team {
 public:
  /// Of fewer threads when the system (a limit of processes or memory, a container) gives no more.
  explicit Team(int threads) : idle_(0) {
    workers_.reserve(static_cast<std::size_t>(threads - 1));
    try {
      for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
    } catch (const std::bad_alloc&) {
    }
    // Who helps counts itself out and in again, but nobody can before the first loop.
    idle_ = static_cast<int>(workers_.size());
  }
  ~Team() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    announce();
    for (auto& worker : workers_) worker.join();
  }
  int size() const { return static_cast<int>(workers_.size()) + 1; }
  bool busy() const { return idle_.load(std::memory_order_relaxed) == 0; }

  void run(std::int64_t count, std::int64_t grain, RangeBody body) {
    Loop loop{body, count, grain};
    {
      std::lock_guard lock(mutex_);
      loops_.push_back(&loop);
    }
    announce();
    take_pieces(loop);
    {
      std::lock_guard lock(mutex_);
      loops_.erase(std::find(loops_.begin(), loops_.end(), &loop));
    }
    wait_for_helpers(loop);
    if (loop.error) std::rethrow_exception(loop.error);
  }

 private:
  static constexpr int kSpins = 4000;

  /// On the stack of its caller, who stays until the last helper has left.
  struct Loop {
    RangeBody body;
    std::int64_t count, grain;
    std::atomic<std::int64_t> next{0};
    std::atomic<int> helpers{0};
    std::exception_ptr error{};
    std::int64_t error_at = 0;  ///< The piece that it came from.
  };

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    std::this_thread::yield();
#endif
  }

  void take_pieces(Loop& loop) {
    const InPieces inside;
    std::int64_t begin = 0;
    try {
      while ((begin = loop.next.fetch_add(loop.grain, std::memory_order_relaxed)) < loop.count)
        loop.body(begin, std::min(loop.count, begin + loop.grain));
    } catch (...) {
      // Pieces are taken in order, so those before this one will end too, and the first error of all is kept: which one
      // is told does not depend on the threads.
      loop.next.store(loop.count, std::memory_order_relaxed);
      std::lock_guard lock(mutex_);
      if (!loop.error || begin < loop.error_at) {
        loop.error = std::current_exception();
        loop.error_at = begin;
      }
    }
  }

  /// Takes pieces of a loop of another thread, if there is one that has some left.
  bool help() {
    Loop* loop = nullptr;
    {
      std::lock_guard lock(mutex_);
      for (Loop* candidate : loops_)
        if (candidate->next.load(std::memory_order_relaxed) < candidate->count) loop = candidate;
      if (!loop) return false;
      loop->helpers.fetch_add(1, std::memory_order_relaxed);
      idle_.fetch_sub(1, std::memory_order_relaxed);
    }
    take_pieces(*loop);
    idle_.fetch_add(1, std::memory_order_relaxed);
    if (loop->helpers.fetch_sub(1, std::memory_order_acq_rel) == 1) announce();  // the loop may be gone from here on
    return true;
  }

  /// Who is in the middle of a piece only waits: another piece would use the memory that the first one is using.
  void wait_for_helpers(const Loop& loop) {
    const bool free = depth == 0;
    if (free) idle_.fetch_add(1, std::memory_order_relaxed);
    for (;;) {
      const std::uint64_t seen = changes_.load(std::memory_order_acquire);
      if (loop.helpers.load(std::memory_order_acquire) == 0) break;
      if (!free || !help()) wait_for_change(seen);
    }
    if (free) idle_.fetch_sub(1, std::memory_order_relaxed);
  }

  void work() {
    for (;;) {
      const std::uint64_t seen = changes_.load(std::memory_order_acquire);
      if (stop_) return;
      if (!help()) wait_for_change(seen);
    }
  }

  /// A loop has come, or has lost its last helper, or all is over.
  void announce() {
    {
      std::lock_guard lock(mutex_);
      changes_.fetch_add(1, std::memory_order_release);
    }
    changed_.notify_all();
  }
  void wait_for_change(std::uint64_t seen) {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (changes_.load(std::memory_order_acquire) != seen) return;
      pause();
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return changes_.load(std::memory_order_acquire) != seen; });
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<std::uint64_t> changes_{0};
  std::vector<Loop*> loops_;  ///< That may have pieces left.
  std::atomic<int> idle_;     ///< Threads that would help.
  std::atomic<bool> stop_{false};
};

std::atomic<int> requested_threads{0};

/// As many of these threads as leave memory for the work where the address space has a limit (ulimit -v): their stacks
/// take at most a quarter of it. They allocate from one place then, since the C library would reserve 64 MB for each.
int affordable(int threads) {
  rlimit space{};
  if (getrlimit(RLIMIT_AS, &space) != 0 || space.rlim_cur == RLIM_INFINITY) return threads;
  mallopt(M_ARENA_MAX, 1);
  pthread_attr_t attributes;
  std::size_t stack = 0;
  if (pthread_attr_init(&attributes) != 0) return 1;
  pthread_attr_getstacksize(&attributes, &stack);
  pthread_attr_destroy(&attributes);
  return static_cast<int>(std::clamp<rlim_t>(space.rlim_cur / 4 / stack, 1, static_cast<rlim_t>(threads)));
}

/// Made at the first parallel loop: a tool that only prints its version starts no thread.
Team& team() {
  static std::atomic<Team*> current{nullptr};
  if (Team* made = current.load(std::memory_order_acquire); made && made->size() == thread_count()) return *made;
  static std::unique_ptr<Team> instance;
  static std::mutex making;
  std::lock_guard lock(making);
  if (!instance || instance->size() != thread_count()) {
    current = nullptr;
    instance.reset();
    int threads = affordable(thread_count());
    instance = std::make_unique<Team>(threads);
    while (instance->size() < threads) {  // a limit is reached: half of what it allows leaves memory for the work
      threads = std::max(1, instance->size() / 2);
      instance.reset();
      instance = std::make_unique<Team>(threads);
    }
    requested_threads = threads;
    current = instance.get();
  }
  return *instance;
}

}  // namespace

void set_thread_count(int threads) {
  requested_threads = std::max(1, threads);
}

int thread_count() {
  int threads = requested_threads.load(std::memory_order_relaxed);
  if (threads == 0) requested_threads = threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return threads;
}

void parallel_for_ranges(std::int64_t count, std::int64_t grain, RangeBody body) {
  if (count <= 0) return;
  if (thread_count() == 1 || count <= grain || team().busy()) {
    const InPieces inside;
    for (std::int64_t begin = 0; begin < count; begin += grain) body(begin, std::min(count, begin + grain));
    return;
  }
  team().run(count, grain, body);
}

}  // namespace pipeformer
