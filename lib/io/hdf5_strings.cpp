#include "io/hdf5_strings.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "core/error.hpp"

namespace pipeformer {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr int attribute_message = 0x0c, continuation_message = 0x10;
constexpr std::size_t most_blocks = 1000;           // continuations of one header: a chain of them may be a ring
constexpr std::uint64_t largest_header = 16 << 20;  // HDF5 keeps messages below 64 KiB
constexpr std::uint64_t largest_heap = 64 << 20;
constexpr std::size_t reference_size = 16;  // length, address and index of a variable-length element

/// Takes little-endian numbers one after another from bytes that may end too early.
class Cursor {
 public:
  explicit Cursor(const Bytes& bytes) : bytes_(bytes) {}
  std::size_t left() const { return bytes_.size() - at_; }
  void skip(std::uint64_t size) {
    require(size <= left(), "ends too early");
    at_ += size;
  }
  std::uint64_t number(std::size_t size) {
    const std::size_t begin = at_;
    skip(size);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) value |= std::uint64_t{bytes_[begin + i]} << (8 * i);
    return value;
  }
  Bytes take(std::uint64_t size) {
    const std::size_t begin = at_;
    skip(size);
    return {bytes_.begin() + static_cast<std::ptrdiff_t>(begin), bytes_.begin() + static_cast<std::ptrdiff_t>(at_)};
  }
  bool mark(const char* four) { return std::memcmp(take(4).data(), four, 4) == 0; }

 private:
  const Bytes& bytes_;
  std::size_t at_ = 0;
};

std::uint64_t padded(std::uint64_t size) {
  return (size + 7) / 8 * 8;
}

/// The first element of the attribute in this message, as the file holds it, when it has the name.
std::optional<Bytes> element_of(const Bytes& message, const std::string& name) {
  Cursor in(message);
  const std::uint64_t version = in.number(1);
  require(version >= 1 && version <= 3, "unknown version");
  in.skip(1);
  const std::uint64_t name_size = in.number(2), type_size = in.number(2), space_size = in.number(2);
  if (version == 3) in.skip(1);
  const auto part = [&](std::uint64_t size) { return version == 1 ? padded(size) : size; };
  const Bytes found = in.take(part(name_size));
  const std::string text(found.begin(), found.end());
  if (text.substr(0, text.find('\0')) != name) return std::nullopt;
  in.skip(part(type_size) + part(space_size));
  return in.take(reference_size);
}

/// Walks the messages of an object's header.
Bytes find_element(const FileBytes& file, std::uint64_t header, const std::string& name) {
  const Bytes start = file(header, 16);
  const bool second = std::memcmp(start.data(), "OHDR", 4) == 0;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> blocks;  // of messages: offset and size
  bool ordered = false;
  if (second) {
    require(start[4] == 2, "unknown version");
    const std::uint8_t flags = start[5];
    ordered = (flags & 4) != 0;
    const std::uint64_t before = 6u + ((flags & 0x20) != 0 ? 16 : 0) + ((flags & 0x10) != 0 ? 4 : 0);
    const std::uint64_t width = std::uint64_t{1} << (flags & 3);
    const Bytes size = file(header + before, width);
    blocks.emplace_back(header + before + width, Cursor(size).number(width));
  } else {
    Cursor in(start);
    require(in.number(1) == 1, "unknown version");
    in.skip(7);
    blocks.emplace_back(header + 16, in.number(4));
  }
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    require(b < most_blocks && blocks[b].second <= largest_header, "too long");
    const Bytes block = file(blocks[b].first, blocks[b].second);
    Cursor in(block);
    if (second && b > 0) require(in.mark("OCHK"), "no continuation where one is said to be");
    const std::size_t prefix = second ? (ordered ? 6 : 4) : 8;
    // A continuation of the second version ends in a checksum of four bytes, which is too short for a message.
    while (in.left() >= prefix + (second && b > 0 ? 4 : 0)) {
      const std::uint64_t type = in.number(second ? 1 : 2), size = in.number(2), flags = in.number(1);
      in.skip(prefix - (second ? 4 : 5));
      const Bytes message = in.take(size);
      const bool shared = (flags & 2) != 0;
      if (type == continuation_message) {
        Cursor to(message);
        const std::uint64_t offset = to.number(8);
        blocks.emplace_back(offset, to.number(8));
      } else if (type == attribute_message && !shared) {
        if (auto element = element_of(message, name)) return *std::move(element);
      }
    }
  }
  throw Error("it is not in the object's header");
}

/// Object `index` of the global heap collection at `address`.
Bytes heap_object(const FileBytes& file, std::uint64_t address, std::uint64_t index) {
  const Bytes start = file(address, 16);
  Cursor head(start);
  require(head.mark("GCOL") && head.number(1) == 1, "no global heap where one is said to be");
  head.skip(3);
  const std::uint64_t size = head.number(8);
  require(size >= 16 && size <= largest_heap, "a global heap of ", size, " bytes");
  const Bytes heap = file(address, size);
  Cursor in(heap);
  in.skip(16);
  while (in.left() >= 16) {
    const std::uint64_t found = in.number(2);
    in.skip(6);
    const std::uint64_t length = in.number(8);
    if (found == 0) break;  // the free space, which is last
    if (found == index) return in.take(length);
    require(length <= in.left(), "an object is longer than its global heap");
    in.skip(std::min<std::uint64_t>(padded(length), in.left()));
  }
  throw Error(cat("the global heap has no object ", index));
}

}  // namespace

std::string variable_length_attribute(const FileBytes& file, std::uint64_t header, const std::string& name) {
  const Bytes element = find_element(file, header, name);
  Cursor in(element);
  const std::uint64_t length = in.number(4), address = in.number(8), index = in.number(4);
  if (length == 0) return "";
  const Bytes object = heap_object(file, address, index);
  require(length <= object.size(), "a string of ", length, " bytes in ", object.size());
  const std::string text(object.begin(), object.begin() + static_cast<std::ptrdiff_t>(length));
  return text.substr(0, text.find('\0'));
}

}  // namespace pipeformer
