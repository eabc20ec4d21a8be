#include "io/npy.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "core/error.hpp"
#include "io/failure_record.hpp"
#include "io/fortran_order.hpp"

namespace pipeformer {
namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t largest_header = 64 << 10;
constexpr std::size_t largest_rank = 32;
constexpr std::size_t first_piece = 64 << 20;  // memory given to a header's word alone

/// Element types of NPY that Array does not have are read as `wide`.
struct Element {
  char kind;         ///< f, i, u or b
  std::size_t size;  ///< bytes in the file
  DType wide;
};
constexpr Element elements[] = {
    {'f', 2, DType::f2}, {'f', 4, DType::f4}, {'f', 8, DType::f8}, {'i', 4, DType::i4},
    {'i', 8, DType::i8}, {'u', 1, DType::u1}, {'b', 1, DType::b1}, {'i', 1, DType::i4},
    {'i', 2, DType::i4}, {'u', 2, DType::i4}, {'u', 4, DType::i8}, {'u', 8, DType::i8},
};

struct Header {
  Element element{};
  bool big_endian = false;
  bool fortran_order = false;
  Shape shape;
};

const char* kind_name(char kind) {
  switch (kind) {
    case 'O':
      return "pickled objects";
    case 'c':
      return "complex numbers";
    case 'S':
    case 'a':
      return "byte strings";
    case 'U':
      return "text";
    case 'V':
      return "raw records";
    case 'M':
    case 'm':
      return "times";
    default:
      return "unknown elements";
  }
}

/// Parser of the Python dictionary literal that is an NPY header; exactly as much of Python as NumPy writes or ever
/// wrote.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  Header parse() {
    std::optional<std::string> descr;
    std::optional<bool> fortran_order;
    std::optional<Shape> shape;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr") {
        check(!descr.has_value(), "key 'descr' stands twice");
        descr = dtype_text();
      } else if (key == "fortran_order") {
        check(!fortran_order.has_value(), "key 'fortran_order' stands twice");
        fortran_order = boolean();
      } else if (key == "shape") {
        check(!shape.has_value(), "key 'shape' stands twice");
        shape = tuple();
      } else {
        check(false, "unknown key '", key, "'");
      }
      if (accept(',')) continue;
      expect('}');
      break;
    }
    spaces();
    check(at_ == text_.size(), "text after the dictionary");
    check(descr.has_value(), "no key 'descr'");
    check(fortran_order.has_value(), "no key 'fortran_order'");
    check(shape.has_value(), "no key 'shape'");
    Header header;
    header.fortran_order = *fortran_order;
    header.shape = *shape;
    parse_dtype(*descr, header);
    return header;
  }

 private:
  template <class... Parts>
  static void check(bool good, const Parts&... parts) {
    require(good, "bad NPY header: ", parts...);
  }

  static void parse_dtype(const std::string& descr, Header& header) {
    require(descr.empty() || descr[0] != '[', "structured dtype ", descr, " is not supported");
    std::size_t at = 0;
    if (!descr.empty() && std::strchr("<>|=", descr[0]) != nullptr) at = 1;
    header.big_endian = descr[0] == '>';
    const char kind = at < descr.size() ? descr[at] : '\0';
    if (kind == '?' && at + 1 == descr.size()) {
      header.element = {'b', 1, DType::b1};
      return;
    }
    require(kind != 'O', "pickled object arrays (dtype '", descr, "') are refused");
    const std::string_view size = std::string_view(descr).substr(std::min(descr.size(), at + 1));
    for (const Element& element : elements) {
      if (element.kind == kind && size == std::to_string(element.size)) {
        header.element = element;
        return;
      }
    }
    throw Error(cat("dtype '", descr, "' (", std::strchr("fiub", kind) && kind ? "size not supported" : kind_name(kind),
                    ") is not supported"));
  }

  void spaces() {
    while (at_ < text_.size() && std::strchr(" \t\r\n\f", text_[at_]) != nullptr && text_[at_] != '\0') ++at_;
  }
  bool accept(char c) {
    spaces();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) { check(accept(c), "expected '", c, "' at byte ", at_); }

  std::string string() {
    spaces();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    check(quote == '\'' || quote == '"', "expected a string at byte ", at_);
    const std::size_t end = text_.find(quote, at_ + 1);
    check(end != std::string_view::npos, "a string has no end");
    std::string value(text_.substr(at_ + 1, end - at_ - 1));
    check(value.find('\\') == std::string::npos, "escapes in a string");
    at_ = end + 1;
    return value;
  }

  /// A string, or the list of a structured dtype as it stands (it is only named in a message).
  std::string dtype_text() {
    spaces();
    if (at_ >= text_.size() || text_[at_] != '[') return string();
    int depth = 0;
    const std::size_t begin = at_;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '[') ++depth;
      if (c == ']' && --depth == 0) return std::string(text_.substr(begin, std::min<std::size_t>(at_ - begin, 200)));
    }
    check(false, "a list has no end");
    return {};
  }

  bool boolean() {
    spaces();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return value;
      }
    }
    check(false, "fortran_order is neither True nor False");
    return false;
  }

  Shape tuple() {
    Shape shape;
    expect('(');
    bool comma = true;
    while (!accept(')')) {
      check(comma, "expected ',' or ')' at byte ", at_);
      check(shape.size() < largest_rank, "more than ", largest_rank, " axes");
      shape.push_back(integer());
      comma = accept(',');
    }
    check(shape.size() != 1 || comma, "shape is a number and not a tuple");
    return shape;
  }

  std::int64_t integer() {
    spaces();
    check(at_ >= text_.size() || text_[at_] != '-', "negative axis in the shape");
    std::int64_t value = 0;
    const std::size_t begin = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      check(!__builtin_mul_overflow(value, 10, &value) && !__builtin_add_overflow(value, text_[at_] - '0', &value),
            "an axis of the shape is too large");
    }
    check(at_ > begin, "expected a number at byte ", at_);
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2 wrote long integers so
    return value;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

void read_fully(ByteSource& source, void* to, std::size_t size, const char* part) {
  const std::size_t got = source.read(to, size);
  require(got == size, "truncated: ", part, " has ", got, " of ", size, " bytes");
}

void require_elements(std::size_t got, std::size_t size) {
  require(got == size, "truncated: the elements have ", got, " of ", size, " bytes");
}

/// Reads the elements, growing with what really arrives.
void read_elements(ByteSource& source, Buffer<std::byte>& bytes, std::size_t size) {
  bytes.clear();
  std::size_t done = 0;
  while (done < size) {
    std::size_t goal = std::max({bytes.capacity(), first_piece, done * 2});
    if (size > goal) {
      if (const auto left = source.remaining(); left && done + *left >= size)
        goal = size;  // a file that is long enough
    }
    bytes.resize(std::min(goal, size));
    const std::size_t got = source.read(bytes.data() + done, bytes.size() - done);
    const std::size_t wanted = bytes.size() - done;
    done += got;
    if (got < wanted) require_elements(done, size);
  }
}

template <class T>
void swap_all(std::byte* bytes, std::size_t size) {
  for (std::size_t i = 0; i < size; i += sizeof(T)) {
    T value;
    std::memcpy(&value, bytes + i, sizeof(T));
    if constexpr (sizeof(T) == 2) value = __builtin_bswap16(value);
    if constexpr (sizeof(T) == 4) value = __builtin_bswap32(value);
    if constexpr (sizeof(T) == 8) value = __builtin_bswap64(value);
    std::memcpy(bytes + i, &value, sizeof(T));
  }
}

void swap_bytes(Buffer<std::byte>& bytes, std::size_t size) {
  if (size == 2) swap_all<std::uint16_t>(bytes.data(), bytes.size());
  if (size == 4) swap_all<std::uint32_t>(bytes.data(), bytes.size());
  if (size == 8) swap_all<std::uint64_t>(bytes.data(), bytes.size());
}

template <class From, class To>
void widen_as(Buffer<std::byte>& bytes) {
  const std::size_t count = bytes.size() / sizeof(From);
  Buffer<std::byte> wide(count * sizeof(To));
  for (std::size_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, bytes.data() + i * sizeof(From), sizeof(From));
    require(std::in_range<To>(value), "element ", i, ": ", value, " does not fit i8");
    const auto result = static_cast<To>(value);  // NOLINT(bugprone-signed-char-misuse): a number, no character
    std::memcpy(wide.data() + i * sizeof(To), &result, sizeof(To));
  }
  bytes = std::move(wide);
}

void widen(Buffer<std::byte>& bytes, const Element& element) {
  if (element.kind == 'i' && element.size == 1) widen_as<signed char, std::int32_t>(bytes);
  if (element.kind == 'i' && element.size == 2) widen_as<std::int16_t, std::int32_t>(bytes);
  if (element.kind == 'u' && element.size == 2) widen_as<std::uint16_t, std::int32_t>(bytes);
  if (element.kind == 'u' && element.size == 4) widen_as<std::uint32_t, std::int64_t>(bytes);
  if (element.kind == 'u' && element.size == 8) widen_as<std::uint64_t, std::int64_t>(bytes);
}

}  // namespace

bool looks_like_npy(std::span<const std::byte> bytes) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

namespace {

/// Reads everything before the elements; nothing at the end of the source.
std::optional<Header> read_header(ByteSource& source) {
  unsigned char start[12];  // magic, version, header length
  const std::size_t got = source.read(start, 8);
  if (got == 0) return std::nullopt;
  if (looks_like_failure(std::as_bytes(std::span(start, got)))) throw UpstreamFailure(read_failure(source));
  const std::size_t common = std::min(got, magic.size());
  if (std::memcmp(start, magic.data(), common) != 0) {
    throw Error("not an NPY array: the bytes do not begin with \\x93NUMPY");
  }
  require(got == 8, "truncated: the NPY magic and version have ", got, " of 8 bytes");
  const int major = start[6], minor = start[7];
  require(major >= 1 && major <= 3 && minor == 0, "NPY version ", major, ".", minor,
          " is not known (1.0, 2.0 and 3.0 are)");
  const std::size_t width = major == 1 ? 2 : 4;
  read_fully(source, start + 8, width, "the NPY header length");
  std::size_t length = 0;
  for (std::size_t i = width; i-- > 0;) length = length << 8 | start[8 + i];
  require(length <= largest_header, "NPY header of ", length, " bytes is longer than ", largest_header);
  std::string text(length, '\0');
  read_fully(source, text.data(), length, "the NPY header");

  return HeaderParser(text).parse();
}

std::size_t byte_count(const Header& header) {
  return static_cast<std::size_t>(element_count(header.shape)) * header.element.size;
}

std::string does_not_fit(const Header& header) {
  return cat(dtype_name(header.element.wide), " ", shape_text(header.shape), ", ", byte_count(header),
             " bytes, does not fit in memory");
}

/// Whether the axes stand in another order than ours.
bool transposed(const Header& header) {
  return header.fortran_order && header.shape.size() > 1 && byte_count(header) > 0;
}

/// Whether the elements stand in the file as in an Array.
bool as_in_memory(const Header& header) {
  const Element& e = header.element;
  const bool same_type = e.size == dtype_size(e.wide) && (e.kind != 'u' || e.wide == DType::u1);
  return same_type && !(header.big_endian && e.size > 1) && !transposed(header);
}

}  // namespace

bool skip_npy(ByteSource& source, DType& dtype, Shape& shape, std::optional<std::uint64_t>& offset) {
  std::optional<Header> header = read_header(source);
  if (!header) return false;
  offset = as_in_memory(*header) ? std::optional(source.position()) : std::nullopt;
  const std::size_t size = byte_count(*header), got = source.skip(size);
  require_elements(got, size);
  dtype = header->element.wide;
  shape = std::move(header->shape);
  return true;
}

bool read_npy(ByteSource& source, Array& array) {
  std::optional<Header> found = read_header(source);
  if (!found) return false;
  Header& header = *found;
  try {
    read_elements(source, array.bytes, byte_count(header));
  } catch (const std::bad_alloc&) {
    throw Error(does_not_fit(header));
  } catch (const std::length_error&) {
    throw Error(does_not_fit(header));
  }
  if (header.big_endian) swap_bytes(array.bytes, header.element.size);
  if (transposed(header)) array.bytes = c_order_from_fortran(array.bytes, header.shape, header.element.size);
  widen(array.bytes, header.element);
  if (header.element.wide == DType::b1) {
    for (std::size_t i = 0; i < array.bytes.size(); ++i) {
      const int byte = static_cast<int>(array.bytes[i]);
      require(byte <= 1, "element ", i, ": ", byte, " is not a boolean (0 or 1)");
    }
  }
  array.dtype = header.element.wide;
  array.shape = std::move(header.shape);
  return true;
}

std::string npy_header(DType type, const Shape& shape) {
  std::string text = "{'descr': '";
  text += dtype_size(type) == 1 ? '|' : '<';
  text.append(dtype_name(type)).append("', 'fortran_order': False, 'shape': ").append(shape_text(shape)).append(", }");
  // NumPy leaves room for the first axis to grow to 21 digits in place, and a whole line when the text already ends on
  // one.
  if (!shape.empty()) text.append(21 - std::to_string(shape[0]).size(), ' ');
  text.append(64 - (magic.size() + 4 + text.size() + 1) % 64, ' ');
  text += '\n';
  std::string header(magic);
  header += {'\x01', '\x00', static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  return header + text;
}

void write_npy(OutputFile& out, DType type, const Shape& shape, const std::byte* data) {
  const auto undivided = out.whole();
  out.write(npy_header(type, shape));
  out.write(std::span(data, static_cast<std::size_t>(element_count(shape)) * dtype_size(type)));
}

}  // namespace pipeformer
