#include "io/output_file.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>

#include "core/error.hpp"
#include "core/visible.hpp"
#include "io/read_files.hpp"
#include "io/relay.hpp"

namespace pipeformer {
namespace {

constexpr std::size_t buffer_size = 256 << 10;

namespace fs = std::filesystem;

/// The kernel does not let a program follow a link that a stranger put into a directory such as /tmp; we, who read
/// links by ourselves, must not either.
void check_owner_of_link(const std::string& path, const fs::path& link) {
  const fs::path directory = link.has_parent_path() ? link.parent_path() : ".";
  struct stat at {};
  struct stat in {};
  if (::lstat(link.c_str(), &at) != 0 || ::stat(directory.c_str(), &in) != 0) return;
  const bool everyones = (in.st_mode & S_ISVTX) != 0 && (in.st_mode & S_IWOTH) != 0;
  require(!everyones || at.st_uid == ::geteuid() || at.st_uid == in.st_uid, path, ": cannot create: ", link.string(),
          " is a symbolic link of another user");
}

/// Where a path leads when it is a symbolic link, so that the link stays and its target is made or replaced.
std::string follow_links(const std::string& path) {
  constexpr int most = 40;  // as Linux
  fs::path target = path;
  std::error_code absent;
  for (int links = 0; fs::is_symlink(fs::symlink_status(target, absent)); ++links) {
    require(links < most, path, ": cannot create: too many symbolic links");
    check_owner_of_link(path, target);
    target = target.parent_path() / fs::read_symlink(target);
  }
  return target.string();
}

struct Descriptor {
  explicit Descriptor(int number) : fd(number) {}
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  const int fd;
};

/// Of an open file description, so that HDF5's own locks (flock) stay out of its way. Where the file system has none,
/// nobody waits.
void wait_for_lock(int fd) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  while (::fcntl(fd, F_OFD_SETLKW, &whole) != 0 && errno == EINTR) continue;
}

void copy_all(int from, int to, const std::string& name) {
  for (;;) {
    const ssize_t copied = ::sendfile(to, from, nullptr, std::size_t{1} << 30);
    if (copied == 0) return;
    require(copied > 0 || errno == EINTR, name, ": cannot write: ", std::strerror(errno));
  }
}

/// The places of all outputs that exist: path and group.
std::set<std::string>& claims() {
  static std::set<std::string> all;
  return all;
}

}  // namespace

std::string output_name(const std::string& path) {
  return path == "-" ? "(stdout)" : path;
}

bool is_terminal(int fd) {
  return ::isatty(fd) != 0 && (std::getenv("OMPI_COMM_WORLD_SIZE") == nullptr || ::tcgetpgrp(fd) >= 0);
}

bool is_special_file(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode);
}

OutputClaim::OutputClaim(const std::string& path, const std::string& group) {
  if (path != "-" && is_special_file(path)) return;
  std::error_code unknown;  // a path that cannot be resolved cannot be opened either, which is said there
  std::string place = path == "-" ? path : fs::weakly_canonical(fs::absolute(path), unknown).string();
  if (unknown) return;
  if (path != "-" && group.empty()) check_not_read(path);
  // Of two places one of which is in the other, one is the beginning of the other.
  place += '\0';
  for (const fs::path& part : fs::path(group).relative_path()) place += part.string() + '/';
  for (const std::string& other : claims()) {
    if (place.starts_with(other) || other.starts_with(place))
      throw UsageError(cat(output_name(path), " is already the place of another output: give each its own"));
  }
  claims().insert(place);
  place_ = place;
}

OutputClaim::~OutputClaim() {
  if (!place_.empty()) claims().erase(place_);
}

PendingFile::PendingFile(const std::string& path, const std::string& group)
    : path_(path), target_(follow_links(path)), claim_(target_, group), temporary_(target_, path) {}

void PendingFile::commit() {
  check_not_read(target_);  // an input may have been opened after this output
  temporary_.rename();
}

void PendingFile::commit_part(const std::function<void(const std::string& copy)>& add) {
  for (;;) {
    const Descriptor whole(::open(target_.c_str(), O_RDWR | O_CLOEXEC));
    if (whole.fd < 0 && errno == ENOENT) {
      if (temporary_.rename_if_free()) return;
      continue;
    }
    require(whole.fd >= 0, path_, ": cannot be added to: ", std::strerror(errno));
    wait_for_lock(whole.fd);
    struct stat locked {
    }, now{};
    require(::fstat(whole.fd, &locked) == 0, path_, ": cannot be added to: ", std::strerror(errno));
    if (::stat(target_.c_str(), &now) != 0 || now.st_ino != locked.st_ino || now.st_dev != locked.st_dev) continue;
    if (locked.st_size == 0) return commit();
    TemporaryFile copy(target_, path_);
    copy_all(whole.fd, copy.descriptor(), path_);
    add(copy.path());
    return copy.rename();
  }
}

OutputFile::OutputFile(const std::string& path, Content content) : path_(path) {
  if (content == Content::text) {
    const int number = relaying::number(this);
    if (relay() == Relay::away) {
      relayed_ = number;
      return;
    }
  }
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
  terminal_ = is_terminal(fd_);
  if (content == Content::binary && terminal_) {
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

void OutputFile::write(std::string_view text) {
  if (relayed_ >= 0) return relaying::text(relayed_, text);
  const std::string shown = terminal_ ? visible(text) : std::string();
  write(std::as_bytes(std::span(terminal_ ? std::string_view(shown) : text)));
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
      if (errno == EAGAIN) {  // who shares the pipe with us has made it non-blocking
        pollfd room{fd_, POLLOUT, 0};
        ::poll(&room, 1, -1);
        continue;
      }
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
  if (relayed_ >= 0) return;
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
