#include "io/value_lines.hpp"

#include <charconv>

#include "io/address.hpp"
#include "io/byte_source.hpp"
#include "io/failure_record.hpp"
#include "io/hdf5.hpp"
#include "io/npy.hpp"

namespace pipeformer {
namespace {

template <class T>
void append_values(std::string& line, std::span<const T> values) {
  for (const T value : values) {
    if (!line.empty()) line.push_back(' ');
    char digits[32];
    if constexpr (std::is_floating_point_v<T>) {
      line.append(digits, std::to_chars(digits, digits + sizeof digits, static_cast<double>(value)).ptr);
    } else {
      line.append(digits, std::to_chars(digits, digits + sizeof digits, static_cast<std::int64_t>(value)).ptr);
    }
  }
}

void append_record(std::string& line, const Array& record) {
  switch (record.dtype) {
    case DType::f4:
      return append_values(line, record.values<float>());
    case DType::f8:
      return append_values(line, record.values<double>());
    case DType::i4:
      return append_values(line, record.values<std::int32_t>());
    case DType::i8:
      return append_values(line, record.values<std::int64_t>());
    case DType::u1:
    case DType::b1:
      return append_values(line, record.values<std::uint8_t>());
    case DType::f2: {
      const Array wide = record.as(DType::f4);
      return append_values(line, wide.values<float>());
    }
  }
}

}  // namespace

ValueLines::ValueLines(const std::string& address) : address_(address), name_(input_name(address)) {
  const Address parts = split_address(address);
  if (parts.group.empty()) {
    source_ = std::make_unique<ByteSource>(parts.file);
  } else {
    records_ = RecordReader::open(address);
  }
}

void ValueLines::open() {
  const auto start = source_->peek(8);
  if (looks_like_npy(start) || looks_like_hdf5(start) || looks_like_failure(start)) {
    records_ = RecordReader::open(address_, std::move(source_));
  } else {
    text_ = std::make_unique<TextLines>(address_, std::move(source_));
  }
}

bool ValueLines::next(std::string_view& line) {
  if (!text_ && !records_) open();
  if (text_) {
    if (!text_->next(line)) return false;
  } else {
    if (!records_->next(record_)) return false;
    line_.clear();
    append_record(line_, record_);
    line = line_;
  }
  ++count_;
  return true;
}

std::string ValueLines::where(std::int64_t number) const {
  return text_ ? cat(name_, ": line ", number + 1) : cat(name_, ": record ", number);
}

}  // namespace pipeformer
