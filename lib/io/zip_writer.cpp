#include "io/zip_writer.hpp"

#include <zlib.h>

#include <algorithm>
#include <concepts>
#include <new>

#include "core/error.hpp"

namespace pipeformer {
namespace {

constexpr std::uint32_t kIs64 = 0xffffffff;  // the value stands in the ZIP64 extra field
constexpr std::uint16_t kUtf8 = 0x0800, kFirstOf1980 = 0x0021, kVersion = 20, kVersion64 = 45, kUnix = 3 << 8;
constexpr std::uint32_t kReadable = 0100644u << 16;  // a file that all may read

/// Little-endian numbers, one after another.
template <std::unsigned_integral... T>
std::string little(T... values) {
  std::string bytes;
  const auto append = [&](auto value) {
    for (std::size_t i = 0; i < sizeof value; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  };
  (append(values), ...);
  return bytes;
}
std::uint16_t u16(std::uint64_t x) {
  return static_cast<std::uint16_t>(x);
}
std::uint32_t u32(std::uint64_t x) {
  return static_cast<std::uint32_t>(x);
}

bool is_large(std::uint64_t size) {
  return size >= kIs64;
}

/// The parts as one raw stream of deflate.
std::string deflated(const std::vector<std::span<const std::byte>>& parts) {
  constexpr std::size_t kMost = 1 << 30;  // zlib counts in 32 bits
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  std::string bytes;
  std::vector<char> piece(1 << 18);
  const auto run = [&](int flush) {
    int state = Z_OK;
    do {
      stream.next_out = reinterpret_cast<Bytef*>(piece.data());
      stream.avail_out = static_cast<uInt>(piece.size());
      state = deflate(&stream, flush);
      bytes.append(piece.data(), piece.size() - stream.avail_out);
    } while (flush == Z_FINISH ? state != Z_STREAM_END : stream.avail_in > 0);
  };
  for (const auto& part : parts)
    for (std::size_t at = 0; at < part.size(); at += kMost) {
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(part.data() + at));
      stream.avail_in = static_cast<uInt>(std::min(kMost, part.size() - at));
      run(Z_NO_FLUSH);
    }
  run(Z_FINISH);
  deflateEnd(&stream);
  return bytes;
}

}  // namespace

void ZipWriter::write(const std::string& bytes) {
  out_.write(std::as_bytes(std::span(bytes)));
  position_ += bytes.size();
}

/// From the version that a reader needs to the length of the name.
std::string ZipWriter::common_fields(const Entry& entry) const {
  const bool large = is_large(entry.size) || is_large(entry.packed);
  const std::uint16_t method = deflate_ ? 8 : 0;
  return little(large ? kVersion64 : kVersion, kUtf8, method, std::uint16_t{0}, kFirstOf1980, entry.checksum,
                large ? kIs64 : u32(entry.packed), large ? kIs64 : u32(entry.size), u16(entry.name.size()));
}

void ZipWriter::add(const std::string& name, const std::vector<std::span<const std::byte>>& parts) {
  require(name.size() < 0xffff, "a name of ", name.size(), " bytes is too long for an archive");
  Entry entry{name, 0, 0, 0, position_};
  uLong checksum = 0;
  for (const auto& part : parts) {
    if (part.empty()) continue;  // crc32 begins anew where there is no address
    checksum = crc32_z(checksum, reinterpret_cast<const Bytef*>(part.data()), part.size());
    entry.size += part.size();
  }
  entry.checksum = u32(checksum);
  const std::string packed = deflate_ ? deflated(parts) : std::string();
  entry.packed = deflate_ ? packed.size() : entry.size;

  const bool large = is_large(entry.size) || is_large(entry.packed);
  const std::string extra = large ? little(std::uint16_t{1}, std::uint16_t{16}, entry.size, entry.packed) : "";
  write(little(0x04034b50u) + common_fields(entry) + little(u16(extra.size())) + name + extra);
  if (deflate_) {
    write(packed);
  } else {
    for (const auto& part : parts) out_.write(part);
    position_ += entry.size;
  }
  entries_.push_back(std::move(entry));
}

void ZipWriter::finish() {
  const std::uint64_t begin = position_, count = entries_.size();
  for (const Entry& entry : entries_) {
    std::string extra;
    const bool large = is_large(entry.size) || is_large(entry.packed), far = is_large(entry.offset);
    if (large) extra += little(entry.size, entry.packed);
    if (far) extra += little(entry.offset);
    if (!extra.empty()) extra = little(std::uint16_t{1}, u16(extra.size())) + extra;
    write(little(0x02014b50u, static_cast<std::uint16_t>(kUnix | kVersion64)) + common_fields(entry) +
          little(u16(extra.size()), std::uint16_t{0}, std::uint16_t{0}, std::uint16_t{0}, kReadable,
                 far ? kIs64 : u32(entry.offset)) +
          entry.name + extra);
  }
  const std::uint64_t end = position_, size = end - begin;
  const bool large = count >= 0xffff || is_large(size) || is_large(begin);
  if (large)
    write(little(0x06064b50u, std::uint64_t{44}, static_cast<std::uint16_t>(kUnix | kVersion64), kVersion64, 0u, 0u,
                 count, count, size, begin) +
          little(0x07064b50u, 0u, end, 1u));
  const std::uint16_t entries = large ? 0xffff : u16(count);
  write(little(0x06054b50u, std::uint16_t{0}, std::uint16_t{0}, entries, entries, large ? kIs64 : u32(size),
               large ? kIs64 : u32(begin), std::uint16_t{0}));
}

}  // namespace pipeformer
