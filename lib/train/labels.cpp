#include "train/labels.hpp"

#include <algorithm>
#include <map>

#include "core/error.hpp"
#include "io/address.hpp"
#include "io/hdf5.hpp"
#include "io/npy.hpp"
#include "io/output_file.hpp"
#include "io/stream.hpp"
#include "io/text_lines.hpp"

namespace pipeformer {
namespace {

/// What one file holds: names, or class numbers.
struct LabelFile {
  std::string name;
  std::vector<std::string> lines;
  std::vector<std::int32_t> numbers;
};

LabelFile read(const std::string& address) {
  const std::string path = split_address(address).file;
  TextLines lines(path);
  LabelFile file{lines.name(), {}, {}};
  if (const auto head = lines.peek(8); !looks_like_hdf5(head) && !looks_like_npy(head)) {
    for (std::string_view line; lines.next(line);) file.lines.emplace_back(line);
    return file;
  }
  require(path != "-" && !is_special_file(path), lines.name(), ": class numbers are read from a file, not from a pipe");
  const auto reader = RecordReader::open(address);
  for (Array record; reader->next(record);) {
    reader->expect_ids(record);
    const auto numbers = record.values<std::int32_t>();
    file.numbers.insert(file.numbers.end(), numbers.begin(), numbers.end());
  }
  return file;
}

}  // namespace

Labels Labels::load(const std::vector<std::string>& addresses, std::vector<std::string> names, std::int64_t classes) {
  std::vector<LabelFile> files;
  files.reserve(addresses.size());
  for (const std::string& address : addresses) files.push_back(read(address));
  if (names.empty()) {
    for (const LabelFile& file : files) names.insert(names.end(), file.lines.begin(), file.lines.end());
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
  }
  if (classes == 0) classes = static_cast<std::int64_t>(names.size());
  std::map<std::string, std::int32_t> numbers;
  for (std::size_t i = 0; i < names.size(); ++i) numbers.emplace(names[i], static_cast<std::int32_t>(i));
  Labels all;
  for (const LabelFile& file : files) {
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      if (file.lines[i].empty()) throw Error(cat(file.name, ": line ", i + 1, ": no label"));
      require(file.lines[i].back() != '\r', file.name, ": line ", i + 1,
              ": ends with a carriage return, as DOS lines do; tr -d '\\r' removes it");
      const auto known = numbers.find(file.lines[i]);
      if (known == numbers.end())
        throw Error(cat(file.name, ": line ", i + 1, ": '", file.lines[i], "' is none of the ", classes, " classes"));
      all.classes.push_back(known->second);
    }
    for (std::size_t i = 0; i < file.numbers.size(); ++i) {
      const std::int32_t number = file.numbers[i];
      if (number < 0) throw Error(cat(file.name, ": label ", i, ": class ", number, " is negative"));
      if (classes > 0 && number >= classes)
        throw Error(cat(file.name, ": label ", i, ": class ", number, " is none of the ", classes, " classes"));
      all.classes.push_back(number);
    }
  }
  require(!all.classes.empty(), addresses.front(), ": no labels");
  all.names = std::move(names);
  return all;
}

std::int64_t Labels::count() const {
  if (!names.empty()) return static_cast<std::int64_t>(names.size());
  return classes.empty() ? 0 : std::int64_t{1} + *std::max_element(classes.begin(), classes.end());
}

}  // namespace pipeformer
