/// Lines of text from a file or standard input, read in large blocks.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/byte_source.hpp"

namespace pipeformer {

/// Lines end at LF; a last line without one is a line; CR is kept; an empty file has no lines. Bytes pass as they are.
class TextLines {
 public:
  /// Opens a file, "-" for standard input; throws Error naming it.
  explicit TextLines(const std::string& path) : TextLines(path, std::make_unique<ByteSource>(path)) {}
  /// The same for a file that is open already, of which nothing was consumed.
  TextLines(const std::string& path, std::unique_ptr<ByteSource> source)
      : source_(std::move(source)), name_(input_name(path)) {}

  /// The next line without its LF, valid until the next call; false at the end.
  bool next(std::string_view& line);

  /// The next bytes without consuming them, before the first line is read: as ByteSource::peek.
  std::span<const std::byte> peek(std::size_t size) { return source_->peek(size); }

  std::int64_t count() const { return count_; }      ///< Lines read so far.
  const std::string& name() const { return name_; }  ///< "(stdin)" for "-".

 private:
  std::span<const std::byte> block();  ///< What the source has at hand; empty at the end. Errors name file and line.
  std::unique_ptr<ByteSource> source_;
  std::string name_;
  std::string line_;
  std::size_t consumed_ = 0;  ///< Bytes of the source's buffer that the last line still shows.
  std::int64_t count_ = 0;
};

/// All lines at once.
std::vector<std::string> read_text_lines(const std::string& path);

}  // namespace pipeformer
