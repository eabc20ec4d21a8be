// NPY streams: every record is read, or passed over; what was read is written and read again to the same record.
#include "io/npy.hpp"

#include "fuzz.hpp"
#include "io/stream.hpp"

using namespace pipeformer;

void fuzz(std::span<const std::byte> bytes) {
  const test::MemoryFile file(bytes);
  const auto passing = RecordReader::open(file.path());
  RecordLocation place;
  try {
    while (passing->locate(place)) {
    }
  } catch (const Error&) {
  }
  const auto reader = RecordReader::open(file.path());
  Array record, again;
  while (reader->next(record)) {
    std::string copy = npy_header(record.dtype, record.shape);
    copy.append(reinterpret_cast<const char*>(record.bytes.data()), record.bytes.size());
    const test::MemoryFile written(std::as_bytes(std::span(copy)));
    ByteSource source(written.path());
    if (!read_npy(source, again) || again.dtype != record.dtype || again.shape != record.shape ||
        test::text(std::as_bytes(std::span(again.bytes))) != test::text(std::as_bytes(std::span(record.bytes))))
      std::abort();
  }
}
