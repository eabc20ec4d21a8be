/// What sections call a pattern ({"String": ...} or {"Regex": ...}): a text or a regular expression, and all its
/// matches in a text.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "text/hf/json_object.hpp"
#include "text/hf/regex.hpp"

namespace pipeformer::hf {

/// A part of a text, from byte `begin` to before `end`, that matched or lies between matches.
struct Part {
  std::size_t begin, end;
  bool match;
};

class Pattern {
 public:
  Pattern(const Json& value, const std::string& where);
  /// From a regular expression in Oniguruma's syntax.
  static Pattern regex(std::string_view expression, const std::string& where);

  /// The next match at or after `from`; an empty one never directly after the match that ended at `last_end`.
  bool search(std::string_view text, std::size_t from, std::size_t last_end, std::size_t& begin,
              std::size_t& end) const;
  /// The whole text as matches and what lies between them; empty matches too.
  void split(std::string_view text, std::vector<Part>& parts) const;
  std::string replace_all(std::string_view text, std::string_view by) const;

 private:
  explicit Pattern(Regex regex) : regex_(std::move(regex)) {}
  std::string literal_;  // When not empty, instead of the expression.
  Regex regex_;
};

}  // namespace pipeformer::hf
