/// Spans of a text, among the positions of its ids and among its characters. Offsets are (T, 3), as `tokenize
/// --offsets` writes them: which text an id is of (0, 1; -1 of none), and the characters [begin, end) of that text.
#pragma once
#include <cstdint>
#include <span>

namespace pipeformer {

/// Positions first .. last; 0 .. 0 stands for none, since no text begins there.
struct TextSpan {
  std::int32_t first = 0, last = 0;
};

/// The ids of the second text that cover characters [begin, end); none for an empty range and for one without ids at
/// its beginning or its end (in another window, say).
TextSpan span_of_characters(std::span<const std::int32_t> offsets, std::int32_t begin, std::int32_t end);

}  // namespace pipeformer
