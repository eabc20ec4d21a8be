/// The loop of a tool over the batches of its streams: read, compute, write.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "cli/tool.hpp"
#include "io/batch_stream.hpp"
#include "layers/context.hpp"
#include "layers/parameter.hpp"
#include "search/phrases.hpp"

namespace pipeformer {

/// One batch of all streams on its way through a tool.
struct BatchTurn {
  Context ctx;                        ///< Its workspace is empty.
  std::vector<BatchStream*> streams;  ///< What for_batches was given, in the same order, with this batch.
  std::int64_t first_sequence = 0;    ///< How many sequences of the first stream came before.
  /// Of each stream of LoopOptions::phrases those of the batch's records.
  std::vector<std::vector<Phrases>> phrases{};

  BatchStream& operator[](std::size_t role) const { return *streams[role]; }
};

enum class Batches {
  side_by_side,  ///< Each thread has a batch of its own: one reads or writes while others compute.
  whole_team,    ///< All threads share one batch.
  one_by_one,    ///< The same, and the body reads or writes what depends on the order of the batches.
};

struct LoopOptions {
  std::int64_t rows = 0;  ///< Positions of a batch; 0: --batch-rows.
  /// Read in lock step with the records of the first stream.
  std::vector<PhraseStream*> phrases{};
  bool summary = true;  ///< With --verbose, a line at the end.
};

/// Writes the results of a batch. What it refers to, the turn with its workspace and batches included, stays as it is
/// until then. Empty: there is nothing to write.
using BatchOutput = std::function<void()>;

/// One record for each record of `layout`, of `width` numbers a position (io/batch.hpp, write_rows). `from`: where the
/// layer's parameters are, when it has some; throws Error when they make the rows NaN or infinite.
BatchOutput rows_to(RecordWriter&, const Batch& layout, const float* rows, std::int64_t width,
                    const StoredParameters* from = nullptr);

using BatchBody = std::function<BatchOutput(BatchTurn&)>;

/// Reads batches of all streams in lock step, about --batch-rows positions each, and calls body for each; what it
/// returns is called in the order of the stream, one at a time, while bodies of other batches run side by side. Then,
/// with --verbose, writes one line of summary. The first error in that order is thrown, after all batches before it are
/// written; a RowError is about a row of the first stream and is thrown on naming the record. Returns the number of
/// sequences of the first stream. --skip and --take choose records (batch_options()); skipped ones are not counted.
///
/// In a tool that deals (cli/ranks.hpp), the first rank reads all streams and deals batches to the others as they
/// become free; what a body's output writes there is written here, in order. On the other ranks it does not return.
std::int64_t for_batches(const Args&, const std::vector<BatchStream*>& streams, Batches, const BatchBody& body,
                         const LoopOptions& = {});

}  // namespace pipeformer
