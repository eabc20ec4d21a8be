/// Reports as text: tables of statistics, the values of records, what an HDF5 file holds.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/array.hpp"
#include "io/hdf5.hpp"
#include "io/stream.hpp"
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

/// What the elements of a reader's records are stored as, for a table: "f4", "bf16".
std::string stored_dtype(const RecordReader&, const Array& record);

/// Statistics of records, or of whole streams, as rows of a table. `digits` are significant digits, 0: as many as read
/// back; `dtype` is what the row says.
class StatisticsTable {
 public:
  StatisticsTable(TextSink sink, bool aligned, int digits) : table_(std::move(sink), aligned), digits_(digits) {}

  /// One row: name, record, dtype, shape, min, max, mean, std, zeros, nan, inf.
  void record(const std::string& name, std::int64_t index, const Array&, const std::string& dtype);

  /// Collects records; finish() writes one row: name, records, dtype, shape (an axis that varies as "3..61"), positions
  /// (the rows of matrices, the elements of ids and vectors), elements, then as above.
  void add(const Array&, const std::string& dtype);
  void finish(const std::string& name);
  /// Forgets what was collected since the last row.
  void drop();

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
/// Labels, where there are some, stand before each row, and above the columns of each matrix.
struct ValueLabels {
  std::vector<std::string> rows, columns;
};
class ValuePrinter {
 public:
  ValuePrinter(TextSink sink, int digits) : sink_(std::move(sink)), digits_(digits) {}
  /// Throws Error, which `where` begins, when there are fewer labels than rows or columns.
  void print(const Array&, const ValueLabels& labels = {}, const std::string& where = "");

 private:
  template <class T, class F>
  void print_rows(const Array&, F text_of, const ValueLabels&);
  TextSink sink_;
  int digits_;
  bool between_ = false;  // a matrix has been printed
};

/// What an HDF5 file holds. The file is opened and looked through once.
class Hdf5Listing {
 public:
  explicit Hdf5Listing(const std::string& file);
  /// All streams (groups with `data` and `offsets`) and other datasets: datasets before groups, sorted by name; the
  /// root is "/".
  const std::vector<std::string>& paths() const { return paths_; }
  /// The attributes of the root as lines "# name = value", sorted by name; what cannot be shown (attributes, links to
  /// other files, datasets of strings or compounds) as lines that say why.
  std::string head() const;
  /// Why what is not among paths() cannot be: datasets of strings or compounds, links, groups that lie too deep.
  const std::vector<std::string>& remarks() const { return remarks_; }
  /// Opens one of paths().
  std::unique_ptr<RecordReader> open(const std::string& path) const;
  /// The same, but of a weight of 8 bits (int8, with its scales beside it) what it stands for: codes times scales, f4.
  std::unique_ptr<RecordReader> open_weight(const std::string& path) const;
  /// The scales of such a weight.
  bool is_scale(const std::string& path) const;

 private:
  bool is_quantised(const std::string& path) const;
  void collect(const std::string& group, int depth);

  Hdf5File file_;
  std::vector<std::string> paths_, remarks_;
  std::set<std::uint64_t> visited_;  ///< A group may contain itself, or be shared by many: each is visited once.
};

/// The listing of a whole HDF5 file (the address names no group, and no pipe) that holds anything but one stream at its
/// root; nothing for any other address.
std::optional<Hdf5Listing> list_hdf5(const std::string& address);

}  // namespace pipeformer
