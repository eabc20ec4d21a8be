#include "core/threads.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace pipeformer {
namespace {

thread_local bool inside_body = false;

/// A pool of sleeping workers. A loop is published as one job; whoever is free takes its next piece. Workers spin for
/// some microseconds before they sleep, so that the many short loops of a decoding step do not pay a wake-up each, and
/// a waiting tool of a pipeline leaves the processor to the others.
class Team {
 public:
  explicit Team(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }
  ~Team() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
  }
  int size() const { return static_cast<int>(workers_.size()) + 1; }

  void run(std::int64_t count, std::int64_t grain, RangeBody body) {
    std::lock_guard one_caller(callers_);
    {
      std::lock_guard lock(mutex_);
      body_ = &body;
      count_ = count;
      grain_ = grain;
      error_ = nullptr;
      next_.store(0, std::memory_order_relaxed);
      active_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    take_pieces();
    for (int spin = 0; active_.load(std::memory_order_acquire) != 0; ++spin) {
      if (spin < kSpins) {
        pause();
      } else {
        std::unique_lock lock(mutex_);
        done_.wait(lock, [this] { return active_.load(std::memory_order_acquire) == 0; });
      }
    }
    if (error_) std::rethrow_exception(error_);
  }

 private:
  static constexpr int kSpins = 4000;

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    std::this_thread::yield();
#endif
  }

  void take_pieces() {
    inside_body = true;
    std::int64_t begin = 0;
    try {
      while ((begin = next_.fetch_add(grain_, std::memory_order_relaxed)) < count_)
        (*body_)(begin, std::min(count_, begin + grain_));
    } catch (...) {
      // Pieces are taken in order, so those before this one will end too, and the first error of all is kept: which one
      // is told does not depend on the threads.
      next_.store(count_, std::memory_order_relaxed);
      std::lock_guard lock(mutex_);
      if (!error_ || begin < error_at_) {
        error_ = std::current_exception();
        error_at_ = begin;
      }
    }
    inside_body = false;
  }

  void work() {
    std::uint64_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen; ++spin) pause();
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
        seen = generation_.load(std::memory_order_acquire);
        if (stop_) return;
      }
      take_pieces();
      if (active_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard lock(mutex_);
        done_.notify_one();
      }
    }
  }

  std::vector<std::thread> workers_;
  std::mutex callers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<std::int64_t> next_{0};
  std::atomic<int> active_{0};
  const RangeBody* body_ = nullptr;
  std::int64_t count_ = 0;
  std::int64_t grain_ = 1;
  std::exception_ptr error_;
  std::int64_t error_at_ = 0;  ///< The piece that it came from.
  bool stop_ = false;
};

int requested_threads = 0;

/// Made at the first parallel loop: a tool that only prints its version starts no thread.
Team& team() {
  static std::unique_ptr<Team> instance;
  static std::mutex making;
  std::lock_guard lock(making);
  if (!instance || instance->size() != thread_count()) {
    instance.reset();
    instance = std::make_unique<Team>(thread_count());
  }
  return *instance;
}

}  // namespace

void set_thread_count(int threads) {
  requested_threads = std::max(1, threads);
}

int thread_count() {
  if (requested_threads == 0) requested_threads = std::max(1u, std::thread::hardware_concurrency());
  return requested_threads;
}

void parallel_for_ranges(std::int64_t count, std::int64_t grain, RangeBody body) {
  if (count <= 0) return;
  if (inside_body || thread_count() == 1 || count <= grain) {
    for (std::int64_t begin = 0; begin < count; begin += grain) body(begin, std::min(count, begin + grain));
    return;
  }
  team().run(count, grain, body);
}

}  // namespace pipeformer
