/// Numbers as text, separated by spaces, tabs or commas, as records: what `peek --values` writes.
#pragma once
#include <optional>

#include "core/array.hpp"
#include "io/text_lines.hpp"

namespace pipeformer {

/// The next line as a record (N,), or with `matrices` the lines up to an empty one (or the end) as a record (rows, N).
/// Nothing at the end. Throws Error naming file and line for what is no number of the type (f4, f8, i4 or i8), and for
/// rows of different length.
std::optional<Array> read_numbers(TextLines&, DType, bool matrices);

}  // namespace pipeformer
