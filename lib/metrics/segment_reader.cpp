#include "metrics/segment_reader.hpp"

#include <algorithm>

#include "core/threads.hpp"
#include "text/utf8.hpp"

namespace pipeformer {

namespace {
constexpr std::size_t most_lines = 4096;
}

SegmentReader::SegmentReader(const std::vector<std::string>& systems, const std::vector<std::string>& references,
                             bool lowercase)
    : systems_(systems.size()), lowercase_(lowercase), segments_(systems.size()) {
  for (const std::string& system : systems) files_.push_back(std::make_unique<File>(system));
  for (const std::string& reference : references) files_.push_back(std::make_unique<File>(reference));
}

bool SegmentReader::next() {
  const ValueLines& first = files_[0]->reader;
  for (const auto& file : files_) {
    // The first file decides how many; of the others one more shows that they do not end there as well.
    const std::size_t wanted = file == files_[0] ? most_lines : std::min(files_[0]->lines.size() + 1, most_lines);
    file->lines.resize(wanted);
    std::size_t count = 0;
    for (std::string_view line; count < wanted && file->reader.next(line); ++count) file->lines[count].assign(line);
    file->lines.resize(count);
    if (count != files_[0]->lines.size()) {
      // What was read of the one that goes on tells nothing of its length: to the end, for the message.
      for (std::string_view line; file->reader.next(line);) continue;
      for (std::string_view line; files_[0]->reader.next(line);) continue;
      const ValueLines &a = first, &b = file->reader;
      throw Error(cat(a.name(), " has ", a.count(), " lines, ", b.name(), " has ", b.count()));
    }
  }
  const std::size_t count = files_[0]->lines.size();
  if (lowercase_) {
    parallel_for(static_cast<std::int64_t>(count), 64, [&](std::int64_t begin, std::int64_t end) {
      for (const auto& file : files_) {
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
          file->lines[i] = lowercase_utf8(file->lines[i]);
        }
      }
    });
  }
  references_.clear();
  const std::size_t most_references = files_.size() - systems_;
  references_.reserve(count * most_references);
  for (std::vector<Segment>& segments : segments_) segments.clear();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t begin = references_.size();
    for (std::size_t r = systems_; r < files_.size(); ++r) {
      if (!files_[r]->lines[i].empty()) references_.push_back(files_[r]->lines[i]);
    }
    if (references_.size() == begin) references_.emplace_back();
    for (std::size_t s = 0; s < systems_; ++s) {
      segments_[s].push_back({files_[s]->lines[i], std::span(references_).subspan(begin)});
    }
  }
  return count > 0;
}

void SegmentReader::fail(std::size_t system, const RowError& error) const {
  const ValueLines& reader = files_[system]->reader;
  const auto count = static_cast<std::int64_t>(files_[system]->lines.size());
  throw Error(cat(reader.where(reader.count() - count + error.row()), ": ", error.what()));
}

}  // namespace pipeformer
