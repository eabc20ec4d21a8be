/// Buffered bytes from a file, a pipe or standard input. Small reads come from one buffer, large ones go straight from
/// the system into the caller's memory.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/array.hpp"

namespace pipeformer {

class ByteSource {
 public:
  /// Opens a path; "-" is standard input. Throws Error naming the path.
  explicit ByteSource(const std::string& path);
  /// These bytes, as a pipe gives them.
  explicit ByteSource(Buffer<std::byte> bytes);
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  /// Reads `size` bytes, fewer only at the end of the input. Returns how many; throws Error when the system fails.
  std::size_t read(void* to, std::size_t size);
  /// The next bytes without consuming them: at least `size` (at most 64 KiB) unless the input ends before.
  std::span<const std::byte> peek(std::size_t size);
  /// Consumes `size` bytes, fewer only at the end of the input, and returns how many. A long stretch of a regular file
  /// is not read.
  std::size_t skip(std::size_t size);
  /// Everything up to the end of the input.
  std::vector<std::byte> read_all();

  bool regular() const { return regular_; }
  /// Bytes from the beginning of the file (of a pipe: from where it was opened) to the next one.
  std::uint64_t position() const { return position_ - (end_ - begin_); }
  /// Bytes left in a regular file; nothing for pipes, whose end is not known.
  std::optional<std::uint64_t> remaining() const;

 private:
  std::size_t read_some(std::byte* to, std::size_t size);
  bool fill();  ///< Reads on into the empty buffer; false at the end of the input.
  int fd_ = -1;
  bool regular_ = false;
  Buffer<std::byte> buffer_;  ///< A page of it that is not read into takes no memory and no time.
  std::size_t begin_ = 0, end_ = 0;
  std::size_t fill_;            ///< How much to read at once into the buffer: little where much was skipped.
  std::uint64_t position_ = 0;  ///< Of the end of the buffer.
};

/// From now on reading a pipe throws Error, also in threads that wait for one already, for the rest of the process.
/// Called by a tool that has failed while another of its threads was reading on.
void stop_waiting_for_inputs();

/// "(stdin)" for "-", else the path: how messages name an input.
std::string input_name(const std::string& path);

}  // namespace pipeformer
