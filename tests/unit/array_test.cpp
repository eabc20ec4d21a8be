#include "core/array.hpp"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "core/error.hpp"

using namespace pipeformer;

namespace {

template <class T>
Array vector(std::vector<T> values) {
  return Array::of<T>({static_cast<std::int64_t>(values.size())}, std::span<const T>(values));
}

std::uint16_t half(double value) {
  return vector<double>({value}).as(DType::f2).values<std::uint16_t>()[0];
}
float widened(std::uint16_t bits) {
  return vector<std::uint16_t>({bits}).as(DType::f4).values<float>()[0];
}

}  // namespace

TEST_CASE("shapes are counted with checks", "[array]") {
  CHECK(element_count({}) == 1);
  CHECK(element_count({3, 4}) == 12);
  CHECK(element_count({3, 0}) == 0);
  CHECK_THROWS_AS(element_count({-1}), Error);
  CHECK_THROWS_AS(element_count({4611686018427387905, 4}), Error);
  CHECK_THROWS_AS(element_count({0, 4611686018427387905, 4}), Error);
  CHECK(shape_text({}) == "()");
  CHECK(shape_text({3}) == "(3,)");
  CHECK(shape_text({3, 4}) == "(3, 4)");
}

TEST_CASE("every half survives the way to f4 and back", "[array]") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = widened(static_cast<std::uint16_t>(bits));
    const std::uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent == 31 && fraction != 0) {
      CHECK(std::isnan(value));
    } else if (exponent != 31) {
      const double expected =
          exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, static_cast<int>(exponent) - 25);
      if (std::fabs(value) != expected || std::signbit(value) != (bits >> 15 == 1)) FAIL("half " << bits);
    }
    // The processor makes every NaN a quiet one.
    const std::uint32_t expected_bits = exponent == 31 && fraction != 0 ? bits | 0x200 : bits;
    if (half(value) != expected_bits) FAIL("half " << bits << " came back as " << half(value));
  }
}

TEST_CASE("f4 to f2 rounds to nearest even, between all neighbours", "[array]") {
  for (std::uint16_t bits = 0; bits < 0x7bff; ++bits) {
    const double low = widened(bits), high = widened(static_cast<std::uint16_t>(bits + 1)), middle = (low + high) / 2;
    const std::uint16_t even = bits % 2 == 0 ? bits : bits + 1;
    const bool good = half(middle) == even && half(std::nextafter(middle, 0.0)) == bits &&
                      half(std::nextafter(middle, 1e9)) == bits + 1 && half(-middle) == (even | 0x8000);
    if (!good) FAIL("between halves " << bits << " and " << bits + 1);
  }
  CHECK(half(65519.99) == 0x7bff);
  CHECK(half(65520.0) == 0x7c00);
  CHECK(half(1e300) == 0x7c00);
  CHECK(half(-std::numeric_limits<double>::infinity()) == 0xfc00);
  CHECK(half(std::ldexp(1.0, -25)) == 0);
  CHECK(half(std::nextafter(std::ldexp(1.0, -25), 1.0)) == 1);
  CHECK(half(std::bit_cast<double>(0x7ff0000000000001ULL)) == 0x7c01);  // a NaN stays a NaN
}

TEST_CASE("conversions are exact or refused", "[array]") {
  CHECK(vector<std::int64_t>({5, -7}).as(DType::i4).values<std::int32_t>()[1] == -7);
  CHECK(vector<float>({0, 255}).as(DType::u1).values<std::uint8_t>()[1] == 255);
  CHECK(vector<std::int32_t>({0, 1}).as(DType::b1).dtype == DType::b1);
  CHECK(Array(DType::b1, {0}).as(DType::f2).size() == 0);
  CHECK_THROWS_WITH(vector<std::int64_t>({5, 3000000000}).as(DType::i4), Catch::Contains("element 1: 3000000000"));
  CHECK_THROWS_WITH(vector<float>({1.5f}).as(DType::i4), Catch::Contains("1.5 is not an integer"));
  CHECK_THROWS_AS(vector<float>({NAN}).as(DType::i4), Error);
  CHECK_THROWS_AS(vector<double>({9223372036854775808.0}).as(DType::i8), Error);
  CHECK(vector<double>({-9223372036854775808.0}).as(DType::i8).values<std::int64_t>()[0] ==
        std::numeric_limits<std::int64_t>::min());
  CHECK_THROWS_AS(vector<std::int32_t>({256}).as(DType::u1), Error);
  CHECK_THROWS_AS(vector<std::int32_t>({-1}).as(DType::u1), Error);
  CHECK_THROWS_AS(vector<std::int32_t>({2}).as(DType::b1), Error);
  CHECK_THROWS_AS(vector<float>({1}).values<double>(), Error);
}

TEST_CASE("a scratch buffer grows by little more than is asked for", "[array]") {
  Buffer<float> buffer;
  const float* first = at_least(buffer, 1000);
  CHECK(at_least(buffer, 1100) == first);  // as the next batch, which is a little larger
  at_least(buffer, 1200)[1199] = 1;
  CHECK(buffer.capacity() >= 1200);
  CHECK(buffer.capacity() < 1500);  // a vector would have doubled
}

TEST_CASE("dtypes have names", "[array]") {
  for (const char* name : {"f2", "f4", "f8", "i4", "i8", "u1", "b1"})
    CHECK(dtype_name(dtype_from_name(name)) == std::string(name));
  CHECK_THROWS_AS(dtype_from_name("f16"), Error);
}
