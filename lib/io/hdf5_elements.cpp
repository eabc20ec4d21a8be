#include "io/hdf5_elements.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "core/error.hpp"
#include "core/half.hpp"

namespace pipeformer::hdf5 {
namespace {

constexpr std::size_t most_axes = 32;

/// FALSE and TRUE, 0 and 1, as h5py describes booleans. Names come before values; up to version 2 a name takes a
/// multiple of eight bytes.
bool is_boolean(Cursor in, const Datatype& base, unsigned version, std::uint64_t members) {
  if (members != 2) return false;
  std::string names[2];
  for (std::string& name : names) {
    name = in.text();
    if (version < 3) in.skip((8 - (name.size() + 1) % 8) % 8);
  }
  const Bytes values = in.take(2 * base.size);
  const std::int64_t first = base.signed_value(values.data()), second = base.signed_value(values.data() + base.size);
  return (names[0] == "FALSE" && names[1] == "TRUE" && first == 0 && second == 1) ||
         (names[0] == "TRUE" && names[1] == "FALSE" && first == 1 && second == 0);
}

/// Reads the type, and leaves the cursor behind it when it is an integer. Types that others are made of are `inner`.
Datatype take_datatype(Cursor& in, bool inner = false) {
  Datatype type;
  const std::uint64_t head = in.number(1), flags = in.number(3);
  const auto version = static_cast<unsigned>(head >> 4);
  require(version >= 1 && version <= 5, "a type of unknown version ", version);
  type.kind = static_cast<TypeClass>(head & 15);
  type.size = in.number(4);
  require(type.size > 0, "a type without size");
  switch (type.kind) {
    case TypeClass::integer:
      type.big_endian = (flags & 1) != 0;
      type.is_signed = (flags & 8) != 0;
      type.first_bit = static_cast<unsigned>(in.number(2));
      type.bits = static_cast<unsigned>(in.number(2));
      type.usual = type.size <= 8 && type.bits > 0 && type.first_bit + type.bits <= 8 * type.size;
      break;
    case TypeClass::real: {
      type.big_endian = (flags & 1) != 0;
      const bool vax = (flags & 0x40) != 0, implied = (flags >> 4 & 3) == 2;
      type.sign_at = static_cast<unsigned>(flags >> 8 & 0xff);
      type.first_bit = static_cast<unsigned>(in.number(2));
      type.bits = static_cast<unsigned>(in.number(2));
      type.exponent_at = static_cast<unsigned>(in.number(1));
      type.exponent_bits = static_cast<unsigned>(in.number(1));
      type.mantissa_at = static_cast<unsigned>(in.number(1));
      type.mantissa_bits = static_cast<unsigned>(in.number(1));
      type.bias = static_cast<std::uint32_t>(in.number(4));
      const std::size_t all = 8 * type.size;
      type.usual = type.size <= 8 && !vax && implied && type.first_bit + type.bits <= all && type.sign_at < all &&
                   type.exponent_bits >= 1 && type.exponent_bits <= 15 &&
                   type.exponent_at + type.exponent_bits <= all && type.mantissa_bits >= 1 &&
                   type.mantissa_at + type.mantissa_bits <= all;
      break;
    }
    case TypeClass::string:
      type.space_padded = (flags & 15) == 2;
      break;
    case TypeClass::enumeration: {
      require(!inner, "an enumeration of enumerations");
      const Datatype base = take_datatype(in, true);
      require(base.kind == TypeClass::integer && base.usual && base.size == type.size, "an enumeration of no integers");
      const bool boolean = is_boolean(in, base, version, flags & 0xffff);
      type = base;
      type.kind = TypeClass::enumeration;
      type.boolean = boolean;
      break;
    }
    case TypeClass::variable:
      type.variable_string = (flags & 15) == 1;
      break;
    default:
      break;
  }
  return type;
}

std::uint64_t low_bits(unsigned count) {
  return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

std::uint64_t raw_value(const Datatype& type, const std::byte* element) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < type.size; ++i)
    value = value << 8 | std::to_integer<std::uint64_t>(element[type.big_endian ? i : type.size - 1 - i]);
  return value;
}

std::uint64_t field(std::uint64_t raw, unsigned at, unsigned bits) {
  return raw >> at & low_bits(bits);
}

template <class T, class F>
void fill(const Datatype& type, const std::byte* from, std::int64_t count, std::byte* to, F value_of) {
  for (std::int64_t i = 0; i < count; ++i, from += type.size, to += sizeof(T)) {
    const T value = value_of(from);
    std::memcpy(to, &value, sizeof(T));
  }
}

bool is_ieee(const Datatype& t, std::size_t size, unsigned exponent, unsigned mantissa, std::uint32_t bias) {
  return t.kind == TypeClass::real && t.usual && t.size == size && t.first_bit == 0 && t.bits == 8 * size &&
         t.sign_at == 8 * size - 1 && t.mantissa_at == 0 && t.mantissa_bits == mantissa && t.exponent_at == mantissa &&
         t.exponent_bits == exponent && t.bias == bias;
}

bool is_float(const Datatype& t) {
  return is_ieee(t, 4, 8, 23, 127);
}

bool is_double(const Datatype& t) {
  return is_ieee(t, 8, 11, 52, 1023);
}

bool is_half(const Datatype& t) {
  return is_ieee(t, 2, 5, 10, 15);
}

}  // namespace

std::optional<DType> Datatype::dtype() const {
  if (!usual) return std::nullopt;
  switch (kind) {
    case TypeClass::real:
      if (is_half(*this)) return DType::f2;
      if (size <= 4) return DType::f4;
      return size == 8 ? std::optional(DType::f8) : std::nullopt;
    case TypeClass::integer:
      if (size == 1 && !is_signed) return DType::u1;
      return size < 4 || (size == 4 && is_signed) ? DType::i4 : DType::i8;
    case TypeClass::enumeration:
      return boolean ? std::optional(DType::b1) : std::nullopt;
    default:
      return std::nullopt;
  }
}

bool Datatype::is_bfloat16() const {
  return is_ieee(*this, 2, 8, 7, 127) && !big_endian;
}

bool Datatype::is_int8() const {
  return kind == TypeClass::integer && size == 1 && is_signed && first_bit == 0 && bits == 8;
}

bool Datatype::as_in_memory() const {
  const auto as = dtype();
  if (!as || dtype_size(*as) != size || (big_endian && size > 1)) return false;
  if (kind == TypeClass::real) return is_half(*this) || is_float(*this) || is_double(*this);
  if (first_bit != 0 || bits != 8 * size) return false;
  return as == DType::b1 || as == DType::u1 || is_signed;
}

const char* Datatype::name() const {
  switch (kind) {
    case TypeClass::integer:
      return "integers of this size";
    case TypeClass::real:
      return "floats of this size";
    case TypeClass::string:
      return "strings";
    case TypeClass::compound:
      return "compounds (or complex numbers)";
    case TypeClass::enumeration:
      return "an enumeration that is not boolean";
    case TypeClass::variable:
      return variable_string ? "strings" : "variable-length sequences";
    case TypeClass::reference:
      return "references";
    default:
      return "elements of an unknown class";
  }
}

std::uint64_t Datatype::unsigned_value(const std::byte* element) const {
  return field(raw_value(*this, element), first_bit, bits);
}

std::int64_t Datatype::signed_value(const std::byte* element) const {
  std::uint64_t value = unsigned_value(element);
  if (is_signed && (value >> (bits - 1) & 1) != 0) value |= ~low_bits(bits);
  return static_cast<std::int64_t>(value);
}

double Datatype::real_value(const std::byte* element) const {
  const std::uint64_t raw = raw_value(*this, element);
  const std::uint64_t mantissa = field(raw, mantissa_at, mantissa_bits);
  const auto exponent = static_cast<std::int64_t>(field(raw, exponent_at, exponent_bits));
  if (is_double(*this)) return std::bit_cast<double>(raw);
  double value;
  if (exponent == static_cast<std::int64_t>(low_bits(exponent_bits))) {
    value = mantissa == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  } else {
    const std::int64_t scale = std::max<std::int64_t>(exponent, 1) - std::int64_t{bias} - std::int64_t{mantissa_bits};
    const std::uint64_t digits = exponent == 0 ? mantissa : mantissa | std::uint64_t{1} << (mantissa_bits & 63);
    value = std::ldexp(static_cast<double>(digits), static_cast<int>(std::max<std::int64_t>(scale, -100000)));
  }
  return field(raw, sign_at, 1) != 0 ? -value : value;
}

std::string Datatype::fixed_string(const std::byte* element) const {
  std::string text(reinterpret_cast<const char*>(element), size);
  text.resize(text.find_last_not_of(space_padded ? ' ' : '\0') + 1);
  return text.substr(0, text.find('\0'));
}

Datatype read_datatype(Cursor in) {
  return take_datatype(in);
}

void convert_elements(const Datatype& type, const std::byte* from, std::int64_t count, std::byte* to) {
  const auto bytes = static_cast<std::size_t>(count) * type.size;
  switch (*type.dtype()) {
    case DType::f4:
      if (type.as_in_memory()) break;
      if (type.is_bfloat16())
        return fill<float>(type, from, count, to, [](const std::byte* at) {
          std::uint16_t bits;
          std::memcpy(&bits, at, sizeof bits);
          return float_from_bfloat16(bits);
        });
      if (is_float(type))
        return fill<std::uint32_t>(type, from, count, to, [&](const std::byte* at) {
          return static_cast<std::uint32_t>(raw_value(type, at));
        });
      return fill<float>(type, from, count, to,
                         [&](const std::byte* at) { return static_cast<float>(type.real_value(at)); });
    case DType::f8:
      if (type.as_in_memory()) break;
      return fill<double>(type, from, count, to, [&](const std::byte* at) { return type.real_value(at); });
    case DType::f2:
      if (type.as_in_memory()) break;
      return fill<std::uint16_t>(type, from, count, to,
                                 [&](const std::byte* at) { return static_cast<std::uint16_t>(raw_value(type, at)); });
    case DType::i4:
      if (type.as_in_memory()) break;
      return fill<std::int32_t>(type, from, count, to,
                                [&](const std::byte* at) { return static_cast<std::int32_t>(type.signed_value(at)); });
    case DType::i8:
      if (type.as_in_memory()) break;
      return fill<std::int64_t>(type, from, count, to, [&](const std::byte* at) {
        const std::uint64_t value = type.unsigned_value(at);
        if (!type.is_signed && !std::in_range<std::int64_t>(value)) throw Error(cat(value, " does not fit i8"));
        return type.signed_value(at);
      });
    case DType::u1:
      if (type.as_in_memory()) break;
      return fill<std::uint8_t>(type, from, count, to, [&](const std::byte* at) {
        return static_cast<std::uint8_t>(type.unsigned_value(at));
      });
    case DType::b1:
      return fill<std::uint8_t>(type, from, count, to, [&](const std::byte* at) {
        const std::int64_t value = type.signed_value(at);
        if (value != 0 && value != 1) throw Error(cat(value, " is not a boolean (0 or 1)"));
        return static_cast<std::uint8_t>(value);
      });
  }
  std::memcpy(to, from, bytes);
}

std::uint64_t Dataspace::count() const {
  std::uint64_t product = 1;
  if (std::find(dims.begin(), dims.end(), 0u) != dims.end() || null) return 0;
  for (const std::uint64_t axis : dims) {
    require(axis <= std::numeric_limits<std::uint64_t>::max() / product, "a shape that overflows");
    product *= axis;
  }
  return product;
}

Dataspace read_dataspace(Cursor in) {
  Dataspace space;
  const unsigned version = in.version(1, 2);
  const std::uint64_t rank = in.number(1), flags = in.number(1);
  const std::uint64_t kind = version == 2 ? in.number(1) : 0;
  if (version == 1) in.skip(5);
  require(rank <= most_axes, "a shape of ", rank, " axes");
  space.null = version == 2 && kind == 2;
  for (std::uint64_t i = 0; i < rank; ++i) space.dims.push_back(in.length());
  space.most = space.dims;
  if ((flags & 1) != 0)
    for (std::uint64_t& axis : space.most) axis = in.length();
  return space;
}

}  // namespace pipeformer::hdf5
