#include "io/pnm.hpp"

#include <catch2/catch.hpp>

#include "files.hpp"

using namespace pipeformer;
using test::spit;
using namespace std::string_literals;

namespace {

std::vector<Array> images_of(const std::string& bytes) {
  test::TemporaryDirectory directory;
  spit(directory / "x.ppm", bytes);
  const auto [reader, pnm] = open_images(directory / "x.ppm");
  CHECK(pnm);
  std::vector<Array> images;
  for (Array image; reader->next(image);) images.push_back(image);
  return images;
}

template <class T>
std::vector<T> elements(const Array& array) {
  const auto values = array.values<T>();
  return {values.begin(), values.end()};
}

void refused(const std::string& bytes, const std::string& message) {
  CHECK_THROWS_WITH(images_of(bytes), Catch::Contains("x.ppm: record 0: " + message));
}

}  // namespace

TEST_CASE("grey and colour images are read one after another", "[pnm]") {
  const auto images = images_of("P5\n3 2\n255\nabcdefP6 1 2 255\nuvwxyzP5 # a\n#b\n1#c\n 1\t255\n\n");
  REQUIRE(images.size() == 3);
  CHECK(images[0].dtype == DType::u1);
  CHECK(images[0].shape == Shape{2, 3});
  CHECK(elements<std::uint8_t>(images[0]) == std::vector<std::uint8_t>{'a', 'b', 'c', 'd', 'e', 'f'});
  CHECK(images[1].shape == Shape{2, 1, 3});
  CHECK(elements<std::uint8_t>(images[1]) == std::vector<std::uint8_t>{'u', 'v', 'w', 'x', 'y', 'z'});
  CHECK(images[2].shape == Shape{1, 1});
  CHECK(elements<std::uint8_t>(images[2]) == std::vector<std::uint8_t>{'\n'});
}

TEST_CASE("images of other depths are scaled to 0 to 255", "[pnm]") {
  const auto deep = images_of("P5 3 1 65535\n\0\0\xff\xff\x80\0"s);
  CHECK(deep[0].dtype == DType::f4);
  CHECK(elements<float>(deep[0]) == std::vector<float>{0, 255, static_cast<float>(32768 * 255.0 / 65535)});
  CHECK(elements<float>(images_of("P6 1 1 15\n\0\x0f\x05"s)[0]) == std::vector<float>{0, 255, 85});
  CHECK(elements<float>(images_of("P5 1 1 1\n\1"s)[0]) == std::vector<float>{255});
}

TEST_CASE("plain images", "[pnm]") {
  const auto images = images_of("P2\n2 2\n255\n0 1\n254 255\nP3 1 1 10 0 5 10\n");
  REQUIRE(images.size() == 2);
  CHECK(images[0].shape == Shape{2, 2});
  CHECK(elements<std::uint8_t>(images[0]) == std::vector<std::uint8_t>{0, 1, 254, 255});
  CHECK(images[1].shape == Shape{1, 1, 3});
  CHECK(elements<float>(images[1]) == std::vector<float>{0, 127.5f, 255});
}

TEST_CASE("what is no image of these kinds is refused", "[pnm]") {
  refused("P4 1 1\n\0"s, "a P4 image (a bitmap or PAM); PGM and PPM are read");
  refused("P7\nWIDTH 1\n", "a P7 image");
  refused("P5", "truncated: the width is missing");
  refused("P5 3", "truncated: the height is missing");
  refused("P5 3 2 255", "truncated: the image has 0 of 6 bytes");
  refused("P5 3 2 255\nabcde", "truncated: the image has 5 of 6 bytes");
  refused("P5 1048576 1048576 65535\nx", "truncated: the image has 1 of 2199023255552 bytes");
  refused("P5 1048577 1 255\n", "the width is larger than 1048576");
  refused("P5 99999999999999999999999 1 255\n", "the width is larger than 1048576");
  refused("P5 1 1 65536\n", "the largest value is larger than 65535");
  refused("P5 0 1 255\n", "an image of width 0, height 1");
  refused("P5 1 1 0\n\0"s, "an image of width 1, height 1 and largest value 0");
  refused("P5 -1 1 255\n", "the width is no number");
  refused("P5 1x1 255\n", "the width is no number");
  refused("P5 1 1 100\n\x65", "sample 0: 101 is larger than the largest value, 100");
  refused("P2 1 1 100 101", "sample 0: 101 is larger than the largest value, 100");
  refused("P2 1 2 255 7", "truncated: the sample is missing");
  CHECK_THROWS_WITH(images_of("P5 1 1 255\naNEXT"), Catch::Contains("record 1: no PNM image"));
}

TEST_CASE("a stream of images may be NPY as well", "[pnm]") {
  test::TemporaryDirectory directory;
  const auto writer = RecordWriter::open(directory / "x.npy");
  writer->write(Array(DType::u1, {2, 3}));
  writer->close();
  const auto [reader, pnm] = open_images(directory / "x.npy");
  CHECK_FALSE(pnm);
  Array image;
  CHECK(reader->next(image));
  CHECK(image.shape == Shape{2, 3});
  spit(directory / "empty", "");
  CHECK_FALSE(open_images(directory / "empty").reader->next(image));
  spit(directory / "x.ppm", "P5 1 1 255\na");
  CHECK_THROWS_WITH(open_images(directory / "x.ppm:part"), Catch::Contains("only an HDF5 file has parts"));
}
