#include "text/hf/vocabulary.hpp"

#include <cstring>

#include "core/error.hpp"

namespace pipeformer::hf {

std::uint64_t hash_bytes(std::string_view bytes) {
  constexpr std::uint64_t odd = 0x9E3779B97F4A7C15;
  std::uint64_t hash = bytes.size() * odd;
  const auto mix = [&](std::uint64_t eight) {
    hash = (hash ^ eight) * odd;
    hash ^= hash >> 32;
  };
  std::uint64_t eight = 0;
  for (; bytes.size() >= sizeof eight; bytes.remove_prefix(sizeof eight)) {
    std::memcpy(&eight, bytes.data(), sizeof eight);
    mix(eight);
  }
  eight = 0;
  std::memcpy(&eight, bytes.data(), bytes.size());
  mix(eight);
  return hash ^ hash >> 29;
}

void Vocabulary::reserve(std::size_t pieces) {
  pieces_.reserve(pieces);
  std::size_t slots = 64;
  while (slots < 2 * pieces) slots *= 2;
  if (slots > slots_.size()) {
    slots_.assign(slots, -1);
    for (std::int32_t id = 0; id < size(); ++id)
      if (const Entry& entry = pieces_[static_cast<std::size_t>(id)]; entry.used) {
        slots_[slot_of(entry.text)] = id;
      }
  }
}

std::size_t Vocabulary::slot_of(std::string_view piece) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash_bytes(piece) & mask;
  while (slots_[at] >= 0 && pieces_[static_cast<std::size_t>(slots_[at])].text != piece) at = (at + 1) & mask;
  return at;
}

std::string Vocabulary::add(std::string piece, std::int64_t id) {
  // A list by id must not take memory beyond all measure.
  if (id < 0 || id >= (1 << 20) + 4 * (std::int64_t{count_} + 1))
    return cat("with id ", id, " of piece '", piece, "' out of range");
  const auto at = static_cast<std::size_t>(id);
  if (at >= pieces_.size()) pieces_.resize(at + 1);
  if (pieces_[at].used) return cat("where '", pieces_[at].text, "' and '", piece, "' have the same id ", id);
  if (2 * (static_cast<std::size_t>(count_) + 1) > slots_.size()) reserve(2 * (static_cast<std::size_t>(count_) + 1));
  pieces_[at] = {std::move(piece), true};
  ++count_;
  std::int32_t& slot = slots_[slot_of(pieces_[at].text)];
  slot = static_cast<std::int32_t>(id);
  return {};
}

std::int32_t Vocabulary::find(std::string_view piece) const {
  return slots_.empty() ? -1 : slots_[slot_of(piece)];
}

const std::string* Vocabulary::piece(std::int32_t id) const {
  if (id < 0 || id >= size()) return nullptr;
  const Entry& entry = pieces_[static_cast<std::size_t>(id)];
  return entry.used ? &entry.text : nullptr;
}

}  // namespace pipeformer::hf
