#include "view/page.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"
#include "text/hf/base64.hpp"
#include "text/utf8.hpp"
#include "view/labels.hpp"
#include "view/page_template.hpp"
#include "view/svg.hpp"

namespace pipeformer {
namespace {

static_assert(std::endian::native == std::endian::little, "the page reads little-endian numbers");

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

}  // namespace

std::string draw_page(const std::string& file, const PageOptions& options) {
  const auto listing = list_hdf5(file);
  require(listing.has_value(), file, ": a page shows a whole HDF5 file, as --tap-file writes it");
  std::vector<std::string> names = listing->paths(), tokens, taps;
  std::sort(names.begin(), names.end(), natural_before);
  std::map<std::string, std::int64_t> lengths;
  for (const auto& [stack, pieces] : stack_tokens(*listing, options.record, options.piece)) {
    std::vector<std::string> quoted;
    for (const std::string& piece : pieces) quoted.push_back(json_string(piece));
    lengths[stack] = std::ssize(pieces);
    tokens.push_back(cat(json_string(stack), ": [", joined(quoted), ']'));
  }
  require(!options.piece || !tokens.empty(), file, ": --tokenizer has nothing to name: there are no ids");
  std::int64_t elements = 0, first = -1;  // what is shown first: weights, or scores where there are none
  bool weights = false;
  for (const std::string& name : names) {
    if (name.ends_with("/ids")) continue;
    const auto reader = listing->open(name);
    Array record = record_of(*reader, options.record);
    require(record.rank() >= 2, reader->where(), ": shape ", shape_text(record.shape), " is no matrix");
    reader->expect_floats(record);
    require((elements += record.size()) <= kPageElements, reader->where(), ": the page would hold more than ",
            kPageElements, " numbers: let --tap choose fewer intermediates");
    const TapAxes axes = tap_axes(name, record.shape, lengths);
    if (!axes.columns.empty() && (first < 0 || (!weights && name.ends_with("/weights")))) {
      first = std::ssize(taps);
      weights = name.ends_with("/weights");
    }
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
