/// Values as bytes, one after another, for another process of the same build on the same kind of machine.
#pragma once
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/error.hpp"

namespace pipeformer {

class Packer {
 public:
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void put(const T& value) { add(&value, sizeof value); }
  /// A vector or a text: its length, then its elements.
  template <class T>
  void put_all(std::span<const T> values) {
    put(values.size());
    add(values.data(), values.size_bytes());
  }
  /// Bytes alone, which the reader knows how to cut.
  void put_bytes(std::span<const std::byte> bytes) { add(bytes.data(), bytes.size()); }
  void put_text(std::string_view text) { put_all(std::span<const char>(text)); }

  std::span<const std::byte> bytes() const { return bytes_; }
  void clear() { bytes_.clear(); }

 private:
  void add(const void* from, std::size_t size) {
    const auto* bytes = static_cast<const std::byte*>(from);
    bytes_.insert(bytes_.end(), bytes, bytes + size);
  }
  std::vector<std::byte> bytes_;
};

/// Takes out in the same order what a Packer put in. Throws Error when there is less. The bytes must outlive it.
class Unpacker {
 public:
  explicit Unpacker(std::span<const std::byte> bytes) : left_(bytes) {}
  bool empty() const { return left_.empty(); }

  template <class T>
  requires std::is_trivially_copyable_v<T> T get() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  template <class Vector>
  void get_all(Vector& values) {
    values.resize(get<std::size_t>());
    const std::size_t size = values.size() * sizeof values[0];
    if (const auto from = take(size); size > 0) std::memcpy(values.data(), from.data(), size);
  }
  std::string get_text() {
    std::string text;
    get_all(text);
    return text;
  }
  /// The next bytes, where they are.
  std::span<const std::byte> take(std::size_t size) {
    require(size <= left_.size(), "a message from another process is cut short");
    const auto taken = left_.first(size);
    left_ = left_.subspan(size);
    return taken;
  }

 private:
  std::span<const std::byte> left_;
};

}  // namespace pipeformer
