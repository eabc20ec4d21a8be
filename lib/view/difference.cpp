#include "view/difference.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "core/error.hpp"
#include "io/address.hpp"
#include "io/byte_source.hpp"
#include "io/npz.hpp"
#include "io/output_file.hpp"
#include "view/labels.hpp"

namespace pipeformer {
namespace {

std::string place(std::int64_t record, const Shape& shape, std::int64_t element) {
  Shape index(shape.size());
  for (std::size_t i = shape.size(); i-- > 0; element /= shape[i]) index[i] = element % shape[i];
  std::string text;
  for (const std::int64_t i : index) text += (text.empty() ? "" : ", ") + std::to_string(i);
  return cat("record ", record, " [", text, "]");
}

std::string number(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", x);
  return text;
}

double apart(double a, double b) {
  return std::fabs(a - b);
}
/// Exact for what is below 2^53, and never 0 for numbers that differ.
double apart(std::int64_t a, std::int64_t b) {
  const auto difference = static_cast<std::uint64_t>(std::max(a, b)) - static_cast<std::uint64_t>(std::min(a, b));
  return static_cast<double>(difference);
}
bool both_nan(double a, double b) {
  return std::isnan(a) && std::isnan(b);
}

/// The larger, and NaN once something was.
void take_larger(double& most, double value) {
  most = std::isnan(value) || std::isnan(most) ? NAN : std::max(most, value);
}

template <class T>
void compare_as(const Array& a, const Array& b, std::int64_t record, double tolerance, Difference& d) {
  const auto p = a.values<T>(), q = b.values<T>();
  for (std::size_t i = 0; i < p.size(); ++i) {
    const auto x = static_cast<double>(p[i]), y = static_cast<double>(q[i]);
    if (p[i] == q[i] || both_nan(x, y)) continue;
    const double size = std::max(std::fabs(x), std::fabs(y)), distance = apart(p[i], q[i]);
    take_larger(d.maximum, distance);
    d.sum += distance;
    take_larger(d.relative, std::isinf(size) ? distance : distance / size);  // infinitely far is so by any measure
    if (std::isfinite(size) && distance <= tolerance * std::max(1.0, size)) continue;
    ++d.differing;
    if (d.first.empty()) d.first = place(record, a.shape, static_cast<std::int64_t>(i));
  }
}

void compare_elements(const Array& a, const Array& b, std::int64_t record, double tolerance, Difference& d) {
  d.elements += a.size();
  if (a.dtype == b.dtype && a.bytes.size() == b.bytes.size() &&
      std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin()))
    return;
  if (is_floating(a.dtype) || is_floating(b.dtype))
    compare_as<double>(a.as(DType::f8), b.as(DType::f8), record, tolerance, d);
  else
    compare_as<std::int64_t>(a.as(DType::i8), b.as(DType::i8), record, tolerance, d);
}

void compare_records(const Array& a, const Array& b, double tolerance, Difference& d) {
  if (a.shape == b.shape)
    compare_elements(a, b, d.records, tolerance, d);
  else if (d.shapes.empty())
    d.shapes = cat("record ", d.records, ": ", shape_text(a.shape), " and ", shape_text(b.shape));
}

/// The lines of a comparison: one for each name that differs.
class DifferenceTable {
 public:
  DifferenceTable(const TextSink& sink, bool aligned) : sink_(sink), table_(sink, aligned) {}
  void row(const std::string& name, const Difference& d) {
    if (d.same()) return;
    same_ = false;
    table_.columns({"name", "elements", "differ", "max", "mean", "relative", "first"});
    const double mean = d.elements > 0 ? d.sum / static_cast<double>(d.elements) : 0;
    table_.row({name, std::to_string(d.elements), std::to_string(d.differing), number(d.maximum), number(mean),
                number(d.relative),
                d.shapes.empty()  ? d.first
                : d.first.empty() ? d.shapes
                                  : d.first + "; " + d.shapes});
  }
  void only_in(const std::string& file, const std::string& name) {
    Difference d;
    d.shapes = cat("only in ", file);
    row(name, d);
  }
  void remark(const std::string& line) {
    same_ = false;
    sink_(line);
  }
  bool same() const { return same_; }

 private:
  TextSink sink_;
  Table table_;
  bool same_ = true;
};

void compare_files(const std::string& a, const Hdf5Listing& left, const std::string& b, const Hdf5Listing& right,
                   double tolerance, DifferenceTable& table) {
  if (left.head() != right.head()) table.remark("# the attributes of the root differ\n");
  const std::set<std::string> others(right.paths().begin(), right.paths().end());
  const std::set<std::string> ours(left.paths().begin(), left.paths().end());
  std::vector<std::string> paths = left.paths();
  std::sort(paths.begin(), paths.end(), natural_before);  // layer 9 before layer 10: where runs part comes first
  for (const std::string& path : paths) {
    if (left.is_scale(path) && (others.count(path) == 0 || right.is_scale(path))) continue;
    if (others.count(path) == 0)
      table.only_in(a, path);
    else
      table.row(path, compare(*left.open_weight(path), *right.open_weight(path), tolerance));
  }
  for (const std::string& path : right.paths())
    if (!right.is_scale(path) && ours.count(path) == 0) table.only_in(b, path);
}

void compare_archives(const std::string& a, const NpzFile& left, const std::string& b, const NpzFile& right,
                      double tolerance, DifferenceTable& table) {
  std::map<std::string, std::size_t> others;
  for (std::size_t i = 0; i < right.names().size(); ++i) others[right.names()[i]] = i;
  for (std::size_t i = 0; i < left.names().size(); ++i) {
    const std::string& name = left.names()[i];
    const auto other = others.find(name);
    if (other == others.end()) {
      table.only_in(a, name);
      continue;
    }
    Difference d;
    compare_records(left.named(i), right.named(other->second), tolerance, d);
    table.row(name, d);
    others.erase(other);
  }
  for (const auto& [name, index] : others) table.only_in(b, name);
}

/// The records of an address; of a weight of 8 bits what it stands for.
std::unique_ptr<RecordReader> open_weight(const Address& address, const std::string& text,
                                          std::unique_ptr<ByteSource> source) {
  const bool named = address.file != "-" && !address.group.empty() && !is_special_file(address.file);
  if (!named || !looks_like_hdf5(source->peek(8))) return RecordReader::open(text, std::move(source));
  return Hdf5Listing(address.file).open_weight(address.group);
}

}  // namespace

Difference compare(RecordReader& a, RecordReader& b, double tolerance) {
  Difference d;
  Array x, y;
  for (;; ++d.records) {
    const bool more = a.next(x), other = b.next(y);
    if (more != other && d.shapes.empty()) d.shapes = cat("ends after ", d.records, " records in one");
    if (!more || !other) break;
    compare_records(x, y, tolerance, d);
  }
  while (a.next(x) || b.next(y)) {
  }
  return d;
}

bool write_differences(const std::string& a, const std::string& b, double tolerance, const TextSink& sink,
                       bool aligned) {
  DifferenceTable table(sink, aligned);
  const auto left = list_hdf5(a), right = list_hdf5(b);
  if (left && right) {
    compare_files(a, *left, b, *right, tolerance, table);
    return table.same();
  }
  const Address addresses[] = {split_address(a), split_address(b)};
  auto one = std::make_unique<ByteSource>(addresses[0].file), two = std::make_unique<ByteSource>(addresses[1].file);
  const bool archives[] = {looks_like_npz(one->peek(8)), looks_like_npz(two->peek(8))};
  require(!(left && archives[1]) && !(right && archives[0]), a, " and ", b,
          ": an NPZ archive and an HDF5 file of several names are not compared: convert one of them first");
  if (archives[0] && archives[1] && addresses[0].group.empty() && addresses[1].group.empty())
    compare_archives(a, NpzFile(input_name(a), addresses[0], *one), b, NpzFile(input_name(b), addresses[1], *two),
                     tolerance, table);
  else
    table.row(a, compare(*open_weight(addresses[0], a, std::move(one)), *open_weight(addresses[1], b, std::move(two)),
                         tolerance));
  return table.same();
}

}  // namespace pipeformer
