/// Relayed outputs: what one process writes comes out of another one, which runs the same tool with the same options.
/// Outputs are numbered as they are opened, so that the same one has the same number in both. Records
/// (RecordWriter::open) and text (OutputFile) are relayed, with the counts that belong to them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace pipeformer {

class OutputFile;
class RecordReader;
class RecordWriter;

enum class Relay {
  none,
  away,  ///< Outputs are not created; what is written is kept for another process. Inputs open when they are read.
  here,  ///< Outputs are numbered, and can write what other processes wrote.
};
/// Before anything is opened.
void set_relay(Relay);
Relay relay();

/// In a process that relays away: all that was written since the last call, by one thread at a time.
std::vector<std::byte> take_relayed();
/// Where outputs are: writes what take_relayed() gave. The outputs must still be there.
void write_relayed(std::span<const std::byte>);

/// What only lib/io calls, when an output opens.
namespace relaying {
int number(RecordWriter* writer);  ///< The number of an output that opens; where it may be found (null: nowhere).
int number(OutputFile* file);
std::unique_ptr<RecordWriter> writer(const std::string& name);
void text(int number, std::string_view text);
std::unique_ptr<RecordReader> reader(const std::string& address);  ///< That opens the address when it is read.
}  // namespace relaying

/// A number that grows with what is written, over all processes: sentences, tokens.
class RelayedCount {
 public:
  RelayedCount();
  RelayedCount(const RelayedCount&) = delete;
  RelayedCount& operator=(const RelayedCount&) = delete;
  void add(std::int64_t n);
  std::int64_t value() const { return value_; }

 private:
  friend void write_relayed(std::span<const std::byte>);
  int number_;
  std::int64_t value_ = 0;
};

}  // namespace pipeformer
