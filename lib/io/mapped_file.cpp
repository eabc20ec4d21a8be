#include "io/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <mutex>

#include "core/error.hpp"
#include "io/failure_record.hpp"
#include "io/read_files.hpp"
#include "io/temporary_file.hpp"

namespace pipeformer {
namespace {

/// The mappings that a fault may lie in. Fixed storage: a signal handler may touch nothing else.
struct Slot {
  std::atomic<bool> taken{false};
  std::atomic<std::uintptr_t> begin{0}, end{0};  ///< Both 0: not in use.
  char name[512] = {};
};
Slot slots[64];
struct sigaction earlier {};

/// A page of a mapped file that is not there any more. Nothing can be computed without it, nor an exception thrown from
/// here: the process ends as after an Error. This thread was reading the mapping, nothing of the system's, so that more
/// may be called here than in other handlers.
void end_by_missing_page(int signal, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (const Slot& slot : slots) {
    if (address < slot.begin || address >= slot.end) continue;
    static std::atomic_flag told;  // threads that fault together are one end, with one message
    while (told.test_and_set()) ::pause();
    unlink_temporaries();
    const std::string message = cat(program_invocation_short_name, ": ", slot.name,
                                    ": cannot be read any more: it was cut short while in use (a file is replaced by "
                                    "renaming), or the disk fails");
    (void)!::write(STDERR_FILENO, (message + "\n").data(), message.size() + 1);
    if (!writing_record()) write_failure_records(message);
    ::_exit(1);
  }
  ::sigaction(signal, &earlier, nullptr);  // not ours: it happens again, and goes its way
}

void install_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction ours {};
    ours.sa_sigaction = end_by_missing_page;
    ours.sa_flags = SA_SIGINFO;
    ::sigaction(SIGBUS, &ours, &earlier);
  });
}

/// Of more mappings than slots, the others end their process without a message.
int register_mapping(const std::string& path, const void* start, std::size_t size) {
  install_handler();
  for (int i = 0; i < static_cast<int>(std::size(slots)); ++i) {
    Slot& slot = slots[i];
    if (slot.taken.exchange(true)) continue;
    std::transform(path.begin(),
                   path.begin() + static_cast<std::ptrdiff_t>(std::min(path.size(), sizeof slot.name - 1)), slot.name,
                   [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c; });
    slot.begin = reinterpret_cast<std::uintptr_t>(start);
    slot.end = slot.begin + size;
    return i;
  }
  return -1;
}

void unregister_mapping(int slot) {
  if (slot < 0) return;
  slots[slot].end = 0;
  slots[slot].begin = 0;
  std::fill(std::begin(slots[slot].name), std::end(slots[slot].name), '\0');
  slots[slot].taken = false;
}

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  require(fd_ >= 0, path, ": cannot open: ", std::strerror(errno));
  struct stat status {};
  const bool regular = ::fstat(fd_, &status) == 0 && S_ISREG(status.st_mode);
  const auto size = static_cast<std::size_t>(status.st_size);
  void* start = regular && size > 0 ? ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd_, 0) : nullptr;
  const std::string problem = !regular ? "not a regular file" : start == MAP_FAILED ? std::strerror(errno) : "";
  note_read_file(fd_);
  if (!problem.empty()) {
    ::close(fd_);
    throw Error(cat(path, ": cannot map: ", problem));
  }
  if (start == nullptr) return;
  bytes_ = {static_cast<const std::byte*>(start), size};
  slot_ = register_mapping(path, start, size);
}

MappedFile::~MappedFile() {
  unregister_mapping(slot_);
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  ::close(fd_);
}

}  // namespace pipeformer
