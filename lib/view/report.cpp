#include "view/report.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "io/address.hpp"
#include "io/byte_source.hpp"
#include "io/hdf5.hpp"
#include "io/output_file.hpp"
#include "view/svg.hpp"

namespace pipeformer {
namespace {

void append_statistics(std::vector<std::string>& cells, const Statistics& s, int digits) {
  for (const double value : {s.min, s.max, s.mean, s.std()}) cells.push_back(number_text(value, digits));
  for (const std::int64_t count : {s.zeros, s.nan, s.infinite}) cells.push_back(std::to_string(count));
}

/// Of a column on a terminal.
std::size_t width_of(const std::string& column) {
  if (column == "name") return 40;
  if (column == "shape") return 16;
  const bool number = column == "min" || column == "max" || column == "mean" || column == "std";
  return number ? 12 : 9;
}

/// The addresses' paths below one group. A stream is one entry; groups follow the datasets beside them.
void collect(const Hdf5File& file, const std::string& group, std::vector<std::string>& paths) {
  const auto below = [&](const std::string& name) { return group.empty() ? name : group + "/" + name; };
  const auto datasets = file.datasets(group);
  const auto has = [&](const char* name) {
    return std::find(datasets.begin(), datasets.end(), name) != datasets.end();
  };
  const bool stream = has("data") && has("offsets");
  if (stream) paths.push_back(group.empty() ? "/" : group);
  for (const std::string& name : datasets) {
    if (!stream || (name != "data" && name != "offsets" && name != "shapes")) paths.push_back(below(name));
  }
  for (const std::string& name : file.groups(group)) collect(file, below(name), paths);
}

template <class T, class F>
void print_rows(const Array& array, F text_of, const TextSink& sink, bool& between) {
  const auto values = array.values<T>();
  const std::int64_t width = array.rank() > 0 ? array.shape.back() : 1;
  const std::int64_t rows = array.rank() < 2 ? 1 : array.shape[array.shape.size() - 2];
  std::int64_t matrices = 1;
  for (std::int64_t axis = 0; axis + 2 < array.rank(); ++axis) matrices *= array.shape[static_cast<std::size_t>(axis)];
  const T* value = values.data();
  for (std::int64_t m = 0; m < matrices; ++m) {
    if (array.rank() >= 2 && between) sink("\n");
    between = array.rank() >= 2;
    for (std::int64_t r = 0; r < rows; ++r) {
      std::string line;
      for (std::int64_t c = 0; c < width; ++c) {
        if (c > 0) line += '\t';
        line += text_of(*value++);
      }
      sink(line + "\n");
    }
  }
}

}  // namespace

void Table::columns(const std::vector<std::string>& names) {
  if (names == names_) return;
  names_ = names;
  row(names);
}

void Table::row(const std::vector<std::string>& cells) const {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    line += cells[i];
    if (i + 1 == cells.size()) break;
    if (!aligned_) {
      line += '\t';
      continue;
    }
    const std::size_t width = width_of(names_[i]);
    line.append(cells[i].size() < width ? width - cells[i].size() : 0, ' ').append("  ");
  }
  sink_(line + "\n");
}

void StatisticsTable::record(const std::string& name, std::int64_t index, const Array& array) {
  table_.columns({"name", "record", "dtype", "shape", "min", "max", "mean", "std", "zeros", "nan", "inf"});
  const Statistics s = statistics(array);
  std::vector<std::string> cells{name, std::to_string(index), dtype_name(array.dtype), shape_text(array.shape)};
  append_statistics(cells, s, digits_);
  table_.row(cells);
  total_.merge(s);
}

void StatisticsTable::add(const Array& array) {
  statistics_.merge(statistics(array));
  ++records_;
  dtypes_.insert(dtype_name(array.dtype));
  const bool matrix = array.rank() >= 2;
  std::int64_t rows = matrix ? 1 : array.size();
  for (std::int64_t axis = 0; matrix && axis + 1 < array.rank(); ++axis)
    rows *= array.shape[static_cast<std::size_t>(axis)];
  positions_ += rows;
  add_shape(array.shape);
}

void StatisticsTable::add_shape(const Shape& shape) {
  ranks_.insert(std::to_string(shape.size()));
  if (records_ == 1) least_ = most_ = shape;
  if (ranks_.size() > 1) return;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    least_[axis] = std::min(least_[axis], shape[axis]);
    most_[axis] = std::max(most_[axis], shape[axis]);
  }
}

void StatisticsTable::finish(const std::string& name) {
  table_.columns({"name", "records", "dtype", "shape", "positions", "elements", "min", "max", "mean", "std", "zeros",
                  "nan", "inf"});
  const auto joined = [](const std::set<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
    return text.empty() ? "-" : text;
  };
  std::string shape = "(";
  for (std::size_t axis = 0; axis < least_.size(); ++axis) {
    shape += cat(axis > 0 ? " " : "", least_[axis]);
    if (least_[axis] != most_[axis]) shape += cat("..", most_[axis]);
    if (axis + 1 < least_.size() || axis == 0) shape += ",";
  }
  shape = records_ == 0 ? "-" : ranks_.size() > 1 ? "rank " + joined(ranks_) : shape + ")";
  std::vector<std::string> cells{name,  std::to_string(records_),   joined(dtypes_),
                                 shape, std::to_string(positions_), std::to_string(statistics_.count)};
  append_statistics(cells, statistics_, digits_);
  table_.row(cells);
  total_.merge(statistics_);
  statistics_ = {};
  records_ = positions_ = 0;
  dtypes_.clear();
  ranks_.clear();
  least_.clear();
  most_.clear();
}

void ValuePrinter::print(const Array& array) {
  const auto exact = [](auto value) { return std::to_string(value); };
  const auto decimal = [this](auto value) { return number_text(value, digits_); };
  switch (array.dtype) {
    case DType::f2:
      return print(array.as(DType::f4));
    case DType::f4:
      return print_rows<float>(array, decimal, sink_, between_);
    case DType::f8:
      return print_rows<double>(array, decimal, sink_, between_);
    case DType::i4:
      return print_rows<std::int32_t>(array, exact, sink_, between_);
    case DType::i8:
      return print_rows<std::int64_t>(array, exact, sink_, between_);
    case DType::u1:
    case DType::b1:
      return print_rows<std::uint8_t>(array, exact, sink_, between_);
  }
}

bool lists_hdf5(const std::string& address) {
  const Address parts = split_address(address);
  if (parts.file == "-" || !parts.group.empty() || is_special_file(parts.file)) return false;
  if (!looks_like_hdf5(ByteSource(parts.file).peek(8))) return false;
  const auto addresses = hdf5_addresses(parts.file);
  return addresses.size() != 1 || addresses[0] != parts.file + ":/";
}

std::vector<std::string> hdf5_addresses(const std::string& file) {
  std::vector<std::string> paths;
  collect(Hdf5File::open(file), "", paths);
  for (std::string& path : paths) path = cat(file, ':', path);
  return paths;
}

std::string hdf5_attribute_lines(const std::string& file) {
  std::string text;
  for (const auto& [name, value] : Hdf5File::open(file).attributes()) {
    text += "# " + name + " = ";
    if (const auto* b = std::get_if<bool>(&value)) text += *b ? "true" : "false";
    if (const auto* i = std::get_if<std::int64_t>(&value)) text += std::to_string(*i);
    if (const auto* d = std::get_if<double>(&value)) text += number_text(*d);
    if (const auto* s = std::get_if<std::string>(&value)) text += *s;
    text += '\n';
  }
  return text;
}

}  // namespace pipeformer
