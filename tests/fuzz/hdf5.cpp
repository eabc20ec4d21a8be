// HDF5 files as `peek FILE.h5` reads them: attributes, the list of streams and datasets, and all their records.
#include "fuzz.hpp"
#include "io/stream.hpp"
#include "view/report.hpp"

using namespace pipeformer;

void fuzz(std::span<const std::byte> bytes) {
  const test::MemoryFile file(bytes);
  Array record;
  const auto read = [&](const auto& open) {
    try {
      const auto reader = open();
      while (reader->next(record)) {
      }
    } catch (const Error&) {
    }
  };
  read([&] { return RecordReader::open(file.path()); });
  const Hdf5Listing listing(file.path());
  listing.head();
  for (const std::string& path : listing.paths()) read([&] { return listing.open(path); });
}
