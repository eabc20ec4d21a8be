/// The encoder over a batch of records.
#pragma once
#include <cstdint>

#include "io/batch.hpp"
#include "models/transformer.hpp"

namespace pipeformer {

/// The memory (batch.positions(), width) of a batch of ids or vectors, in the workspace. A batch of many more than
/// part_rows positions (one large record) is computed in parts of about so many; a pass that is observed computes the
/// whole at once. Throws RowError.
const float* encode_batch(Context&, const Transformer&, const Batch&, std::int64_t part_rows);

}  // namespace pipeformer
