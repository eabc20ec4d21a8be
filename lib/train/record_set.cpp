#include "train/record_set.hpp"

#include <cstring>

#include "core/error.hpp"
#include "core/random.hpp"
#include "io/batch.hpp"

namespace pipeformer {
namespace {

/// Calls use(reader, batch) for each record of each stream, held as a batch of its sequences.
template <class Use>
void for_records(const std::vector<std::string>& addresses, Accept accept, Use use) {
  for (const std::string& address : addresses) {
    const auto reader = RecordReader::open(address);
    Batch batch;
    while (read_batch(*reader, batch, accept, 1, 1)) use(*reader, batch);
  }
}

std::string joined(const std::vector<std::string>& addresses) {
  std::string text;
  for (const std::string& address : addresses) text += (text.empty() ? "" : " + ") + address;
  return text;
}

}  // namespace

RecordSet RecordSet::load_ids(const std::vector<std::string>& addresses, std::int64_t vocabulary) {
  RecordSet set;
  set.name_ = joined(addresses);
  for_records(addresses, Accept::ids, [&](const RecordReader& reader, const Batch& batch) {
    for (const std::int32_t id : batch.tokens)
      require(id >= 0 && id < vocabulary, reader.where(), ": id ", id, " is outside the vocabulary of ", vocabulary);
    const auto before = static_cast<std::int64_t>(set.ids_.size());
    set.ids_.insert(set.ids_.end(), batch.tokens.begin(), batch.tokens.end());
    for (std::int64_t s = 1; s <= batch.sequences(); ++s)
      set.offsets_.push_back(before + batch.offsets[static_cast<std::size_t>(s)]);
  });
  return set;
}

RecordSet RecordSet::load_vectors(const std::vector<std::string>& addresses) {
  RecordSet set;
  set.name_ = joined(addresses);
  for_records(addresses, Accept::vectors, [&](const RecordReader& reader, const Batch& batch) {
    if (set.width_ == 0) set.width_ = batch.width;
    require(batch.width == set.width_, reader.where(), ": vectors of width ", batch.width, ", those before have ",
            set.width_);
    const std::int64_t before = set.offsets_.back();
    set.vectors_.insert(set.vectors_.end(), batch.rows.begin(), batch.rows.end());
    for (std::int64_t s = 1; s <= batch.sequences(); ++s)
      set.offsets_.push_back(before + batch.offsets[static_cast<std::size_t>(s)]);
  });
  require(set.width_ > 0, set.name_, ": no records");
  return set;
}

std::uint64_t RecordSet::fingerprint() const {
  std::uint64_t mixed = 0;
  for (const std::int64_t offset : offsets_) mixed = mix64(mixed ^ static_cast<std::uint64_t>(offset));
  for (const std::int32_t id : ids_) mixed = mix64(mixed ^ static_cast<std::uint64_t>(id));
  for (const float value : vectors_) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    mixed = mix64(mixed ^ bits);
  }
  return mixed;
}

}  // namespace pipeformer
