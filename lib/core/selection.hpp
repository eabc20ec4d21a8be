/// Numbers that a user picks: "3", "0,2-4", or nothing for all.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pipeformer {

class Selection {
 public:
  Selection() = default;
  /// Numbers and ranges from 0, ascending. Throws UsageError; `what` begins the message.
  Selection(const std::string& text, const std::string& what);
  bool all() const { return ranges_.empty(); }
  bool has(std::int64_t n) const;
  /// How many selected numbers there are below n.
  std::int64_t before(std::int64_t n) const;
  std::int64_t largest() const;  ///< Of those that were picked; -1 for all.
  /// Those below n, in order.
  std::vector<std::int64_t> below(std::int64_t n) const;

 private:
  std::vector<std::pair<std::int64_t, std::int64_t>> ranges_;  ///< First and last, ascending.
};

/// The parts of a text between separators; one (empty) part of an empty text.
std::vector<std::string> split(const std::string& text, char separator);

}  // namespace pipeformer
