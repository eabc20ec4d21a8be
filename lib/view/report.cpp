#include "view/report.hpp"

#include <algorithm>
#include <string_view>
#include <utility>
#include <variant>

#include "core/error.hpp"
#include "io/address.hpp"
#include "io/byte_source.hpp"
#include "io/hdf5_stream.hpp"
#include "io/output_file.hpp"
#include "view/svg.hpp"

namespace pipeformer {
namespace {

constexpr std::string_view scale_suffix = "_scale";  // of a weight of 8 or 4 bits (man/pipeformer-formats.5)
constexpr std::int64_t group_elements = 32;          // of 4 bits that share a scale

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
constexpr std::size_t longest_list = 8;  // elements of an attribute that are shown

/// Why a dataset cannot be shown; empty when it can.
std::string reason_against(const Hdf5File& file, const std::string& path) {
  try {
    file.dataset(path);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

/// The value of an attribute; of several a list, which is cut when it is long.
std::string text_of(const AttributeValues& attribute) {
  struct Text {
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(std::int64_t value) const { return std::to_string(value); }
    std::string operator()(std::uint64_t value) const { return std::to_string(value); }
    std::string operator()(double value) const { return number_text(value); }
    std::string operator()(const std::string& value) const { return value; }
  };
  if (attribute.values.size() == 1) return std::visit(Text{}, attribute.values.front());
  std::string text = "[";
  for (std::size_t i = 0; i < attribute.values.size(); ++i) {
    if (i > 0) text += ", ";
    if (i == longest_list) return text + cat("... ", attribute.values.size(), " values]");
    text += std::visit(Text{}, attribute.values[i]);
  }
  return text + "]";
}

std::int64_t rows_of(const Array& array) {
  return array.rank() < 2 ? 1 : array.shape[array.shape.size() - 2];
}
std::int64_t columns_of(const Array& array) {
  return array.rank() > 0 ? array.shape.back() : 1;
}

/// Codes of int8 times the scale of their row; those of int4, two a byte, times the scale of their group.
class QuantisedReader : public RecordReader {
 public:
  QuantisedReader(const std::string& name, Hdf5Dataset codes, const Hdf5Dataset& scales)
      : RecordReader(name), codes_(std::move(codes)), scales_(scales.read().as(DType::f4)) {}

 private:
  bool read(Array& record) override {
    if (count_ > 0) return false;
    record = codes_.is_int8() ? codes_.read().as(DType::f4) : halves(codes_.read());
    const auto values = record.values<float>();
    const auto scales = std::as_const(scales_).values<float>();
    const auto columns = static_cast<std::size_t>(record.shape.back());
    const bool grouped = scales_.rank() > 1;
    const std::size_t size = grouped ? group_elements : columns, groups = (columns + size - 1) / size;
    for (std::size_t i = 0; i < values.size(); ++i) values[i] *= scales[i / columns * groups + i % columns / size];
    return true;
  }
  static Array halves(const Array& bytes) {
    Array wide(DType::f4, {bytes.shape.at(0), 2 * bytes.shape.at(1)});
    float* to = wide.values<float>().data();
    for (const std::uint8_t both : bytes.values<std::uint8_t>()) {
      *to++ = static_cast<float>(both & 15) - 8;
      *to++ = static_cast<float>(both >> 4) - 8;
    }
    return wide;
  }
  Hdf5Dataset codes_;
  Array scales_;
};

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

std::string stored_dtype(const RecordReader& reader, const Array& record) {
  return reader.bfloat16() ? "bf16" : dtype_name(record.dtype);
}

void StatisticsTable::record(const std::string& name, std::int64_t index, const Array& array,
                             const std::string& dtype) {
  table_.columns({"name", "record", "dtype", "shape", "min", "max", "mean", "std", "zeros", "nan", "inf"});
  const Statistics s = statistics(array);
  std::vector<std::string> cells{name, std::to_string(index), dtype, shape_text(array.shape)};
  append_statistics(cells, s, digits_);
  table_.row(cells);
  total_.merge(s);
}

void StatisticsTable::add(const Array& array, const std::string& dtype) {
  statistics_.merge(statistics(array));
  ++records_;
  dtypes_.insert(dtype);
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
  drop();
}

void StatisticsTable::drop() {
  statistics_ = {};
  records_ = positions_ = 0;
  dtypes_.clear();
  ranks_.clear();
  least_.clear();
  most_.clear();
}

template <class T, class F>
void ValuePrinter::print_rows(const Array& array, F text_of, const ValueLabels& labels) {
  const auto values = array.values<T>();
  const std::int64_t width = columns_of(array), rows = rows_of(array);
  std::int64_t matrices = 1;
  for (std::int64_t axis = 0; axis + 2 < array.rank(); ++axis) matrices *= array.shape[static_cast<std::size_t>(axis)];
  const T* value = values.data();
  const auto line_of = [&](const std::string& label, const auto& cell) {
    std::string line = labels.rows.empty() ? "" : label + '\t';
    for (std::int64_t c = 0; c < width; ++c) line.append(c > 0 ? "\t" : "").append(cell(static_cast<std::size_t>(c)));
    sink_(line + "\n");
  };
  for (std::int64_t m = 0; m < matrices; ++m) {
    if (array.rank() >= 2 && between_) sink_("\n");
    between_ = array.rank() >= 2;
    if (!labels.columns.empty()) line_of("", [&](std::size_t c) { return labels.columns[c]; });
    for (std::int64_t r = 0; r < rows; ++r)
      line_of(labels.rows.empty() ? "" : labels.rows[static_cast<std::size_t>(r)],
              [&](std::size_t) { return text_of(*value++); });
  }
}

void ValuePrinter::print(const Array& array, const ValueLabels& labels, const std::string& where) {
  const auto expect = [&](const std::vector<std::string>& names, std::int64_t count, const char* what) {
    require(names.empty() || std::ssize(names) >= count, where, ": ", names.size(), " labels for ", count, " ", what);
  };
  expect(labels.rows, rows_of(array), "rows");
  expect(labels.columns, columns_of(array), "columns");
  const auto exact = [](auto value) { return std::to_string(value); };
  const auto decimal = [this](auto value) { return number_text(value, digits_); };
  switch (array.dtype) {
    case DType::f2:
      return print(array.as(DType::f4), labels, where);
    case DType::f4:
      return print_rows<float>(array, decimal, labels);
    case DType::f8:
      return print_rows<double>(array, decimal, labels);
    case DType::i4:
      return print_rows<std::int32_t>(array, exact, labels);
    case DType::i8:
      return print_rows<std::int64_t>(array, exact, labels);
    case DType::u1:
    case DType::b1:
      return print_rows<std::uint8_t>(array, exact, labels);
  }
}

Hdf5Listing::Hdf5Listing(const std::string& file) : file_(Hdf5File::open(file)) {
  collect("", 0);
}

void Hdf5Listing::collect(const std::string& group, int depth) {
  if (!visited_.insert(file_.object_address(group)).second) return;
  if (depth > deepest_group) {
    remarks_.push_back(cat(file_.name(), ": groups more than ", deepest_group, " deep are not listed"));
    return;
  }
  const auto below = [&](const std::string& name) { return group.empty() ? name : group + "/" + name; };
  std::vector<Hdf5Entry> entries;
  try {
    entries = file_.entries(group);
  } catch (const Error& error) {
    remarks_.emplace_back(error.what());
    return;
  }
  const auto readable = [&](const char* name) {
    const auto found = std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return e.name == name; });
    return found != entries.end() && found->kind == Hdf5Entry::Kind::dataset &&
           reason_against(file_, below(name)).empty();
  };
  const bool stream = readable("data") && readable("offsets");
  if (stream) paths_.push_back(group.empty() ? "/" : group);
  for (const Hdf5Entry& entry : entries) {
    const std::string& name = entry.name;
    if (!entry.remark.empty()) remarks_.push_back(entry.remark);
    if (entry.kind != Hdf5Entry::Kind::dataset) continue;
    if (stream && (name == "data" || name == "offsets" || name == "shapes")) continue;
    std::string reason = reason_against(file_, below(name));
    if (reason.empty()) {
      paths_.push_back(below(name));
    } else {
      remarks_.push_back(std::move(reason));
    }
  }
  for (const Hdf5Entry& entry : entries)
    if (entry.kind == Hdf5Entry::Kind::group) collect(below(entry.name), depth + 1);
}

std::string Hdf5Listing::head() const {
  std::string text;
  try {
    for (const AttributeValues& attribute : file_.attribute_values())
      text += attribute.problem.empty() ? cat("# ", attribute.name, " = ", text_of(attribute), '\n')
                                        : cat("# ", attribute.name, " (", attribute.problem, ")\n");
  } catch (const Error& error) {
    text += cat("# ", error.what(), '\n');
  }
  for (const std::string& remark : remarks_) text += cat("# ", remark, '\n');
  return text;
}

std::unique_ptr<RecordReader> Hdf5Listing::open(const std::string& path) const {
  return open_hdf5_reader(cat(file_.name(), ':', path), file_, path == "/" ? "" : path);
}

bool Hdf5Listing::is_quantised(const std::string& path) const {
  const std::string scales = path + std::string(scale_suffix);
  if (!file_.has_dataset(path) || !file_.has_dataset(scales)) return false;
  const Hdf5Dataset codes = file_.dataset(path);
  const Shape scale_shape = file_.dataset(scales).shape();
  if (codes.is_int8()) return scale_shape == Shape{codes.rows()};
  return codes.dtype() == DType::u1 && codes.shape().size() == 2 &&
         scale_shape == Shape{codes.rows(), (2 * codes.shape()[1] + group_elements - 1) / group_elements};
}

bool Hdf5Listing::is_scale(const std::string& path) const {
  return path.ends_with(scale_suffix) && is_quantised(path.substr(0, path.size() - scale_suffix.size()));
}

std::unique_ptr<RecordReader> Hdf5Listing::open_weight(const std::string& path) const {
  if (!is_quantised(path)) return open(path);
  return std::make_unique<QuantisedReader>(cat(file_.name(), ':', path), file_.dataset(path),
                                           file_.dataset(path + std::string(scale_suffix)));
}

std::optional<Hdf5Listing> list_hdf5(const std::string& address) {
  const Address parts = split_address(address);
  if (parts.file == "-" || !parts.group.empty() || is_special_file(parts.file)) return std::nullopt;
  if (!looks_like_hdf5(ByteSource(parts.file).peek(8))) return std::nullopt;
  Hdf5Listing list(parts.file);
  const bool stream = list.paths() == std::vector<std::string>{"/"} && list.head().empty();
  return stream ? std::nullopt : std::optional(std::move(list));
}

}  // namespace pipeformer
