#include "io/safetensors.hpp"

#include <catch2/catch.hpp>
#include <cstring>

#include "core/error.hpp"
#include "files.hpp"
#include "io/tensor_folder.hpp"

using namespace pipeformer;
using test::slurp;
using test::spit;

namespace {

std::string file_of(const std::string& header, const std::string& elements = "") {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + elements;
}

std::vector<TensorEntry> table_of(const std::string& file) {
  return read_safetensors_table(std::as_bytes(std::span(file)));
}

void refused(const std::string& header, std::size_t elements, const std::string& message) {
  CHECK_THROWS_WITH(table_of(file_of(header, std::string(elements, '\0'))), Catch::Contains(message));
}

template <class T>
std::string raw(std::vector<T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

std::vector<float> floats(const StoredTensor& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.size()));
  tensor.read_floats(values.data());
  return values;
}

const std::string two = R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},)"
                        R"("a":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}   )";
const std::string two_elements = raw<std::uint16_t>({0x3f80, 0xc000}) + raw<float>({1.5f, -2});

}  // namespace

TEST_CASE("safetensors are read where they lie", "[safetensors]") {
  test::TemporaryDirectory directory;
  spit(directory / "model.safetensors", file_of(two, two_elements));
  const TensorFolder folder(directory / "");
  CHECK(folder.names() == std::vector<std::string>{"a", "b"});
  CHECK(folder.tensor("a").type == TensorType::BF16);
  CHECK(folder.tensor("a").shape == Shape{1, 2});
  CHECK(floats(folder.tensor("a")) == std::vector<float>{1, -2});
  CHECK(floats(folder.tensor("b")) == std::vector<float>{1.5f, -2});
  CHECK(folder.has("b"));
  CHECK_FALSE(folder.has("c"));
  CHECK_THROWS_WITH(folder.tensor("c"), Catch::EndsWith(": no tensor 'c'"));
  CHECK(TensorFolder(directory / "model.safetensors").names().size() == 2);
}

TEST_CASE("safetensors of all types, unaligned, empty and of rank 0", "[safetensors]") {
  test::TemporaryDirectory directory;
  const std::string header =
      R"({"byte":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"scalar":{"dtype":"F64","shape":[],"data_offsets":[1,9]},)"
      R"("empty":{"dtype":"F32","shape":[3,0],"data_offsets":[9,9]},"half":{"dtype":"F16","shape":[2],"data_offsets":[9,13]},)"
      R"("long":{"dtype":"I64","shape":[1],"data_offsets":[13,21]},"flag":{"dtype":"BOOL","shape":[1],"data_offsets":[21,22]},)"
      R"("int":{"dtype":"I32","shape":[1],"data_offsets":[22,26]},"new":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[26,28]},)"
      R"("four":{"dtype":"F4","shape":[2,2],"data_offsets":[28,30]},"unknown":{"dtype":"Q7","shape":[9],"data_offsets":[30,31]}})";
  const std::string elements = raw<std::uint8_t>({7}) + raw<double>({0.1}) + raw<std::uint16_t>({0x3c00, 0x0001}) +
                               raw<std::int64_t>({INT64_MIN}) + raw<std::uint8_t>({1}) + raw<std::int32_t>({-5}) +
                               std::string(5, '\0');
  spit(directory / "model.safetensors", file_of(header, elements));
  const TensorFolder folder(directory / "");
  CHECK(floats(folder.tensor("scalar")) == std::vector<float>{0.1f});
  CHECK(folder.tensor("scalar").shape.empty());
  CHECK(floats(folder.tensor("empty")).empty());
  CHECK(floats(folder.tensor("half")) == std::vector<float>{1, 0x1p-24f});
  std::int64_t number = 0;
  folder.tensor("long").read(reinterpret_cast<std::byte*>(&number));
  CHECK(number == INT64_MIN);
  CHECK(folder.tensor("flag").type == TensorType::BOOL);
  CHECK_THROWS_WITH(floats(folder.tensor("int")),
                    Catch::EndsWith("tensor 'int' holds I32, not floating-point numbers"));
  for (const std::string name : {"new", "four", "unknown"})
    CHECK_THROWS_WITH(folder.tensor(name), Catch::Contains("model.safetensors: tensor '" + name + "' holds ") &&
                                               Catch::EndsWith(", which is not supported"));
}

TEST_CASE("a safetensors file of more than 4 GiB", "[safetensors]") {
  constexpr std::uint64_t large = std::uint64_t{9} << 29;  // 4.5 GiB, a hole
  test::TemporaryDirectory directory;
  const std::string end = std::to_string(large);
  const std::string file = file_of(
      R"({"big":{"dtype":"BF16","shape":[)" + std::to_string(large / 2048) + R"(,1024],"data_offsets":[0,)" + end +
      R"(]},"last":{"dtype":"F32","shape":[1],"data_offsets":[)" + end + "," + std::to_string(large + 4) + "]}}");
  spit(directory / "model.safetensors", file);
  std::filesystem::resize_file(directory / "model.safetensors", file.size() + large);
  std::ofstream(directory / "model.safetensors", std::ios::binary | std::ios::app) << raw<float>({2.5f});
  const TensorFolder folder(directory / "");
  CHECK(folder.tensor("big").bytes.size() == large);
  CHECK(floats(folder.tensor("last")) == std::vector<float>{2.5f});
}

TEST_CASE("safetensors cut short anywhere in the header are refused", "[safetensors]") {
  const std::string whole = file_of(two, two_elements);
  CHECK(table_of(whole).size() == 2);
  for (std::size_t size = 0; size < whole.size(); ++size) CHECK_THROWS_AS(table_of(whole.substr(0, size)), Error);
  CHECK_THROWS_AS(table_of(whole + '\0'), Error);
  // The header itself cut short, its length agreeing.
  for (std::size_t size = 0; size + 3 < two.size(); ++size)
    CHECK_THROWS_AS(table_of(file_of(two.substr(0, size), two_elements)), Error);
  CHECK_THROWS_WITH(table_of(whole.substr(0, 5)), "truncated: the length of the header has 5 of 8 bytes");
  CHECK_THROWS_WITH(table_of(whole.substr(0, 20)), Catch::Contains("truncated: the header has 12 of "));
}

TEST_CASE("safetensors headers that lie are refused by name", "[safetensors]") {
  const auto tensor = [](const std::string& type, const std::string& shape, const std::string& offsets) {
    return R"({"w":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  refused(tensor("F32", "[2]", "[0,4]"), 4, "tensor 'w': shape (2,) of F32 does not take the 4 bytes");
  refused(tensor("F16", "[2]", "[0,8]"), 8, "tensor 'w': shape (2,) of F16 does not take the 8 bytes");
  refused(tensor("F4", "[3]", "[0,1]"), 1, "tensor 'w': shape (3,) of F4 does not take");
  refused(tensor("F32", "[2]", "[0,8]"), 4, "tensor 'w': data_offsets end at 8, but there are 4 bytes of elements");
  refused(tensor("F32", "[2]", "[8,0]"), 8, "w.data_offsets is an array, whose end is before its beginning");
  refused(tensor("F32", "[2]", "[4,12]"), 12,
          "tensor 'w' begins at byte 67 of the file, but the one before it ends at");
  refused(tensor("F32", "[1]", "[0,4]"), 8, "the last tensor ends at byte ");
  refused(tensor("F32", "[2]", "[0,9223372036854775807]"), 8, "data_offsets end at 9223372036854775807");
  refused(tensor("F32", "[2]", "[0,18446744073709551615]"), 8,
          "w.data_offsets[1] is 18446744073709551616, which is too large");
  refused(tensor("F32", "[2]", "[-4,4]"), 8, "w.data_offsets[0] is -4, which is negative");
  refused(tensor("F32", "[2]", "[0]"), 8, "w.data_offsets is an array, not an array of two numbers");
  refused(tensor("F32", "[2]", "{\"x\":0,\"y\":8}"), 8, "w.data_offsets is an object, not an array of two numbers");
  refused(tensor("F32", "[-2]", "[0,8]"), 8, "w.shape[0] is -2, which is negative");
  refused(tensor("F32", "[2.5]", "[0,8]"), 8, "w.shape[0] is 2.5, not a whole number");
  refused(tensor("F32", "2", "[0,8]"), 8, "w.shape is 2, not an array");
  refused(tensor("F32", "[4294967296,4294967296]", "[0,8]"), 8,
          "tensor 'w': shape (4294967296, 4294967296) has too many");
  refused(tensor("U8", "[4611686018427387904,4]", "[0,0]"), 0, "too many elements");
  refused(tensor("F64", "[1152921504606846975]", "[0,0]"), 0, "does not take");
  refused(tensor("F64", "[288230376151711744]", "[0,0]"), 0, "does not take");  // 2^64 bits wrap to none
  refused(R"({"w":{"dtype":1,"shape":[],"data_offsets":[0,4]}})", 4, "w.dtype is 1, not a text");
  refused(R"({"w":{"shape":[],"data_offsets":[0,4]}})", 4, "header: w has no \"dtype\"");
  refused(R"({"w":{"dtype":"F32","shape":[],"data_offsets":[0,4],"scale":2}})", 4, "an unknown key 'scale'");
  refused(R"({"w":7})", 0, "w is 7, not an array or object");
  refused(R"({"w":[]})", 0, "w is an array, not an object");
  refused(R"({"__metadata__":{"format":1}})", 0, "__metadata__.format is 1, not a text");
  refused(R"([])", 0, "does not begin with '{'");
  refused(R"({} x)", 0, "header: line 1, column 4");
  refused(std::string("{\"w\":") + std::string(100'000, '['), 0, "more than 64 arrays and objects");
  const std::string w = R"("w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  refused("{" + w + "," + w + "}", 4, "\"w\" stands twice");
  refused("{" + w + R"(,"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8, "tensor 'v' begins at byte ");
  refused("{" + w + R"(,"v":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "begins at byte ");
  refused("{" + w + R"(,"v":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})", 12, "tensor 'v' begins at byte ");
  std::string huge = file_of("{}");
  huge[5] = '\x7f';
  CHECK_THROWS_WITH(table_of(huge), Catch::Contains("no safetensors file: a header of "));
  CHECK(table_of(file_of("{}")).empty());
}

TEST_CASE("100,000 tensors", "[safetensors]") {
  constexpr std::size_t count = 100'000;
  test::TemporaryDirectory directory;
  std::vector<NewTensor> tensors;
  for (std::size_t i = 0; i < count; ++i) tensors.push_back({"layers." + std::to_string(i), TensorType::U8, {1}});
  SafetensorsWriter writer(directory / "model.safetensors", tensors);
  for (const NewTensor& tensor : writer.tensors()) {
    const auto byte = static_cast<std::byte>(std::stoul(tensor.name.substr(7)) % 251);
    writer.write({&byte, 1});
  }
  writer.close();
  const TensorFolder folder(directory / "");
  REQUIRE(folder.names().size() == count);
  for (std::size_t i = 0; i < count; i += 97)
    REQUIRE(folder.tensor("layers." + std::to_string(i)).bytes[0] == static_cast<std::byte>(i % 251));
}

TEST_CASE("safetensors are written in one order, whatever the tensors' own", "[safetensors]") {
  test::TemporaryDirectory directory;
  const std::vector<NewTensor> tensors = {{"z\"é", TensorType::F16, {}},
                                          {"b", TensorType::F32, {2, 1}},
                                          {"ids", TensorType::I64, {1}},
                                          {"a", TensorType::F32, {0}}};
  const auto write = [&](const std::string& path, std::vector<NewTensor> order) {
    SafetensorsWriter writer(path, std::move(order));
    for (const NewTensor& tensor : writer.tensors()) {
      const std::vector<std::byte> elements(
          static_cast<std::size_t>(element_count(tensor.shape)) * tensor_type_size(tensor.type), std::byte{3});
      writer.write(elements);
    }
    writer.close();
  };
  write(directory / "1.safetensors", tensors);
  write(directory / "2.safetensors", {tensors.rbegin(), tensors.rend()});
  const std::string bytes = slurp(directory / "1.safetensors");
  CHECK(bytes == slurp(directory / "2.safetensors"));
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"F32","shape":[0],"data_offsets":[8,8]},"b":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]},)"
      R"("z\"é":{"dtype":"F16","shape":[],"data_offsets":[16,18]}})";
  CHECK(bytes.substr(8, header.size()) == header);
  CHECK((bytes.size() - 18) % 8 == 0);
  CHECK(TensorFolder(directory / "1.safetensors").names() == std::vector<std::string>{"a", "b", "ids", "z\"é"});
}

TEST_CASE("an unfinished safetensors file is none", "[safetensors]") {
  test::TemporaryDirectory directory;
  const std::byte zeros[8] = {};
  {
    SafetensorsWriter writer(directory / "model.safetensors", {{"w", TensorType::F32, {2}}});
    writer.write({zeros, 4});
    CHECK_THROWS_WITH(writer.write(zeros), Catch::EndsWith("more elements than were announced"));
    CHECK_THROWS_WITH(writer.close(), Catch::EndsWith("4 bytes of elements were not written"));
  }
  CHECK_THROWS_WITH(SafetensorsWriter(directory / "x", {{"w", TensorType::F32, {2}}, {"w", TensorType::F16, {2}}}),
                    Catch::EndsWith("there are two tensors 'w'"));
  CHECK_THROWS_AS(SafetensorsWriter(directory / "x", {{"__metadata__", TensorType::F32, {2}}}), Error);
  CHECK(directory.entries() == 0);
}

TEST_CASE("shards are found through their index, and nowhere else", "[safetensors]") {
  test::TemporaryDirectory directory;
  const auto shard = [&](const std::string& name, const std::string& tensor, float value) {
    spit(directory / name,
         file_of("{\"" + tensor + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", raw<float>({value})));
  };
  const auto index = [&](const std::string& map) {
    spit(directory / "model.safetensors.index.json", R"({"metadata":{"total_size":8},"weight_map":)" + map + "}");
  };
  shard("model-1.safetensors", "a", 1);
  shard("model-2.safetensors", "b", 2);
  index(R"({"a":"model-1.safetensors","b":"model-2.safetensors"})");
  const TensorFolder folder(directory / "");
  CHECK(folder.names() == std::vector<std::string>{"a", "b"});
  CHECK(floats(folder.tensor("b")) == std::vector<float>{2});
  CHECK_THAT(folder.tensor("b").where, Catch::EndsWith("model-2.safetensors: tensor 'b'"));

  const auto refused = [&](const std::string& map, const std::string& message) {
    index(map);
    CHECK_THROWS_WITH(TensorFolder(directory / ""), Catch::Contains(message));
  };
  refused(R"({"a":"model-1.safetensors","b":"model-3.safetensors"})", "model-3.safetensors: cannot open: No such file");
  refused(R"({"a":"model-1.safetensors","b":"model-1.safetensors"})", "tensor 'b' is not in model-1.safetensors");
  refused(R"({"a":"model-2.safetensors","b":"model-1.safetensors"})", "tensor 'a' is not in model-2.safetensors");
  refused(R"({"a":"model-1.safetensors","x":"model-2.safetensors"})", "tensor 'x' is not in model-2.safetensors");
  refused(R"({"a":"model-1.safetensors","c":"../model-2.safetensors"})", "no file name of a shard");
  refused(R"({"a":"model-1.safetensors","c":"/etc/passwd"})", "no file name of a shard");
  refused(R"({"a":7})", "index.json: weight_map.a is 7, not a text");
  refused(R"([])", "weight_map is an array, not an object");
  shard("model-2.safetensors", "a", 2);
  refused(R"({"a":"model-1.safetensors","b":"model-2.safetensors"})", "tensor 'a' is in ");
  spit(
      directory / "model-2.safetensors",
      file_of(
          R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"c":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}})",
          raw<float>({1})));
  refused(R"({"a":"model-1.safetensors","b":"model-2.safetensors"})", "tensor 'c' of ");
}

TEST_CASE("a folder without parameters says so", "[safetensors]") {
  test::TemporaryDirectory directory;
  CHECK_THROWS_WITH(TensorFolder(directory / ""),
                    Catch::Contains("neither model.safetensors nor pytorch_model.bin is there"));
  CHECK_THROWS_WITH(TensorFolder(directory / "none"), Catch::Contains("none: cannot open"));
  spit(directory / "model.safetensors", "");
  CHECK_THROWS_WITH(TensorFolder(directory / ""), Catch::Contains("model.safetensors: truncated"));
}
