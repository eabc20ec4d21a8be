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

void compare_elements(const Array& a, const Array& b, std::int64_t record, double tolerance, Difference& d) {
  d.elements += a.size();
  if (a.dtype == b.dtype && a.bytes.size() == b.bytes.size() &&
      std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin()))
    return;
  const Array x = a.as(DType::f8), y = b.as(DType::f8);
  const auto p = x.values<double>(), q = y.values<double>();
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] == q[i] || (std::isnan(p[i]) && std::isnan(q[i]))) continue;
    const double size = std::max(std::fabs(p[i]), std::fabs(q[i])), apart = std::fabs(p[i] - q[i]);
    d.maximum = std::isnan(apart) || std::isnan(d.maximum) ? NAN : std::max(d.maximum, apart);
    d.sum += apart;
    d.relative = std::max(d.relative, apart / size);
    if (std::isfinite(size) && apart <= tolerance * std::max(1.0, size)) continue;
    ++d.differing;
    if (d.first.empty()) d.first = place(record, a.shape, static_cast<std::int64_t>(i));
  }
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
    Difference d;
    if (others.count(path) == 0)
      d.shapes = cat("only in ", a);
    else
      d = compare(*left->open(path), *right->open(path), tolerance);
    row(path, d);
  }
  for (const std::string& path : right->paths()) {
    Difference d;
    d.shapes = cat("only in ", b);
    if (ours.count(path) == 0) row(path, d);
  }
  return same;
}

}  // namespace pipeformer
