#include "train/labels.hpp"

#include <algorithm>
#include <charconv>
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

/// What one file holds: names, or class numbers; the labels of example i end before ends[i].
struct LabelFile {
  std::string name;
  std::vector<std::string> names;
  std::vector<std::int32_t> numbers;
  std::vector<std::size_t> ends{};
};

void split_names(std::string_view line, std::vector<std::string>& names) {
  for (std::size_t at = 0; (at = line.find_first_not_of(" \t", at)) != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(" \t", at), line.size());
    names.emplace_back(line.substr(at, end - at));
    at = end;
  }
}

/// "12 15"; nothing is 0 0.
void append_span(std::string_view line, const std::string& where, std::vector<std::int32_t>& numbers) {
  std::vector<std::string> words;
  split_names(line, words);
  if (words.empty()) words = {"0", "0"};
  for (const std::string& word : words) {
    std::int32_t number = 0;
    const char* end = word.data() + word.size();
    if (words.size() != 2 || std::from_chars(word.data(), end, number).ptr != end)
      throw Error(cat(where, ": '", line, "' is not two numbers"));
    numbers.push_back(number);
  }
}

LabelFile read(const std::string& address, Labelled of) {
  const std::string path = split_address(address).file;
  TextLines lines(path);
  LabelFile file{lines.name(), {}, {}};
  if (const auto head = lines.peek(8); !looks_like_hdf5(head) && !looks_like_npy(head)) {
    for (std::string_view line; lines.next(line);) {
      require(!line.ends_with('\r'), file.name, ": line ", lines.count(),
              ": ends with a carriage return, as DOS lines do; tr -d '\\r' removes it");
      if (of == Labelled::records) file.names.emplace_back(line);
      if (of == Labelled::positions) split_names(line, file.names);
      if (of == Labelled::spans) append_span(line, cat(file.name, ": line ", lines.count()), file.numbers);
      file.ends.push_back(of == Labelled::spans ? file.numbers.size() : file.names.size());
    }
    return file;
  }
  require(path != "-" && !is_special_file(path), lines.name(), ": class numbers are read from a file, not from a pipe");
  const auto reader = RecordReader::open(address);
  for (Array record; reader->next(record);) {
    reader->expect_ids(record);
    const auto numbers = record.values<std::int32_t>();
    file.numbers.insert(file.numbers.end(), numbers.begin(), numbers.end());
    const auto length = of == Labelled::records || record.shape.empty() ? 1 : record.shape.back();
    const auto examples = element_count(of == Labelled::records || record.shape.empty()
                                            ? record.shape
                                            : Shape(record.shape.begin(), record.shape.end() - 1));
    require(of != Labelled::spans || length == 2, reader->where(), ": a span is two numbers, not ", length);
    for (std::int64_t i = 0; i < examples; ++i)
      file.ends.push_back((file.ends.empty() ? 0 : file.ends.back()) + static_cast<std::size_t>(length));
  }
  return file;
}

}  // namespace

Labels Labels::load(const std::vector<std::string>& addresses, std::vector<std::string> names, std::int64_t classes,
                    Labelled of) {
  if (of == Labelled::sets || of == Labelled::numbers) return load_values(addresses, std::move(names), classes, of);
  const bool positions = of == Labelled::positions;
  if (of == Labelled::spans) names = {"start", "end"};
  std::vector<LabelFile> files;
  files.reserve(addresses.size());
  for (const std::string& address : addresses) files.push_back(read(address, of));
  if (names.empty()) {
    for (const LabelFile& file : files) names.insert(names.end(), file.names.begin(), file.names.end());
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
  }
  if (classes == 0) classes = static_cast<std::int64_t>(names.size());
  std::map<std::string, std::int32_t> numbers;
  for (std::size_t i = 0; i < names.size(); ++i) numbers.emplace(names[i], static_cast<std::int32_t>(i));
  Labels all;
  if (positions) all.offsets.push_back(0);
  for (const LabelFile& file : files) {
    const bool text = file.numbers.empty();
    for (std::size_t e = 0, i = 0; e < file.ends.size(); ++e) {
      for (; i < file.ends[e]; ++i) {
        const auto fail = [&](const std::string& what) {
          throw Error(text ? cat(file.name, ": line ", e + 1, ": ", what)
                           : cat(file.name, positions ? cat(": record ", e) : cat(": label ", i), ": ", what));
        };
        if (text) {
          if (file.names[i].empty()) fail("no label");
          const auto known = numbers.find(file.names[i]);
          if (known == numbers.end()) fail(cat("'", file.names[i], "' is none of the ", classes, " classes"));
          all.classes.push_back(known->second);
          continue;
        }
        const std::int32_t number = file.numbers[i];
        if (number < (positions ? -1 : 0))
          fail(cat(of == Labelled::spans ? "position " : "class ", number, " is negative"));
        if (of != Labelled::spans && classes > 0 && number >= classes)
          fail(cat("class ", number, " is none of the ", classes, " classes"));
        all.classes.push_back(number);
      }
      if (positions) all.offsets.push_back(static_cast<std::int64_t>(all.classes.size()));
    }
  }
  require(!all.classes.empty(), addresses.front(), ": no labels");
  all.names = std::move(names);
  return all;
}

std::int64_t Labels::count() const {
  if (width > 0) return width;
  if (!names.empty()) return static_cast<std::int64_t>(names.size());
  return classes.empty() ? 0 : std::int64_t{1} + *std::max_element(classes.begin(), classes.end());
}

std::int64_t Labels::examples() const {
  if (width > 0) return std::ssize(values) / width;
  return static_cast<std::int64_t>(offsets.empty() ? classes.size() : offsets.size() - 1);
}

}  // namespace pipeformer
