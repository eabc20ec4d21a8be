/// Labels of which several hold of a record, and numbers.
#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.hpp"
#include "io/address.hpp"
#include "io/hdf5.hpp"
#include "io/npy.hpp"
#include "io/output_file.hpp"
#include "io/stream.hpp"
#include "io/text_lines.hpp"
#include "metrics/labels.hpp"
#include "metrics/numbers.hpp"
#include "train/labels.hpp"

namespace pipeformer {
namespace {

/// Squares of larger ones leave nothing of the others in a sum of float64, and of their gradients in one of float32.
constexpr float kLargestValue = 1e15f;

/// What one file holds: values of records, or lines of names.
struct ValueFile {
  std::string name;
  std::vector<std::string> lines;
  std::vector<float> values;
};

/// Takes the values of one record or line. The first one decides how many there are, where nobody has said it.
void take_values(const std::string& where, std::span<const float> values, Labelled of, std::int64_t& width,
                 std::vector<float>& to) {
  const std::int64_t count = std::ssize(values);
  if (width == 0) width = count;
  if (count == 0 || count != width)
    throw Error(
        cat(where, ": has ", count, count == 1 ? " value" : " values", ", not ", std::max<std::int64_t>(width, 1)));
  for (const float value : values)
    if (!std::isfinite(value) || (of == Labelled::sets && !(value >= 0 && value <= 1)))
      throw Error(cat(where, ": holds ", value, of == Labelled::sets ? ", which is not from 0 to 1" : ""));
  for (const float value : values)
    require(std::abs(value) <= kLargestValue, where, ": holds ", value, ", beyond ", kLargestValue,
            ": in other units it can be learned");
  to.insert(to.end(), values.begin(), values.end());
}

void read_text_values(TextLines& lines, Labelled of, std::int64_t& width, ValueFile& file) {
  for (std::string_view line; lines.next(line);) {
    const std::string where = cat(file.name, ": line ", lines.count());
    require(!line.ends_with('\r'), where, ": ends with a carriage return, as DOS lines do; tr -d '\\r' removes it");
    if (of == Labelled::sets) {
      file.lines.emplace_back(line);
      continue;
    }
    std::vector<double> numbers;
    try {
      numbers = line_numbers(line);
    } catch (const Error& error) {
      throw Error(cat(where, ": ", error.what()));
    }
    take_values(where, std::vector<float>(numbers.begin(), numbers.end()), of, width, file.values);
  }
}

void read_value_records(const std::string& address, Labelled of, std::int64_t& width, ValueFile& file) {
  const auto reader = RecordReader::open(address);
  for (Array record; reader->next(record);) {
    if (!is_floating(record.dtype)) record = record.as(DType::f4);  // counts, flags
    reader->expect_floats(record);
    const auto all = record.values<float>();
    const std::size_t each = record.shape.empty() ? 1 : static_cast<std::size_t>(record.shape.back());
    if (each == 0) throw Error(cat(reader->where(), ": has no values"));
    for (std::size_t at = 0; at < all.size(); at += each)
      take_values(reader->where(), {all.data() + at, each}, of, width, file.values);
  }
}

/// Ones where a name of the line stands.
void mark_names(const ValueFile& file, const std::map<std::string, std::int64_t, std::less<>>& numbers,
                std::vector<float>& to) {
  for (std::size_t i = 0; i < file.lines.size(); ++i) {
    const std::size_t row = to.size();
    to.resize(row + numbers.size(), 0.0f);
    for (const std::string_view name : split_labels(file.lines[i])) {
      const auto known = numbers.find(name);
      if (known == numbers.end())
        throw Error(cat(file.name, ": line ", i + 1, ": '", name, "' is none of the ", numbers.size(), " labels"));
      to[row + static_cast<std::size_t>(known->second)] = 1.0f;
    }
  }
}

}  // namespace

Labels Labels::load_values(const std::vector<std::string>& addresses, std::vector<std::string> names,
                           std::int64_t classes, Labelled of) {
  Labels all;
  all.width = classes;
  std::vector<ValueFile> files;
  for (const std::string& address : addresses) {
    const std::string path = split_address(address).file;
    TextLines lines(path);
    files.push_back({lines.name(), {}, {}});
    const auto head = lines.peek(8);
    if (!looks_like_hdf5(head) && !looks_like_npy(head)) {
      read_text_values(lines, of, all.width, files.back());
      continue;
    }
    require(path != "-" && !is_special_file(path), lines.name(), ": values are read from a file, not from a pipe");
    read_value_records(address, of, all.width, files.back());
  }
  if (names.empty() && of == Labelled::sets) {
    for (const ValueFile& file : files)
      for (const std::string& line : file.lines)
        for (const std::string_view name : split_labels(line)) names.emplace_back(name);
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    require(all.width == 0 || names.empty() || all.width == std::ssize(names), addresses.front(), ": has ",
            names.size(), " labels, not ", all.width);
  }
  if (all.width == 0) all.width = std::ssize(names);
  std::map<std::string, std::int64_t, std::less<>> numbers;
  for (std::size_t i = 0; i < names.size(); ++i) numbers.emplace(names[i], static_cast<std::int64_t>(i));
  for (const ValueFile& file : files) {
    all.values.insert(all.values.end(), file.values.begin(), file.values.end());
    mark_names(file, numbers, all.values);
  }
  require(all.width > 0 && !all.values.empty(), addresses.front(),
          of == Labelled::sets ? ": no labels" : ": no values");
  all.names = std::move(names);
  return all;
}

}  // namespace pipeformer
