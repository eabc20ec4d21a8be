/// What the fuzz targets share. Each is one source with `fuzz(bytes)`: whatever the bytes, it may end in an Error;
/// anything else that is thrown, a sanitizer's finding, more than 2 GB or more than 10 s for one input is a defect.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "core/threads.hpp"

namespace pipeformer::test {

/// A regular file that lives in memory, for readers that want a path.
class MemoryFile {
 public:
  explicit MemoryFile(std::span<const std::byte> bytes) : fd_(::memfd_create("input", 0)) {
    if (fd_ < 0) std::abort();
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t n = ::write(fd_, bytes.data() + done, bytes.size() - done);
      if (n <= 0) std::abort();
      done += static_cast<std::size_t>(n);
    }
    ::lseek(fd_, 0, SEEK_SET);
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return cat("/proc/self/fd/", fd_); }

 private:
  int fd_;
};

/// A directory of files, in memory. The bytes hold them one after another, each behind a line "==== NAME".
class MemoryFolder {
 public:
  explicit MemoryFolder(std::span<const std::byte> bytes) : path_(cat("/dev/shm/pipeformer-fuzz-", ::getpid())) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directory(path_);
    const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size()), mark = "==== ";
    for (std::size_t at = all.starts_with(mark) ? 0 : std::string_view::npos; at != std::string_view::npos;) {
      const std::size_t line = std::min(all.find('\n', at), all.size()), begin = std::min(line + 1, all.size());
      const std::string name(all.substr(at + mark.size(), line - at - mark.size()));
      const std::size_t next = all.find("\n==== ", line);
      const bool plain = !name.empty() && name.size() < 100 && name.front() != '.' && name.find('/') == name.npos &&
                         name.find('\0') == name.npos;
      const std::size_t end = std::max(begin, std::min(next, all.size()));
      if (plain) std::ofstream(path_ + "/" + name, std::ios::binary) << all.substr(begin, end - begin);
      at = next == std::string_view::npos ? next : next + 1;
    }
  }
  ~MemoryFolder() { std::filesystem::remove_all(path_); }
  MemoryFolder(const MemoryFolder&) = delete;
  MemoryFolder& operator=(const MemoryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string_view text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace pipeformer::test

/// The target itself.
void fuzz(std::span<const std::byte> bytes);

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  pipeformer::set_thread_count(1);  // so that an input does the same each time
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    fuzz(std::as_bytes(std::span(data, size)));
  } catch (const pipeformer::Error&) {  // what a damaged file should end in
  }
  return 0;
}
