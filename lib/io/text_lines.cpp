#include "io/text_lines.hpp"

#include <cstring>
#include <utility>

#include "core/error.hpp"

namespace pipeformer {

std::span<const std::byte> TextLines::block() {
  try {
    return source_->peek(1);
  } catch (const Error& error) {
    throw Error(cat(name_, ": line ", count_ + 1, ": ", error.what()));
  }
}

bool TextLines::next(std::string_view& line) {
  source_->skip(std::exchange(consumed_, 0));
  line_.clear();
  for (;;) {
    const auto bytes = block();
    if (bytes.empty()) {
      if (line_.empty()) return false;
      break;
    }
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    const auto* end = static_cast<const char*>(std::memchr(text, '\n', bytes.size()));
    if (end != nullptr) {
      const std::string_view part(text, static_cast<std::size_t>(end - text));
      if (line_.empty()) {  // the usual case: a whole line inside the buffer, shown where it is
        line = part;
        consumed_ = part.size() + 1;
        ++count_;
        return true;
      }
      line_ += part;
      source_->skip(part.size() + 1);
      break;
    }
    line_.append(text, bytes.size());
    source_->skip(bytes.size());
  }
  line = line_;
  ++count_;
  return true;
}

std::vector<std::string> read_text_lines(const std::string& path) {
  TextLines lines(path);
  std::vector<std::string> all;
  for (std::string_view line; lines.next(line);) all.emplace_back(line);
  return all;
}

}  // namespace pipeformer
