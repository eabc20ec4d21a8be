#include "view/page.hpp"

#include <algorithm>
#include <bit>
#include <cctype>
#include <map>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"
#include "text/hf/base64.hpp"
#include "text/utf8.hpp"
#include "view/page_template.hpp"
#include "view/svg.hpp"

namespace pipeformer {
namespace {

static_assert(std::endian::native == std::endian::little, "the page reads little-endian numbers");

/// Layer 2 before layer 10.
bool natural_before(std::string_view a, std::string_view b) {
  const auto digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  for (std::size_t i = 0, j = 0;;) {
    if (i == a.size() || j == b.size()) return i == a.size() && j < b.size();
    if (digit(a[i]) && digit(b[j])) {
      const auto number = [&](std::string_view text, std::size_t& at) {
        while (at + 1 < text.size() && text[at] == '0' && digit(text[at + 1])) ++at;
        const std::size_t begin = at;
        while (at < text.size() && digit(text[at])) ++at;
        return text.substr(begin, at - begin);
      };
      const std::string_view x = number(a, i), y = number(b, j);
      if (x != y) return x.size() != y.size() ? x.size() < y.size() : x < y;
    } else {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
    }
  }
}

Array record_of(RecordReader& reader, std::int64_t index) {
  Array record;
  while (reader.count() <= index)
    require(reader.next(record), reader.name(), ": no record ", index, ", the stream ended after ", reader.count());
  return record;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

std::string colors(std::string (*color)(double), double from) {
  std::vector<std::string> list;
  constexpr int kSteps = 64;
  for (int i = 0; i <= kSteps; ++i) list.push_back(json_string(color(from + (1 - from) * i / kSteps)));
  return cat('[', joined(list), ']');
}

/// What rows and columns of a stream are: the stacks whose ids name them, empty for none, and a word for each.
struct Axes {
  std::string rows, columns, row_name = "row", column_name = "column";
};

Axes axes_of(const std::string& name, const Shape& shape, const std::map<std::string, std::int64_t>& lengths) {
  const auto fits = [&](const std::string& stack, std::int64_t count) {
    const auto found = lengths.find(stack);
    return found != lengths.end() && found->second == count;
  };
  // A group of a training step may stand before the stack.
  const std::size_t at = std::min(name.find("encoder/"), name.find("decoder/"));
  const std::string stack = at == std::string::npos ? "" : name.substr(0, at + 7);
  const bool cross = name.find("/cross_attn/") != std::string::npos && at != std::string::npos;
  const std::string keys = cross ? name.substr(0, at) + "encoder" : stack;
  const std::string rows = name.ends_with("/key") || name.ends_with("/value") ? keys : stack;
  Axes axes;
  if (fits(rows, shape[shape.size() - 2])) axes.rows = rows;
  if (!name.ends_with("/scores") && !name.ends_with("/weights")) return axes;
  axes.row_name = "query", axes.column_name = "key";
  if (fits(keys, shape.back())) axes.columns = keys;
  return axes;
}

}  // namespace

std::string draw_page(const std::string& file, const PageOptions& options) {
  const auto listing = list_hdf5(file);
  require(listing.has_value(), file, ": a page shows a whole HDF5 file, as --tap-file writes it");
  std::vector<std::string> names = listing->paths(), tokens, taps;
  std::sort(names.begin(), names.end(), natural_before);
  std::map<std::string, std::int64_t> lengths;
  for (const std::string& name : names) {
    if (!name.ends_with("/ids")) continue;
    const auto reader = listing->open(name);
    Array ids = record_of(*reader, options.record);
    reader->expect_ids(ids);
    std::vector<std::string> pieces;
    for (const std::int32_t id : ids.values<std::int32_t>())
      pieces.push_back(json_string(replace_invalid_utf8(options.piece ? options.piece(id) : std::to_string(id))));
    const std::string stack = name.substr(0, name.rfind('/'));
    lengths[stack] = std::ssize(pieces);
    tokens.push_back(cat(json_string(stack), ": [", joined(pieces), ']'));
  }
  std::int64_t elements = 0, first = -1;
  for (const std::string& name : names) {
    if (name.ends_with("/ids")) continue;
    const auto reader = listing->open(name);
    Array record = record_of(*reader, options.record);
    require(record.rank() >= 2, reader->where(), ": shape ", shape_text(record.shape), " is no matrix");
    reader->expect_floats(record);
    require((elements += record.size()) <= kPageElements, reader->where(), ": the page would hold more than ",
            kPageElements, " numbers: let --tap choose fewer intermediates");
    const Axes axes = axes_of(name, record.shape, lengths);
    if (first < 0 && !axes.columns.empty()) first = std::ssize(taps);
    std::vector<std::string> shape;
    for (const std::int64_t n : record.shape) shape.push_back(std::to_string(n));
    const std::string_view bytes(reinterpret_cast<const char*>(record.bytes.data()), record.bytes.size());
    taps.push_back(cat(R"({"name": )", json_string(name), R"(, "shape": [)", joined(shape), R"(], "rows": )",
                       json_string(axes.rows), R"(, "columns": )", json_string(axes.columns), R"(, "row_name": )",
                       json_string(axes.row_name), R"(, "column_name": )", json_string(axes.column_name),
                       R"(, "values": ")", hf::to_base64(bytes), "\"}"));
  }
  require(!taps.empty(), file, ": holds no intermediates");
  const std::string title = options.title.empty() ? cat(file, ", record ", options.record) : options.title;
  std::string data =
      cat(R"({"title": )", json_string(replace_invalid_utf8(title)), R"(, "first": )", std::max<std::int64_t>(first, 0),
          R"(, "sequential": )", colors(sequential_color, 0), R"(, "diverging": )", colors(diverging_color, -1),
          R"(, "tokens": {)", joined(tokens), R"(}, "taps": [)", joined(taps), "]}");
  // A token may say "</script>": in JSON '<' can be written otherwise.
  std::string safe;
  for (const char c : data) c == '<' ? safe += "\\u003c" : safe += c;
  constexpr std::string_view page = kPageTemplate, mark = "/*DATA*/";
  const std::size_t at = page.find(mark);
  return cat(page.substr(0, at), safe, page.substr(at + mark.size()));
}

}  // namespace pipeformer
