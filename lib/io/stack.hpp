/// Between ragged streams and dense arrays.
#pragma once
#include "core/array.hpp"
#include "io/stream.hpp"

namespace pipeformer {

/// All records of a stream as one: N records of shape S become (N, S...). Throws Error naming the first record whose
/// dtype or shape differs, and when there is no record at all (its shape would be unknown).
Array stack_records(RecordReader&);

/// The reverse: each element of the leading axis becomes one record. Throws Error for rank 0.
void write_unstacked(RecordWriter&, const Array& record, const std::string& where);

/// A writer that leaves out the first `skip` records, and all after the next `take` ones.
std::unique_ptr<RecordWriter> slice_of(std::unique_ptr<RecordWriter>, std::int64_t skip, std::int64_t take);

/// The records of a stream but for the first `skip`, and `take` of them at most. They keep their numbers.
std::unique_ptr<RecordReader> part_of(std::unique_ptr<RecordReader>, std::int64_t skip, std::int64_t take);

}  // namespace pipeformer
