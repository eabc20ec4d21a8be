/// Cutting, joining and turning arrays along their axes, as NumPy does it. Negative axes count from the last, -1. Each
/// throws Error about an axis or a shape; the caller names the record.
#pragma once
#include <cstdint>
#include <vector>

#include "core/array.hpp"
#include "core/selection.hpp"

namespace pipeformer {

/// The elements of an axis that are selected, in order. Throws Error for a number beyond the axis.
Array select(const Array&, std::int64_t axis, const Selection&);
/// Axis i of the result is axis order[i].
Array transpose(const Array&, const std::vector<std::int64_t>& order);
/// The last two axes exchanged.
Array transpose(const Array&);
/// The same elements in another shape, of which one axis may be -1: what is left.
Array reshape(Array, Shape);
/// Along an axis; the others must agree, and the types.
Array join(const std::vector<Array>&, std::int64_t axis);
/// (..., T, H d) -> (..., H, T, d): what stands side by side gets an axis of its own; and back.
Array split_heads(const Array&, std::int64_t heads);
Array merge_heads(const Array&);
/// The mean over an axis, which goes; summed in double, of floating-point numbers. Of no elements it is 0.
Array mean(const Array&, std::int64_t axis);

}  // namespace pipeformer
