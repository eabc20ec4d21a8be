/// Errors. Thrown anywhere in the library, caught once, in cli::run_tool, which turns them into one line on
/// standard error ("attend: k.npy: record 17: key width 64 does not match query width 512") and an exit status.
#pragma once
#include <cstddef>
#include <cstdint>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>

namespace pipeformer {

/// Data, files or a computation are wrong: exit status 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The command line is wrong: exit status 2, and a pointer to --help.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// An allocation that failed, and its size. Who knows which record it was for says so (lib/io, for_batches).
class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::size_t bytes) : what_("out of memory for " + std::to_string(bytes) + " bytes") {}
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string what_;
};

/// An Error about one row of a batch. Who computes does not know the files; who reads them (for_batches,
/// lib/cli/batch_loop.hpp) turns the row into "ids.npy: record 3: ...".
class RowError : public Error {
 public:
  RowError(std::int64_t row, const std::string& what) : Error(what), row_(row) {}
  std::int64_t row() const { return row_; }

 private:
  std::int64_t row_;
};

/// Joins its arguments into one text, so that messages can carry both sizes of a mismatch: cat("width ", a, " is not ",
/// b).
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  (out << ... << parts);
  return out.str();
}

/// Throws Error with cat(parts...) unless the condition holds. The parts are made in any case: where texts would be
/// made for each record, `if (...) throw Error(cat(...))` stands instead.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) throw Error(cat(parts...));
}

}  // namespace pipeformer
