#include "core/axes.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "core/error.hpp"

namespace pipeformer {
namespace {

std::size_t axis_of(const Shape& shape, std::int64_t axis) {
  const std::int64_t rank = std::ssize(shape), counted = axis < 0 ? axis + rank : axis;
  require(counted >= 0 && counted < rank, "shape ", shape_text(shape), " has no axis ", axis);
  return static_cast<std::size_t>(counted);
}

std::int64_t product(Shape::const_iterator begin, Shape::const_iterator end) {
  return std::accumulate(begin, end, std::int64_t{1}, std::multiplies<>());
}

/// An array as (outer, axis, inner) elements.
struct Layers {
  Layers(const Shape& shape, std::size_t axis)
      : outer(product(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(axis))),
        count(shape[axis]),
        inner(product(shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1, shape.end())) {}
  std::int64_t outer, count, inner;
};

}  // namespace

Array select(const Array& x, std::int64_t axis, const Selection& selection) {
  if (selection.all()) return x;
  const std::size_t at = axis_of(x.shape, axis);
  require(selection.largest() < x.shape[at], "shape ", shape_text(x.shape), " has no element ", selection.largest(),
          " on its axis ", at);
  const Layers from(x.shape, at);
  const std::vector<std::int64_t> chosen = selection.below(from.count);
  Shape shape = x.shape;
  shape[at] = std::ssize(chosen);
  Array y(x.dtype, shape);
  const std::size_t bytes = static_cast<std::size_t>(from.inner) * dtype_size(x.dtype);
  std::byte* to = y.bytes.data();
  for (std::int64_t o = 0; o < from.outer; ++o)
    for (const std::int64_t i : chosen) {
      if (bytes > 0) std::memcpy(to, x.bytes.data() + static_cast<std::size_t>(o * from.count + i) * bytes, bytes);
      to += bytes;
    }
  return y;
}

Array transpose(const Array& x, const std::vector<std::int64_t>& order) {
  const std::size_t rank = x.shape.size();
  std::vector<std::size_t> axes;
  for (const std::int64_t axis : order) axes.push_back(axis_of(x.shape, axis));
  std::vector<std::size_t> sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < rank || i < sorted.size(); ++i)
    require(sorted.size() == rank && sorted[i] == i, "an order of ", order.size(), " axes is none of the ", rank,
            " of shape ", shape_text(x.shape));
  Shape shape, strides(rank);
  for (std::size_t i = rank, step = 1; i-- > 0; step *= static_cast<std::size_t>(x.shape[i]))
    strides[i] = static_cast<std::int64_t>(step);
  for (const std::size_t axis : axes) shape.push_back(x.shape[axis]);
  Array y(x.dtype, shape);
  const std::size_t bytes = dtype_size(x.dtype);
  std::vector<std::int64_t> index(rank, 0);
  for (std::int64_t n = 0; n < y.size(); ++n) {
    std::int64_t from = 0;
    for (std::size_t i = 0; i < rank; ++i) from += index[i] * strides[axes[i]];
    std::memcpy(y.bytes.data() + static_cast<std::size_t>(n) * bytes,
                x.bytes.data() + static_cast<std::size_t>(from) * bytes, bytes);
    for (std::size_t i = rank; i-- > 0;) {
      if (++index[i] < shape[i]) break;
      index[i] = 0;
    }
  }
  return y;
}

Array transpose(const Array& x) {
  require(x.rank() >= 2, "shape ", shape_text(x.shape), " has no two axes to exchange");
  std::vector<std::int64_t> order(x.shape.size());
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[order.size() - 2], order.back());
  return transpose(x, order);
}

Array reshape(Array x, Shape shape) {
  const auto open = std::find(shape.begin(), shape.end(), -1);
  const std::int64_t size = x.size();
  if (open != shape.end()) {
    const std::int64_t rest = -product(shape.begin(), shape.end());
    require(rest > 0 && size % rest == 0, "shape ", shape_text(x.shape), " does not become ", shape_text(shape));
    *open = size / rest;
  }
  require(
      std::all_of(shape.begin(), shape.end(), [](std::int64_t n) { return n >= 0; }) && element_count(shape) == size,
      "shape ", shape_text(x.shape), " does not become ", shape_text(shape));
  x.shape = std::move(shape);
  return x;
}

Array join(const std::vector<Array>& parts, std::int64_t axis) {
  const Array& first = parts.front();
  const std::size_t at = axis_of(first.shape, axis);
  Shape shape = first.shape;
  shape[at] = 0;
  for (const Array& part : parts) {
    Shape other = part.shape;
    require(other.size() == shape.size() && part.dtype == first.dtype, dtype_name(part.dtype), " ",
            shape_text(part.shape), " cannot be joined to ", dtype_name(first.dtype), " ", shape_text(first.shape));
    const std::int64_t count = std::exchange(other[at], shape[at]);
    require(other == shape, "shape ", shape_text(part.shape), " cannot be joined to ", shape_text(first.shape),
            " on axis ", at);
    shape[at] += count;
  }
  Array y(first.dtype, shape);
  std::byte* to = y.bytes.data();
  for (std::int64_t o = 0; o < Layers(shape, at).outer; ++o)
    for (const Array& part : parts) {
      const Layers from(part.shape, at);
      const std::size_t bytes = static_cast<std::size_t>(from.count * from.inner) * dtype_size(part.dtype);
      if (bytes > 0) std::memcpy(to, part.bytes.data() + static_cast<std::size_t>(o) * bytes, bytes);
      to += bytes;
    }
  return y;
}

Array split_heads(const Array& x, std::int64_t heads) {
  require(x.rank() >= 2 && x.shape.back() % heads == 0, "shape ", shape_text(x.shape), " does not split into ", heads,
          " heads");
  Shape shape = x.shape;
  shape.back() /= heads;
  shape.insert(shape.end() - 1, heads);
  std::vector<std::int64_t> order(shape.size());
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[order.size() - 3], order[order.size() - 2]);
  return transpose(reshape(x, shape), order);
}

Array merge_heads(const Array& x) {
  require(x.rank() >= 3, "shape ", shape_text(x.shape), " has no axes of heads, rows and columns");
  std::vector<std::int64_t> order(x.shape.size());
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[order.size() - 3], order[order.size() - 2]);
  Array y = transpose(x, order);
  Shape shape = y.shape;
  const std::int64_t width = shape.back();
  shape.pop_back();
  shape.back() *= width;
  return reshape(std::move(y), shape);
}

Array mean(const Array& x, std::int64_t axis) {
  require(is_floating(x.dtype), "the mean of ", dtype_name(x.dtype), " numbers is asked for");
  const std::size_t at = axis_of(x.shape, axis);
  const Layers from(x.shape, at);
  const Array values = x.as(DType::f8);
  const double* v = values.values<double>().data();
  Shape shape = x.shape;
  shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(at));
  Array y(DType::f8, shape);
  double* to = y.values<double>().data();
  for (std::int64_t o = 0; o < from.outer; ++o)
    for (std::int64_t i = 0; i < from.inner; ++i) {
      double sum = 0;
      for (std::int64_t n = 0; n < from.count; ++n) sum += v[(o * from.count + n) * from.inner + i];
      to[o * from.inner + i] = from.count > 0 ? sum / static_cast<double>(from.count) : 0.0;
    }
  return y.as(x.dtype);
}

}  // namespace pipeformer
