#include "cli/batch_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <thread>

#include "cli/dealing.hpp"
#include "cli/options.hpp"
#include "cli/ranks.hpp"
#include "core/threads.hpp"
#include "io/byte_source.hpp"
#include "io/relay.hpp"

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

template <class Step>
void naming_record(const BatchTurn& turn, const Step& step) {
  try {
    step();
  } catch (const RowError& error) {
    throw Error(cat(turn[0].where(error.row()), ": ", error.what()));
  } catch (const std::bad_alloc&) {
    throw Error(cat(turn[0].where_record(0), ": out of memory for a batch of ", turn[0].batch.records(), " records, ",
                    turn[0].batch.positions(), " positions; a smaller --batch-rows needs less"));
  }
}

/// What one thread meets in the middle of a batch when an earlier batch has failed.
struct Superseded {};

/// Batches are numbered as they are read, by one thread at a time, and written in the order of their numbers.
class BatchLoop {
 public:
  BatchLoop(const Args& args, const LoopOptions& options)
      : rows_(options.rows > 0 ? options.rows : args.integer("batch-rows")),
        phrases_(options.phrases),
        skip_(args.integer("skip")),
        left_(args.has("take") ? args.integer("take") : std::numeric_limits<std::int64_t>::max()) {}

  /// Takes batch after batch into `roles` until none is left. Throws the first error of the stream; threads that are at
  /// later batches return.
  void run(const Streams& roles, const BatchBody& body) {
    const Streams streams = distinct(roles);
    Workspace workspace;
    for (;;) {
      BatchTurn turn{{workspace}, roles};
      std::int64_t number = 0;
      try {
        if (!read(streams, number, turn)) return;
        naming_record(turn, [&] {
          workspace.clear();
          const BatchOutput output = body(turn);
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

  std::int64_t positions() const { return positions_; }             ///< Of the first stream, that were written.
  std::int64_t sequences() const { return sequences_ - skipped_; }  ///< Of the first stream, that were read.

 private:
  /// False at the end of the streams, and when another thread could not read its batch.
  bool read(const Streams& streams, std::int64_t& number, BatchTurn& turn) {
    const std::lock_guard lock(reading_);
    if (ended_) return false;
    number = read_++;
    ended_ = true;
    if (number == 0 && skip_ > 0) {
      sequences_ = skipped_ = skip_records(streams, skip_);
      for (PhraseStream* phrases : phrases_) phrases->skip(skip_);
    }
    turn.first_sequence = sequences_;
    const BatchStream& first = *streams.front();
    ended_ = !read_batches(streams, rows_, left_);
    sequences_ += first.batch.sequences();
    left_ -= first.batch.records();
    if (!ended_)
      for (PhraseStream* phrases : phrases_)
        turn.phrases.push_back(phrases->next(first.batch.records(), first.reader->name()));
    return !ended_;
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
  const std::vector<PhraseStream*> phrases_;
  const std::int64_t skip_;
  std::mutex reading_;
  std::int64_t left_;  ///< Records that may still be read.
  std::int64_t read_ = 0, sequences_ = 0, skipped_ = 0;
  bool ended_ = false;  ///< Also when reading has failed.
  std::mutex writing_;
  std::condition_variable turn_;
  std::int64_t written_ = 0, positions_ = 0;
  bool failed_ = false;
};

/// The streams of one thread, which read on in the same files, in the same roles.
class OwnStreams {
 public:
  explicit OwnStreams(const Streams& roles) {
    for (BatchStream* stream : distinct(roles)) copies_.emplace_back(stream, *stream);
    for (BatchStream* stream : roles)
      roles_.push_back(
          &std::find_if(copies_.begin(), copies_.end(), [&](auto& copy) { return copy.first == stream; })->second);
  }
  const Streams& roles() const { return roles_; }

 private:
  std::deque<std::pair<BatchStream*, BatchStream>> copies_;
  Streams roles_;
};

/// On the first rank: the loop, with its own threads and with one for each batch that is with another rank.
void deal(BatchLoop& loop, const Streams& roles, Dealer& dealer, const std::function<void()>& own) {
  std::mutex failing;
  std::exception_ptr failure;  // the loop lets only the first one out
  const auto keeping_failure = [&](const auto& step) {
    try {
      step();
    } catch (...) {
      const std::lock_guard lock(failing);
      failure = std::current_exception();
    }
  };
  // Copied here: this thread may read into the streams themselves, later.
  std::deque<OwnStreams> streams;
  for (std::size_t i = 0; i < dealer.places().size(); ++i) streams.emplace_back(roles);
  std::vector<std::thread> places;
  for (const Dealer::Place& place : dealer.places())
    places.emplace_back([&, place, &its = streams[places.size()]] {
      keeping_failure([&] {
        loop.run(its.roles(), [&](BatchTurn& turn) -> BatchOutput {
          return
              [given = std::make_shared<std::vector<std::byte>>(dealer.compute(place, turn, distinct(turn.streams)))] {
                write_relayed(*given);
              };
        });
      });
    });
  keeping_failure(own);
  for (std::thread& place : places) place.join();
  dealer.finish();
  if (failure) std::rethrow_exception(failure);
}

/// On another rank: computes what is dealt to it, until there is no more.
[[noreturn]] void compute_for_first(const Args& args, Communicator& ranks, const Streams& roles, bool side_by_side,
                                    const BatchBody& body) {
  DealtWork work(ranks, side_by_side ? thread_count() : 1);
  std::mutex writing;
  const auto serve = [&](std::int64_t, std::int64_t) {
    const OwnStreams own(roles);
    Workspace workspace;
    for (;;) {
      BatchTurn turn{{workspace}, own.roles()};
      const auto place = work.next(turn, distinct(own.roles()));
      if (!place) return;
      work.reply(*place, [&] {
        std::vector<std::byte> written;
        naming_record(turn, [&] {
          workspace.clear();
          const BatchOutput output = body(turn);
          const std::lock_guard lock(writing);
          if (output) output();
          written = take_relayed();
        });
        return written;
      });
    }
  };
  try {
    side_by_side ? parallel_for(thread_count(), 1, serve) : serve(0, 1);
  } catch (const std::exception& error) {  // in a message; the first rank would wait for ever
    cli::write_error(cat(args.tool(), ": rank ", ranks.rank(), ": ", cli::one_line(error.what()), "\n"));
    ranks.abort(1);
  }
  throw ExitStatus{0};  // what follows is the first rank's
}

}  // namespace

BatchOutput rows_to(RecordWriter& writer, const Batch& layout, const float* rows, std::int64_t width,
                    const StoredParameters* from) {
  if (from) from->explain(rows, layout.positions() * std::max<std::int64_t>(width, 1));
  return [&writer, &layout, rows, width] { write_rows(writer, layout, rows, width); };
}

std::int64_t for_batches(const Args& args, const std::vector<BatchStream*>& streams, Batches batches,
                         const BatchBody& body, const LoopOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  Communicator* ranks = dealing_ranks();
  const bool side_by_side = batches == Batches::side_by_side;
  if (ranks && batches == Batches::one_by_one)
    throw UsageError(
        "what is written or read beside the batches (--stream, --tap-file, masks) is in order in one process only");
  if (ranks && !ranks->first()) compute_for_first(args, *ranks, streams, side_by_side, body);
  BatchLoop loop(args, options);
  const auto own = [&] {
    if (!side_by_side) return loop.run(streams, body);
    parallel_for(thread_count(), 1, [&](std::int64_t, std::int64_t) { loop.run(OwnStreams(streams).roles(), body); });
  };
  if (ranks) {
    Dealer dealer(*ranks);
    deal(loop, streams, dealer, own);
  } else {
    own();
  }
  if (!args.verbose() || !options.summary) return loop.sequences();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  cli::write_error(cat(args.tool(), ": ", (*streams.begin())->reader->count(), " records, ", loop.positions(),
                       " positions, ", cli::number_text(std::round(seconds.count() * 1000) / 1000), " s\n"));
  return loop.sequences();
}

}  // namespace pipeformer
