#include "train/record_set.hpp"

#include <algorithm>
#include <cstring>

#include "core/error.hpp"
#include "core/random.hpp"

namespace pipeformer {

/// axes: of one sequence, 1 for ids (T,), 2 for vectors (T, D); a record may have more before them.
void RecordSet::add(MappedRecords stream, std::size_t axes) {
  name_ += (name_.empty() ? "" : " + ") + stream.name();
  const bool ids = axes == 1;
  const Shape& row = stream.row();
  const bool batched = row.size() >= axes;
  require(stream.records() == 0 || row.size() + 1 >= axes, stream.where(0), ": shape ", shape_text(row),
          " has no width: vectors (T, D) expected");
  for (std::int64_t r = 0; r < stream.records(); ++r) {
    const auto* start =
        ids ? reinterpret_cast<const std::byte*>(stream.ids(r)) : reinterpret_cast<const std::byte*>(stream.rows(r));
    const std::int64_t length = batched ? row[row.size() - axes] : stream.length(r);
    const std::int64_t width = ids ? 1 : row.back(), size = length * width;
    const std::int64_t count = batched ? stream.length(r) * stream.width() / std::max<std::int64_t>(size, 1) : 1;
    for (std::int64_t i = 0; i < count; ++i)
      sequences_.push_back({start + static_cast<std::size_t>(i * size) * sizeof(float), length});
    std::uint64_t mixed = mix64(fingerprint_ ^ static_cast<std::uint64_t>(stream.length(r)));
    for (std::int64_t i = 0; i < count * size; ++i) {
      std::uint32_t bits;
      std::memcpy(&bits, start + static_cast<std::size_t>(i) * sizeof bits, sizeof bits);
      mixed = mix64(mixed ^ bits);
    }
    fingerprint_ = mixed;
  }
  streams_.push_back(std::move(stream));
}

RecordSet RecordSet::open_ids(const std::vector<std::string>& addresses, std::int64_t vocabulary) {
  RecordSet set;
  for (const std::string& address : addresses) {
    MappedRecords stream = MappedRecords::open(address);
    for (std::int64_t r = 0; r < stream.records(); ++r) {
      require(stream.dtype() == DType::i4, stream.where(r), ": holds vectors (f4), ids expected");
      const std::int32_t* ids = stream.ids(r);
      for (std::int64_t i = 0; i < stream.length(r) * stream.width(); ++i)
        require(ids[i] >= 0 && ids[i] < vocabulary, stream.where(r), ": id ", ids[i], " is outside the vocabulary of ",
                vocabulary);
    }
    set.add(std::move(stream), 1);
  }
  return set;
}

RecordSet RecordSet::open_vectors(const std::vector<std::string>& addresses) {
  RecordSet set;
  for (const std::string& address : addresses) {
    MappedRecords stream = MappedRecords::open(address);
    require(stream.records() > 0, address, ": no records");
    require(stream.dtype() == DType::f4, stream.where(0), ": holds ids, vectors expected");
    set.add(std::move(stream), 2);
    const std::int64_t width = set.streams_.back().row().back();
    require(set.width_ == 0 || set.width_ == width, address, ": vectors of width ", width, ", those before have ",
            set.width_);
    set.width_ = width;
  }
  return set;
}

}  // namespace pipeformer
