#include "view/labels.hpp"

#include <algorithm>
#include <cctype>

#include "core/error.hpp"
#include "core/selection.hpp"
#include "io/byte_source.hpp"
#include "text/utf8.hpp"

namespace pipeformer {

std::vector<std::string> read_tokens(const std::string& path, std::int64_t line) {
  const auto bytes = ByteSource(path).read_all();
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (std::int64_t skipped = 0; skipped < line && !text.empty(); ++skipped) {
    text.remove_prefix(std::min(text.size(), text.find('\n') == text.npos ? text.size() : text.find('\n') + 1));
  }
  require(!text.empty(), input_name(path), ": no line for record ", line);
  text = text.substr(0, text.find('\n'));
  std::vector<std::string> tokens;
  for (std::size_t begin = 0; (begin = text.find_first_not_of(" \t\r", begin)) != text.npos;) {
    const std::size_t end = std::min(text.size(), text.find_first_of(" \t\r", begin));
    tokens.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return tokens;
}

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

TapTitle tap_title(const std::string& name) {
  static const std::map<std::string, std::string> words{{"self_attn", "self-attention"},
                                                        {"cross_attn", "cross-attention"}};
  TapTitle title;
  for (const std::string& part : split(name, '/')) {
    const bool number = !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
      return std::isdigit(static_cast<unsigned char>(c)) != 0;
    });
    const auto found = words.find(part);
    const std::string word = number ? cat("layer ", part, ":") : found == words.end() ? part : found->second;
    if (number) title.layer = "layer " + part;
    title.whole += (title.whole.empty() ? "" : " ") + word;
  }
  return title;
}

TapAxes tap_axes(const std::string& name, const Shape& shape, const std::map<std::string, std::int64_t>& lengths) {
  const auto fits = [&](const std::string& stack, std::int64_t count) {
    const auto found = lengths.find(stack);
    return found != lengths.end() && found->second == count;
  };
  // A group of a training step may stand before the stack.
  const std::size_t at = std::min(name.find("encoder/"), name.find("decoder/"));
  std::string stack = at == std::string::npos ? "" : name.substr(0, at + 7);
  if (const std::string before = name.substr(0, name.rfind('/') + 1); stack.empty() && name == before + "logits")
    stack = before + (lengths.count(before + "decoder") > 0 ? "decoder" : "encoder");
  const bool cross = name.find("/cross_attn/") != std::string::npos && at != std::string::npos;
  const std::string keys = cross ? name.substr(0, at) + "encoder" : stack;
  const std::string rows = name.ends_with("/key") || name.ends_with("/value") ? keys : stack;
  TapAxes axes;
  if (fits(rows, shape[shape.size() - 2])) axes.rows = rows;
  if (!name.ends_with("/scores") && !name.ends_with("/weights")) return axes;
  axes.row_name = "query", axes.column_name = "key";
  if (fits(keys, shape.back())) axes.columns = keys;
  return axes;
}

std::map<std::string, std::vector<std::string>> stack_tokens(const Hdf5Listing& listing, std::int64_t record,
                                                             const PieceOf& piece) {
  std::map<std::string, std::vector<std::string>> tokens;
  for (const std::string& name : listing.paths()) {
    if (!name.ends_with("/ids")) continue;
    const auto reader = listing.open(name);
    Array ids = record_of(*reader, record);
    reader->expect_ids(ids);
    std::vector<std::string>& pieces = tokens[name.substr(0, name.rfind('/'))];
    for (const std::int32_t id : ids.values<std::int32_t>())
      pieces.push_back(replace_invalid_utf8(piece ? piece(id) : std::to_string(id)));
  }
  return tokens;
}

Array record_of(RecordReader& reader, std::int64_t index) {
  Array record;
  while (reader.count() <= index)
    require(reader.next(record), reader.name(), ": no record ", index, ", the stream ended after ", reader.count());
  return record;
}

}  // namespace pipeformer
