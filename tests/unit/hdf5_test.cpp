#include "io/hdf5.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <cstring>

#include "core/error.hpp"
#include "core/half.hpp"
#include "files.hpp"
#include "io/mapped_file.hpp"

using namespace pipeformer;
using pipeformer::test::slurp;

namespace {

Array bytes_of(const std::string& text) {
  return Array::of<std::uint8_t>({static_cast<std::int64_t>(text.size())},
                                 std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

void write_model(const std::string& path) {
  Hdf5File file = Hdf5File::create(path);
  file.set_attribute("layers", std::int64_t{6});
  file.set_attribute("dropout", 0.1);
  file.set_attribute("tied", true);
  file.set_attribute("norm", std::string("pré"));
  file.set_attribute("empty", std::string());
  file.write("tokenizer", bytes_of("abc"));  // an odd size before what must be aligned
  for (const char* layer : {"encoder/0/self_attn/query", "encoder/1/self_attn/query", "encoder/10/self_attn/query"}) {
    file.write(std::string(layer) + "/weight", Array::of<float>({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6}));
    file.write(std::string(layer) + "/bias", Array::of<std::uint16_t>({1}, std::vector<std::uint16_t>{0x3c00}));
  }
  file.write("scalar", Array::of<double>({}, std::vector<double>{2.5}));
  file.write("none", Array(DType::f4, {0, 3}));
  file.make_group("decoder/0");
  file.close();
}

}  // namespace

TEST_CASE("model files hold attributes, groups and datasets", "[hdf5]") {
  test::TemporaryDirectory directory;
  write_model(directory / "m.h5");
  const Hdf5File file = Hdf5File::open(directory / "m.h5");
  CHECK(std::get<std::int64_t>(*file.attribute("layers")) == 6);
  CHECK(std::get<double>(*file.attribute("dropout")) == 0.1);
  CHECK(std::get<bool>(*file.attribute("tied")));
  CHECK(std::get<std::string>(*file.attribute("norm")) == "pré");
  CHECK(std::get<std::string>(*file.attribute("empty")).empty());
  CHECK_FALSE(file.attribute("no").has_value());
  CHECK(file.attributes().size() == 5);
  CHECK(file.groups() == std::vector<std::string>{"decoder", "encoder"});
  CHECK(file.groups("/encoder/") == std::vector<std::string>{"0", "1", "10"});
  CHECK(file.datasets("encoder/0/self_attn/query") == std::vector<std::string>{"bias", "weight"});
  CHECK(file.has_group(""));
  CHECK(file.has_group("decoder/0"));
  CHECK_FALSE(file.has_group("tokenizer"));
  CHECK(file.has_dataset("tokenizer"));
  CHECK_FALSE(file.has_dataset("no/such/thing"));
  CHECK(file.read("tokenizer").shape == Shape{3});
  CHECK(file.read("scalar").values<double>()[0] == 2.5);
  CHECK(file.read("none").shape == Shape{0, 3});
  CHECK_THROWS_WITH(file.dataset("nothing"), Catch::Contains("m.h5: no dataset 'nothing'"));
  CHECK_THROWS_WITH(file.groups("nothing"), Catch::Contains("m.h5: no group"));
}

TEST_CASE("parameters can be mapped straight from the file", "[hdf5]") {
  test::TemporaryDirectory directory;
  write_model(directory / "m.h5");
  const Hdf5File file = Hdf5File::open(directory / "m.h5");
  const auto map = file.mapped();
  for (const char* name : {"tokenizer", "encoder/0/self_attn/query/weight", "encoder/10/self_attn/query/bias",
                           "encoder/10/self_attn/query/weight"}) {
    const auto offset = file.dataset(name).file_offset();
    REQUIRE(offset.has_value());
    CHECK(*offset % 64 == 0);
    const Array array = file.read(name);
    CHECK(std::memcmp(map.data() + *offset, array.bytes.data(), array.bytes.size()) == 0);
  }
  CHECK_FALSE(file.dataset("none").file_offset().has_value());
  const Hdf5File image = Hdf5File::open_image(map, "image");
  CHECK(image.mapped().empty());
  CHECK_FALSE(image.dataset("tokenizer").file_offset().has_value());
  CHECK(image.read("tokenizer").bytes == file.read("tokenizer").bytes);
}

TEST_CASE("the same writes make the same bytes", "[hdf5]") {
  test::TemporaryDirectory directory;
  write_model(directory / "a.h5");
  REQUIRE(std::system("sleep 1.1") == 0);  // object times count seconds
  write_model(directory / "b.h5");
  CHECK(slurp(directory / "a.h5") == slurp(directory / "b.h5"));
}

TEST_CASE("attributes are replaced", "[hdf5]") {
  test::TemporaryDirectory directory;
  Hdf5File file = Hdf5File::create(directory / "x.h5");
  file.set_attribute("step", std::int64_t{1});
  file.set_attribute("step", 2.5);
  file.make_group("a");
  file.set_attribute("deep", std::int64_t{-3}, "a");
  file.close();
  const Hdf5File back = Hdf5File::open(directory / "x.h5");
  CHECK(std::get<double>(*back.attribute("step")) == 2.5);
  CHECK(std::get<std::int64_t>(*back.attribute("deep", "a")) == -3);
}

TEST_CASE("rows are read and appended in blocks", "[hdf5]") {
  test::TemporaryDirectory directory;
  Hdf5File file = Hdf5File::create(directory / "x.h5");
  Hdf5Appender rows = file.append_to("a/rows", DType::i4, {1000}), thin = file.append_to("thin", DType::i4, {0});
  std::vector<std::int32_t> row(1000);
  for (std::int32_t i = 0; i < 3000; ++i) {
    std::fill(row.begin(), row.end(), i);
    rows.append(reinterpret_cast<const std::byte*>(row.data()), 1);
    thin.append(nullptr, 2);
  }
  CHECK(rows.rows() == 3000);
  rows.finish();
  thin.finish();
  file.close();
  const Hdf5File back = Hdf5File::open(directory / "x.h5");
  CHECK(back.dataset("thin").shape() == Shape{6000, 0});
  const Hdf5Dataset set = back.dataset("a/rows");
  CHECK(set.shape() == Shape{3000, 1000});
  for (const std::int64_t begin : {0, 1, 261, 1500, 2999}) {
    set.read_rows(begin, begin + 1, reinterpret_cast<std::byte*>(row.data()));
    CHECK(row.front() == begin);
    CHECK(row.back() == begin);
  }
  CHECK_THROWS_AS(set.read_rows(2999, 3001, reinterpret_cast<std::byte*>(row.data())), Error);
}

TEST_CASE("a created file that is not closed leaves nothing", "[hdf5]") {
  test::TemporaryDirectory directory;
  {
    Hdf5File file = Hdf5File::create(directory / "x.h5");
    file.write("a", bytes_of("abc"));
  }
  CHECK(directory.entries() == 0);
  CHECK_THROWS_WITH(Hdf5File::open(directory / "x.h5"), Catch::Contains("x.h5: cannot open: No such file"));
}

TEST_CASE("bfloat16 lies in a file as it is, and is read as f4 exactly", "[hdf5]") {
  test::TemporaryDirectory directory;
  constexpr std::int64_t count = 65536;
  std::vector<std::uint16_t> bits(count);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
  Hdf5File file = Hdf5File::create(directory / "x.h5");
  file.write("odd", bytes_of("abc"));
  file.write_bfloat16("layer/weight", {count / 4, 4}, bits.data());
  file.write_bfloat16("scalar", {}, &bits[0x3fc0]);
  file.write_bfloat16("none", {0, 3}, nullptr);
  file.write("half", DType::f2, {count}, bits.data());
  file.write("float", Array::of<float>({1}, std::vector<float>{1}));
  file.close();

  std::vector<float> expected(count);
  std::transform(bits.begin(), bits.end(), expected.begin(), float_from_bfloat16);
  const auto same = [&](const Array& array) {
    return array.dtype == DType::f4 && array.size() == count &&
           std::memcmp(array.bytes.data(), expected.data(), array.bytes.size()) == 0;
  };
  const MappedFile map(directory / "x.h5");
  const Hdf5File back = Hdf5File::open(directory / "x.h5"), image = Hdf5File::open_image(map.bytes(), "image");
  const Hdf5Dataset weight = back.dataset("layer/weight");
  CHECK(weight.is_bfloat16());
  CHECK(weight.shape() == Shape{count / 4, 4});
  CHECK(same(weight.read()));
  CHECK(same(image.read("layer/weight")));
  std::array<std::uint32_t, 4> row, expected_row;  // bits
  weight.read_rows(4080, 4081, reinterpret_cast<std::byte*>(row.data()));
  std::memcpy(expected_row.data(), &expected[4080 * 4], sizeof expected_row);
  CHECK(row == expected_row);
  CHECK(back.read("scalar").values<float>()[0] == 1.5f);
  CHECK(back.read("none").shape == Shape{0, 3});

  REQUIRE(weight.bfloat16_offset());
  CHECK(*weight.bfloat16_offset() % 64 == 0);
  CHECK(std::memcmp(map.bytes().data() + *weight.bfloat16_offset(), bits.data(), count * 2) == 0);
  CHECK_FALSE(weight.file_offset());  // the bytes there are no floats
  CHECK_FALSE(image.dataset("layer/weight").bfloat16_offset());
  const Hdf5Dataset half = back.dataset("half");
  CHECK_FALSE(half.is_bfloat16());
  CHECK_FALSE(half.bfloat16_offset());
  CHECK(half.dtype() == DType::f2);
  CHECK(half.file_offset());
  CHECK_FALSE(back.dataset("float").bfloat16_offset());
}

namespace {

/// Reads all that there is in a file; what is damaged may be an Error, and nothing else.
void read_everything(const Hdf5File& file, const std::string& group = "", int depth = 0) {
  if (depth > 5) return;
  const auto attempt = [](const auto& step) {
    try {
      step();
    } catch (const Error&) {
    }
  };
  attempt([&] { file.attribute_values(group); });
  attempt([&] {
    for (const Hdf5Entry& entry : file.entries(group)) {
      const std::string path = group.empty() ? entry.name : group + "/" + entry.name;
      if (entry.kind == Hdf5Entry::Kind::group) read_everything(file, path, depth + 1);
      if (entry.kind == Hdf5Entry::Kind::dataset) attempt([&] { file.read(path); });
    }
  });
}

}  // namespace

TEST_CASE("a changed byte is an error or another value, wherever it is", "[hdf5]") {
  test::TemporaryDirectory directory;
  write_model(directory / "m.h5");
  const std::string good = slurp(directory / "m.h5");
  const auto open = [](const std::string& bytes) {
    try {
      read_everything(Hdf5File::open_image(std::as_bytes(std::span(bytes)), "image"));
    } catch (const Error&) {
    }
  };
  for (std::size_t at = 0; at < good.size(); at += 3) {
    std::string bad = good;
    bad[at] = static_cast<char>(~bad[at]);
    open(bad);
    bad = good;
    bad.replace(at, 8, 8, '\xff');
    open(bad);
    open(good.substr(0, at));
  }
}

TEST_CASE("a file may begin after a block of the user's", "[hdf5]") {
  test::TemporaryDirectory directory;
  write_model(directory / "m.h5");
  const std::string moved = std::string(1024, 'u') + slurp(directory / "m.h5");
  const Hdf5File image = Hdf5File::open_image(std::as_bytes(std::span(moved)), "image");
  CHECK(std::get<std::int64_t>(*image.attribute("layers")) == 6);
  CHECK(image.read("scalar").values<double>()[0] == 2.5);
}
