/// Failure records: how a stage of a pipeline that fails makes every later stage fail.
///
/// A tool that ends by an error or a signal (interrupt, termination, hang-up) while records of its go into a pipe
/// writes, after the last whole record,
///
///     the byte 0xFF, "FAILED ", the length of the message in bytes (decimal), "\n", the message, "\n"
///
/// which no reader of NPY, HDF5 or pickles takes for data: numpy.load throws. Our readers throw UpstreamFailure with
/// the message, and their tool passes the record on. Text and regular files carry none; nor does a stage leave one that
/// is killed by SIGKILL, or whose reader has gone.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.hpp"
#include "io/byte_source.hpp"

namespace pipeformer {

/// An earlier stage of the pipeline has failed. what() is its message ("tokenize: bad.src: line 501: ..."), to be
/// repeated and passed on as it is.
class UpstreamFailure : public Error {
 public:
  using Error::Error;
};

constexpr std::size_t failure_mark_size = 8;

/// The bytes; of a long message the beginning, so that one write to a pipe takes them whole.
std::string failure_record(const std::string& message);

/// True when bytes begin as a failure record does.
bool looks_like_failure(std::span<const std::byte>);

/// The message of a failure record of which failure_mark_size bytes have been read.
std::string read_failure(ByteSource&);

/// Turns failure records on for this process, which runs one tool of this name; without it outputs only end early.
void enable_failure_records(const std::string& tool);

/// Whether standard output, when it is a pipe, is to carry records; what fails before it is opened is told there too.
void expect_records_on_standard_output(bool expected);

/// Writes a failure record to each pipe that carries records and is not complete. The tool ends then.
void write_failure_records(const std::string& message);

/// An output that carries records, when it is a pipe and failure records are on; else nothing.
class RecordPipe {
 public:
  RecordPipe() = default;       ///< Nothing.
  explicit RecordPipe(int fd);  ///< The pipe stays open until it is complete or has got its failure record.
  RecordPipe(const RecordPipe&) = delete;
  RecordPipe& operator=(RecordPipe&& other) noexcept {
    std::swap(slot_, other.slot_);
    return *this;
  }

  bool active() const { return slot_ >= 0; }
  void complete();  ///< All is written.

  /// While it lives a signal does not end the process: a record is written whole, then the process ends. May be nested.
  class Writing {
   public:
    explicit Writing(RecordPipe&);
    ~Writing();
    Writing(const Writing&) = delete;
    Writing& operator=(const Writing&) = delete;

   private:
    int slot_;
  };

 private:
  int slot_ = -1;
};

/// Whether this thread is in the middle of a record, so that write_failure_records would wait for ever.
bool writing_record() noexcept;

/// The end of a handler of `signal`: failure records are written and the process ends by the signal; or, when this
/// thread is writing a record, it returns, and that happens after the record. A second signal ends the process at once.
void end_by_signal(int signal) noexcept;

}  // namespace pipeformer
