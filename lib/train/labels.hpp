/// The classes of a classification task.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pipeformer {

struct Labels {
  std::vector<std::int32_t> classes;  ///< One for each example.
  std::vector<std::string> names;     ///< Of the classes, in the order of their numbers; empty for numbered ones.

  /// From one or several files, one after another: streams of class numbers (every element is one label, whatever the
  /// records' shapes) or text with a name on each line. names: of the classes, in their order; when empty, those that
  /// occur, sorted by bytes. classes: how many there are; 0: not known yet. Throws Error naming the line or the label
  /// that is none of these, or an empty one.
  static Labels load(const std::vector<std::string>& addresses, std::vector<std::string> names, std::int64_t classes);
  /// One more than the largest number.
  std::int64_t count() const;
};

}  // namespace pipeformer
