/// Files under a temporary name beside the one that they will get: complete, they are renamed; when something fails, or
/// a signal (interrupt, termination, hang-up) ends the process, they are removed.
///
/// Their name is the output's, then ".tmp.pipeformer-" and 16 random hexadecimal digits, and their writer holds a lock
/// on them (an open file description's: fcntl(2), F_OFD_SETLK) that ends with the process whatever ends it. So a file
/// of such a name that nobody has locked was left by a writer that was killed, in whatever container it ran.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace pipeformer {

class TemporaryFile {
 public:
  /// Creates an empty file beside `target`, the path that it is to have, with the permissions of the file that is there
  /// now. Throws Error beginning with `name`.
  TemporaryFile(const std::string& target, const std::string& name);
  ~TemporaryFile();  ///< Removes it unless it was renamed.
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& path() const { return path_; }
  int descriptor() const { return fd_; }  ///< Open for reading and writing, owned here.
  /// Gives it the path `target`, in place of what may be there. Throws Error when that, or bringing out what was
  /// written, fails.
  void rename();
  /// The same, but false (and it keeps its name) when something is at `target`.
  bool rename_if_free();

 private:
  bool rename_by(int flags);
  std::string target_, name_, path_;
  int fd_ = -1;
  int slot_ = -1;
};

/// A directory under a temporary name, for several files that appear together.
class TemporaryDirectory {
 public:
  /// Creates it beside `target`, the path that it is to have. Throws Error beginning with `target` when something other
  /// than an empty directory is there, or it cannot be created.
  explicit TemporaryDirectory(const std::string& target);
  ~TemporaryDirectory();  ///< Removes it, with the files that file() named, unless it was renamed.
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  /// The path of a file to be made in it, or of a directory, which is made.
  std::string file(const std::string& name);
  std::string directory(const std::string& name);
  /// Gives it the path `target`. Throws Error when that fails.
  void rename();

 private:
  struct Entry {
    std::string path;
    int slot;
  };
  std::string target_;
  std::vector<Entry> entries_;  ///< The directory itself first.
};

/// Removes what killed writers left in a directory of the outputs that `ours` accepts, by their names there. What may
/// still be written stays, so does everything on a network's file system, where a lock may not be seen.
void remove_abandoned(const std::string& directory, const std::function<bool(const std::string& output)>& ours);

/// From now on an ending signal (SIGINT, SIGTERM, SIGHUP) that is not ignored first removes the temporary files and
/// tells the pipes (end_by_signal).
void catch_ending_signals();

/// Unlinks all temporary files of this process: for signal handlers, after which it ends.
void unlink_temporaries() noexcept;

}  // namespace pipeformer
