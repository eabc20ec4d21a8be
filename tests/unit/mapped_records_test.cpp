#include "io/mapped_records.hpp"

#include <sys/stat.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>

#include "core/error.hpp"
#include "files.hpp"
#include "io/hdf5.hpp"
#include "io/npy.hpp"

using namespace pipeformer;
using pipeformer::test::slurp;
using pipeformer::test::spit;

namespace {

Array counting(DType dtype, const Shape& shape, int start = 0) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(element_count(shape)));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = (start + static_cast<int>(i)) % 100;
  return Array::of<std::int32_t>(shape, values).as(dtype);
}

std::string write_all(const std::string& address, const std::vector<Array>& records) {
  const auto writer = RecordWriter::open(address, {.format = {}, .dtype = {}, .any_shape = false});
  for (const Array& record : records) writer->write(record);
  writer->close();
  return address;
}

/// A FIFO that a process writes the file into.
std::string piped(const test::TemporaryDirectory& directory, const std::string& file) {
  static int count = 0;
  std::string fifo = directory / ("fifo" + std::to_string(count++));
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  REQUIRE(std::system(("cat '" + file + "' > '" + fifo + "' 2> /dev/null &").c_str()) == 0);
  return fifo;
}

/// Every record as RecordReader has it, visited from the last to the first.
void check_same(const std::string& address, bool mapped) {
  INFO(address);
  MappedRecords opened = MappedRecords::open(address);
  const MappedRecords records = std::move(opened);  // what it points to stays where it is
  CHECK(records.mapped() == mapped);
  std::vector<Array> expected;
  const auto reader = RecordReader::open(address);
  for (Array record; reader->next(record);) expected.push_back(record);
  REQUIRE(records.records() == static_cast<std::int64_t>(expected.size()));
  for (std::int64_t r = records.records(); r-- > 0;) {
    const Array& array = expected[static_cast<std::size_t>(r)];
    const bool ids = !is_floating(array.dtype);
    const Array as_held = array.as(ids ? DType::i4 : DType::f4);
    REQUIRE(records.dtype() == as_held.dtype);
    REQUIRE(records.length(r) == array.shape[0]);
    REQUIRE(records.length(r) * records.width() == array.size());
    const void* elements = ids ? static_cast<const void*>(records.ids(r)) : records.rows(r);
    CHECK((as_held.bytes.empty() || std::memcmp(elements, as_held.bytes.data(), as_held.bytes.size()) == 0));
    CHECK(reinterpret_cast<std::uintptr_t>(elements) % 4 == 0);
  }
}

std::string message(const std::string& address) {
  try {
    MappedRecords::open(address);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// An NPY array by hand: any header text, any elements, at a place that is a multiple of 4 or one past it.
std::string npy(std::string header, const std::string& elements, bool aligned = true) {
  while ((10 + header.size() + 1) % 4 != (aligned ? 0 : 1)) header += ' ';
  header += '\n';
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header + elements;
}

}  // namespace

TEST_CASE("records are mapped where they lie as in memory", "[stream]") {
  test::TemporaryDirectory directory;
  const std::vector<Array> ids = {counting(DType::i4, {3}), counting(DType::i4, {0}), counting(DType::i4, {100000}, 5),
                                  counting(DType::i4, {0}), counting(DType::i4, {1}, 9)};
  const std::vector<Array> vectors = {counting(DType::f4, {0, 3}), counting(DType::f4, {2, 3}, 7),
                                      counting(DType::f4, {50000, 3}), counting(DType::f4, {1, 3}, 2)};
  check_same(write_all(directory / "ids.npy", ids), true);
  check_same(write_all(directory / "vectors.npy", vectors), true);
  check_same(write_all(directory / "ids.h5", ids), true);
  check_same(write_all(directory / "vectors.h5:a/b", vectors), true);
  check_same(directory / "vectors.h5:a/b/data", true);
  check_same(write_all(directory / "images.npy", {counting(DType::f4, {2, 3, 4}), counting(DType::f4, {5, 3, 4})}),
             true);
  const auto images = MappedRecords::open(directory / "images.npy");
  CHECK(images.width() == 12);
  CHECK(images.length(1) == 5);
  CHECK(images.where(1) == directory / "images.npy" + ": record 1");
  CHECK_THROWS_WITH(images.ids(0), directory / "images.npy" + ": holds f4, not i4");
  CHECK_THROWS_WITH(MappedRecords::open(directory / "ids.npy").rows(0), Catch::Contains("holds i4, not f4"));
}

TEST_CASE("a stream without records", "[stream]") {
  test::TemporaryDirectory directory;
  for (const std::string name : {"none.npy", "none.h5"}) {
    const auto none = MappedRecords::open(write_all(directory / name, {}));
    CHECK(none.records() == 0);
    CHECK(none.width() == 1);
    CHECK(none.dtype() == DType::f4);
  }
  check_same(write_all(directory / "empty.h5", {counting(DType::f4, {0, 3}), counting(DType::f4, {0, 3})}), false);
  check_same(write_all(directory / "empty.npy", {counting(DType::f4, {0, 3}), counting(DType::f4, {0, 3})}), true);
}

TEST_CASE("what cannot be mapped is read and converted", "[stream]") {
  test::TemporaryDirectory directory;
  for (const DType dtype : {DType::i8, DType::u1, DType::f8, DType::f2}) {
    const std::vector<Array> records = {counting(dtype, {3, 2}), counting(dtype, {0, 2}), counting(dtype, {7, 2}, 3)};
    check_same(write_all(directory / "x.npy", records), false);
    check_same(write_all(directory / "x.h5", records), false);
  }
  check_same(write_all(directory / "x.npy", {counting(DType::i4, {3}), counting(DType::i8, {4}, 3)}), false);
  check_same(write_all(directory / "x.npy", {counting(DType::f4, {3}), counting(DType::f2, {4}, 3)}), false);
  std::vector<Array> large;  // which our writer puts in chunks
  for (int i = 0; i < 30; ++i) large.push_back(counting(DType::f4, {i * 100, 32}, i));
  check_same(write_all(directory / "large.h5", large), false);

  const auto header = [](const std::string& type, bool fortran, const std::string& shape) {
    return "{'descr': '" + type + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape + "}";
  };
  const std::string little("\1\0\0\0\2\0\0\0", 8), big("\0\0\0\3\0\0\0\4", 8);
  const std::string plain = npy(header("<i4", false, "(2,)"), little);
  const auto check = [&](const std::string& bytes, bool mapped, std::int32_t last) {
    spit(directory / "own.npy", bytes);
    check_same(directory / "own.npy", mapped);
    const auto records = MappedRecords::open(directory / "own.npy");
    CHECK(records.ids(records.records() - 1)[1] == last);
  };
  check(plain + plain, true, 2);
  check(npy(header("<i4", false, "(2,)"), little, false), false, 2);
  check(plain + npy(header(">i4", false, "(2,)"), big), false, 4);
  check(npy(header("<i4", true, "(2,)"), little), true, 2);  // one axis has one order
  check(npy(header("<i4", false, "(2, 2)"), little + little), true, 2);
  check(npy(header("<i4", true, "(2, 2)"), little + little), false, 1);
  check(npy(header("<u4", false, "(2,)"), little), false, 2);
}

TEST_CASE("records from a pipe", "[stream]") {
  test::TemporaryDirectory directory;
  const std::vector<Array> records = {counting(DType::f4, {3, 2}), counting(DType::f4, {0, 2}),
                                      counting(DType::f4, {200000, 2})};
  for (const std::string name : {"x.npy", "x.h5"}) {
    const auto file = MappedRecords::open(write_all(directory / name, records));
    const auto pipe = MappedRecords::open(piped(directory, directory / name));
    CHECK_FALSE(pipe.mapped());
    REQUIRE(pipe.records() == 3);
    for (std::int64_t r = 0; r < 3; ++r) {
      REQUIRE(pipe.length(r) == file.length(r));
      CHECK(std::equal(pipe.rows(r), pipe.rows(r) + pipe.length(r) * 2, file.rows(r)));
    }
  }
  // Records are located on a pipe too, but lie nowhere.
  const auto reader = RecordReader::open(piped(directory, directory / "x.npy"));
  RecordLocation place;
  std::vector<std::int64_t> lengths;
  while (reader->locate(place)) {
    lengths.push_back(place.shape[0]);
    CHECK_FALSE(place.offset.has_value());
  }
  CHECK(lengths == std::vector<std::int64_t>{3, 0, 200000});
  CHECK(reader->count() == 3);
}

TEST_CASE("records can be located and read in turn", "[stream]") {
  test::TemporaryDirectory directory;
  std::vector<Array> records;
  for (const int length : {5, 300000, 0, 7, 200000, 1}) records.push_back(counting(DType::i4, {length}, length));
  for (const std::string name : {"x.npy", "x.h5"}) {
    for (const int first : {0, 1}) {
      const auto reader = RecordReader::open(write_all(directory / name, records));
      for (int r = 0; r < 6; ++r) {
        INFO(name << ", record " << r);
        if (r % 2 == first) {
          RecordLocation place;
          REQUIRE(reader->locate(place));
          CHECK(place.shape == records[static_cast<std::size_t>(r)].shape);
        } else {
          Array record;
          REQUIRE(reader->next(record));
          CHECK(record.bytes == records[static_cast<std::size_t>(r)].bytes);
        }
        CHECK(reader->where() == cat(directory / name, ": record ", r));
      }
    }
  }
}

TEST_CASE("a mapped stream is refused for what RecordReader refuses, in its words", "[stream]") {
  test::TemporaryDirectory directory;
  const auto reader_message = [](const std::string& address) {
    try {
      const auto reader = RecordReader::open(address);
      for (Array record; reader->next(record);) continue;
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  write_all(directory / "x.npy",
            {counting(DType::f4, {2, 3}), counting(DType::f4, {100000, 3}), counting(DType::f4, {5, 3})});
  const std::string bytes = slurp(directory / "x.npy");
  const std::size_t second = 128 + 24, third = second + 128 + 1200000;
  REQUIRE(bytes.size() == third + 128 + 60);
  std::vector<std::size_t> sizes{second + 5000, third - 300000, third - 1};
  for (std::size_t size = 0; size <= second + 200; ++size) sizes.push_back(size);
  for (std::size_t size = third; size <= bytes.size(); ++size) sizes.push_back(size);
  for (const std::size_t size : sizes) {
    spit(directory / "cut.npy", bytes.substr(0, size));
    INFO("cut at byte " << size);
    const bool clean = size == 0 || size == second || size == third || size == bytes.size();
    CHECK(message(directory / "cut.npy").empty() == clean);
    CHECK(message(directory / "cut.npy") == reader_message(directory / "cut.npy"));
  }
  for (const std::string text :
       {"{'descr': '<i4', 'fortran_order': False, 'shape': (1000000000000, 0)}",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (4000000000000000000,)}",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (-1,)}", "{'descr': '|O', 'shape': ()}"}) {
    spit(directory / "bad.npy", npy(text, ""));
    CHECK_FALSE(message(directory / "bad.npy").empty());
    CHECK(message(directory / "bad.npy") == reader_message(directory / "bad.npy"));
  }
  for (const std::string name : {"absent.npy", "absent.h5:x", ""}) {
    CHECK_FALSE(message(directory / name).empty());
    CHECK(message(directory / name) == reader_message(directory / name));
  }
  Hdf5File file = Hdf5File::create(directory / "bad.h5");
  file.write("data", counting(DType::f4, {4, 2}));
  file.write("offsets", counting(DType::i8, {3}));
  file.close();
  CHECK_THAT(message(directory / "bad.h5"), Catch::Contains("the last offset is 2, but 'data' has 4 rows"));
}

TEST_CASE("records of several kinds are refused, mapped or not", "[stream]") {
  test::TemporaryDirectory directory;
  const auto both = [&](const std::vector<Array>& records) {
    write_all(directory / "x.npy", records);
    std::string file = message(directory / "x.npy"), fifo = piped(directory, directory / "x.npy");
    CHECK(message(fifo).substr(fifo.size()) == file.substr((directory / "x.npy").size()));
    return file;
  };
  const Array one = counting(DType::f4, {2, 3});
  CHECK_THAT(both({one, counting(DType::f4, {2, 4})}), Catch::Contains("record 1: width 4 does not match width 3"));
  CHECK_THAT(both({one, counting(DType::i4, {2, 3})}),
             Catch::Contains("record 1: ids in a stream that began with vectors"));
  CHECK_THAT(both({one, one, counting(DType::f4, {})}),
             Catch::Contains("record 2: a record of shape () has no length"));
  CHECK_THAT(both({Array::of<bool>({2}, std::array{true, false})}),
             Catch::Contains("record 0: expected ids (integers), not b1 (2,)"));
  const Array far = Array::of<std::int64_t>({1}, std::array<std::int64_t, 1>{1LL << 40});
  CHECK_THAT(both({counting(DType::i4, {2}), far}), Catch::Contains("record 1: ") && Catch::Contains("1099511627776"));
}
