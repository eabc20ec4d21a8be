/// A page that shows the intermediates of one record: every layer and head, in a browser, without a network. Numbers
/// are in it as they are in the file (float32). The same input gives the same bytes.
#pragma once
#include <functional>
#include <string>

#include "core/array.hpp"
#include "view/report.hpp"

namespace pipeformer {

struct PageOptions {
  std::string title;                                       ///< Nothing: the file's name.
  std::int64_t record = 0;                                 ///< Which of each stream.
  std::function<std::string(std::int32_t id)> piece = {};  ///< What ids are called; nothing: their numbers.
};

/// The HTML of a file of taps (models/tap_writer.hpp): streams of matrices (..., rows, columns), and the ids of each
/// stack ("encoder/ids"), which name rows and, of attention, columns. Throws Error naming the stream for one without
/// that record or of rank below 2, for a file without any, and for more than kPageElements numbers.
std::string draw_page(const std::string& file, const PageOptions&);

constexpr std::int64_t kPageElements = std::int64_t{1} << 24;

}  // namespace pipeformer
