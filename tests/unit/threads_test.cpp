// The team of threads: every piece once, and the same error for any number of threads.
#include "core/threads.hpp"

#include <catch2/catch.hpp>
#include <chrono>
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
