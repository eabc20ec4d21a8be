#include "io/temporary_file.hpp"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <mutex>
#include <string_view>
#include <utility>

#include "core/error.hpp"
#include "io/failure_record.hpp"
#include "io/read_files.hpp"

namespace pipeformer {
namespace {

constexpr std::string_view mark = ".tmp.pipeformer-";
constexpr std::size_t random_digits = 16;

/// Temporary files to unlink when a signal ends the process. Fixed storage: a signal handler may touch nothing else.
struct Slot {
  std::atomic<bool> taken{false};
  std::atomic<bool> live{false};
  char path[PATH_MAX] = {};
};
Slot slots[64];

void end(int signal) {
  unlink_temporaries();
  end_by_signal(signal);
}

int register_temporary(const std::string& path) {
  if (path.size() >= PATH_MAX) return -1;
  catch_ending_signals();
  for (int i = 0; i < static_cast<int>(std::size(slots)); ++i) {
    if (slots[i].taken.exchange(true)) continue;
    std::memcpy(slots[i].path, path.c_str(), path.size() + 1);
    slots[i].live = true;
    return i;
  }
  return -1;  // more open outputs than slots: those are still removed by their destructors
}

void unregister_temporary(int slot) {
  if (slot < 0) return;
  slots[slot].live = false;
  slots[slot].taken = false;
}

std::string random_suffix() {
  std::uint64_t number = 0;
  require(::getrandom(&number, sizeof number, 0) == sizeof number, "no random number for a temporary name");
  char digits[random_digits + 1];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(number));
  return cat(mark, digits);
}

/// "m.h5" of "m.h5.tmp.pipeformer-0123456789abcdef"; empty for every other name.
std::string output_of(const std::string& temporary) {
  const std::size_t suffix = mark.size() + random_digits;
  if (temporary.size() <= suffix) return "";
  const std::size_t at = temporary.size() - suffix;
  const bool ours = temporary.compare(at, mark.size(), mark) == 0 &&
                    temporary.find_first_not_of("0123456789abcdef", at + mark.size()) == std::string::npos;
  return ours ? temporary.substr(0, at) : "";
}

/// Whether other machines may write to the same files, whose locks this one may not see.
bool shared_by_machines(int fd) {
  constexpr unsigned kinds[] = {NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC,
                                AFS_SUPER_MAGIC,  AFS_FS_MAGIC,    CEPH_SUPER_MAGIC, CODA_SUPER_MAGIC,
                                FUSE_SUPER_MAGIC, V9FS_MAGIC,      0x0bd00bd0 /* Lustre */};
  struct statfs system {};
  return ::fstatfs(fd, &system) != 0 ||
         std::find(std::begin(kinds), std::end(kinds), static_cast<unsigned>(system.f_type)) != std::end(kinds);
}

/// Takes the lock of a file open for writing; false when another has it, or when locks mean nothing there.
bool lock(int fd) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  return !shared_by_machines(fd) && ::fcntl(fd, F_OFD_SETLK, &whole) == 0;
}

}  // namespace

void catch_ending_signals() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      struct sigaction now {};
      if (::sigaction(signal, nullptr, &now) != 0 || now.sa_handler != SIG_DFL) continue;  // nohup, a trainer
      struct sigaction ours {};
      ours.sa_handler = end;
      ours.sa_flags = SA_RESTART | SA_NODEFER;  // a record is written whole; a second signal ends that
      ::sigaction(signal, &ours, nullptr);
    }
  });
}

void unlink_temporaries() noexcept {
  for (Slot& slot : slots) {
    if (slot.live.load()) ::unlink(slot.path);
  }
  // Directories, inner ones first; of anything else nothing comes.
  for (int i = static_cast<int>(std::size(slots)); i-- > 0;) {
    if (slots[i].live.load()) ::rmdir(slots[i].path);
  }
}

TemporaryFile::TemporaryFile(const std::string& target, const std::string& name) : target_(target), name_(name) {
  for (int attempt = 0; fd_ < 0; ++attempt) {
    path_ = target + random_suffix();
    // Registered first, so that no signal finds a file that nobody knows.
    slot_ = register_temporary(path_);
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int problem = errno;
    if (fd_ >= 0) {
      lock(fd_);
      struct stat status {};
      note_made_file(fd_);
      if (::fstat(fd_, &status) == 0 && status.st_nlink > 0) break;
      ::close(std::exchange(fd_, -1));
      problem = EEXIST;  // another process clears away, and was quicker than the lock
    }
    unregister_temporary(slot_);
    require(problem != ENOENT, name_, ": cannot create: there is no such directory",
            name_ == target_ ? "" : cat(" for ", target_));
    require(problem == EEXIST && attempt < 100, name_, ": cannot create: ", std::strerror(problem));
  }
  struct stat old {};
  if (::stat(target_.c_str(), &old) == 0) (void)!::fchmod(fd_, old.st_mode & 07777);
}

TemporaryFile::~TemporaryFile() {
  if (fd_ < 0) return;
  ::unlink(path_.c_str());
  ::close(fd_);
  unregister_temporary(slot_);
}

/// The lock is held until the name is the final one: closing a copy brings out delayed errors all the same.
bool TemporaryFile::rename_by(int flags) {
  const int copy = ::dup(fd_);
  bool good = copy >= 0 && ::close(copy) == 0;
  if (good) {
    good = ::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, target_.c_str(), static_cast<unsigned>(flags)) == 0;
    // A file system may not know the flag; then a moment remains in which another's file is replaced.
    if (!good && errno == EINVAL && flags != 0) {
      if (::access(target_.c_str(), F_OK) == 0) return false;
      good = ::rename(path_.c_str(), target_.c_str()) == 0;
    }
  }
  if (!good && errno == EEXIST && flags != 0) return false;
  require(good, name_, ": cannot write: ", std::strerror(errno));
  ::close(std::exchange(fd_, -1));
  unregister_temporary(slot_);
  return true;
}

void TemporaryFile::rename() {
  rename_by(0);
}

bool TemporaryFile::rename_if_free() {
  return rename_by(RENAME_NOREPLACE);
}

TemporaryDirectory::TemporaryDirectory(const std::string& target) : target_(target) {
  namespace fs = std::filesystem;
  while (target_.size() > 1 && target_.ends_with('/')) target_.pop_back();
  std::error_code problem;
  const fs::file_status status = fs::symlink_status(target_, problem);
  const bool there = fs::exists(status), empty = there && fs::is_directory(status) && fs::is_empty(target_, problem);
  require(!problem || !there, target_, ": ", problem.message());
  require(!there || empty, target_, ": is there already, and is no empty directory: nothing is replaced");
  directory("");
}

TemporaryDirectory::~TemporaryDirectory() {
  for (std::size_t i = entries_.size(); i-- > 0;) {
    if (::unlink(entries_[i].path.c_str()) != 0) ::rmdir(entries_[i].path.c_str());
    unregister_temporary(entries_[i].slot);
  }
}

std::string TemporaryDirectory::file(const std::string& name) {
  std::string path = entries_.front().path + "/" + name;
  entries_.push_back({path, register_temporary(path)});
  return path;
}

std::string TemporaryDirectory::directory(const std::string& name) {
  std::string path = entries_.empty() ? target_ + random_suffix() : entries_.front().path + "/" + name;
  entries_.push_back({path, register_temporary(path)});
  require(::mkdir(path.c_str(), 0777) == 0, target_, ": cannot create: ", std::strerror(errno));
  return path;
}

void TemporaryDirectory::rename() {
  require(::rename(entries_.front().path.c_str(), target_.c_str()) == 0, target_,
          ": cannot write: ", std::strerror(errno));
  for (const Entry& entry : entries_) unregister_temporary(entry.slot);
  entries_.clear();
}

void remove_abandoned(const std::string& directory, const std::function<bool(const std::string& output)>& ours) {
  namespace fs = std::filesystem;
  std::error_code unreadable;
  for (const auto& entry : fs::directory_iterator(directory, unreadable)) {
    const std::string output = output_of(entry.path().filename().string());
    if (output.empty() || !ours(output)) continue;
    const int fd = ::open(entry.path().c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat status {};
    if (fd >= 0 && ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && lock(fd)) ::unlink(entry.path().c_str());
    if (fd >= 0) ::close(fd);
  }
}

}  // namespace pipeformer
