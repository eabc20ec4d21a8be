#include "train/labels.hpp"

#include <algorithm>
#include <array>
#include <fstream>

#include "core/error.hpp"
#include "io/address.hpp"
#include "io/hdf5.hpp"
#include "io/stream.hpp"
#include "io/text_lines.hpp"

namespace pipeformer {
namespace {

bool is_text(const std::string& address) {
  std::ifstream in(split_address(address).file, std::ios::binary);
  std::array<char, 8> head{};
  in.read(head.data(), head.size());
  const auto bytes = std::as_bytes(std::span(head)).first(static_cast<std::size_t>(in.gcount()));
  return in.gcount() > 0 && !looks_like_hdf5(bytes) && std::string(head.data(), 6) != "\x93NUMPY";
}

Labels load_numbers(const std::string& address) {
  Labels labels;
  const auto reader = RecordReader::open(address);
  for (Array record; reader->next(record);) {
    reader->expect_ids(record);
    for (const std::int32_t number : record.values<std::int32_t>()) {
      require(number >= 0, reader->where(), ": class ", number, " is negative");
      labels.classes.push_back(number);
    }
  }
  return labels;
}

}  // namespace

Labels Labels::load(const std::string& address, const std::vector<std::string>& names) {
  if (!is_text(address)) {
    Labels labels = load_numbers(address);
    for (std::size_t i = 0; i < labels.classes.size() && !names.empty(); ++i)
      require(labels.classes[i] < static_cast<std::int64_t>(names.size()), address, ": label ", i, ": class ",
              labels.classes[i], " is none of the ", names.size(), " classes");
    return labels;
  }
  const std::vector<std::string> lines = read_text_lines(address);
  Labels labels{{}, names};
  if (names.empty()) {
    labels.names = lines;
    std::sort(labels.names.begin(), labels.names.end());
    labels.names.erase(std::unique(labels.names.begin(), labels.names.end()), labels.names.end());
  }
  std::vector<std::pair<std::string, std::int32_t>> numbers;
  for (std::size_t i = 0; i < labels.names.size(); ++i)
    numbers.emplace_back(labels.names[i], static_cast<std::int32_t>(i));
  std::sort(numbers.begin(), numbers.end());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    require(!lines[i].empty(), address, ": line ", i + 1, ": no label");
    const auto at = std::lower_bound(numbers.begin(), numbers.end(), std::pair(lines[i], std::int32_t{0}));
    require(at != numbers.end() && at->first == lines[i], address, ": line ", i + 1, ": '", lines[i],
            "' is none of the ", names.size(), " classes");
    labels.classes.push_back(at->second);
  }
  return labels;
}

std::int64_t Labels::count() const {
  if (!names.empty()) return static_cast<std::int64_t>(names.size());
  return classes.empty() ? 0 : std::int64_t{1} + *std::max_element(classes.begin(), classes.end());
}

}  // namespace pipeformer
