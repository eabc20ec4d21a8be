/// Vectors one by one: the rows of records (D,), (N, D) or (..., D), as `encode --pool` writes them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/array.hpp"
#include "io/stream.hpp"

namespace pipeformer {

struct VectorRows {
  std::int64_t width = 0;          ///< D
  Buffer<float> values;            ///< (rows(), D)
  std::vector<Shape> shapes;       ///< Of the records.
  std::int64_t first_record = 0;   ///< Index in its stream of the first record.
  std::vector<std::int64_t> ends;  ///< Of each record: how many rows there are up to its end.

  std::int64_t rows() const { return ends.empty() ? 0 : ends.back(); }
  std::int64_t record_of(std::int64_t row) const;  ///< Its index in the stream.
};

/// Reads whole records until there are `most_rows` rows or the stream ends; what was there before goes. False when
/// there is no record. Throws Error naming the record for one that holds no vectors, is not as wide as those before, or
/// has a number that is not finite.
bool read_vector_rows(RecordReader&, VectorRows&, std::int64_t most_rows);

/// Passes over records; returns how many vectors they hold. The stream may end first.
std::int64_t pass_over_vectors(RecordReader&, std::int64_t records);

}  // namespace pipeformer
