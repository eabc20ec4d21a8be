#include "view/report.hpp"

#include <algorithm>
#include <optional>

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

constexpr int deepest_group = 100;

/// Why a dataset cannot be shown; empty when it can.
std::string reason_against(const Hdf5File& file, const std::string& path) {
  try {
    file.dataset(path);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

/// What can be read below one group: paths, and remarks about the rest. A stream is one entry; groups follow the
/// datasets beside them. A group may contain itself, or be shared by many: each is visited once.
struct Listing {
  std::vector<std::string> paths, remarks;
  std::set<std::uint64_t> visited;
};

void collect(const Hdf5File& file, const std::string& group, int depth, Listing& list) {
  if (!list.visited.insert(file.object_address(group)).second) return;
  if (depth > deepest_group) {
    list.remarks.push_back(cat(file.name(), ": groups more than ", deepest_group, " deep are not listed"));
    return;
  }
  const auto below = [&](const std::string& name) { return group.empty() ? name : group + "/" + name; };
  const auto datasets = file.datasets(group);
  const auto has = [&](const char* name) {
    return std::find(datasets.begin(), datasets.end(), name) != datasets.end();
  };
  const bool stream = has("data") && has("offsets") && reason_against(file, below("data")).empty() &&
                      reason_against(file, below("offsets")).empty();
  if (stream) list.paths.push_back(group.empty() ? "/" : group);
  for (const std::string& name : datasets) {
    if (stream && (name == "data" || name == "offsets" || name == "shapes")) continue;
    std::string reason = reason_against(file, below(name));
    if (reason.empty()) {
      list.paths.push_back(below(name));
    } else {
      list.remarks.push_back(std::move(reason));
    }
  }
  for (const std::string& name : file.groups(group)) collect(file, below(name), depth + 1, list);
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
  Listing list;
  collect(Hdf5File::open(parts.file), "", 0, list);
  return list.paths != std::vector<std::string>{"/"} || !list.remarks.empty();
}

std::vector<std::string> hdf5_addresses(const std::string& file) {
  Listing list;
  collect(Hdf5File::open(file), "", 0, list);
  for (std::string& path : list.paths) path = cat(file, ':', path);
  return list.paths;
}

std::string hdf5_attribute_lines(const std::string& file) {
  std::string text;
  const Hdf5File opened = Hdf5File::open(file);
  for (const std::string& name : opened.attribute_names()) {
    std::optional<Attribute> found;
    std::string reason = "not a number, boolean or string alone";
    try {
      found = opened.attribute(name);
    } catch (const Error& error) {
      reason = error.what();
    }
    if (!found) {
      text += cat("# ", name, " (", reason, ")\n");
      continue;
    }
    const Attribute& value = *found;
    text += "# " + name + " = ";
    if (const auto* b = std::get_if<bool>(&value)) text += *b ? "true" : "false";
    if (const auto* i = std::get_if<std::int64_t>(&value)) text += std::to_string(*i);
    if (const auto* d = std::get_if<double>(&value)) text += number_text(*d);
    if (const auto* s = std::get_if<std::string>(&value)) text += *s;
    text += '\n';
  }
  Listing list;
  collect(opened, "", 0, list);
  for (const std::string& remark : list.remarks) text += cat("# ", remark, '\n');
  return text;
}

}  // namespace pipeformer
