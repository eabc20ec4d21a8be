#include "text/hf/patterns.hpp"

#include "core/error.hpp"
#include "text/utf8.hpp"

namespace pipeformer::hf {
namespace {

std::string expression_of(const Json& value, std::string& literal) {
  JsonObject object(value);
  const auto text = object.maybe_text("String");
  if (text) {
    literal = *text;
    object.finish();
    return escape_regex(*text);
  }
  std::string expression = object.text("Regex");
  object.finish();
  return expression;
}

}  // namespace

Pattern::Pattern(const Json& value, const std::string& where)
    : regex_(value.is_string() ? escape_regex(literal_ = value.string()) : expression_of(value, literal_), where) {}

Pattern Pattern::regex(std::string_view expression, const std::string& where) {
  return Pattern(Regex(expression, where));
}

bool Pattern::search(std::string_view text, std::size_t from, std::size_t last_end, std::size_t& begin,
                     std::size_t& end) const {
  if (!literal_.empty()) {
    begin = text.find(literal_, from);
    end = begin + literal_.size();
    return begin != std::string_view::npos;
  }
  while (from <= text.size() && regex_.search(text, from, begin, end)) {
    if (begin < end || begin != last_end) return true;
    if (begin == text.size()) return false;
    from = begin + utf8_step(text, begin).length;
  }
  return false;
}

void Pattern::split(std::string_view text, std::vector<Part>& parts) const {
  parts.clear();
  std::size_t done = 0, begin = 0, end = 0, from = 0, last_end = std::string_view::npos;
  while (search(text, from, last_end, begin, end)) {
    if (begin > done) parts.push_back({done, begin, false});
    parts.push_back({begin, end, true});
    done = last_end = from = end;
    if (begin == end) {
      if (end == text.size()) break;
      from = end + utf8_step(text, end).length;
    }
  }
  if (done < text.size()) parts.push_back({done, text.size(), false});
}

std::string Pattern::replace_all(std::string_view text, std::string_view by) const {
  thread_local std::vector<Part> parts;
  std::string out;
  if (text.empty()) return out;
  split(text, parts);
  out.reserve(text.size());
  for (const Part& part : parts) out += part.match ? by : text.substr(part.begin, part.end - part.begin);
  return out;
}

}  // namespace pipeformer::hf
