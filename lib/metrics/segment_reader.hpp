/// Files of systems and of references, read together: line i of each is segment i.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/value_lines.hpp"
#include "metrics/metric.hpp"

namespace pipeformer {

class SegmentReader {
 public:
  /// Files of lines or of records (io/value_lines.hpp). lowercase: of all lines. Throws Error naming one that cannot be
  /// opened.
  SegmentReader(const std::vector<std::string>& systems, const std::vector<std::string>& references, bool lowercase);

  /// Reads on, some thousand lines at once. False when all files end together; throws Error with two files and their
  /// numbers of lines when one ends first.
  bool next();
  /// Those of one system, valid until the next call of next(). Where a line has several references, empty ones do not
  /// count, unless all are.
  const std::vector<Segment>& segments(std::size_t system) const { return segments_[system]; }

  /// What a metric says about a segment of those, as an Error that names the file and the line.
  [[noreturn]] void fail(std::size_t system, const RowError& error) const;

 private:
  struct File {
    explicit File(const std::string& address) : reader(address) {}
    ValueLines reader;
    std::vector<std::string> lines;
  };
  std::vector<std::unique_ptr<File>> files_;  ///< Systems, then references.
  std::size_t systems_;
  bool lowercase_;
  std::vector<std::string_view> references_;
  std::vector<std::vector<Segment>> segments_;
};

}  // namespace pipeformer
