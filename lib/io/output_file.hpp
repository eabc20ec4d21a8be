/// Output files that are complete or absent: written under a temporary name in the same directory, renamed when closed,
/// removed when something fails or a signal (interrupt, termination, hang-up) ends the process.
#pragma once
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/failure_record.hpp"

namespace pipeformer {

/// "(stdout)" for "-", else the path: how messages name an output.
std::string output_name(const std::string& path);

/// True when a path exists and is no regular file (a FIFO, a device, a terminal): such outputs are written directly.
bool is_special_file(const std::string& path);

/// The right to write to a path or to standard output, held while an output exists: two outputs of one tool in one
/// place would replace or mix each other. Special files (/dev/null, a FIFO) are free for all.
class OutputClaim {
 public:
  explicit OutputClaim(const std::string& path);  ///< Throws UsageError when the place is taken.
  ~OutputClaim();
  OutputClaim(const OutputClaim&) = delete;
  OutputClaim& operator=(const OutputClaim&) = delete;

 private:
  std::string place_;  ///< Empty: nothing is claimed.
};

/// The temporary name of an output file, for writers that need a path (HDF5). A symbolic link is followed; the
/// permissions of a file that is replaced are kept. Creates the (empty) temporary file; throws Error when it cannot.
class PendingFile {
 public:
  explicit PendingFile(const std::string& path);
  ~PendingFile();  ///< Removes the temporary file unless it was committed.
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;

  const std::string& temporary() const { return temporary_; }
  int descriptor() const { return fd_; }  ///< Open for writing, owned here.
  /// Closes and renames. Throws Error when either fails.
  void commit();

 private:
  OutputClaim claim_;
  std::string path_, target_, temporary_;
  int fd_ = -1;
  int slot_ = -1;
};

/// Removes the temporary files of PATH, and of outputs whose names begin with PATH, that killed processes of this
/// machine left. What cannot be removed stays.
void remove_abandoned(const std::string& path);

/// From now on an ending signal (SIGINT, SIGTERM, SIGHUP) that is not ignored first removes the temporary files and
/// tells the pipes (end_by_signal).
void catch_ending_signals();

enum class Content { text, binary };

/// A buffered output: a file (by way of PendingFile), a special file, or standard output ("-").
class OutputFile {
 public:
  /// Throws Error when it cannot be created, UsageError when binary content would go to a terminal.
  OutputFile(const std::string& path, Content content);
  /// Unclosed: a regular file is not created; a pipe gets what is buffered, and a failure record when the tool ends.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  /// Small pieces are buffered, large ones go out at once together with what is buffered. Throws Error (disk full).
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  void flush();
  /// While it lives a signal finds either all or nothing of what is written to a pipe.
  RecordPipe::Writing whole() { return RecordPipe::Writing(pipe_); }
  /// Flushes, closes, renames; must be called for the output to count. Throws Error when any of it fails.
  void close();

 private:
  void write_out(std::span<const std::byte> bytes);
  std::string path_;
  std::optional<OutputClaim> claim_;  ///< Of standard output.
  std::vector<std::byte> buffer_;
  std::unique_ptr<PendingFile> pending_;
  RecordPipe pipe_;  ///< Of binary content.
  int fd_ = -1;
  bool own_ = false;
};

}  // namespace pipeformer
