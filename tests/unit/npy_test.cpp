#include "io/npy.hpp"

#include <catch2/catch.hpp>
#include <clocale>
#include <cstring>
#include <functional>

#include "core/error.hpp"
#include "files.hpp"
#include "io/stream.hpp"

using namespace pipeformer;
using pipeformer::test::slurp;
using pipeformer::test::spit;

namespace {

/// An NPY array with this header text and these bytes; the header is as long as it is.
std::string npy(const std::string& header, const std::string& data, int major = 1) {
  std::string bytes("\x93NUMPY");
  bytes += static_cast<char>(major);
  bytes += '\0';
  for (int i = 0; i < (major == 1 ? 2 : 4); ++i) bytes += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return bytes + header + data;
}

std::string dictionary(const std::string& descr, const std::string& shape, const std::string& order = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
}

template <class T>
std::string raw(std::vector<T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

Array read_one(const std::string& bytes) {
  test::TemporaryDirectory directory;
  spit(directory / "x.npy", bytes);
  return read_single(directory / "x.npy");
}

template <class T>
std::vector<T> elements(const Array& array) {
  const auto values = array.values<T>();
  return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("headers are numpy.save's, whatever the locale", "[npy]") {
  const std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000, 4), }";
  const std::string header = npy_header(DType::f4, {1000, 4});
  CHECK(header.size() == 128);
  CHECK(header.substr(0, 10) == std::string("\x93NUMPY\x01\x00\x76\x00", 10));
  CHECK(header.substr(10, text.size()) == text);
  CHECK(header.back() == '\n');
  std::setlocale(LC_ALL, "");
  struct Grouping : std::numpunct<char> {
    std::string do_grouping() const override { return "\3"; }
    char do_thousands_sep() const override { return ','; }
  };
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new Grouping));
  CHECK(npy_header(DType::f4, {1000, 4}) == header);
  std::locale::global(before);
  CHECK(npy_header(DType::b1, {}).find("'descr': '|b1', 'fortran_order': False, 'shape': (), }") != std::string::npos);
  for (std::int64_t rank = 0; rank <= 32; ++rank)
    CHECK(npy_header(DType::i8, Shape(static_cast<std::size_t>(rank), 123456)).size() % 64 == 0);
}

TEST_CASE("headers of other writers are read", "[npy]") {
  const std::string data = raw<std::int32_t>({1, 2, 3, 4, 5, 6});
  const std::string forms[] = {
      "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }          \n",
      "{\"shape\": (2, 3), \"fortran_order\": False, \"descr\": \"<i4\"}",
      "{ 'shape' :(2,3,) ,'descr':'<i4','fortran_order' : False}\n\n",
      "{'descr': '=i4', 'fortran_order': False, 'shape': (2L, 3L)}",
      "{'descr': 'i4', 'fortran_order': False, 'shape': ( 2 , 3 )}",
  };
  for (const std::string& form : forms) {
    for (const int version : {1, 2, 3}) {
      const Array array = read_one(npy(form, data, version));
      CHECK(array.shape == Shape{2, 3});
      CHECK(elements<std::int32_t>(array) == std::vector<std::int32_t>{1, 2, 3, 4, 5, 6});
    }
  }
  // A header length with its low byte at 0x80 and above.
  for (const std::size_t length : {182u, 246u, 255u, 65535u}) {
    std::string form = forms[0];
    form.insert(form.size() - 1, length - form.size(), ' ');
    CHECK(read_one(npy(form, data)).shape == Shape{2, 3});
  }
}

TEST_CASE("bad headers are refused", "[npy]") {
  const std::string data(64, '\0');
  const std::pair<const char*, const char*> forms[] = {
      {"", "expected '{'"},
      {"[]", "expected '{'"},
      {"{}", "no key 'descr'"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)", "expected '}'"},
      {"{'descr': '<f4', 'fortran_order': False}", "no key 'shape'"},
      {"{'descr': '<f4', 'shape': (2,)}", "no key 'fortran_order'"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 'y'}", "unknown key 'x'"},
      {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "stands twice"},
      {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "neither True nor False"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2)}", "not a tuple"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': 2}", "expected '('"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}", "expected ','"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", "expected a number"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "negative"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2.0,)}", "expected"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "too large"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387905, 4)}", "too many elements"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "too many elements"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", "after the dictionary"},
      {"{'descr': '<f4, 'fortran_order': False, 'shape': (2,)}", "expected"},
      {"{'descr': '<f4", "no end"},
      {"{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", "pickled object arrays"},
      {"{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (2,)}",
       "structured dtype [('a', '<f4')"},
      {"{'descr': [('a', '<f4'), 'fortran_order': False, 'shape': (2,)}", "no end"},
      {"{'descr': '<c8', 'fortran_order': False, 'shape': (2,)}", "'<c8' (complex numbers)"},
      {"{'descr': '<U5', 'fortran_order': False, 'shape': (2,)}", "'<U5' (text)"},
      {"{'descr': '|S5', 'fortran_order': False, 'shape': (2,)}", "'|S5' (byte strings)"},
      {"{'descr': '<M8[s]', 'fortran_order': False, 'shape': (2,)}", "'<M8[s]' (times)"},
      {"{'descr': '<f16', 'fortran_order': False, 'shape': (2,)}", "'<f16' (size not supported)"},
      {"{'descr': '', 'fortran_order': False, 'shape': (2,)}", "dtype ''"},
      {"{'descr': '<', 'fortran_order': False, 'shape': (2,)}", "dtype '<'"},
  };
  for (const auto& [form, message] : forms) {
    INFO(form);
    CHECK_THROWS_WITH(read_one(npy(form, data)), Catch::Contains(message));
    CHECK_THROWS_WITH(read_one(npy(form, data)), Catch::Contains("x.npy: record 0: "));
  }
  const std::string good = dictionary("<f4", "(2,)");
  std::string axes = "(";
  for (int i = 0; i < 33; ++i) axes += "1,";
  CHECK_THROWS_WITH(read_one(npy(dictionary("<f4", axes + ")"), data)), Catch::Contains("more than 32 axes"));
  CHECK(read_one(npy(dictionary("<f4", axes.substr(0, 65) + ")"), data.substr(0, 4))).rank() == 32);
  CHECK_THROWS_WITH(read_one(npy(good + std::string(65537 - good.size(), ' '), data, 2)),
                    Catch::Contains("longer than"));
  CHECK_THROWS_WITH(read_one(npy(good, data, 4)), Catch::Contains("NPY version 4.0"));
  CHECK_THROWS_WITH(read_one("\x93NUMPX" + std::string(80, ' ')), Catch::Contains("neither NPY nor HDF5"));
  CHECK_THROWS_WITH(read_one(npy(good, raw<float>({1, 2})) + "garbage"), Catch::Contains("record 1: not an NPY array"));
  std::string nul = good;
  nul.back() = '\0';
  CHECK_THROWS_WITH(read_one(npy(nul, data)), Catch::Contains("after the dictionary"));
}

TEST_CASE("a header that lies ends as truncated and not as an allocation", "[npy]") {
  for (const char* shape : {"(1000000000000,)", "(1000000, 1000000)", "(17,)"}) {
    CHECK_THROWS_WITH(read_one(npy(dictionary("<f4", shape), std::string(64, '\0'))),
                      Catch::Contains("truncated: the elements have 64 of "));
  }
  CHECK_THROWS_WITH(read_one(npy(dictionary("<f4", "(1152921504606846977,)"), "")),
                    Catch::Contains("too many elements"));
}

TEST_CASE("all element types are read, in both byte orders", "[npy]") {
  const auto swapped = [](std::string data, std::size_t size) {
    for (std::size_t i = 0; i < data.size(); i += size)
      std::reverse(data.begin() + static_cast<std::ptrdiff_t>(i), data.begin() + static_cast<std::ptrdiff_t>(i + size));
    return data;
  };
  const auto check = [&]<class T, class Wide>(const std::string& type, std::vector<T> values, DType dtype, Wide) {
    for (const char order : {'<', '>'}) {
      std::string data = raw(values);
      if (order == '>') data = swapped(data, sizeof(T));
      const Array array = read_one(npy(dictionary(order + type, "(" + std::to_string(values.size()) + ",)"), data));
      CHECK(array.dtype == dtype);
      CHECK(elements<Wide>(array) == std::vector<Wide>(values.begin(), values.end()));
    }
  };
  check("f2", std::vector<std::uint16_t>{0x3c00, 0xfbff}, DType::f2, std::uint16_t{});
  check("f4", std::vector<float>{1.5f, -2e30f}, DType::f4, float{});
  check("f8", std::vector<double>{1.5, -2e300}, DType::f8, double{});
  check("i1", std::vector<signed char>{-128, 127}, DType::i4, std::int32_t{});
  check("i2", std::vector<std::int16_t>{-32768, 32767}, DType::i4, std::int32_t{});
  check("i4", std::vector<std::int32_t>{-2147483647 - 1, 5}, DType::i4, std::int32_t{});
  check("i8", std::vector<std::int64_t>{INT64_MIN, INT64_MAX}, DType::i8, std::int64_t{});
  check("u1", std::vector<std::uint8_t>{0, 255}, DType::u1, std::uint8_t{});
  check("u2", std::vector<std::uint16_t>{0, 65535}, DType::i4, std::int32_t{});
  check("u4", std::vector<std::uint32_t>{0, 4294967295}, DType::i8, std::int64_t{});
  check("u8", std::vector<std::uint64_t>{0, INT64_MAX}, DType::i8, std::int64_t{});
  CHECK_THROWS_WITH(read_one(npy(dictionary("<u8", "(2,)"), raw<std::uint64_t>({1, 1ULL << 63}))),
                    Catch::Contains("element 1: 9223372036854775808 does not fit i8"));
  CHECK(elements<bool>(read_one(npy(dictionary("|b1", "(2,)"), std::string("\1\0", 2)))) ==
        std::vector<bool>{true, false});
  CHECK_THROWS_WITH(read_one(npy(dictionary("|b1", "(2,)"), "\1\2")), Catch::Contains("element 1: 2 is not a boolean"));
}

TEST_CASE("Fortran order is transposed", "[npy]") {
  // a[i][j][k] = 100 i + 10 j + k, written first axis fastest
  std::vector<std::int32_t> fortran, c;
  for (int k = 0; k < 4; ++k)
    for (int j = 0; j < 3; ++j)
      for (int i = 0; i < 2; ++i) fortran.push_back(100 * i + 10 * j + k);
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j)
      for (int k = 0; k < 4; ++k) c.push_back(100 * i + 10 * j + k);
  const Array array = read_one(npy(dictionary("<i4", "(2, 3, 4)", "True"), raw(fortran)));
  CHECK(array.shape == Shape{2, 3, 4});
  CHECK(elements<std::int32_t>(array) == c);
  CHECK(elements<std::int32_t>(read_one(npy(dictionary("<i2", "(2, 2)", "True"), raw<std::int16_t>({1, 2, 3, 4})))) ==
        std::vector<std::int32_t>{1, 3, 2, 4});
  CHECK(elements<std::uint8_t>(read_one(npy(dictionary("|u1", "(2, 2)", "True"), raw<std::uint8_t>({1, 2, 3, 4})))) ==
        std::vector<std::uint8_t>{1, 3, 2, 4});
  CHECK(elements<double>(read_one(npy(dictionary("<f8", "(2, 2)", "True"), raw<double>({1, 2, 3, 4})))) ==
        std::vector<double>{1, 3, 2, 4});
  CHECK(read_one(npy(dictionary("<f8", "(2, 0)", "True"), "")).shape == Shape{2, 0});
  CHECK(read_one(npy(dictionary("<f8", "()", "True"), raw<double>({7}))).values<double>()[0] == 7);
}

TEST_CASE("scalars and empty arrays are records", "[npy]") {
  const Array scalar = read_one(npy(dictionary("<f4", "()"), raw<float>({3.5f})));
  CHECK(scalar.rank() == 0);
  CHECK(scalar.values<float>()[0] == 3.5f);
  for (const char* shape : {"(0,)", "(0, 5)", "(3, 0, 2)"})
    CHECK(read_one(npy(dictionary("<f4", shape), "")).size() == 0);
}
