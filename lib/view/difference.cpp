#include "view/difference.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <set>

#include "core/error.hpp"

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

template <class T>
void compare_as(const Array& a, const Array& b, std::int64_t record, double tolerance, Difference& d) {
  const auto p = a.values<T>(), q = b.values<T>();
  for (std::size_t i = 0; i < p.size(); ++i) {
    const auto x = static_cast<double>(p[i]), y = static_cast<double>(q[i]);
    if (p[i] == q[i] || both_nan(x, y)) continue;
    const double size = std::max(std::fabs(x), std::fabs(y)), distance = apart(p[i], q[i]);
    d.maximum = std::isnan(distance) || std::isnan(d.maximum) ? NAN : std::max(d.maximum, distance);
    d.sum += distance;
    d.relative = std::max(d.relative, distance / size);
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

}  // namespace

Difference compare(RecordReader& a, RecordReader& b, double tolerance) {
  Difference d;
  Array x, y;
  for (;; ++d.records) {
    const bool more = a.next(x), other = b.next(y);
    if (more != other && d.shapes.empty()) d.shapes = cat("ends after ", d.records, " records in one");
    if (!more || !other) break;
    if (x.shape == y.shape)
      compare_elements(x, y, d.records, tolerance, d);
    else if (d.shapes.empty())
      d.shapes = cat("record ", d.records, ": ", shape_text(x.shape), " and ", shape_text(y.shape));
  }
  while (a.next(x) || b.next(y)) {
  }
  return d;
}

bool write_differences(const std::string& a, const std::string& b, double tolerance, const TextSink& sink,
                       bool aligned) {
  Table table(sink, aligned);
  bool same = true;
  const auto row = [&](const std::string& name, const Difference& d) {
    if (d.same()) return;
    same = false;
    table.columns({"name", "elements", "differ", "max", "mean", "relative", "first"});
    const double mean = d.elements > 0 ? d.sum / static_cast<double>(d.elements) : 0;
    table.row({name, std::to_string(d.elements), std::to_string(d.differing), number(d.maximum), number(mean),
               number(d.relative),
               d.shapes.empty()  ? d.first
               : d.first.empty() ? d.shapes
                                 : d.first + "; " + d.shapes});
  };
  const auto left = list_hdf5(a), right = list_hdf5(b);
  if (!left || !right) {
    row(a, compare(*RecordReader::open(a), *RecordReader::open(b), tolerance));
    return same;
  }
  const std::string heads[] = {left->head(), right->head()};
  if (heads[0] != heads[1]) {
    same = false;
    sink("# the attributes of the root differ\n");
  }
  const std::set<std::string> others(right->paths().begin(), right->paths().end());
  const std::set<std::string> ours(left->paths().begin(), left->paths().end());
  for (const std::string& path : left->paths()) {
    if (left->is_scale(path) && (others.count(path) == 0 || right->is_scale(path))) continue;
    Difference d;
    if (others.count(path) == 0)
      d.shapes = cat("only in ", a);
    else
      d = compare(*left->open_weight(path), *right->open_weight(path), tolerance);
    row(path, d);
  }
  for (const std::string& path : right->paths()) {
    if (right->is_scale(path)) continue;
    Difference d;
    d.shapes = cat("only in ", b);
    if (ours.count(path) == 0) row(path, d);
  }
  return same;
}

}  // namespace pipeformer
