/// The largest numbers of each row, with the names of rows and columns: what a query attends to, the likeliest tokens.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "view/report.hpp"

namespace pipeformer {

struct TopOptions {
  std::int64_t count = 1;
  std::vector<std::string> rows, columns;  ///< Their names; empty: their numbers.
};

/// A line for each row of the last axis, separated by tabs: record, the numbers of the leading axes but the last one
/// ("0" or "0,1"; "-" when there are none), the row, then the `count` largest columns, each followed by its value; of
/// equals the first. NaN is left out. Throws Error when there are fewer names than rows or columns; `where` begins the
/// message.
void write_top(const Array& record, std::int64_t index, const TopOptions& options, const std::string& where,
               const TextSink& sink);

}  // namespace pipeformer
