/// The loop of a tool over the batches of its streams: read, compute, write.
#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <vector>

#include "cli/tool.hpp"
#include "io/batch_stream.hpp"
#include "layers/context.hpp"

namespace pipeformer {

/// One batch of all streams on its way through a tool.
struct BatchTurn {
  Context ctx;                        ///< Its workspace is empty.
  std::vector<BatchStream*> streams;  ///< What for_batches was given, in the same order, with this batch.
  std::int64_t first_sequence;        ///< How many sequences of the first stream came before.
  std::function<void()> wait;         ///< Returns when all batches before this one are written.

  BatchStream& operator[](std::size_t role) const { return *streams[role]; }
};

enum class Batches {
  side_by_side,  ///< Each thread has a batch of its own: one reads or writes while others compute.
  one_by_one,    ///< All threads share one batch, which is read into the very streams that for_batches was given.
};

/// Reads batches of all streams in lock step, about --batch-rows positions each, and calls body for each; then, with
/// --verbose, writes one line of summary. The body computes, calls turn.wait() and writes: side by side it runs for
/// several batches at once up to there, and from there on for one at a time in the order of the stream. The first error
/// in that order is thrown, after all batches before it are written; a RowError of the body is about a row of the first
/// stream and is thrown on naming the record.
void for_batches(const Args&, std::initializer_list<BatchStream*> streams, Batches,
                 const std::function<void(BatchTurn&)>& body);

}  // namespace pipeformer
