// HDF5 files as `peek FILE.h5` reads them: attributes, the list of streams and datasets, and all their records.
#include "fuzz.hpp"
#include "io/stream.hpp"
#include "view/report.hpp"

using namespace pipeformer;

void fuzz(std::span<const std::byte> bytes) {
  const test::MemoryFile file(bytes);
  Array record;
  const auto read = [&](const std::string& address) {
    try {
      const auto reader = RecordReader::open(address);
      while (reader->next(record)) {
      }
    } catch (const Error&) {
    }
  };
  read(file.path());
  if (!lists_hdf5(file.path())) return;
  hdf5_attribute_lines(file.path());
  for (const std::string& address : hdf5_addresses(file.path())) read(address);
}
