#include "io/stream.hpp"

#include <sys/stat.h>

#include <array>
#include <catch2/catch.hpp>

#include "files.hpp"
#include "io/address.hpp"
#include "io/batch.hpp"
#include "io/hdf5.hpp"
#include "io/mapped_file.hpp"
#include "io/output_file.hpp"
#include "io/stack.hpp"
#include "io/temporary_file.hpp"
#include "io/text_lines.hpp"

using namespace pipeformer;
using pipeformer::test::slurp;
using pipeformer::test::spit;

namespace {

Array counting(DType dtype, const Shape& shape, int start = 0) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(element_count(shape)));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = (start + static_cast<int>(i)) % (dtype == DType::b1 ? 2 : 100);
  return Array::of<std::int32_t>(shape, values).as(dtype);
}

void write_all(const std::string& address, const std::vector<Array>& records, const OutputOptions& options = {}) {
  const auto writer = RecordWriter::open(address, options);
  for (const Array& record : records) writer->write(record);
  writer->close();
}

std::vector<Array> read_all(const std::string& address) {
  const auto reader = RecordReader::open(address);
  std::vector<Array> records;
  for (Array record; reader->next(record);) records.push_back(record);
  return records;
}

bool same(const std::vector<Array>& a, const std::vector<Array>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Array& x, const Array& y) {
    return x.dtype == y.dtype && x.shape == y.shape && x.bytes == y.bytes;
  });
}

}  // namespace

TEST_CASE("records come back as they went, in both containers", "[stream]") {
  test::TemporaryDirectory directory;
  for (const DType dtype : {DType::f2, DType::f4, DType::f8, DType::i4, DType::i8, DType::u1, DType::b1}) {
    const std::vector<Array> ragged = {counting(dtype, {3, 4}), counting(dtype, {0, 4}), counting(dtype, {1, 4}, 7),
                                       counting(dtype, {0, 4}), counting(dtype, {9, 4}, 3)};
    for (const std::string address : {"x.npy", "x.h5", "x.h5:/", "y.hdf5:a/b/c"}) {
      write_all(directory / address, ragged);
      CHECK(same(read_all(directory / address), ragged));
    }
    for (const Shape& shape : {Shape{}, Shape{5}, Shape{2, 3, 4}, Shape{0}, Shape{3, 0}}) {
      for (const std::string address : {"z.npy", "z.h5", "z.h5:deep/down"}) {
        write_all(directory / address, {counting(dtype, shape)});
        CHECK(same(read_all(directory / address), {counting(dtype, shape)}));
      }
    }
  }
  for (const std::string address : {"none.npy", "none.h5", "none.h5:group"}) {
    write_all(directory / address, {});
    CHECK(read_all(directory / address).empty());
  }
  CHECK(slurp(directory / "none.npy").empty());
}

TEST_CASE("large streams are chunked and come back", "[stream]") {
  test::TemporaryDirectory directory;
  std::vector<Array> records;
  for (int i = 0; i < 60; ++i) records.push_back(counting(DType::f4, {(i * 7919) % 3000, 100}, i));
  records.push_back(counting(DType::f4, {30000, 100}));  // larger than the buffers
  records.push_back(counting(DType::f4, {2, 100}));
  write_all(directory / "x.h5:s", records);
  CHECK(same(read_all(directory / "x.h5:s"), records));
  CHECK_FALSE(Hdf5File::open(directory / "x.h5").dataset("s/data").file_offset().has_value());
  // The same stream out of a pipe: the whole image is read.
  const std::string fifo = directory / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  REQUIRE(std::system(("cat '" + directory / "x.h5" + "' > '" + fifo + "' &").c_str()) == 0);
  CHECK(same(read_all(fifo + ":s"), records));
}

TEST_CASE("a stream cut at any byte is an error, except between records", "[stream]") {
  test::TemporaryDirectory directory;
  write_all(directory / "x.npy", {counting(DType::f4, {2, 3}), counting(DType::i4, {5})});
  const std::string bytes = slurp(directory / "x.npy");
  const std::size_t first = 128 + 24;
  REQUIRE(bytes.size() == first + 128 + 20);
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    spit(directory / "cut.npy", bytes.substr(0, size));
    const bool clean = size == 0 || size == first || size == bytes.size();
    std::string message;
    try {
      read_all(directory / "cut.npy");
    } catch (const Error& error) {
      message = error.what();
    }
    INFO("cut at byte " << size << ": " << message);
    CHECK(clean == message.empty());
    if (!clean)
      CHECK(message.find(cat("cut.npy: record ", size < first ? 0 : 1, ": truncated: ")) != std::string::npos);
  }
}

TEST_CASE("an HDF5 image cut at any place is an error", "[stream]") {
  test::TemporaryDirectory directory;
  write_all(directory / "x.h5", {counting(DType::f4, {2, 3})});
  const std::string bytes = slurp(directory / "x.h5");
  for (std::size_t size = 1; size < bytes.size(); size += 61) {
    spit(directory / "cut.h5", bytes.substr(0, size));
    INFO("cut at byte " << size);
    CHECK_THROWS_AS(read_all(directory / "cut.h5"), Error);
  }
}

TEST_CASE("offsets are checked", "[stream]") {
  test::TemporaryDirectory directory;
  const auto message = [&](std::vector<std::int64_t> offsets) {
    Hdf5File file = Hdf5File::create(directory / "x.h5");
    file.write("data", counting(DType::f4, {4, 2}));
    file.write("offsets", Array::of<std::int64_t>({static_cast<std::int64_t>(offsets.size())}, offsets));
    file.close();
    try {
      return cat(read_all(directory / "x.h5").size());
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  CHECK(message({0, 4}) == "1");
  CHECK(message({0, 0, 1, 4, 4}) == "4");
  CHECK_THAT(message({}), Catch::Contains("must begin with 0"));
  CHECK_THAT(message({1, 4}), Catch::Contains("must begin with 0"));
  CHECK_THAT(message({0, 3, 2, 4}), Catch::Contains("offsets[2] = 2 is less than offsets[1] = 3"));
  CHECK_THAT(message({0, 3}), Catch::Contains("the last offset is 3, but 'data' has 4 rows"));
  CHECK_THAT(message({0, 5}), Catch::Contains("the last offset is 5, but 'data' has 4 rows"));
  CHECK_THAT(message({0, -1, 4}), Catch::Contains("offsets[1] = -1"));
  Hdf5File file = Hdf5File::create(directory / "y.h5");
  file.write("data", counting(DType::f4, {4, 2}));
  file.write("offsets", counting(DType::f4, {2}));
  file.close();
  CHECK_THROWS_WITH(RecordReader::open(directory / "y.h5"),
                    Catch::Contains("'offsets' must be integers of rank 1, not f4 (2,)"));
}

TEST_CASE("HDF5 refuses what it cannot hold as one stream", "[stream]") {
  test::TemporaryDirectory directory;
  const auto message = [&](const Array& a, const Array& b) {
    try {
      write_all(directory / "x.h5", {a, b});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK_THAT(message(counting(DType::f4, {2, 3}), counting(DType::f4, {2, 4})),
             Catch::Contains("record 1: f4 (2, 4) cannot stand"));
  CHECK_THAT(message(counting(DType::f4, {2, 3}), counting(DType::f4, {2})), Catch::Contains("record 1"));
  CHECK_THAT(message(counting(DType::f4, {2, 3}), counting(DType::f8, {2, 3})), Catch::Contains("record 1"));
  CHECK_THAT(message(counting(DType::f4, {2, 3}), counting(DType::f4, {})), Catch::Contains("rank 0"));
  CHECK_THAT(message(counting(DType::f4, {}), counting(DType::f4, {})), Catch::Contains("rank 0"));
  CHECK_THAT(message(counting(DType::f4, {}), counting(DType::f4, {2})), Catch::Contains("record 1"));
  CHECK(directory.entries() == 0);
}

TEST_CASE("addresses split at the last colon of an HDF5 name", "[stream]") {
  const auto split = [](const std::string& text) {
    const Address a = split_address(text);
    return a.file + "|" + a.group;
  };
  CHECK(split("-") == "-|");
  CHECK(split("x.npy") == "x.npy|");
  CHECK(split("a:b") == "a:b|");
  CHECK(split("x.h5:a/b") == "x.h5|a/b");
  CHECK(split("C:x.hdf5:a") == "C:x.hdf5|a");
  CHECK(split("/dev/stdin:a") == "/dev/stdin|a");
  test::TemporaryDirectory directory;
  spit(directory / "model", "x");
  spit(directory / "odd:name", "x");
  CHECK(split(directory / "model:a") == directory / "model" + "|a");
  CHECK(split(directory / "odd:name") == directory / "odd:name" + "|");
}

TEST_CASE("what an address cannot be is said", "[stream]") {
  test::TemporaryDirectory directory;
  CHECK_THROWS_WITH(RecordReader::open(directory / "no.npy"), Catch::Contains("no.npy: cannot open: No such file"));
  CHECK_THROWS_WITH(RecordReader::open(directory / ""), Catch::Contains("is a directory"));
  spit(directory / "text", "Hello, world\n");
  CHECK_THROWS_WITH(RecordReader::open(directory / "text"), Catch::Contains("text: neither NPY nor HDF5"));
  spit(directory / "bad.h5", "\x89HDF\r\n\x1a\n and no more");
  CHECK_THROWS_WITH(RecordReader::open(directory / "bad.h5"), Catch::Contains("bad.h5: cannot open as HDF5"));
  write_all(directory / "x.h5:a/b", {counting(DType::f4, {2})});
  CHECK_THROWS_WITH(RecordReader::open(directory / "x.h5"), Catch::Contains("give FILE:NAME, one of a"));
  CHECK_THROWS_WITH(RecordReader::open(directory / "x.h5:c"), Catch::Contains("no dataset or group 'c'"));
  CHECK(read_all(directory / "x.h5:a/b/data").size() == 1);
  CHECK_THROWS_AS(RecordWriter::open(directory / "x.txt"), UsageError);
  CHECK_THROWS_AS(RecordWriter::open(directory / "x.npy", {.format = "txt", .dtype = {}}), UsageError);
  CHECK_THROWS_AS(RecordWriter::open(directory / "x.h5:a", {.format = "npy", .dtype = {}}), UsageError);
  CHECK_THROWS_WITH(RecordWriter::open(directory / "none/x.npy"), Catch::Contains("there is no such directory"));
  CHECK_THROWS_WITH(RecordWriter::open(directory / "none/x.h5"), Catch::Contains("there is no such directory"));
}

TEST_CASE("formats and stored types can be chosen", "[stream]") {
  test::TemporaryDirectory directory;
  write_all(directory / "x.bin", {counting(DType::f4, {3}), counting(DType::i4, {2})},
            {.format = "npy", .dtype = DType::f2});
  const auto records = read_all(directory / "x.bin");
  CHECK(records[0].dtype == DType::f2);
  CHECK(records[1].dtype == DType::i4);  // ids stay ids
  write_all(directory / "y.bin", {counting(DType::f8, {3})}, {.format = "h5", .dtype = DType::f4});
  CHECK(same(read_all(directory / "y.bin"), {counting(DType::f4, {3})}));
}

TEST_CASE("streams pair by position", "[stream]") {
  test::TemporaryDirectory directory;
  const Array one = counting(DType::f4, {1});
  write_all(directory / "two.npy", {one, one});
  write_all(directory / "three.npy", {one, one, one});
  const auto run = [&](const std::string& x, const std::string& y) {
    const auto a = RecordReader::open(directory / x), b = RecordReader::open(directory / y),
               c = RecordReader::open(directory / x);
    Array record_a, record_b, record_c;
    const std::array<NextRecord, 3> streams{{{a.get(), &record_a}, {b.get(), &record_b}, {c.get(), &record_c}}};
    int times = 0;
    while (next_together(streams)) ++times;
    return times;
  };
  CHECK(run("two.npy", "two.npy") == 2);
  CHECK_THROWS_WITH(run("two.npy", "three.npy"),
                    Catch::Contains("two.npy ended after 2 records") && Catch::Contains("three.npy has more"));
  CHECK_THROWS_WITH(run("three.npy", "two.npy"), Catch::Contains("two.npy ended after 2 records"));
  CHECK_THROWS_WITH(read_single(directory / "two.npy"), Catch::Contains("more than one record"));
  write_all(directory / "none.npy", {});
  CHECK_THROWS_WITH(read_single(directory / "none.npy"), Catch::Contains("no record"));
}

TEST_CASE("batches are ragged and keep each record's axes", "[stream]") {
  test::TemporaryDirectory directory;
  write_all(directory / "x.npy", {counting(DType::f8, {3, 2}), counting(DType::f4, {0, 2}),
                                  counting(DType::f2, {2, 4, 2}), counting(DType::f4, {1, 2})});
  const auto reader = RecordReader::open(directory / "x.npy");
  Batch batch;
  REQUIRE(read_batch(*reader, batch, Accept::either, 1000, 3));
  CHECK_FALSE(batch.ids);
  CHECK(batch.width == 2);
  CHECK(batch.offsets == std::vector<std::int64_t>{0, 3, 3, 7, 11});
  CHECK(batch.records() == 3);
  CHECK(batch.first_record == 0);
  CHECK(batch.rows[6] == 0.0f);
  write_rows(*RecordWriter::open(directory / "unused.npy"), batch, batch.rows.data(), 2);
  {
    const auto writer = RecordWriter::open(directory / "y.npy");
    write_rows(*writer, batch, batch.rows.data(), 2);
    write_rows(*writer, batch, batch.rows.data(), 0);
    writer->close();
  }
  const auto back = read_all(directory / "y.npy");
  REQUIRE(back.size() == 6);
  CHECK(same({back[0], back[1], back[2]},
             {counting(DType::f4, {3, 2}), counting(DType::f4, {0, 2}), counting(DType::f4, {2, 4, 2})}));
  CHECK(back[3].shape == Shape{3});
  CHECK(back[5].shape == Shape{2, 4});
  REQUIRE(read_batch(*reader, batch, Accept::vectors, 1000, 3));
  CHECK(batch.first_record == 3);
  CHECK(batch.positions() == 1);
  CHECK_FALSE(read_batch(*reader, batch, Accept::vectors, 1000, 3));
}

TEST_CASE("batches of ids", "[stream]") {
  test::TemporaryDirectory directory;
  write_all(directory / "x.npy", {counting(DType::i8, {3}), counting(DType::i4, {0}), counting(DType::u1, {2, 2}),
                                  counting(DType::i4, {9})});
  const auto reader = RecordReader::open(directory / "x.npy");
  Batch batch;
  REQUIRE(read_batch(*reader, batch, Accept::either, 7, 100));  // about 7 rows: three records
  CHECK(batch.ids);
  CHECK(batch.offsets == std::vector<std::int64_t>{0, 3, 3, 5, 7});
  const auto writer = RecordWriter::open(directory / "y.npy");
  write_ids(*writer, batch, batch.tokens.data());
  writer->close();
  CHECK(same(read_all(directory / "y.npy"),
             {counting(DType::i4, {3}), counting(DType::i4, {0}), counting(DType::i4, {2, 2})}));
}

TEST_CASE("batches refuse records of another kind", "[stream]") {
  test::TemporaryDirectory directory;
  const auto message = [&](const std::vector<Array>& records, Accept accept) {
    write_all(directory / "x.npy", records);
    const auto reader = RecordReader::open(directory / "x.npy");
    try {
      for (Batch batch; read_batch(*reader, batch, accept, 1, 1);) continue;
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK_THAT(message({counting(DType::f4, {2, 2})}, Accept::ids),
             Catch::Contains("x.npy: record 0: expected ids (integers), not f4 (2, 2)"));
  CHECK_THAT(message({counting(DType::i4, {2})}, Accept::vectors),
             Catch::Contains("expected floating-point numbers, not i4 (2,)"));
  CHECK_THAT(message({counting(DType::f4, {2})}, Accept::vectors), Catch::Contains("(..., T, D), not shape (2,)"));
  CHECK_THAT(message({counting(DType::i4, {})}, Accept::ids), Catch::Contains("(..., T), not shape ()"));
  CHECK_THAT(message({counting(DType::b1, {2})}, Accept::either), Catch::Contains("not b1"));
  CHECK_THAT(message({counting(DType::f4, {2, 2}), counting(DType::f4, {2, 3})}, Accept::vectors),
             Catch::Contains("record 1: width 3 does not match width 2"));
  CHECK_THAT(message({counting(DType::f4, {2, 2}), counting(DType::i4, {2})}, Accept::either),
             Catch::Contains("record 1: ids in a stream"));
  CHECK_THAT(message({Array::of<std::int64_t>({1}, std::vector<std::int64_t>{1LL << 40})}, Accept::ids),
             Catch::Contains("record 0: element 0"));
}

TEST_CASE("records stack and unstack", "[stream]") {
  test::TemporaryDirectory directory;
  const std::vector<Array> parts = {counting(DType::f4, {2, 3}), counting(DType::f4, {2, 3}, 5)};
  write_all(directory / "x.npy", parts);
  const Array dense = stack_records(*RecordReader::open(directory / "x.npy"));
  CHECK(dense.shape == Shape{2, 2, 3});
  const auto writer = RecordWriter::open(directory / "y.npy");
  write_unstacked(*writer, dense, "dense");
  writer->close();
  CHECK(same(read_all(directory / "y.npy"), parts));
  write_all(directory / "z.npy", {counting(DType::f4, {2, 3}), counting(DType::f4, {1, 3})});
  CHECK_THROWS_WITH(stack_records(*RecordReader::open(directory / "z.npy")),
                    Catch::Contains("record 1: f4 (1, 3) cannot be stacked on f4 (2, 3)"));
}

TEST_CASE("outputs are complete or absent", "[stream]") {
  test::TemporaryDirectory directory;
  for (const std::string name : {"x.npy", "x.h5"}) {
    {
      const auto writer = RecordWriter::open(directory / name);
      writer->write(counting(DType::f4, {2, 3}));
      CHECK_FALSE(std::filesystem::exists(directory / name));
    }
    CHECK(directory.entries() == 0);
  }
  spit(directory / "x.npy", "old");
  std::filesystem::permissions(directory / "x.npy", std::filesystem::perms(0640));
  std::filesystem::create_symlink("x.npy", directory / "link.npy");
  write_all(directory / "link.npy", {counting(DType::f4, {2, 3})});
  CHECK(std::filesystem::is_symlink(directory / "link.npy"));
  CHECK(read_all(directory / "x.npy").size() == 1);
  CHECK(std::filesystem::status(directory / "x.npy").permissions() == std::filesystem::perms(0640));
  CHECK_THROWS_AS(write_all("/dev/full", {counting(DType::f4, {2, 3})}), Error);
  CHECK_THROWS_AS(write_all("/dev/full", {counting(DType::f4, {2, 3})}, {.format = "h5", .dtype = {}}), Error);
  write_all("/dev/null", {counting(DType::f4, {2, 3})});
}

TEST_CASE("a part of an HDF5 file is added to it, or replaced", "[stream]") {
  test::TemporaryDirectory directory;
  const std::string file = directory / "x.h5";
  const std::vector<Array> one = {counting(DType::f4, {3, 4})},
                           two = {counting(DType::i4, {5}), counting(DType::i4, {2})};
  write_all(file + ":one", one);
  write_all(file + ":two/deep", two);
  write_all(file + ":three", {counting(DType::f8, {})});
  CHECK(same(read_all(file + ":one"), one));
  CHECK(same(read_all(file + ":two/deep"), two));
  CHECK(read_all(file + ":three").size() == 1);
  const std::string before = slurp(file);
  write_all(file + ":two/deep", two);
  CHECK(slurp(file) == before);  // the place that was given up is used again
  write_all(file + ":one", two);
  CHECK(same(read_all(file + ":one"), two));
  CHECK(same(read_all(file + ":two/deep"), two));
  // Without a group, it is a new file.
  write_all(file, one);
  CHECK(Hdf5File::open(file).groups().empty());

  CHECK_THROWS_WITH(write_all(file + ":data/x", one), Catch::Contains("x.h5: cannot add 'data/x': 'data' is no group"));
  spit(directory / "y.h5", "no HDF5");
  CHECK_THROWS_WITH(write_all(directory / "y.h5:one", one), Catch::Contains("y.h5: cannot open as HDF5"));
  CHECK(slurp(directory / "y.h5") == "no HDF5");
  spit(directory / "empty.h5", "");
  write_all(directory / "empty.h5:one", one);
  CHECK(same(read_all(directory / "empty.h5:one"), one));
  CHECK(directory.entries() == 3);
}

TEST_CASE("parts that are written at the same time are all kept", "[stream]") {
  test::TemporaryDirectory directory;
  const std::string file = directory / "x.h5";
  const auto a = RecordWriter::open(file + ":a"), b = RecordWriter::open(file + ":b");
  a->write(counting(DType::f4, {1, 2}));
  b->write(counting(DType::f4, {2, 2}));
  CHECK_THROWS_WITH(RecordWriter::open(file + ":a/inside"), Catch::Contains("already the place of another output"));
  CHECK_THROWS_WITH(RecordWriter::open(file), Catch::Contains("already the place of another output"));
  b->close();
  a->close();
  CHECK(read_all(file + ":a").at(0).shape == Shape{1, 2});
  CHECK(read_all(file + ":b").at(0).shape == Shape{2, 2});
}

TEST_CASE("a symbolic link is followed, wherever it leads", "[stream]") {
  test::TemporaryDirectory directory;
  std::filesystem::create_directory(directory / "there");
  for (const std::string suffix : {".npy", ".h5"}) {
    const std::string link = directory / ("link" + suffix), target = directory / ("there/x" + suffix);
    std::filesystem::create_symlink("second" + suffix, link);
    std::filesystem::create_symlink("there/x" + suffix, directory / ("second" + suffix));
    write_all(link, {counting(DType::f4, {2, 3})});
    CHECK(std::filesystem::is_symlink(link));
    CHECK(std::filesystem::is_regular_file(std::filesystem::symlink_status(target)));
    CHECK(read_all(target).size() == 1);
  }
  std::filesystem::create_symlink("round", directory / "round");
  CHECK_THROWS_WITH(OutputFile(directory / "round", Content::text), Catch::Contains("too many symbolic links"));
  std::filesystem::create_symlink("nowhere/x.npy", directory / "lost.npy");
  CHECK_THROWS_WITH(RecordWriter::open(directory / "lost.npy"),
                    Catch::Contains("lost.npy: cannot create: there is no such directory"));
}

TEST_CASE("what killed writers left is removed, and nothing else", "[stream]") {
  test::TemporaryDirectory directory;
  const std::string left = ".tmp.pipeformer-0123456789abcdef";
  for (const std::string& name :
       {"x.h5" + left, "other.h5" + left, "x.h5.copy" + left, std::string("x.h5.tmp.20240101-before-tuning.bak"),
        std::string("x.h5.tmp.123"), "x.h5" + left + "0", "x.h5" + left.substr(0, left.size() - 1) + "g"})
    spit(directory / name, "mine");
  const TemporaryFile writing(directory / "x.h5", "x.h5");
  const auto clear = [&] {
    remove_abandoned(directory / "", [](const std::string& output) { return output == "x.h5"; });
  };
  clear();
  CHECK_FALSE(std::filesystem::exists(directory / ("x.h5" + left)));
  CHECK(directory.entries() == 7);
  CHECK(std::filesystem::exists(writing.path()));
}

TEST_CASE("lines of text", "[stream]") {
  test::TemporaryDirectory directory;
  const auto lines = [&](const std::string& text) {
    spit(directory / "x.txt", text);
    return read_text_lines(directory / "x.txt");
  };
  using Lines = std::vector<std::string>;
  CHECK(lines("").empty());
  CHECK(lines("\n") == Lines{""});
  CHECK(lines("a") == Lines{"a"});
  CHECK(lines("a\n\nb\r\nc") == Lines{"a", "", "b\r", "c"});
  const std::string nul("x\0y", 3);
  CHECK(lines(nul + "\n") == Lines{nul});
  std::string text;
  Lines expected;
  for (std::size_t i = 0; i < 400; ++i) {
    expected.emplace_back((i * 7919) % 5000 + (i == 200 ? 900000 : 0), static_cast<char>('a' + i % 26));
    text += expected.back() + "\n";
  }
  CHECK(lines(text) == expected);
}

TEST_CASE("text is told from other unknown bytes", "[stream]") {
  test::TemporaryDirectory directory;
  const std::string word = "tokenize it first";
  for (const char* text : {"a", "hi\n", "hello world\n",
                           "\tgr\xc3\xbc\xc3\x9f"
                           "e\r\n"}) {
    spit(directory / "x", text);
    CHECK_THROWS_WITH(read_all(directory / "x"), Catch::Contains("x: neither NPY nor HDF5: looks like text: " + word));
  }
  for (const std::string& bytes :
       {std::string("\x80\4\x95 pickle"), std::string("\x7f\x45LF\2\1\1\0\0", 9), std::string(9, '\0')}) {
    spit(directory / "x", bytes);
    CHECK_THROWS_WITH(read_all(directory / "x"), Catch::EndsWith("x: neither NPY nor HDF5"));
  }
}

TEST_CASE("files are mapped", "[stream]") {
  test::TemporaryDirectory directory;
  spit(directory / "x", "hello");
  CHECK(std::string(reinterpret_cast<const char*>(MappedFile(directory / "x").bytes().data()), 5) == "hello");
  spit(directory / "empty", "");
  CHECK(MappedFile(directory / "empty").bytes().empty());
  CHECK_THROWS_AS(MappedFile(directory / "none"), Error);
  CHECK_THROWS_AS(MappedFile(directory / ""), Error);
}
