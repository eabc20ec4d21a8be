/// What rows and columns of pictures are called: tokens of text files, and what the names of intermediates say
/// (models/tap_writer.hpp).
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/array.hpp"
#include "view/report.hpp"

namespace pipeformer {

/// The tokens of one line (from 0) of a text file, separated by spaces: labels for an axis. "-" is standard input.
/// Throws Error when the file has no such line.
std::vector<std::string> read_tokens(const std::string& path, std::int64_t line);

/// Layer 2 before layer 10.
bool natural_before(std::string_view a, std::string_view b);

/// "decoder/1/cross_attn/weights" in words: "decoder layer 1: cross-attention weights", and "layer 1" for short (empty
/// where the name has no layer).
struct TapTitle {
  std::string whole, layer;
};
TapTitle tap_title(const std::string& name);

/// What rows and columns of a stream are: the stacks whose ids name them, empty for none, and a word for each.
struct TapAxes {
  std::string rows, columns, row_name = "row", column_name = "column";
};
/// lengths: of the ids of each stack, of the record that has this shape.
TapAxes tap_axes(const std::string& name, const Shape& shape, const std::map<std::string, std::int64_t>& lengths);

/// What ids are called; nothing: their numbers.
using PieceOf = std::function<std::string(std::int32_t id)>;
/// The ids beside intermediates, of one record: {"encoder": its pieces, valid UTF-8}; a group may stand before.
std::map<std::string, std::vector<std::string>> stack_tokens(const Hdf5Listing&, std::int64_t record, const PieceOf&);

/// Record number `index` of a stream. Throws Error when it has not so many.
Array record_of(RecordReader&, std::int64_t index);

}  // namespace pipeformer
