/// Reports as text: tables of statistics, the values of records, what an HDF5 file holds.
#pragma once
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/array.hpp"
#include "view/statistics.hpp"

namespace pipeformer {

/// Where a report goes, piece by piece.
using TextSink = std::function<void(const std::string&)>;

/// A table with column names in its first line: tab-separated, so that cut, awk and `peek --curves` read it; padded
/// with spaces instead when `aligned` (for a terminal).
class Table {
 public:
  Table(TextSink sink, bool aligned) : sink_(std::move(sink)), aligned_(aligned) {}
  /// Sets the columns; the line with their names is written when they differ from the last.
  void columns(const std::vector<std::string>& names);
  void row(const std::vector<std::string>& cells) const;

 private:
  TextSink sink_;
  bool aligned_;
  std::vector<std::string> names_;
};

/// Statistics of records, or of whole streams, as rows of a table. `digits` are significant digits, 0: as many as read
/// back.
class StatisticsTable {
 public:
  StatisticsTable(TextSink sink, bool aligned, int digits) : table_(std::move(sink), aligned), digits_(digits) {}

  /// One row: name, record, dtype, shape, min, max, mean, std, zeros, nan, inf.
  void record(const std::string& name, std::int64_t index, const Array&);

  /// Collects records; finish() writes one row: name, records, dtype, shape (an axis that varies as "3..61"), positions
  /// (the rows of matrices, the elements of ids and vectors), elements, then as above.
  void add(const Array&);
  void finish(const std::string& name);

  /// All elements of all rows written so far.
  const Statistics& total() const { return total_; }

 private:
  void add_shape(const Shape&);
  Table table_;
  int digits_;
  Statistics total_;
  // Of the stream being collected:
  Statistics statistics_;
  std::int64_t records_ = 0, positions_ = 0;
  std::set<std::string> dtypes_, ranks_;
  Shape least_, most_;
};

/// Elements as text: one row (last axis) a line, tab-separated; matrices are separated by empty lines, also those of
/// different records; vectors and scalars are a line each. Integers are exact; floating-point numbers have `digits`
/// significant digits or, when 0, as many as it takes to read back the same number of their type (at most 9 for f4, 17
/// for f8).
class ValuePrinter {
 public:
  ValuePrinter(TextSink sink, int digits) : sink_(std::move(sink)), digits_(digits) {}
  void print(const Array&);

 private:
  TextSink sink_;
  int digits_;
  bool between_ = false;  // a matrix has been printed
};

/// True for the address of a whole HDF5 file (no group, not a pipe) that holds anything but one stream at its root.
bool lists_hdf5(const std::string& address);
/// The addresses below such a file of all streams (groups with `data` and `offsets`) and other datasets: datasets
/// before groups, sorted by name.
std::vector<std::string> hdf5_addresses(const std::string& file);
/// The attributes of its root as lines "# name = value", sorted by name; what cannot be shown (attributes, datasets of
/// strings or compounds) as lines that say why.
std::string hdf5_attribute_lines(const std::string& file);

}  // namespace pipeformer
