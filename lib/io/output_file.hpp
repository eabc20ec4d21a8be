/// Output files that are complete or absent: written under a temporary name in the same directory, renamed when closed
/// (io/temporary_file.hpp).
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/failure_record.hpp"
#include "io/temporary_file.hpp"

namespace pipeformer {

/// "(stdout)" for "-", else the path: how messages name an output.
std::string output_name(const std::string& path);

/// Whether somebody may be looking. Open MPI gives its processes a terminal of its own making as standard output, from
/// which it reads what they write: that is a pipe.
bool is_terminal(int fd);

/// True when a path exists and is no regular file (a FIFO, a device, a terminal): such outputs are written directly.
bool is_special_file(const std::string& path);

/// The right to write to a path or to standard output, held while an output exists: two outputs of one tool in one
/// place would replace or mix each other. Different groups of one HDF5 file are different places. Special files
/// (/dev/null, a FIFO) are free for all.
class OutputClaim {
 public:
  /// `group` "" is the whole file. Throws UsageError when the place, or one inside or around it, is taken, or when a
  /// whole file was read by this process (io/read_files.hpp).
  explicit OutputClaim(const std::string& path, const std::string& group = "");
  ~OutputClaim();
  OutputClaim(const OutputClaim&) = delete;
  OutputClaim& operator=(const OutputClaim&) = delete;

 private:
  std::string place_;  ///< Empty: nothing is claimed.
};

/// An output file on its way, for writers that need a path (HDF5); OutputFile is for all others. A symbolic link is
/// followed and stays, whether or not there is something where it leads, except one that a stranger has put into a
/// directory that everyone may write to; the permissions of a file that is replaced are kept.
class PendingFile {
 public:
  /// Creates the (empty) temporary file. `group`: what will be written is that group of the file; "" is all of it.
  /// Throws Error when it cannot be created.
  explicit PendingFile(const std::string& path, const std::string& group = "");

  const std::string& target() const { return target_; }  ///< The path, or where it leads when it is a symbolic link.
  const std::string& temporary() const { return temporary_.path(); }
  int descriptor() const { return temporary_.descriptor(); }  ///< Open for writing, owned here.
  /// Closes and renames. Throws Error when either fails.
  void commit();
  /// The same for a part of a file. When there is a file already, `add` is given the path of a copy of it, puts into it
  /// what temporary() holds, and the copy is renamed. Programs that add to one file at the same time wait for each
  /// other here, so that nothing is lost.
  void commit_part(const std::function<void(const std::string& copy)>& add);

 private:
  std::string path_, target_;
  OutputClaim claim_;
  TemporaryFile temporary_;
};

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

  /// Small pieces are buffered, large ones go out at once together with what is buffered. A pipe that takes nothing now
  /// is waited for, also when it does not block. Throws Error (disk full).
  void write(std::span<const std::byte> bytes);
  /// Text on a terminal: with what a terminal would act on made visible (core/visible.hpp), for it may come from files.
  void write(std::string_view text);
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
  RecordPipe pipe_;   ///< Of binary content.
  int relayed_ = -1;  ///< Of text that another process writes: its number there (io/relay.hpp).
  int fd_ = -1;
  bool own_ = false;
  bool terminal_ = false;
};

}  // namespace pipeformer
