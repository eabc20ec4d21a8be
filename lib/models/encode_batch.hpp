/// The encoder over a batch of records, in parts side by side.
#pragma once
#include <cstdint>

#include "io/batch.hpp"
#include "models/transformer.hpp"

namespace pipeformer {

/// The memory (batch.positions(), width) of a batch of ids or vectors, in the workspace. On several threads each
/// computes a part of the sequences, about part_rows positions, which waits less than the many short loops of one batch
/// do; a pass that is observed computes the whole at once. Throws RowError.
const float* encode_batch(Pass&, const Transformer&, const Batch&, std::int64_t part_rows);

}  // namespace pipeformer
