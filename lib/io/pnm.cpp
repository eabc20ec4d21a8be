#include "io/pnm.hpp"

#include <algorithm>
#include <cctype>

#include "core/error.hpp"
#include "io/address.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t kLargestSide = 1 << 20;
constexpr std::int64_t kLargestValue = 65535;
constexpr std::size_t kPiece = 16 << 20;

bool is_space(int byte) {
  return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

int next_byte(ByteSource& source) {
  unsigned char byte;
  return source.read(&byte, 1) == 1 ? byte : -1;
}

/// The next byte of a text, in which a comment counts as its newline.
int next_character(ByteSource& source) {
  int byte = next_byte(source);
  if (byte != '#') return byte;
  while (byte >= 0 && byte != '\n' && byte != '\r') byte = next_byte(source);
  return byte;
}

/// The next number of a text, after white space. Takes the one character after it, as the formats want it.
std::int64_t read_number(ByteSource& source, std::int64_t most, const char* what) {
  int byte = next_character(source);
  while (is_space(byte)) byte = next_character(source);
  require(byte >= 0, "truncated: the ", what, " is missing");
  require(std::isdigit(byte), "the ", what, " is no number");
  std::int64_t number = 0;
  for (; byte >= 0 && std::isdigit(byte); byte = next_character(source)) {
    number = number * 10 + (byte - '0');
    if (number > most) throw Error(cat("the ", what, " is larger than ", most));
  }
  require(byte < 0 || is_space(byte), "the ", what, " is no number");
  return number;
}

/// Samples of 1 or 2 bytes, growing with what really arrives.
void read_raster(ByteSource& source, Buffer<std::byte>& bytes, std::size_t size) {
  bytes.clear();
  while (bytes.size() < size) {
    const std::size_t done = bytes.size(), wanted = std::min(kPiece, size - done);
    bytes.resize(done + wanted);
    const std::size_t got = source.read(bytes.data() + done, wanted);
    require(got == wanted, "truncated: the image has ", done + got, " of ", size, " bytes");
  }
}

std::int64_t sample_at(const Buffer<std::byte>& raster, std::int64_t i, bool wide) {
  const auto byte = [&](std::int64_t at) {
    return std::to_integer<std::int64_t>(raster[static_cast<std::size_t>(at)]);
  };
  return wide ? byte(2 * i) << 8 | byte(2 * i + 1) : byte(i);
}

void check_sample(std::int64_t sample, std::int64_t largest, std::int64_t index) {
  if (sample > largest)
    throw Error(cat("sample ", index, ": ", sample, " is larger than the largest value, ", largest));
}

float scaled(std::int64_t sample, std::int64_t largest) {
  return static_cast<float>(static_cast<double>(sample) * 255.0 / static_cast<double>(largest));
}

/// Samples as text, which take at least two bytes each: these too grow with what arrives.
Array read_plain(ByteSource& source, const Shape& shape, std::int64_t largest) {
  const std::int64_t count = element_count(shape);
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t sample = read_number(source, kLargestValue, "sample");
    check_sample(sample, largest, i);
    values.push_back(scaled(sample, largest));
  }
  return Array::of<float>(shape, values).as(largest == 255 ? DType::u1 : DType::f4);
}

class PnmReader : public RecordReader {
 public:
  PnmReader(std::string name, std::unique_ptr<ByteSource> source)
      : RecordReader(std::move(name)), source_(std::move(source)) {}

 private:
  bool read(Array& record) override { return read_pnm(*source_, record); }
  bool skip(RecordLocation& place) override {
    Array image;
    if (!read_pnm(*source_, image)) return false;
    place.dtype = image.dtype;
    place.shape = image.shape;
    place.offset.reset();
    return true;
  }
  std::unique_ptr<ByteSource> source_;
};

}  // namespace

bool looks_like_pnm(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{'P'} && bytes[1] >= std::byte{'1'} && bytes[1] <= std::byte{'7'};
}

bool read_pnm(ByteSource& source, Array& image) {
  int first = next_byte(source);
  while (is_space(first)) first = next_byte(source);  // after a plain image
  if (first < 0) return false;
  const int kind = next_byte(source);
  require(first == 'P' && kind >= '1' && kind <= '7', "no PNM image: the bytes do not begin with P2, P3, P5 or P6");
  require(kind == '2' || kind == '3' || kind == '5' || kind == '6', "a P", kind - '0',
          " image (a bitmap or PAM); PGM and PPM are read");
  const std::int64_t width = read_number(source, kLargestSide, "width");
  const std::int64_t height = read_number(source, kLargestSide, "height");
  const std::int64_t largest = read_number(source, kLargestValue, "largest value");
  require(width > 0 && height > 0 && largest > 0, "an image of width ", width, ", height ", height,
          " and largest value ", largest);
  Shape shape{height, width};
  if (kind == '3' || kind == '6') shape.push_back(3);
  if (kind == '2' || kind == '3') {
    image = read_plain(source, shape, largest);
    return true;
  }
  const bool wide = largest > 255;
  const std::int64_t count = element_count(shape);
  Buffer<std::byte> raster;
  read_raster(source, largest == 255 ? image.bytes : raster, static_cast<std::size_t>(count) * (wide ? 2 : 1));
  image.shape = shape;
  image.dtype = largest == 255 ? DType::u1 : DType::f4;
  if (largest == 255) return true;
  image.bytes.resize(static_cast<std::size_t>(count) * sizeof(float));
  const auto values = image.values<float>();
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t sample = sample_at(raster, i, wide);
    check_sample(sample, largest, i);
    values[static_cast<std::size_t>(i)] = scaled(sample, largest);
  }
  return true;
}

ImageStream open_images(const std::string& address) {
  const Address parts = split_address(address);
  auto source = std::make_unique<ByteSource>(parts.file);
  if (!looks_like_pnm(source->peek(2))) return {RecordReader::open(address, std::move(source)), false};
  const std::string name = input_name(address);
  require(parts.group.empty(), name, ": only an HDF5 file has parts such as '", parts.group, "'");
  return {std::make_unique<PnmReader>(name, std::move(source)), true};
}

}  // namespace pipeformer
