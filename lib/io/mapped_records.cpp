#include "io/mapped_records.hpp"

#include "core/error.hpp"
#include "io/address.hpp"
#include "io/output_file.hpp"

namespace pipeformer {

MappedRecords MappedRecords::open(const std::string& address) {
  MappedRecords all;
  const std::string path = split_address(address).file;
  auto reader = RecordReader::open(address);
  all.name_ = reader->name();
  if (path != "-" && !is_special_file(path)) {
    if (all.map(path, *reader)) return all;
    reader = RecordReader::open(address);
  }
  all.read(*reader);
  return all;
}

bool MappedRecords::map(const std::string& path, RecordReader& reader) {
  auto file = std::make_unique<MappedFile>(path);
  for (RecordLocation found; reader.locate(found);) {
    const bool fits = found.offset && *found.offset % sizeof(float) == 0;
    if (!fits || (found.dtype != DType::i4 && found.dtype != DType::f4)) return false;
    add(reader, found.dtype, found.shape, *found.offset);
    const std::uint64_t size = static_cast<std::uint64_t>(element_count(found.shape)) * dtype_size(found.dtype);
    const std::uint64_t end = file->bytes().size();
    if (*found.offset > end || size > end - *found.offset)
      throw Error(reader.where() + ": lies beyond the end of the file");
  }
  places_.shrink_to_fit();
  file_ = std::move(file);
  return true;
}

void MappedRecords::read(RecordReader& reader) {
  places_.clear();
  for (Array record; reader.next(record);) {
    is_floating(record.dtype) ? reader.expect_floats(record) : reader.expect_ids(record);
    add(reader, record.dtype, record.shape, elements_.size());
    elements_.insert(elements_.end(), record.bytes.begin(), record.bytes.end());
  }
  places_.shrink_to_fit();
}

void MappedRecords::add(RecordReader& reader, DType dtype, const Shape& shape, std::uint64_t offset) {
  if (shape.empty()) throw Error(reader.where() + ": a record of shape () has no length");
  const Shape row(shape.begin() + 1, shape.end());
  reader.expect_like_first(dtype == DType::i4, element_count(row));
  if (!places_.empty() && row != row_)
    throw Error(
        cat(reader.where(), ": shape ", shape_text(shape), " does not match the rows of record 0, ", shape_text(row_)));
  dtype_ = dtype;
  row_ = row;
  width_ = element_count(row);
  places_.push_back({offset, shape[0]});
}

const std::byte* MappedRecords::elements(std::int64_t r, DType dtype) const {
  require(dtype == dtype_, name_, ": holds ", dtype_name(dtype_), ", not ", dtype_name(dtype));
  return (file_ ? file_->bytes().data() : elements_.data()) + place(r).offset;
}

const std::int32_t* MappedRecords::ids(std::int64_t r) const {
  return reinterpret_cast<const std::int32_t*>(elements(r, DType::i4));
}

const float* MappedRecords::rows(std::int64_t r) const {
  return reinterpret_cast<const float*>(elements(r, DType::f4));
}

std::string MappedRecords::where(std::int64_t r) const {
  return cat(name_, ": record ", r);
}

}  // namespace pipeformer
