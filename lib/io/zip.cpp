#include "io/zip.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <optional>

#include "core/error.hpp"
#include "core/shortened.hpp"

namespace pipeformer {
namespace {

// Signatures and sizes of the records without their names, extra fields and comments.
constexpr std::uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                        kLocator64 = 0x07064b50;
constexpr std::uint64_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22, kEnd64Size = 56, kLocatorSize = 20;
constexpr std::uint16_t kDeflated = 8;
constexpr std::uint64_t kMostDeflated = 1032;  // deflate makes at most so many bytes of one
constexpr std::uint32_t kIn64 = 0xffffffff;    // the value stands in the ZIP64 extra field

/// Little-endian numbers at places of a file that are looked at before.
class Bytes {
 public:
  explicit Bytes(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::uint64_t size() const { return bytes_.size(); }
  bool holds(std::uint64_t at, std::uint64_t size) const { return at <= bytes_.size() && size <= bytes_.size() - at; }
  std::uint16_t u16(std::uint64_t at) const { return get<std::uint16_t>(at); }
  std::uint32_t u32(std::uint64_t at) const { return get<std::uint32_t>(at); }
  std::uint64_t u64(std::uint64_t at) const { return get<std::uint64_t>(at); }
  std::string_view text(std::uint64_t at, std::uint64_t size) const {
    check(at, size);
    return {reinterpret_cast<const char*>(bytes_.data()) + at, size};
  }

 private:
  void check(std::uint64_t at, std::uint64_t size) const {
    require(holds(at, size), "truncated: a record of the archive at byte ", at, " goes beyond its end");
  }
  template <class T>
  T get(std::uint64_t at) const {
    check(at, sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + at, sizeof value);
    return value;
  }
  std::span<const std::byte> bytes_;
};

struct Directory {
  std::uint64_t begin = 0, end = 0, entries = 0;
};

/// The record at the end of an archive, before a comment of at most 64 KiB.
std::uint64_t find_end(const Bytes& file) {
  for (std::uint64_t comment = 0; comment <= 0xffff && file.holds(0, comment + kEndSize); ++comment) {
    const std::uint64_t at = file.size() - kEndSize - comment;
    if (file.u32(at) == kEnd && file.u16(at + 20) == comment) return at;
  }
  throw Error("truncated: the archive has no directory at its end");
}

Directory find_directory(const Bytes& file) {
  const std::uint64_t end = find_end(file);
  std::uint64_t limit = end, size = file.u32(end + 12);
  Directory directory;
  directory.begin = file.u32(end + 16);
  directory.entries = file.u16(end + 10);
  bool whole = file.u16(end + 4) == 0 && file.u16(end + 6) == 0 && file.u16(end + 8) == directory.entries;
  if (end >= kLocatorSize && file.u32(end - kLocatorSize) == kLocator64) {
    limit = file.u64(end - kLocatorSize + 8);
    require(limit <= end - kLocatorSize && end - kLocatorSize - limit >= kEnd64Size && file.u32(limit) == kEnd64,
            "the archive's ZIP64 record is not where it should be");
    directory.entries = file.u64(limit + 32);
    size = file.u64(limit + 40);
    directory.begin = file.u64(limit + 48);
    whole = file.u32(limit + 16) == 0 && file.u32(limit + 20) == 0 && file.u64(limit + 24) == directory.entries;
  }
  require(whole, "an archive in several parts");
  require(directory.begin <= limit && size == limit - directory.begin, "the archive's directory of ", size,
          " bytes at byte ", directory.begin, " does not end where it should, at byte ", limit);
  directory.end = limit;
  return directory;
}

/// Takes the next of the 8-byte values of an entry's ZIP64 extra field when `value` says that it stands there.
class Extra64 {
 public:
  Extra64(const Bytes& file, std::uint64_t begin, std::uint64_t size) : file_(file) {
    for (std::uint64_t at = begin; at + 4 <= begin + size;) {
      const std::uint64_t length = file.u16(at + 2);
      require(at + 4 + length <= begin + size, "an extra field goes beyond its end");
      if (file.u16(at) == 1) at_ = at + 4, end_ = at + 4 + length;
      at += 4 + length;
    }
  }
  std::uint64_t resolve(std::uint32_t value) {
    if (value != kIn64) return value;
    require(at_ + 8 <= end_, "a ZIP64 field is missing");
    at_ += 8;
    return file_.u64(at_ - 8);
  }

 private:
  const Bytes& file_;
  std::uint64_t at_ = 0, end_ = 0;
};

/// What an entry takes in the file: its local header and its bytes.
struct Extent {
  std::uint64_t begin = 0, end = 0;
};

/// Reads the directory's entry at `at` and finds its bytes.
ZipEntry read_entry(const Bytes& file, std::uint64_t at, std::string_view name, std::uint64_t directory,
                    ZipMethods methods, Extent& extent) {
  Extra64 extra(file, at + kCentralSize + name.size(), file.u16(at + 30));
  ZipEntry entry{std::string(name)};
  entry.unpacked = extra.resolve(file.u32(at + 24));
  entry.size = extra.resolve(file.u32(at + 20));
  entry.checksum = file.u32(at + 16);
  const std::uint64_t local = extra.resolve(file.u32(at + 42));
  const std::uint16_t flags = file.u16(at + 8), method = file.u16(at + 10);
  require((flags & 0x2041) == 0, "it is encrypted");
  entry.deflated = method == kDeflated && methods == ZipMethods::stored_and_deflated;
  require(entry.deflated || (method == 0 && entry.size == entry.unpacked), "it is compressed (method ", method, ")");
  // A few bytes must not become an allocation without bound.
  require(!entry.deflated || entry.unpacked / kMostDeflated <= entry.size, "its ", entry.size,
          " bytes cannot be inflated to ", entry.unpacked);
  require(local < directory && file.holds(local, kLocalSize) && file.u32(local) == kLocal,
          "its header is not where the directory says, at byte ", local);
  require(file.text(local + kLocalSize, file.u16(local + 26)) == name && file.u16(local + 8) == method,
          "its header and the directory disagree");
  entry.offset = local + kLocalSize + file.u16(local + 26) + file.u16(local + 28);
  require(entry.offset <= directory && entry.size <= directory - entry.offset, "its ", entry.size, " bytes at byte ",
          entry.offset, " go beyond the entries' end, at byte ", directory);
  extent = {local, entry.offset + entry.size};
  return entry;
}

/// Fills `to`, of the size that was promised. zlib counts in 32 bits.
void inflate_raw(std::span<const std::byte> from, std::span<std::byte> to) {
  constexpr std::size_t kMost = 1 << 30;
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(from.data()));
  stream.next_out = reinterpret_cast<Bytef*>(to.data());
  std::size_t read = 0, written = 0;
  int state = Z_OK;
  while (state == Z_OK) {
    const std::size_t in = std::min(kMost, from.size() - read), out = std::min(kMost, to.size() - written);
    stream.avail_in = static_cast<uInt>(in);
    stream.avail_out = static_cast<uInt>(out);
    state = inflate(&stream, Z_NO_FLUSH);
    read += in - stream.avail_in;
    written += out - stream.avail_out;
  }
  inflateEnd(&stream);
  require(state == Z_STREAM_END && written == to.size(), "it cannot be inflated");
}

}  // namespace

Buffer<std::byte> read_zip_entry(std::span<const std::byte> archive, const ZipEntry& entry) {
  const auto packed = archive.subspan(entry.offset, entry.size);
  Buffer<std::byte> bytes;
  if (entry.deflated) {
    bytes.resize(entry.unpacked);
    inflate_raw(packed, bytes);
  } else {
    bytes.assign(packed.begin(), packed.end());
  }
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION  // a fuzzer cannot guess checksums
  require(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()) == entry.checksum,
          "it is damaged: its checksum is another");
#endif
  return bytes;
}

bool looks_like_zip(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && Bytes(bytes).u32(0) == kLocal;
}

std::vector<ZipEntry> read_zip_directory(std::span<const std::byte> archive, ZipMethods methods) {
  const Bytes file(archive);
  const Directory directory = find_directory(file);
  std::vector<ZipEntry> entries;
  std::vector<Extent> extents;
  std::vector<std::string_view> names;
  std::uint64_t at = directory.begin;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    require(directory.end - at >= kCentralSize && file.u32(at) == kCentral, "the archive's directory has ", i, " of ",
            directory.entries, " entries");
    const std::uint64_t name_size = file.u16(at + 28);
    const std::uint64_t size = kCentralSize + name_size + file.u16(at + 30) + file.u16(at + 32);
    require(size <= directory.end - at, "an entry of the archive's directory goes beyond its end");
    const std::string_view name = file.text(at + kCentralSize, name_size);
    try {
      entries.push_back(read_entry(file, at, name, directory.begin, methods, extents.emplace_back()));
    } catch (const Error& error) {
      throw Error(cat("entry '", shortened(name), "' of the archive: ", error.what()));
    }
    names.push_back(name);
    at += size;
  }
  require(at == directory.end, "the archive's directory has more than its ", directory.entries, " entries");
  std::ranges::sort(names);
  const auto twin = std::ranges::adjacent_find(names);
  if (twin != names.end()) throw Error(cat("entry '", shortened(*twin), "' stands twice in the archive"));
  std::ranges::sort(extents, {}, &Extent::begin);
  for (std::size_t i = 1; i < extents.size(); ++i)
    require(extents[i - 1].end <= extents[i].begin, "two entries of the archive overlap at byte ", extents[i].begin);
  return entries;
}

}  // namespace pipeformer
