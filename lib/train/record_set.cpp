#include "train/record_set.hpp"

#include <cstring>

#include "core/error.hpp"
#include "core/random.hpp"

namespace pipeformer {
namespace {

/// The sequences in a record: all of one length.
struct Division {
  std::int64_t count, length;
};

Division division(const MappedRecords& stream, std::int64_t r) {
  const std::size_t axes = stream.dtype() == DType::i4 ? 1 : 2;  // of one sequence, (T,) or (T, D)
  const Shape& row = stream.row();
  if (row.size() < axes) return {1, stream.length(r)};
  const auto length = row.end() - static_cast<std::ptrdiff_t>(axes);
  return {stream.length(r) * element_count(Shape(row.begin(), length)), *length};
}

}  // namespace

void RecordSet::add(MappedRecords stream) {
  name_ += (name_.empty() ? "" : " + ") + stream.name();
  if (stream.records() == 0) return;
  const bool ids = stream.dtype() == DType::i4;
  const Shape& row = stream.row();
  const std::int64_t width = ids || row.empty() ? 0 : row.back();
  require(ids || width > 0, stream.where(0), ": has no width: vectors (T, D) expected");
  require(streams_.empty() || width == width_, stream.where(0), ": ", ids ? "ids" : cat("vectors of width ", width),
          " after ", width_ > 0 ? cat("vectors of width ", width_) : "ids");
  width_ = width;
  for (std::int64_t r = 0; r < stream.records(); ++r) {
    const auto* start =
        ids ? reinterpret_cast<const std::byte*>(stream.ids(r)) : reinterpret_cast<const std::byte*>(stream.rows(r));
    const auto [count, length] = division(stream, r);
    const std::int64_t size = length * (ids ? 1 : width);
    for (std::int64_t i = 0; i < count; ++i)
      sequences_.push_back({start + static_cast<std::size_t>(i * size) * sizeof(float), length});
    if (!ids && !all_finite(stream.rows(r), count * size)) throw Error(stream.where(r) + ": holds NaN or infinity");
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

RecordSet RecordSet::open(const std::vector<std::string>& addresses) {
  RecordSet set;
  for (const std::string& address : addresses) {
    set.add(MappedRecords::open(address));
    set.ends_.push_back(set.records());
  }
  require(set.records() > 0, set.name_, ": no records");
  return set;
}

void RecordSet::attach_types(RecordSet of_ids, std::int64_t types) {
  require(of_ids.records() == records(), name_, " has ", records(), " records, ", of_ids.name_, " has ",
          of_ids.records());
  require(width_ == 0 && of_ids.width_ == 0, of_ids.name_, ": token types are ids beside ids");
  for (std::int64_t r = 0; r < records(); ++r) {
    if (length(r) != of_ids.length(r))
      throw Error(cat(of_ids.where(r), ": has ", of_ids.length(r), " types, ", where(r), " ", length(r), " ids"));
    for (std::int64_t i = 0; i < length(r); ++i)
      if (const std::int32_t type = of_ids.ids(r)[i]; type < 0 || type >= types)
        throw Error(cat(of_ids.where(r), ": type ", type, " is none of the model's ", types));
  }
  fingerprint_ = derive_seed(fingerprint_, of_ids.fingerprint_);
  types_ = std::make_shared<const RecordSet>(std::move(of_ids));
}

void RecordSet::expect_ids(std::int64_t vocabulary) const {
  if (width_ > 0) throw Error(where(0) + ": holds vectors (f4), ids expected");
  for (std::int64_t r = 0; r < records(); ++r)
    for (std::int64_t i = 0; i < length(r); ++i)
      if (const std::int32_t id = ids(r)[i]; id < 0 || id >= vocabulary)
        throw Error(cat(where(r), ": id ", id, " is outside the vocabulary of ", vocabulary));
}

void RecordSet::expect_vectors(std::int64_t width) const {
  require(width_ > 0, name_, ": holds ids, vectors expected");
  require(width_ == width, name_, ": vectors of width ", width_, ", the model reads ", width);
}

std::string RecordSet::where(std::int64_t r) const {
  for (const MappedRecords& stream : streams_)
    for (std::int64_t record = 0; record < stream.records(); ++record)
      if ((r -= division(stream, record).count) < 0) return stream.where(record);
  return name_;
}

}  // namespace pipeformer
