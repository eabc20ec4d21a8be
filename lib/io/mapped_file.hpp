/// A file mapped into memory, read-only and shared: pages are read when they are touched, and the processes of a
/// pipeline that map the same model share them.
#pragma once
#include <cstddef>
#include <span>
#include <string>

namespace pipeformer {

class MappedFile {
 public:
  /// Maps a whole regular file; throws Error naming it. An empty file is an empty span. The mapping begins on a page
  /// boundary.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace pipeformer
