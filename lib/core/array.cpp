#include "core/array.hpp"

#include <sys/mman.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>
#include <type_traits>

#include "core/error.hpp"
#include "core/half.hpp"
#include "core/threads.hpp"

static_assert(std::endian::native == std::endian::little, "elements are little-endian in memory and in files");

namespace pipeformer {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::align_val_t alignment(std::size_t bytes) {
  return std::align_val_t(bytes >= kHugePage ? kHugePage : 64);
}

}  // namespace

std::size_t whole_pages(std::size_t bytes) {
  const std::size_t last = bytes % kHugePage;
  return last >= kHugePage / 2 ? bytes + (kHugePage - last) : bytes;
}

void* allocate_buffer(std::size_t bytes) {
  const std::size_t whole = bytes >= kHugePage ? whole_pages(bytes) : bytes;
  void* memory = ::operator new(whole, alignment(bytes), std::nothrow);
  if (!memory) throw OutOfMemory(bytes);
  if (bytes >= kHugePage) madvise(memory, whole / kHugePage * kHugePage, MADV_HUGEPAGE);  // may be refused
  return memory;
}

void free_buffer(void* memory, std::size_t bytes) {
  ::operator delete(memory, alignment(bytes));
}

std::shared_ptr<std::byte> allocate_kept(std::size_t bytes) {
  constexpr std::size_t kWhole = 16 * kHugePage, kSmall = std::size_t{64} << 10;
  bytes = (bytes + 63) / 64 * 64;
  if (bytes < kSmall || bytes >= kWhole / 2) {
    const auto own = std::make_shared<Buffer<std::byte>>(bytes);
    return {own, own->data()};
  }
  static std::mutex one_at_a_time;
  static std::shared_ptr<Buffer<std::byte>> whole;
  static std::size_t used = 0;
  const std::lock_guard lock(one_at_a_time);
  if (!whole || used + bytes > whole->size()) {
    whole = std::make_shared<Buffer<std::byte>>(kWhole);
    used = 0;
  }
  used += bytes;
  return {whole, whole->data() + used - bytes};
}

namespace {

constexpr struct {
  const char* name;
  std::size_t size;
} dtypes[] = {{"f2", 2}, {"f4", 4}, {"f8", 8}, {"i4", 4}, {"i8", 8}, {"u1", 1}, {"b1", 1}};

/// Tags that keep f2 and b1 apart from uint16_t and uint8_t in the conversion loops.
struct Half {
  std::uint16_t bits;
};
struct Bool {
  std::uint8_t byte;
};

[[noreturn]] void bad_element(std::size_t index, const std::string& value, const char* problem) {
  throw Error(cat("element ", index, ": ", value, problem));
}

/// One element from one type to another. Floats to integers must be exact, integers must fit.
template <class To, class From>
To convert(From from, std::size_t index) {
  if constexpr (std::is_same_v<To, From>) {
    return from;
  } else if constexpr (std::is_same_v<From, Half>) {
    return convert<To>(float_from_half(from.bits), index);
  } else if constexpr (std::is_same_v<From, Bool>) {
    return convert<To>(static_cast<std::int32_t>(from.byte), index);
  } else if constexpr (std::is_same_v<To, Half>) {
    return {half_from_double(static_cast<double>(from))};
  } else if constexpr (std::is_same_v<To, Bool>) {
    if (!(from == From(0) || from == From(1))) bad_element(index, cat(+from), " is neither 0 nor 1");
    return {static_cast<std::uint8_t>(from == From(1))};
  } else if constexpr (std::is_floating_point_v<To>) {
    return static_cast<To>(from);
  } else if constexpr (std::is_floating_point_v<From>) {
    constexpr double low = static_cast<double>(std::numeric_limits<To>::min());
    const double high = std::ldexp(1.0, std::numeric_limits<To>::digits);  // first value above the range, exact
    if (!(from >= low && from < high)) bad_element(index, cat(from), " does not fit an integer of this type");
    if (std::trunc(from) != from) bad_element(index, cat(from), " is not an integer");
    return static_cast<To>(from);
  } else {
    if (!std::in_range<To>(from)) bad_element(index, cat(+from), " does not fit an integer of this type");
    return static_cast<To>(from);
  }
}

/// Calls f with a value of the element type.
template <class F>
decltype(auto) with_type(DType type, F f) {
  switch (type) {
    case DType::f2:
      return f(Half{});
    case DType::f4:
      return f(float{});
    case DType::f8:
      return f(double{});
    case DType::i4:
      return f(std::int32_t{});
    case DType::i8:
      return f(std::int64_t{});
    case DType::u1:
      return f(std::uint8_t{});
    case DType::b1:
      return f(Bool{});
  }
  throw Error("unknown dtype");
}

template <class T>
bool holds(DType type) {
  if constexpr (std::is_same_v<T, std::uint16_t>) return type == DType::f2;
  if constexpr (std::is_same_v<T, float>) return type == DType::f4;
  if constexpr (std::is_same_v<T, double>) return type == DType::f8;
  if constexpr (std::is_same_v<T, std::int32_t>) return type == DType::i4;
  if constexpr (std::is_same_v<T, std::int64_t>) return type == DType::i8;
  if constexpr (std::is_same_v<T, std::uint8_t>) return type == DType::u1 || type == DType::b1;
  if constexpr (std::is_same_v<T, bool>) return type == DType::b1;
}

template <class T>
constexpr DType type_of() {
  if constexpr (std::is_same_v<T, std::uint16_t>) return DType::f2;
  if constexpr (std::is_same_v<T, float>) return DType::f4;
  if constexpr (std::is_same_v<T, double>) return DType::f8;
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::i4;
  if constexpr (std::is_same_v<T, std::int64_t>) return DType::i8;
  if constexpr (std::is_same_v<T, std::uint8_t>) return DType::u1;
  if constexpr (std::is_same_v<T, bool>) return DType::b1;
}

}  // namespace

std::size_t dtype_size(DType type) {
  return dtypes[static_cast<std::size_t>(type)].size;
}
const char* dtype_name(DType type) {
  return dtypes[static_cast<std::size_t>(type)].name;
}

DType dtype_from_name(const std::string& name) {
  for (std::size_t i = 0; i < std::size(dtypes); ++i) {
    if (name == dtypes[i].name) return static_cast<DType>(i);
  }
  throw Error(cat("unknown dtype '", name, "' (f2, f4, f8, i4, i8, u1 and b1 are known)"));
}

bool is_floating(DType type) {
  return type == DType::f2 || type == DType::f4 || type == DType::f8;
}

std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  bool empty = false, fits = true;
  for (const std::int64_t axis : shape) {
    if (axis < 0) throw Error(cat("shape ", shape_text(shape), " has a negative axis"));
    // A zero elsewhere does not excuse the other axes: their product is still somebody's buffer size.
    if (axis == 0)
      empty = true;
    else
      fits = fits && !__builtin_mul_overflow(count, axis, &count);
  }
  if (!fits || count > std::numeric_limits<std::int64_t>::max() / 8)
    throw Error(cat("shape ", shape_text(shape), " has too many elements"));
  return empty ? 0 : count;
}

std::string shape_text(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

Array::Array(DType type, Shape dims)
    : dtype(type), shape(std::move(dims)), bytes(static_cast<std::size_t>(element_count(shape)) * dtype_size(type)) {}

template <class T>
std::span<const T> Array::values() const {
  require(holds<T>(dtype), "elements are ", dtype_name(dtype), ", not ", dtype_name(type_of<T>()));
  return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
}

template <class T>
std::span<T> Array::values() {
  const auto view = std::as_const(*this).template values<T>();
  return {const_cast<T*>(view.data()), view.size()};
}

template <class T>
Array Array::of(Shape dims, std::span<const T> elements) {
  Array array(type_of<T>(), std::move(dims));
  if (elements.size_bytes() != array.bytes.size())
    throw Error(cat("shape ", shape_text(array.shape), " does not hold ", elements.size(), " elements"));
  if (!elements.empty()) std::memcpy(array.bytes.data(), elements.data(), elements.size_bytes());
  return array;
}

Array Array::as(DType type) const {
  if (type == dtype) return *this;
  Array result(type, shape);
  with_type(dtype, [&]<class From>(From) {
    with_type(type, [&]<class To>(To) {
      const auto* from = reinterpret_cast<const From*>(bytes.data());
      auto* to = reinterpret_cast<To*>(result.bytes.data());
      for (std::size_t i = 0, n = bytes.size() / sizeof(From); i < n; ++i) to[i] = convert<To>(from[i], i);
    });
  });
  return result;
}

#define PIPEFORMER_ELEMENT(T)                           \
  template std::span<T> Array::values<T>();             \
  template std::span<const T> Array::values<T>() const; \
  template Array Array::of<T>(Shape, std::span<const T>);
PIPEFORMER_ELEMENT(float)
PIPEFORMER_ELEMENT(double)
PIPEFORMER_ELEMENT(std::int32_t)
PIPEFORMER_ELEMENT(std::int64_t)
PIPEFORMER_ELEMENT(std::uint8_t)
PIPEFORMER_ELEMENT(std::uint16_t)
PIPEFORMER_ELEMENT(bool)
#undef PIPEFORMER_ELEMENT

bool all_finite(const float* x, std::int64_t n) {
  std::atomic<bool> finite{true};
  parallel_for(n, std::int64_t{1} << 18, [&](std::int64_t begin, std::int64_t end) {
    // An exponent of all ones is infinity or NaN.
    std::uint32_t bad = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      std::uint32_t bits;
      std::memcpy(&bits, x + i, sizeof bits);
      bad |= static_cast<std::uint32_t>((bits & 0x7f800000u) == 0x7f800000u);
    }
    if (bad) finite = false;
  });
  return finite;
}

}  // namespace pipeformer
