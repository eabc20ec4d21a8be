#include "view/top.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.hpp"
#include "view/svg.hpp"

namespace pipeformer {
namespace {

std::string name_of(const std::vector<std::string>& names, std::int64_t i) {
  return names.empty() ? std::to_string(i) : names[static_cast<std::size_t>(i)];
}

void expect_names(const std::vector<std::string>& names, std::int64_t count, const char* what,
                  const std::string& where) {
  require(names.empty() || std::ssize(names) >= count, where, ": ", names.size(), " names for ", count, " ", what);
}

/// The numbers of matrix m on the axes before the last two.
std::string leading(const Shape& shape, std::int64_t m) {
  std::string text;
  for (std::size_t i = shape.size() < 2 ? 0 : shape.size() - 2; i-- > 0; m /= shape[i])
    text = std::to_string(m % shape[i]) + (text.empty() ? "" : "," + text);
  return text.empty() ? "-" : text;
}

}  // namespace

void write_top(const Array& record, std::int64_t index, const TopOptions& options, const std::string& where,
               const TextSink& sink) {
  require(record.rank() > 0, where, ": a number alone has no rows");
  const Array values = record.as(DType::f8);
  const std::int64_t columns = record.shape.back();
  const std::int64_t rows = record.rank() > 1 ? record.shape[record.shape.size() - 2] : 1;
  expect_names(options.rows, rows, "rows", where);
  expect_names(options.columns, columns, "columns", where);
  const std::int64_t all = columns > 0 ? values.size() / columns : 0;
  std::vector<std::int64_t> order(static_cast<std::size_t>(columns));
  for (std::int64_t r = 0; r < all; ++r) {
    const double* x = values.values<double>().data() + r * columns;
    std::iota(order.begin(), order.end(), 0);
    const auto end = std::remove_if(order.begin(), order.end(), [&](std::int64_t c) { return std::isnan(x[c]); });
    const auto middle = order.begin() + std::min<std::ptrdiff_t>(options.count, end - order.begin());
    std::partial_sort(order.begin(), middle, end,
                      [&](std::int64_t a, std::int64_t b) { return x[a] != x[b] ? x[a] > x[b] : a < b; });
    std::string line = cat(index, '\t', leading(record.shape, r / rows), '\t', name_of(options.rows, r % rows));
    for (auto c = order.begin(); c != middle; ++c)
      line += cat('\t', name_of(options.columns, *c), '\t', number_text(x[*c], 6));
    sink(line + "\n");
  }
}

}  // namespace pipeformer
