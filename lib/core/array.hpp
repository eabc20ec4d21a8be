/// Array: one dense tensor of any rank and of the element types that flow through streams. A record of a stream is one
/// Array.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace pipeformer {

/// Element types, named as NumPy names them. Elements are little-endian, in C order; f2 is IEEE half, held as its 16
/// bits.
enum class DType : std::uint8_t { f2, f4, f8, i4, i8, u1, b1 };

std::size_t dtype_size(DType);              ///< Bytes of one element.
const char* dtype_name(DType);              ///< "f4", "i4", ...: the names that --dtype takes.
DType dtype_from_name(const std::string&);  ///< The reverse; throws Error for an unknown name.
bool is_floating(DType);                    ///< f2, f4 or f8.

using Shape = std::vector<std::int64_t>;

std::int64_t element_count(
    const Shape&);  ///< Product of all axes; 1 for rank 0. Throws Error when it overflows or an axis is negative.
std::string shape_text(const Shape&);  ///< As Python prints a tuple: "()", "(3,)", "(3, 4)".

/// Memory for Buffer: 64-byte aligned; large pieces in huge pages where the system has them, since clearing and mapping
/// small pages one by one can take longer than the computation that fills them.
/// Throws OutOfMemory.
void* allocate_buffer(std::size_t bytes);
void free_buffer(void* memory, std::size_t bytes);
/// So many bytes or, if at least half of the last huge page is among them, all of that page: clearing it takes as long
/// as a dozen small pages where a virtual machine pays dearly for each page fault. What to ask for of memory that is
/// kept.
std::size_t whole_pages(std::size_t bytes);
/// Memory cut from a large piece that others share, so that huge pages serve what is smaller than they are. The large
/// piece is freed with the last of its parts: for what is kept as long as its neighbours, as the weights of a model.
std::shared_ptr<std::byte> allocate_kept(std::size_t bytes);

/// Allocator that leaves new elements uninitialised: buffers here are always filled by their user.
template <class T>
struct UninitializedAllocator {
  using value_type = T;
  UninitializedAllocator() = default;
  template <class U>
  explicit UninitializedAllocator(const UninitializedAllocator<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(allocate_buffer(n * sizeof(T))); }
  void deallocate(T* p, std::size_t n) { free_buffer(p, n * sizeof(T)); }
  template <class U>
  void construct(U* p) noexcept {
    ::new (static_cast<void*>(p)) U;
  }
  template <class U, class... A>
  void construct(U* p, A&&... a) {
    ::new (static_cast<void*>(p)) U(std::forward<A>(a)...);
  }
  template <class U>
  bool operator==(const UninitializedAllocator<U>&) const {
    return true;
  }
};
/// A vector whose resize() does not write the new elements.
template <class T>
using Buffer = std::vector<T, UninitializedAllocator<T>>;

/// The elements of a scratch buffer, which is made anew when it holds fewer than `count`. What it held is gone, so that
/// old and new memory are not there at once; and there is room for a little more, as batches are often a little larger
/// than the one before: what is not written takes no memory.
template <class T>
T* at_least(Buffer<T>& buffer, std::int64_t count) {
  if (static_cast<std::int64_t>(buffer.size()) < count) {
    Buffer<T>().swap(buffer);
    buffer.resize(whole_pages(static_cast<std::size_t>(count + count / 8) * sizeof(T)) / sizeof(T));
  }
  return buffer.data();
}

class Array {
 public:
  Array() = default;
  Array(DType type, Shape dims);  ///< Uninitialised elements.

  DType dtype = DType::f4;
  Shape shape{0};
  Buffer<std::byte> bytes;  ///< Always element_count(shape) * dtype_size(dtype) long.

  std::int64_t size() const { return element_count(shape); }
  std::int64_t rank() const { return static_cast<std::int64_t>(shape.size()); }

  /// The elements as T (float, double, int32_t, int64_t, uint8_t; uint16_t for f2). Throws Error when T is not the
  /// dtype.
  template <class T>
  std::span<T> values();
  template <class T>
  std::span<const T> values() const;

  /// A copy converted to another dtype. Integers are range-checked, a float becomes an integer only when it is one
  /// exactly, f8 -> f4 and f4 -> f2 round to nearest even; throws Error naming the first offending element.
  Array as(DType) const;

  /// Builds an Array from elements (their number must match the shape).
  template <class T>
  static Array of(Shape dims, std::span<const T> elements);
};

/// Neither NaN nor infinity.
bool all_finite(const float* x, std::int64_t n);

}  // namespace pipeformer
