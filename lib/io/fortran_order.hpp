#pragma once
#include "core/array.hpp"

namespace pipeformer {

/// Elements of `size` bytes (1, 2, 4 or 8) stored first axis fastest, put in C order.
Buffer<std::byte> c_order_from_fortran(const Buffer<std::byte>& elements, const Shape&, std::size_t size);

}  // namespace pipeformer
