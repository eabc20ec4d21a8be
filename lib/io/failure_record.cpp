#include "io/failure_record.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <ctime>

#include "io/output_file.hpp"

namespace pipeformer {
namespace {

constexpr std::string_view mark =
    "\xff"
    "FAILED ";
static_assert(mark.size() == failure_mark_size);
constexpr std::size_t longest_message = 3000;  // a pipe takes 4096 bytes at once or none

/// A pipe that carries records. Fixed storage: a signal handler may touch nothing else.
struct Slot {
  enum State { free, reserved, idle, writing, marking, marked };
  std::atomic<int> state{free};
  int fd = -1;
};
std::array<Slot, 32> slots;  // the first is standard output's

struct EndingSignal {
  int number;
  const char* name;
  std::string record;
};
EndingSignal ending_signals[] = {{SIGINT, "SIGINT", {}}, {SIGTERM, "SIGTERM", {}}, {SIGHUP, "SIGHUP", {}}};
std::atomic<bool> enabled{false};
std::atomic<int> ending{0};  ///< The signal that ends this process.
thread_local bool in_record = false;

bool is_pipe(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 &&
         (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) || (::isatty(fd) != 0 && !is_terminal(fd)));
}

bool change(Slot& slot, int from, int to) {
  return slot.state.compare_exchange_strong(from, to);
}

/// Nobody may be left to read it: then it is for nobody.
void write_record(int fd, std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
    } else if (n < 0 && errno == EAGAIN) {
      pollfd room{fd, POLLOUT, 0};
      ::poll(&room, 1, -1);
    } else if (n == 0 || errno != EINTR) {
      return;
    }
  }
}

/// Waits for the threads that are in the middle of a record.
void mark_all(std::string_view record) noexcept {
  ::signal(SIGPIPE, SIG_IGN);
  for (Slot& slot : slots) {
    for (;;) {
      const int state = slot.state.load();
      if (state != Slot::idle && state != Slot::writing && state != Slot::marking) break;
      if (change(slot, Slot::idle, Slot::marking)) {
        write_record(slot.fd, record);
        slot.state = Slot::marked;
      } else {
        const timespec millisecond{0, 1000000};
        ::nanosleep(&millisecond, nullptr);
      }
    }
  }
}

void end_now(int signal) noexcept {
  for (const EndingSignal& s : ending_signals)
    if (s.number == signal) mark_all(s.record);
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

}  // namespace

std::string failure_record(const std::string& message) {
  const std::string part = message.substr(0, longest_message);
  return cat(mark, part.size(), "\n", part, "\n");
}

bool looks_like_failure(std::span<const std::byte> bytes) {
  return bytes.size() >= mark.size() && std::memcmp(bytes.data(), mark.data(), mark.size()) == 0;
}

std::string read_failure(ByteSource& source) {
  std::string length;
  for (char c = 0; length.size() < 8 && source.read(&c, 1) == 1 && c != '\n';) length += c;
  std::size_t size = 0;
  std::from_chars(length.data(), length.data() + length.size(), size);
  std::string message(std::min(size, longest_message), '\0');
  message.resize(source.read(message.data(), message.size()));
  return message.empty() ? "an earlier stage failed" : message;
}

void enable_failure_records(const std::string& tool) {
  for (EndingSignal& signal : ending_signals) signal.record = failure_record(cat(tool, ": ended by ", signal.name));
  enabled = true;
}

void expect_records_on_standard_output(bool expected) {
  Slot& slot = slots.front();
  if (!expected) {
    change(slot, Slot::idle, Slot::free);
  } else if (is_pipe(STDOUT_FILENO) && change(slot, Slot::free, Slot::reserved)) {
    slot.fd = STDOUT_FILENO;
    slot.state = Slot::idle;
  }
}

void write_failure_records(const std::string& message) {
  if (enabled) mark_all(failure_record(message));
}

RecordPipe::RecordPipe(int fd) {
  if (!enabled || !is_pipe(fd)) return;
  if (fd == STDOUT_FILENO) {
    expect_records_on_standard_output(true);
    slot_ = 0;
    return;
  }
  for (std::size_t i = 1; i < slots.size() && slot_ < 0; ++i) {
    if (!change(slots[i], Slot::free, Slot::reserved)) continue;
    slots[i].fd = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);  // the output may be destroyed before the failure is told
    slots[i].state = Slot::idle;
    slot_ = static_cast<int>(i);
  }
}

void RecordPipe::complete() {
  if (slot_ < 0) return;
  Slot& slot = slots[static_cast<std::size_t>(slot_)];
  if (change(slot, Slot::idle, Slot::reserved)) {
    if (slot_ > 0) ::close(slot.fd);
    slot.state = Slot::free;
  }
  slot_ = -1;
}

RecordPipe::Writing::Writing(RecordPipe& pipe) : slot_(in_record ? -1 : pipe.slot_) {
  if (slot_ < 0) return;
  in_record = true;
  // A slot that a handler has marked is the end: no record may follow, and the process is about to go.
  while (!change(slots[static_cast<std::size_t>(slot_)], Slot::idle, Slot::writing)) ::pause();
}

RecordPipe::Writing::~Writing() {
  if (slot_ < 0) return;
  slots[static_cast<std::size_t>(slot_)].state = Slot::idle;
  in_record = false;
  if (const int signal = ending.load()) end_now(signal);
}

bool writing_record() noexcept {
  return in_record;
}

void end_by_signal(int signal) noexcept {
  if (ending.exchange(signal) == 0) {
    if (!in_record) end_now(signal);
    return;
  }
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

}  // namespace pipeformer
