#include "io/output_file.hpp"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <set>

#include "core/error.hpp"

namespace pipeformer {
namespace {

constexpr std::size_t buffer_size = 256 << 10;
constexpr std::string_view kTemporary = ".tmp.";  ///< Between an output's name and the process that writes it.

/// Temporary files to unlink when a signal ends the process. Fixed storage: a signal handler may touch nothing else.
struct Slot {
  std::atomic<bool> taken{false};
  std::atomic<bool> live{false};
  char path[PATH_MAX] = {};
};
Slot slots[64];

void remove_temporaries(int signal) {
  for (Slot& slot : slots) {
    if (slot.live.load()) ::unlink(slot.path);
  }
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

/// Where a path leads when it is a symbolic link, so that the link stays and its target is replaced.
std::string follow_links(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISLNK(status.st_mode)) return path;
  char* real = ::realpath(path.c_str(), nullptr);
  if (real == nullptr) return path;
  std::string target = real;
  std::free(real);
  return target;
}

/// The places of all outputs that exist.
std::set<std::string>& claims() {
  static std::set<std::string> all;
  return all;
}

}  // namespace

void catch_ending_signals() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      struct sigaction now {};
      if (::sigaction(signal, nullptr, &now) != 0 || now.sa_handler != SIG_DFL) continue;  // nohup, a trainer
      struct sigaction ours {};
      ours.sa_handler = remove_temporaries;
      ours.sa_flags = SA_RESTART | SA_NODEFER;  // a record is written whole; a second signal ends that
      ::sigaction(signal, &ours, nullptr);
    }
  });
}

std::string output_name(const std::string& path) {
  return path == "-" ? "(stdout)" : path;
}

bool is_special_file(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode);
}

OutputClaim::OutputClaim(const std::string& path) {
  if (path != "-" && is_special_file(path)) return;
  std::error_code unknown;  // a path that cannot be resolved cannot be opened either, which is said there
  const std::string place =
      path == "-" ? path : std::filesystem::weakly_canonical(std::filesystem::absolute(path), unknown).string();
  if (unknown) return;
  if (!claims().insert(place).second)
    throw UsageError(cat(output_name(path), " is already the place of another output: give each its own"));
  place_ = place;
}

OutputClaim::~OutputClaim() {
  if (!place_.empty()) claims().erase(place_);
}

void remove_abandoned(const std::string& path) {
  namespace fs = std::filesystem;
  const fs::path target = follow_links(path);
  std::error_code unreadable;
  std::vector<fs::path> abandoned;
  for (const auto& entry : fs::directory_iterator(target.has_parent_path() ? target.parent_path() : ".", unreadable)) {
    const std::string name = entry.path().filename().string();
    const std::size_t at = name.rfind(kTemporary);
    if (at == std::string::npos || !name.starts_with(target.filename().string())) continue;
    pid_t process = 0;
    std::from_chars(name.data() + at + kTemporary.size(), name.data() + name.size(), process);
    if (process > 0 && ::kill(process, 0) != 0 && errno == ESRCH) abandoned.push_back(entry.path());
  }
  for (const fs::path& file : abandoned) fs::remove(file, unreadable);
}

PendingFile::PendingFile(const std::string& path) : claim_(path), path_(path), target_(follow_links(path)) {
  const std::string stem = cat(target_, kTemporary, ::getpid());
  for (int attempt = 0; fd_ < 0; ++attempt) {
    temporary_ = attempt == 0 ? stem : cat(stem, ".", attempt);
    // Registered first, so that no signal finds a file that nobody knows.
    slot_ = register_temporary(temporary_);
    fd_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ >= 0) break;
    const int problem = errno;
    unregister_temporary(slot_);
    require(problem != ENOENT, path_, ": cannot create: there is no such directory");
    require(problem == EEXIST && attempt < 100, path_, ": cannot create: ", std::strerror(problem));
  }
  struct stat old {};
  if (::stat(target_.c_str(), &old) == 0) (void)!::fchmod(fd_, old.st_mode & 07777);
}

PendingFile::~PendingFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
  unregister_temporary(slot_);
}

void PendingFile::commit() {
  const int closed = ::close(fd_);
  const int renamed = closed == 0 ? ::rename(temporary_.c_str(), target_.c_str()) : -1;
  const int problem = errno;
  fd_ = -1;
  if (renamed != 0) ::unlink(temporary_.c_str());
  unregister_temporary(slot_);
  require(renamed == 0, path_, ": cannot write: ", std::strerror(problem));
}

OutputFile::OutputFile(const std::string& path, Content content) : path_(path) {
  if (path == "-") {
    claim_.emplace(path);
    fd_ = STDOUT_FILENO;
  } else if (is_special_file(path)) {
    fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    require(fd_ >= 0, path, ": cannot open for writing: ", std::strerror(errno));
    own_ = true;
  } else {
    pending_ = std::make_unique<PendingFile>(path);
    fd_ = pending_->descriptor();
  }
  if (content == Content::binary && ::isatty(fd_)) {
    if (own_) ::close(fd_);
    throw UsageError(cat(output_name(path), ": binary data is not written to a terminal: give -o FILE or use a pipe"));
  }
#ifdef F_SETPIPE_SZ
  struct stat status {};
  if (::fstat(fd_, &status) == 0 && S_ISFIFO(status.st_mode)) ::fcntl(fd_, F_SETPIPE_SZ, 1 << 20);
#endif
  if (content == Content::binary) {
    pipe_ = RecordPipe(fd_);
  } else if (path == "-") {
    expect_records_on_standard_output(false);
  }
  buffer_.reserve(buffer_size);
}

OutputFile::~OutputFile() {
  try {
    if (fd_ >= 0 && pipe_.active()) {
      ::signal(SIGPIPE, SIG_IGN);  // nor may a reader that has gone keep it from being told
      flush();
    }
  } catch (const Error&) {  // the failure that brought us here is the one to tell
  }
  if (own_ && fd_ >= 0) ::close(fd_);
}

void OutputFile::write(std::span<const std::byte> bytes) {
  if (bytes.size() <= buffer_size - buffer_.size()) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  } else {
    write_out(bytes);
  }
}

void OutputFile::flush() {
  if (!buffer_.empty()) write_out({});
}

/// Writes the buffer and then `bytes`, in one system call when the system takes it all.
void OutputFile::write_out(std::span<const std::byte> bytes) {
  const auto undivided = whole();
  std::span<const std::byte> head(buffer_);
  while (!head.empty() || !bytes.empty()) {
    iovec parts[2] = {{const_cast<std::byte*>(head.data()), head.size()},
                      {const_cast<std::byte*>(bytes.data()), std::min<std::size_t>(bytes.size(), 1 << 30)}};
    const ssize_t written = ::writev(fd_, parts, 2);
    if (written < 0) {
      if (errno == EINTR) continue;
      buffer_.clear();
      throw Error(cat(output_name(path_), ": cannot write: ", std::strerror(errno)));
    }
    const std::size_t from_head = std::min(head.size(), static_cast<std::size_t>(written));
    head = head.subspan(from_head);
    bytes = bytes.subspan(static_cast<std::size_t>(written) - from_head);
  }
  buffer_.clear();
}

void OutputFile::close() {
  flush();
  pipe_.complete();
  if (pending_) {
    pending_->commit();
  } else {
    // Standard output stays open for its other users; closing a copy brings out delayed errors all the same.
    const int fd = own_ ? fd_ : ::dup(fd_);
    own_ = false;
    require(fd >= 0 && ::close(fd) == 0, output_name(path_), ": cannot write: ", std::strerror(errno));
  }
  fd_ = -1;
}

}  // namespace pipeformer
