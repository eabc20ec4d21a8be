#include "text/charsmap.hpp"

#include <cstring>

#include "core/error.hpp"
#include "text/utf8.hpp"

namespace pipeformer {
namespace {

// A unit of the double array: a byte (bits 0-7, with bit 31 clear), a flag "a key ends here" (bit 8), and where the
// next unit is (bits 10-30, times 256 when bit 9 is set), to be xored with this unit's place. The unit of a key's end
// has bit 31 set, so that it is no byte's, and holds a value.
std::uint32_t label(std::uint32_t unit) {
  return unit & 0x800000FFu;
}
bool ends_key(std::uint32_t unit) {
  return unit >> 8 & 1;
}
std::uint32_t offset(std::uint32_t unit) {
  return unit >> 10 << (unit & 1u << 9 ? 8 : 0);
}
std::uint32_t value(std::uint32_t unit) {
  return unit & 0x7FFFFFFFu;
}

}  // namespace

Charsmap::Charsmap(std::string_view bytes, const std::string& name) {
  const auto check = [&](bool holds) { require(holds, name, ": the map of characters is damaged"); };
  std::uint32_t size = 0;
  check(bytes.size() > sizeof size);
  std::memcpy(&size, bytes.data(), sizeof size);
  bytes.remove_prefix(sizeof size);
  check(size > 0 && size % sizeof(std::uint32_t) == 0 && size < bytes.size());
  units_.resize(size / sizeof(std::uint32_t));
  std::memcpy(units_.data(), bytes.data(), size);
  replacements_ = bytes.substr(size);
  check(replacements_.back() == '\0' && find_invalid_utf8(replacements_) == std::string_view::npos);
  for (std::size_t i = 0; i < units_.size(); ++i) {
    if (i > 0 && units_[i] >> 31) continue;  // A value: no step ends there, and only the root needs none.
    const std::size_t next = i ^ offset(units_[i]);
    check((next | 0xFF) < units_.size());  // Any byte may be next.
    if (!ends_key(units_[i])) continue;
    const std::size_t at = value(units_[next]);
    check(at < replacements_.size() && (static_cast<unsigned char>(replacements_[at]) & 0xC0) != 0x80);
  }
}

std::optional<std::string_view> Charsmap::replacement(std::string_view text) const {
  std::size_t place = offset(units_[0]);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) break;
    place ^= byte;
    const std::uint32_t unit = units_[place];
    if (label(unit) != byte) break;
    place ^= offset(unit);
    if (ends_key(unit)) return std::string_view(replacements_.c_str() + value(units_[place]));
  }
  return std::nullopt;
}

}  // namespace pipeformer
