/// What is right of each example: its class, those of its positions, a span, the labels that hold, numbers.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pipeformer {

/// What has a label: each record, each of its positions (or words); or the label is a span of each record, two numbers;
/// or several labels hold of each record, or none (sets); or it has numbers.
enum class Labelled { records, positions, spans, sets, numbers };

struct Labels {
  std::vector<std::int32_t>
      classes;                     ///< One for each example, or for the positions of all examples, one after another.
  std::vector<std::string> names;  ///< Of the classes, in the order of their numbers; empty for numbered ones.
  std::vector<std::int64_t> offsets;  ///< Of positions: those of example i are classes[offsets[i]] .. [offsets[i + 1]].
  std::vector<float> values;          ///< Of sets and numbers, (examples, width): 1 where a label holds, else 0.
  std::int64_t width = 0;

  /// From one or several files, one after another: streams of class numbers or text with names. Of records: every
  /// element is one label, whatever the records' shapes; a line is a name. Of positions: a record (..., T) holds the
  /// labels of T positions, -1 where there is none; a line holds names with spaces between, an empty one none. Of
  /// spans: a record (2,) or a line of two numbers, an empty one 0 0. Of sets: a line of names with spaces between, or
  /// a record (..., classes) of numbers 0 to 1; of numbers: a line of numbers, or a record (..., classes). names: of
  /// the classes, in their order; when empty, those that occur, sorted by bytes. classes: how many there are; 0: not
  /// known yet. Throws Error naming the line or the label that is none of these, or an empty one.
  static Labels load(const std::vector<std::string>& addresses, std::vector<std::string> names, std::int64_t classes,
                     Labelled of = Labelled::records);
  /// load() of sets and numbers.
  static Labels load_values(const std::vector<std::string>& addresses, std::vector<std::string> names,
                            std::int64_t classes, Labelled of);
  /// One more than the largest number; of sets and numbers their width.
  std::int64_t count() const;
  /// The examples that have labels.
  std::int64_t examples() const;
};

}  // namespace pipeformer
