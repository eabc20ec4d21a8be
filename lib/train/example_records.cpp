#include "train/example_records.hpp"

namespace pipeformer {

void append_ids(const RecordSet& records, std::int64_t r, std::vector<std::int32_t>& to) {
  to.insert(to.end(), records.ids(r), records.ids(r) + records.length(r));
}

void append_source(const RecordSet& records, std::int64_t r, ExampleBatch& batch) {
  if (records.width() == 0) {
    append_ids(records, r, batch.source_ids);
    if (const std::int32_t* types = records.types(r))
      batch.source_types.insert(batch.source_types.end(), types, types + records.length(r));
  } else {
    const float* rows = records.vectors(r);
    batch.vectors = true;
    batch.source_vectors.insert(batch.source_vectors.end(), rows, rows + records.length(r) * records.width());
  }
  batch.source_offsets.push_back(batch.source_offsets.back() + records.length(r));
}

std::uint64_t with_option(std::uint64_t fingerprint, std::int64_t option) {
  return option == 0 ? fingerprint : derive_seed(fingerprint, static_cast<std::uint64_t>(option));
}

void expect_room(const RecordSet& records, std::int64_t r, std::int64_t extra, const Configuration& c, bool decoding) {
  const auto longest = c.longest(decoding);
  if (!longest || records.length(r) + extra <= *longest) return;
  throw Error(cat(records.where(r), ": a sequence of ", records.length(r),
                  extra > 0 ? cat(", and ", extra, " more,") : "", " is longer than the model's ", *longest,
                  " learned positions; --max-length leaves such records out"));
}

void expect_end(const RecordSet& records, std::int64_t r, const Configuration& c) {
  if (c.pooling != Pooling::end || records.length(r) == 0) return;
  require(records.width() == 0, records.name(), ": vectors have no end id, by which the model pools");
  const std::int32_t *begin = records.ids(r), *end = begin + records.length(r);
  if (c.end_id >= 0 && std::find(begin, end, static_cast<std::int32_t>(c.end_id)) == end)
    throw Error(cat(records.where(r), ": has no end id ", c.end_id, ", which stands for the whole sequence"));
}

}  // namespace pipeformer
