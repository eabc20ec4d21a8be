#include "text/hf/byte_level.hpp"

#include "text/utf8.hpp"

namespace pipeformer::hf {
namespace {

struct Tables {
  std::array<char32_t, 256> characters{};
  std::array<int, 512> bytes{};
  std::array<std::string, 256> written;

  Tables() {
    bytes.fill(-1);
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool visible = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
      characters[byte] = visible ? byte : next++;
      bytes[characters[byte]] = static_cast<int>(byte);
      append_utf8(written[byte], characters[byte]);
    }
  }
};
const Tables& tables() {
  static const Tables tables;
  return tables;
}

}  // namespace

char32_t character_of_byte(unsigned char byte) {
  return tables().characters[byte];
}
int byte_of_character(char32_t code) {
  return code < tables().bytes.size() ? tables().bytes[code] : -1;
}

std::string to_byte_characters(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char byte : bytes) text += tables().written[static_cast<unsigned char>(byte)];
  return text;
}

bool append_bytes_of_characters(std::string_view text, std::string& bytes) {
  const std::size_t before = bytes.size();
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    const int byte = byte_of_character(step.code);
    if (byte < 0) {
      bytes.resize(before);
      return false;
    }
    bytes += static_cast<char>(byte);
    at += step.length;
  }
  return true;
}

}  // namespace pipeformer::hf
