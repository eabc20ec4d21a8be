/// The files that this process has read, so that no output takes the place of one: a model given to --tap-file, or a
/// text to --log, would be gone.
///
/// Of a process that keeps watch, as a tool does: a program that uses the library may read a file, and then write it.
#pragma once
#include <string>

namespace pipeformer {

/// From now on files that are read are noted.
void watch_read_files();
/// Notes an open file that is being read. Only regular files count, and none that this process has made.
void note_read_file(int fd);
void note_read_file(const std::string& path);
/// Notes one that this process has made, open still.
void note_made_file(int fd);
/// Throws UsageError naming `path` when it leads to a file that was read.
void check_not_read(const std::string& path);
/// Lets the file be replaced: for -o that names an input, and outputs that go on with what is there (a checkpoint).
void let_replace(const std::string& path);

}  // namespace pipeformer
