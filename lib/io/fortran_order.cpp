#include "io/fortran_order.hpp"

#include <xtensor/xadapt.hpp>
#include <xtensor/xnoalias.hpp>

#include "core/error.hpp"

namespace pipeformer {
namespace {

template <class T>
Buffer<std::byte> reorder(const Buffer<std::byte>& elements, const Shape& shape) {
  Buffer<std::byte> result(elements.size());
  const std::size_t count = elements.size() / sizeof(T);
  const std::vector<std::size_t> axes(shape.begin(), shape.end());
  const auto from = xt::adapt<xt::layout_type::column_major>(reinterpret_cast<const T*>(elements.data()), count,
                                                             xt::no_ownership(), axes);
  auto to = xt::adapt<xt::layout_type::row_major>(reinterpret_cast<T*>(result.data()), count, xt::no_ownership(), axes);
  xt::noalias(to) = from;
  return result;
}

}  // namespace

Buffer<std::byte> c_order_from_fortran(const Buffer<std::byte>& elements, const Shape& shape, std::size_t size) {
  switch (size) {
    case 1:
      return reorder<std::uint8_t>(elements, shape);
    case 2:
      return reorder<std::uint16_t>(elements, shape);
    case 4:
      return reorder<std::uint32_t>(elements, shape);
    case 8:
      return reorder<std::uint64_t>(elements, shape);
  }
  throw Error(cat("elements of ", size, " bytes cannot be reordered"));
}

}  // namespace pipeformer
