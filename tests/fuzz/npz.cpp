// NPZ archives: every array is read, stored or inflated.
#include "io/npz.hpp"

#include "fuzz.hpp"

using namespace pipeformer;

void fuzz(std::span<const std::byte> bytes) {
  const test::MemoryFile file(bytes);
  const auto reader = RecordReader::open(file.path());
  Array record;
  while (reader->next(record)) {
  }
}
