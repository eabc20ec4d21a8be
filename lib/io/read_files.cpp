#include "io/read_files.hpp"

#include <sys/stat.h>

#include <mutex>
#include <set>
#include <utility>

#include "core/error.hpp"

namespace pipeformer {
namespace {

using FileNumber = std::pair<dev_t, ino_t>;

struct Seen {
  bool watched = false;
  std::mutex lock;
  std::set<FileNumber> read, free;  ///< `free`: may be replaced all the same.

  void note(const struct stat& status) {
    const std::lock_guard guard(lock);
    if (watched && S_ISREG(status.st_mode)) read.emplace(status.st_dev, status.st_ino);
  }
};

Seen& seen() {
  static Seen files;
  return files;
}

}  // namespace

void watch_read_files() {
  const std::lock_guard guard(seen().lock);
  seen().watched = true;
}

void note_read_file(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) == 0) seen().note(status);
}

void note_read_file(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) seen().note(status);
}

void note_made_file(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return;
  const std::lock_guard guard(seen().lock);
  seen().free.emplace(status.st_dev, status.st_ino);
}

void check_not_read(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return;
  const FileNumber file(status.st_dev, status.st_ino);
  const std::lock_guard guard(seen().lock);
  if (seen().read.contains(file) && !seen().free.contains(file))
    throw UsageError(cat(path, ": is read by this run, which would replace it: give the output another name"));
}

void let_replace(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return;
  const std::lock_guard guard(seen().lock);
  seen().free.emplace(status.st_dev, status.st_ino);
}

}  // namespace pipeformer
