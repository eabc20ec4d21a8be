#include "view/png.hpp"

#include <algorithm>
#include <string_view>

namespace pipeformer {
namespace {

/// Big-endian, as all numbers of PNG.
std::string bytes_of_number(std::uint32_t value) {
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 0xff);
  return text;
}

/// ISO/IEC 15948, annex D.
std::uint32_t cyclic_redundancy(std::string_view bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? 0xedb88320 ^ (crc >> 1) : crc >> 1;
  }
  return ~crc;
}

std::string chunk(const std::string& type, const std::string& data) {
  return bytes_of_number(static_cast<std::uint32_t>(data.size())) + type + data +
         bytes_of_number(cyclic_redundancy(type + data));
}

/// RFC 1950 around stored blocks of RFC 1951.
std::string stored(std::string_view data) {
  std::uint32_t a = 1, b = 0;  // Adler-32
  for (const char byte : data) {
    a = (a + static_cast<unsigned char>(byte)) % 65521;
    b = (b + a) % 65521;
  }
  std::string out = "\x78\x01";
  constexpr std::size_t kBlock = 65535;
  for (std::size_t at = 0;; at += kBlock) {
    const std::size_t size = std::min(kBlock, data.size() - at);
    const bool last = at + size == data.size();
    for (const std::size_t byte : {last ? std::size_t{1} : 0, size & 0xff, size >> 8, ~size & 0xff, ~size >> 8 & 0xff})
      out += static_cast<char>(byte);
    out += data.substr(at, size);
    if (last) return out + bytes_of_number(b << 16 | a);
  }
}

}  // namespace

std::string grey_png(std::int64_t rows, std::int64_t columns, std::span<const std::uint8_t> pixels) {
  std::string lines;
  for (std::int64_t r = 0; r < rows; ++r) {
    lines += '\0';  // no filter
    for (std::int64_t c = 0; c < columns; ++c)
      lines += static_cast<char>(pixels[static_cast<std::size_t>(r * columns + c)]);
  }
  const std::string size =
      bytes_of_number(static_cast<std::uint32_t>(columns)) + bytes_of_number(static_cast<std::uint32_t>(rows));
  const std::string depth{'\x08', '\0', '\0', '\0', '\0'};  // 8 bits, grey
  return std::string("\x89PNG\r\n\x1a\n", 8) + chunk("IHDR", size + depth) + chunk("IDAT", stored(lines)) +
         chunk("IEND", "");
}

}  // namespace pipeformer
