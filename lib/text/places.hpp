/// Where the ids of a line stand in it.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pipeformer {

/// Bytes [begin, end) of a line.
struct Place {
  std::size_t begin = 0, end = 0;
  bool operator==(const Place&) const = default;
};

/// Of a text that was made from a line: the place that each of its bytes comes from. Places rise with the text.
using Origins = std::vector<Place>;

/// A text as it is written anew, with its origins when somebody follows them.
class Rewriting {
 public:
  /// origins: those of the text, one for each of its bytes; null: nobody follows them.
  Rewriting(std::string& text, Origins* origins) : text_(text), origins_(origins) { out.reserve(text.size()); }
  /// What was appended to `out` since the last call comes from bytes [begin, end) of the text.
  void follow(std::size_t begin, std::size_t end) {
    if (origins_) followed_.resize(out.size(), place(begin, end));
  }
  void finish() {
    text_ = std::move(out);
    if (origins_) *origins_ = std::move(followed_);
  }

  std::string out;

 private:
  Place place(std::size_t begin, std::size_t end) const {
    const Origins& from = *origins_;
    if (begin < end) return {from[begin].begin, from[end - 1].end};
    const std::size_t at = begin < from.size() ? from[begin].begin : from.empty() ? 0 : from.back().end;
    return {at, at};
  }
  std::string& text_;
  Origins* origins_;
  Origins followed_;
};

}  // namespace pipeformer
