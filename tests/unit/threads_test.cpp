// The team of threads: every piece once, and the same error for any number of threads.
#include "core/threads.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace pipeformer;

TEST_CASE("of several errors the one of the first piece is told, whatever the threads", "[core][law4]") {
  const int before = thread_count();
  for (const int threads : {1, 2, 4}) {
    set_thread_count(threads);
    for (int round = 0; round < 20; ++round) {
      std::string told;
      try {
        parallel_for(40, 1, [](std::int64_t piece, std::int64_t) {
          if (piece == 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // later ones fail before it
          if (piece >= 2) throw std::runtime_error(std::to_string(piece));
        });
      } catch (const std::runtime_error& error) {
        told = error.what();
      }
      CHECK(told == "2");
    }
  }
  set_thread_count(before);
}

TEST_CASE("every item of a loop is visited once", "[core]") {
  const int before = thread_count();
  for (const int threads : {1, 3}) {
    set_thread_count(threads);
    for (const std::int64_t grain : {1, 7, 1000}) {
      std::vector<int> visits(500, 0);
      parallel_for(500, grain, [&](std::int64_t begin, std::int64_t end) {
        for (; begin < end; ++begin) ++visits[static_cast<std::size_t>(begin)];
      });
      CHECK(visits == std::vector<int>(500, 1));
    }
  }
  set_thread_count(before);
}

TEST_CASE("loops inside loops visit every item once, and are shared with who has nothing to do", "[core]") {
  const int before = thread_count();
  for (const int threads : {1, 2, 4}) {
    set_thread_count(threads);
    int helped = 0;
    for (int round = 0; round < 50; ++round) {
      // One long piece among short ones: its inner loop is all that is left for the others.
      std::vector<int> visits(300, 0);
      std::mutex writing;
      std::set<std::thread::id> seen;
      parallel_for(3, 1, [&](std::int64_t outer, std::int64_t) {
        parallel_for(100, 10, [&](std::int64_t begin, std::int64_t end) {
          if (outer == 0) {
            std::this_thread::sleep_for(std::chrono::microseconds(200));
            const std::lock_guard lock(writing);
            seen.insert(std::this_thread::get_id());
          }
          for (; begin < end; ++begin) ++visits[static_cast<std::size_t>(100 * outer + begin)];
        });
      });
      CHECK(visits == std::vector<int>(300, 1));
      CHECK(static_cast<int>(seen.size()) <= threads);
      helped += seen.size() > 1;
    }
    CHECK((helped > 0) == (threads > 1));
  }
  set_thread_count(before);
}

TEST_CASE("an error inside an inner loop comes out of the outer one", "[core]") {
  const int before = thread_count();
  for (const int threads : {1, 2, 4}) {
    set_thread_count(threads);
    for (int round = 0; round < 50; ++round) {
      CHECK_THROWS_AS(parallel_for(4, 1,
                                   [](std::int64_t, std::int64_t) {
                                     parallel_for(20, 1, [](std::int64_t inner, std::int64_t) {
                                       if (inner == 7) throw std::runtime_error("inner");
                                     });
                                   }),
                      std::runtime_error);
    }
  }
  set_thread_count(before);
}
