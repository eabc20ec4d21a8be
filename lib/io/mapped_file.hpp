/// A file mapped into memory, read-only and shared: pages are read when they are touched, and the processes of a
/// pipeline that map the same model share them.
///
/// The file must not be cut short meanwhile (`cp new.h5 model.h5` does that; renaming a new file over the old one does
/// not): touching a page that is gone ends the process with one line on standard error that names the file, exit status
/// 1, and no temporary file left.
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
  int descriptor() const { return fd_; }  ///< Open for reading, owned here.

 private:
  int fd_ = -1;
  std::span<const std::byte> bytes_;
  int slot_ = -1;
};

}  // namespace pipeformer
