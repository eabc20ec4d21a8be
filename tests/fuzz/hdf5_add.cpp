// HDF5 files that a stream is added to, as `-o FILE.h5:GROUP` does: our reader looks at all of the file first, then the
// library writes into a copy of it. A damaged file is refused and stays as it was, or can be read afterwards.
#include <filesystem>
#include <fstream>
#include <vector>

#include "fuzz.hpp"
#include "io/stream.hpp"

using namespace pipeformer;

void fuzz(std::span<const std::byte> bytes) {
  const std::string path = cat("/dev/shm/pipeformer-fuzz-", ::getpid(), ".h5");
  std::ofstream(path, std::ios::binary) << test::text(bytes);
  const std::vector<float> row(6, 1.0f);
  bool added = false;
  try {
    const auto writer = RecordWriter::open(path + ":added/here", {});
    writer->write(DType::f4, {2, 3}, row.data());
    writer->write(DType::f4, {0, 3}, row.data());
    writer->close();
    added = true;
  } catch (const Error&) {
  }
  if (added) {
    const auto reader = RecordReader::open(path + ":added/here");
    Array record;
    std::size_t records = 0;
    while (reader->next(record)) ++records;
    if (records != 2) std::abort();
  } else {
    std::ifstream left(path, std::ios::binary);
    const std::string now(std::istreambuf_iterator<char>(left), {});
    if (now != test::text(bytes)) std::abort();
  }
  std::filesystem::remove(path);
}
