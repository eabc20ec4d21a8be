#include "cli/batch_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>

#include "cli/options.hpp"
#include "core/threads.hpp"
#include "io/byte_source.hpp"

namespace pipeformer {
namespace {

using Streams = std::vector<BatchStream*>;

/// Each stream once: it may serve in several roles (self-attention).
Streams distinct(const Streams& roles) {
  Streams streams;
  for (BatchStream* stream : roles)
    if (std::find(streams.begin(), streams.end(), stream) == streams.end()) streams.push_back(stream);
  return streams;
}

/// What one thread meets in the middle of a batch when an earlier batch has failed.
struct Superseded {};

/// Batches are numbered as they are read, by one thread at a time, and written in the order of their numbers.
class BatchLoop {
 public:
  BatchLoop(std::int64_t rows, const std::function<BatchOutput(BatchTurn&)>& body) : rows_(rows), body_(body) {}

  /// Takes batch after batch into `roles` until none is left. Throws the first error of the stream; threads that are at
  /// later batches return.
  void run(const Streams& roles) {
    const Streams streams = distinct(roles);
    Workspace workspace;
    for (;;) {
      BatchTurn turn{{workspace}, roles, 0};
      std::int64_t number = 0;
      try {
        if (!read(streams, number, turn.first_sequence)) return;
        naming_record(turn, [&] {
          workspace.clear();
          const BatchOutput output = body_(turn);
          wait(number);
          if (output) output();
        });
      } catch (const Superseded&) {
        return;
      } catch (...) {
        if (fail(number)) throw;
        return;
      }
      written(number, streams.front()->batch.positions());
    }
  }

  std::int64_t positions() const { return positions_; }  ///< Of the first stream, that were written.
  std::int64_t sequences() const { return sequences_; }  ///< Of the first stream, that were read.

 private:
  /// False at the end of the streams, and when another thread could not read its batch.
  bool read(const Streams& streams, std::int64_t& number, std::int64_t& first_sequence) {
    const std::lock_guard lock(reading_);
    if (ended_) return false;
    number = read_++;
    first_sequence = sequences_;
    ended_ = true;
    ended_ = !read_batches(streams, rows_);
    sequences_ += streams.front()->batch.sequences();
    return !ended_;
  }

  template <class Step>
  static void naming_record(const BatchTurn& turn, const Step& step) {
    try {
      step();
    } catch (const RowError& error) {
      throw Error(cat(turn[0].where(error.row()), ": ", error.what()));
    } catch (const std::bad_alloc&) {
      throw Error(cat(turn[0].where_record(0), ": out of memory for a batch of ", turn[0].batch.records(), " records, ",
                      turn[0].batch.positions(), " positions; a smaller --batch-rows needs less"));
    }
  }

  void wait(std::int64_t number) {
    std::unique_lock lock(writing_);
    turn_.wait(lock, [&] { return written_ == number || failed_; });
    if (failed_) throw Superseded{};
  }

  void written(std::int64_t number, std::int64_t positions) {
    {
      const std::lock_guard lock(writing_);
      written_ = number + 1;
      positions_ += positions;
    }
    turn_.notify_all();
  }

  /// True when this batch is the first that failed: then nobody goes on.
  bool fail(std::int64_t number) {
    try {
      wait(number);
    } catch (const Superseded&) {
      return false;
    }
    {
      const std::lock_guard lock(writing_);
      failed_ = true;
    }
    turn_.notify_all();
    stop_waiting_for_inputs();  // a thread that reads on would keep the error from being told
    return true;
  }

  const std::int64_t rows_;
  const std::function<BatchOutput(BatchTurn&)>& body_;
  std::mutex reading_;
  std::int64_t read_ = 0, sequences_ = 0;
  bool ended_ = false;  ///< Also when reading has failed.
  std::mutex writing_;
  std::condition_variable turn_;
  std::int64_t written_ = 0, positions_ = 0;
  bool failed_ = false;
};

/// Runs the loop with streams of its own, which read on in the same files.
void run_beside(BatchLoop& loop, const Streams& roles) {
  std::vector<std::pair<BatchStream*, BatchStream>> copies;
  for (BatchStream* stream : distinct(roles)) copies.emplace_back(stream, *stream);
  Streams own;
  for (BatchStream* stream : roles)
    own.push_back(
        &std::find_if(copies.begin(), copies.end(), [&](auto& copy) { return copy.first == stream; })->second);
  loop.run(own);
}

}  // namespace

BatchOutput rows_to(RecordWriter& writer, const Batch& layout, const float* rows, std::int64_t width,
                    const StoredParameters* from) {
  if (from) from->explain(rows, layout.positions() * std::max<std::int64_t>(width, 1));
  return [&writer, &layout, rows, width] { write_rows(writer, layout, rows, width); };
}

std::int64_t for_batches(const Args& args, const std::vector<BatchStream*>& streams, Batches batches,
                         const std::function<BatchOutput(BatchTurn&)>& body) {
  const auto start = std::chrono::steady_clock::now();
  BatchLoop loop(args.integer("batch-rows"), body);
  if (batches == Batches::one_by_one) {
    loop.run(streams);
  } else {
    parallel_for(thread_count(), 1, [&](std::int64_t, std::int64_t) { run_beside(loop, streams); });
  }
  if (!args.verbose()) return loop.sequences();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  cli::write_error(cat(args.tool(), ": ", (*streams.begin())->reader->count(), " records, ", loop.positions(),
                       " positions, ", cli::number_text(std::round(seconds.count() * 1000) / 1000), " s\n"));
  return loop.sequences();
}

}  // namespace pipeformer
