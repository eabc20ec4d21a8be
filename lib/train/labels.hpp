/// The classes of a classification task.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pipeformer {

struct Labels {
  std::vector<std::int32_t> classes;  ///< One for each example.
  std::vector<std::string> names;     ///< Of the classes, in the order of their numbers; empty for numbered ones.

  /// From a stream of class numbers (every element is one label, whatever the records' shapes) or from a text file of
  /// names, one a line. names: the classes that there are, in their order; when empty, those that occur, sorted by
  /// bytes. Throws Error naming the line for a name that is none of these, or an empty one.
  static Labels load(const std::string& address, const std::vector<std::string>& names);
  /// One more than the largest number.
  std::int64_t count() const;
};

}  // namespace pipeformer
