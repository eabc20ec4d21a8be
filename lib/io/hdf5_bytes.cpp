#include "io/hdf5_bytes.hpp"

#include <bit>
#include <cstring>

#include "core/error.hpp"

namespace pipeformer::hdf5 {
namespace {

/// Bob Jenkins' "lookup3" of 2006, which is in the public domain: three words are mixed with twelve bytes at a time.
std::uint32_t checksum(Bytes bytes) {
  std::uint32_t a = 0xdeadbeef + static_cast<std::uint32_t>(bytes.size()), b = a, c = a;
  const auto word = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4 && at + i < bytes.size(); ++i)
      value |= std::to_integer<std::uint32_t>(bytes[at + i]) << (8 * i);
    return value;
  };
  const auto step = [](std::uint32_t& x, std::uint32_t& y, std::uint32_t& z, int turn) {
    x -= z, x ^= std::rotl(z, turn), z += y;
  };
  const auto last = [](std::uint32_t& x, std::uint32_t y, int turn) { x ^= y, x -= std::rotl(y, turn); };
  std::size_t at = 0;
  for (; bytes.size() - at > 12; at += 12) {
    a += word(at), b += word(at + 4), c += word(at + 8);
    step(a, b, c, 4), step(b, c, a, 6), step(c, a, b, 8), step(a, b, c, 16), step(b, c, a, 19), step(c, a, b, 4);
  }
  if (at == bytes.size()) return c;
  a += word(at), b += word(at + 4), c += word(at + 8);
  last(c, b, 14), last(a, c, 11), last(b, a, 25), last(c, b, 16), last(a, c, 4), last(b, a, 14), last(c, b, 24);
  return c;
}

}  // namespace

Bytes Cursor::take(std::uint64_t size) {
  require(size <= bytes_.size(), "it ends too early");
  const Bytes part = bytes_.first(size);
  bytes_ = bytes_.subspan(size);
  return part;
}

std::uint64_t Cursor::number(std::size_t size) {
  const Bytes part = take(size);
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value |= std::to_integer<std::uint64_t>(part[i]) << (8 * i);
  return value;
}

std::uint64_t Cursor::address() {
  const std::uint64_t value = number(widths_.address), all = ~std::uint64_t{0} >> (64 - 8 * widths_.address);
  return value == all ? undefined : value;
}

void Cursor::signature(const char* four) {
  if (std::memcmp(take(4).data(), four, 4) != 0) throw Error(cat("no ", four, " where one is said to be"));
}

unsigned Cursor::version(unsigned least, unsigned most) {
  const auto found = static_cast<unsigned>(number(1));
  if (found < least || found > most) throw Error(cat("unknown version ", found));
  return found;
}

std::string Cursor::text() {
  const auto* zero = bytes_.empty() ? nullptr : std::memchr(bytes_.data(), 0, bytes_.size());
  require(zero != nullptr, "a name does not end");
  const Bytes part = take(static_cast<std::size_t>(static_cast<const std::byte*>(zero) - bytes_.data()) + 1);
  return {reinterpret_cast<const char*>(part.data()), part.size() - 1};
}

Bytes Extent::at(std::uint64_t address, std::uint64_t size) const {
  if (address > bytes.size() || size > bytes.size() - address)
    throw Error(address == undefined ? cat("an address is missing")
                                     : cat(size, " bytes at ", address, " lie beyond the end"));
  return bytes.subspan(address, size);
}

Cursor Extent::from(std::uint64_t address) const {
  at(address, 0);
  return cursor(bytes.subspan(address));
}

Cursor Extent::checked(std::uint64_t address, std::uint64_t size) const {
  require(size >= 4, "a block is too short");
  const Bytes block = at(address, size), content = block.first(block.size() - 4);
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION  // a fuzzer cannot guess checksums
  require(cursor(block.last(4)).number(4) == checksum(content), "a checksum is wrong");
#else
  (void)checksum;
#endif
  return cursor(content);
}

void Budget::take(std::uint64_t size) {
  require(size <= left_, "its blocks overlap");
  left_ -= size;
}

unsigned log2_of(std::uint64_t value) {
  return value == 0 ? 0 : static_cast<unsigned>(std::bit_width(value)) - 1;
}

unsigned bytes_for(std::uint64_t most) {
  return log2_of(most) / 8 + 1;
}

}  // namespace pipeformer::hdf5
