#include "ops/weight.hpp"

#include <unistd.h>

#include "core/array.hpp"

namespace pipeformer {
namespace {

/// Whether all of it could be read.
bool read_at(int file, std::int64_t offset, std::int64_t size, std::byte* to) {
  while (size > 0) {
    const ssize_t got = ::pread(file, to, static_cast<std::size_t>(size), offset);
    if (got <= 0) return false;
    to += got;
    offset += got;
    size -= got;
  }
  return true;
}

}  // namespace

const std::byte* rows_once(const WeightView& w, std::int64_t first, std::int64_t count) {
  if (w.file < 0) return w.row(first);
  thread_local Buffer<std::byte> memory;
  const std::int64_t each = row_bytes(w.type, w.columns), size = count * each;
  std::byte* to = at_least(memory, size);
  // What cannot be read is touched: a mapping says what is wrong with its file.
  return read_at(w.file, w.offset + first * each, size, to) ? to : w.row(first);
}

}  // namespace pipeformer
