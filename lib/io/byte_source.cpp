#include "io/byte_source.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/error.hpp"
#include "io/read_files.hpp"

namespace pipeformer {
namespace {
constexpr std::size_t buffer_size = 256 << 10;
constexpr std::size_t smallest_fill = 4 << 10;   // after a stretch that was passed over
constexpr std::size_t shortest_seek = 64 << 10;  // below, reading on is cheaper
constexpr std::size_t largest_read = 1 << 30;    // Linux moves at most 2 GiB at once

/// Becomes readable when nobody is to wait any more.
int stop_event() {
  static const int event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return event;
}

void wait_for_input(int fd) {
  pollfd both[] = {{fd, POLLIN, 0}, {stop_event(), POLLIN, 0}};
  while (::poll(both, 2, -1) < 0 && errno == EINTR) continue;
  require(both[1].revents == 0, "reading was stopped");
}
}  // namespace

void stop_waiting_for_inputs() {
  const std::uint64_t one = 1;
  (void)!::write(stop_event(), &one, sizeof one);
}

std::string input_name(const std::string& path) {
  return path == "-" ? "(stdin)" : path;
}

ByteSource::ByteSource(const std::string& path) : buffer_(buffer_size), fill_(buffer_size) {
  fd_ = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  require(fd_ >= 0, input_name(path), ": cannot open: ", std::strerror(errno));
  struct stat status {};
  const bool known = ::fstat(fd_, &status) == 0;
  if (!known || S_ISDIR(status.st_mode)) {
    const std::string problem = known ? "is a directory" : std::strerror(errno);
    if (fd_ != STDIN_FILENO) ::close(fd_);
    throw Error(cat(input_name(path), ": cannot open: ", problem));
  }
  regular_ = S_ISREG(status.st_mode);
  note_read_file(fd_);
  if (const off_t at = regular_ ? ::lseek(fd_, 0, SEEK_CUR) : 0; at > 0) position_ = static_cast<std::uint64_t>(at);
#ifdef F_SETPIPE_SZ
  if (S_ISFIFO(status.st_mode))
    ::fcntl(fd_, F_SETPIPE_SZ, 1 << 20);  // fewer switches between processes; may be refused
#endif
}

ByteSource::ByteSource(Buffer<std::byte> bytes)
    : buffer_(std::move(bytes)), end_(buffer_.size()), fill_(0), position_(end_) {}

ByteSource::~ByteSource() {
  if (fd_ > STDIN_FILENO) ::close(fd_);
}

std::size_t ByteSource::read_some(std::byte* to, std::size_t size) {
  if (fd_ < 0) return 0;  // all bytes are in the buffer
  if (!regular_) wait_for_input(fd_);
  for (;;) {
    const ssize_t got = ::read(fd_, to, std::min(size, largest_read));
    if (got >= 0) {
      position_ += static_cast<std::uint64_t>(got);
      return static_cast<std::size_t>(got);
    }
    if (errno == EAGAIN) {  // another reader of the same pipe has made it non-blocking
      wait_for_input(fd_);
      continue;
    }
    require(errno == EINTR, "cannot read: ", std::strerror(errno));
  }
}

bool ByteSource::fill() {
  begin_ = 0;
  end_ = read_some(buffer_.data(), fill_);
  fill_ = std::min(buffer_.size(), 2 * fill_);
  return end_ > 0;
}

std::size_t ByteSource::read(void* to, std::size_t size) {
  auto* out = static_cast<std::byte*>(to);
  std::size_t done = 0;
  while (done < size) {
    if (begin_ < end_) {
      const std::size_t n = std::min(size - done, end_ - begin_);
      std::memcpy(out + done, buffer_.data() + begin_, n);
      begin_ += n;
      done += n;
    } else if (size - done >= buffer_.size()) {
      const std::size_t n = read_some(out + done, size - done);
      if (n == 0) break;
      done += n;
    } else {
      if (!fill()) break;
    }
  }
  return done;
}

std::span<const std::byte> ByteSource::peek(std::size_t size) {
  if (end_ - begin_ < size) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    while (end_ < size) {
      const std::size_t n = read_some(buffer_.data() + end_, buffer_.size() - end_);
      if (n == 0) break;
      end_ += n;
    }
  }
  return {buffer_.data() + begin_, end_ - begin_};
}

std::size_t ByteSource::skip(std::size_t size) {
  std::size_t done = std::min(size, end_ - begin_);
  begin_ += done;
  if (const auto left = size - done >= shortest_seek ? remaining() : std::nullopt) {
    const auto ahead = static_cast<std::size_t>(std::min<std::uint64_t>(*left, size - done));
    require(::lseek(fd_, static_cast<off_t>(ahead), SEEK_CUR) >= 0, "cannot seek: ", std::strerror(errno));
    position_ += ahead;
    fill_ = smallest_fill;
    return done + ahead;
  }
  while (done < size && fill()) {
    begin_ = std::min(size - done, end_);
    done += begin_;
  }
  return done;
}

std::vector<std::byte> ByteSource::read_all() {
  std::vector<std::byte> all(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_),
                             buffer_.begin() + static_cast<std::ptrdiff_t>(end_));
  begin_ = end_ = 0;
  std::size_t size = all.size();
  if (const auto left = remaining()) all.reserve(size + static_cast<std::size_t>(*left) + 1);
  for (;;) {
    all.resize(std::max({all.capacity(), size + buffer_size, size * 3 / 2}));
    const std::size_t n = read(all.data() + size, all.size() - size);
    size += n;
    if (size < all.size()) break;
  }
  all.resize(size);
  return all;
}

std::optional<std::uint64_t> ByteSource::remaining() const {
  struct stat status {};
  if (!regular_ || ::fstat(fd_, &status) != 0) return std::nullopt;
  const off_t at = ::lseek(fd_, 0, SEEK_CUR);
  if (at < 0 || status.st_size < at) return std::nullopt;
  return static_cast<std::uint64_t>(status.st_size - at) + (end_ - begin_);
}

}  // namespace pipeformer
