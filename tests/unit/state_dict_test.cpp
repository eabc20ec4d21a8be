#include "io/state_dict.hpp"

#include <catch2/catch.hpp>

#include "core/error.hpp"
#include "files.hpp"
#include "io/pickle.hpp"
#include "io/tensor_folder.hpp"
#include "io/zip.hpp"

// Files that torch.save itself wrote: tests/parity/checkpoints.py.

using namespace pipeformer;
using test::spit;
using namespace std::string_literals;

namespace {

template <class T>
std::string little(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

struct Stored {
  std::string name, bytes;
  std::uint16_t method = 0, flags = 0;
  std::int32_t size_change = 0;  ///< Of the size that the directory promises.
};

std::string local_header(const Stored& entry) {
  return little(0x04034b50u) + little<std::uint16_t>(0) + little(entry.flags) + little(entry.method) +
         std::string(16, '\0') + little(static_cast<std::uint16_t>(entry.name.size())) + little<std::uint16_t>(0) +
         entry.name;
}

/// An archive, with places of local headers and ends of the directory that may lie.
std::string zip(const std::vector<Stored>& entries, std::int32_t place_change = 0, std::int32_t directory_change = 0,
                int count_change = 0) {
  std::string file, directory;
  for (const Stored& entry : entries) {
    const auto size = static_cast<std::uint32_t>(static_cast<std::int32_t>(entry.bytes.size()) + entry.size_change);
    directory += little(0x02014b50u) + little(0u) + little(entry.flags) + little(entry.method) + std::string(8, '\0') +
                 little(size) + little(size) + little(static_cast<std::uint16_t>(entry.name.size())) +
                 std::string(12, '\0') + little(static_cast<std::int32_t>(file.size()) + place_change) + entry.name;
    file += local_header(entry) + entry.bytes;
  }
  const auto count = static_cast<std::uint16_t>(static_cast<int>(entries.size()) + count_change);
  return file + directory + little(0x06054b50u) + little(0u) + little(count) + little(count) +
         little(static_cast<std::uint32_t>(directory.size())) +
         little(static_cast<std::int32_t>(file.size()) + directory_change) + little<std::uint16_t>(0);
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

void zip_refused(const std::string& file, const std::string& message) {
  CHECK_THROWS_WITH(read_zip_directory(bytes_of(file)), Catch::Contains(message));
}

// Pickles

const std::string proto = "\x80\x02";

std::string text(const std::string& value) {
  return "X" + little(static_cast<std::uint32_t>(value.size())) + value;
}
std::string number(std::int64_t value) {
  return "\x8a\x08" + little(value);
}
std::string tuple(const std::vector<std::int64_t>& values) {
  std::string result = "(";
  for (const std::int64_t value : values) result += number(value);
  return result + "t";
}
std::string storage(const std::string& type, const std::string& key, std::int64_t elements) {
  return "(" + text("storage") + "ctorch\n" + type + "\n" + text(key) + text("cpu") + number(elements) + "tQ";
}
std::string tensor(const std::string& of, std::int64_t offset, const std::vector<std::int64_t>& shape,
                   const std::vector<std::int64_t>& strides, const std::string& rest = "\x89}") {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + of + number(offset) + tuple(shape) + tuple(strides) + rest + "tR";
}
std::string dict(const std::string& items) {
  return proto + "}(" + items + "u.";
}

/// An archive of torch.save with one storage "0" of twelve bytes.
std::string archive(const std::string& pickle, const std::string& bytes = "abcdefghijkl") {
  return zip({{"m/data.pkl", pickle}, {"m/data/0", bytes}, {"m/version", "3\n"}});
}
std::vector<TensorEntry> table_of(const std::string& pickle) {
  const std::string file = archive(pickle);
  return read_state_dict_table(bytes_of(file));
}
void refused(const std::string& pickle, const std::string& message) {
  CHECK_THROWS_WITH(table_of(pickle), Catch::Contains(message));
}

const std::string bytes12 = storage("ByteStorage", "0", 12);

}  // namespace

TEST_CASE("zip entries are found, and directories that lie refused", "[state_dict]") {
  const std::vector<Stored> entries = {{"a", "12345"}, {"b/c", ""}, {"d", "67"}};
  const std::string file = zip(entries);
  const auto found = read_zip_directory(bytes_of(file));
  REQUIRE(found.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(found[i].name == entries[i].name);
    CHECK(file.substr(found[i].offset, found[i].size) == entries[i].bytes);
  }
  for (std::size_t size = 0; size < file.size(); ++size)
    CHECK_THROWS_AS(read_zip_directory(bytes_of(file.substr(0, size))), Error);
  CHECK(read_zip_directory(bytes_of(file.substr(0, file.size() - 2) + "\3\0abc"s)).size() == 3);  // a comment
  CHECK(read_zip_directory(bytes_of(zip({}))).empty());

  zip_refused("PK\3\4", "no directory at its end");
  zip_refused(zip({{"a", "123", 8}}), "entry 'a' of the archive: it is compressed (method 8)");
  zip_refused(zip({{"a", "123", 0, 1}}), "entry 'a' of the archive: it is encrypted");
  zip_refused(zip({{"a", "123"}, {"a", "456"}}), "entry 'a' stands twice in the archive");
  zip_refused(zip({{"a", "123", 0, 0, 1}}), "entry 'a' of the archive: its 4 bytes at byte 31 go beyond");
  zip_refused(zip({{"a", "123", 0, 0, 3}, {"b", "456"}}), "two entries of the archive overlap at byte 34");
  zip_refused(zip({{"a", "123"}}, 1), "its header is not where the directory says, at byte 1");
  zip_refused(zip({{"a", "123"}}, 1'000'000), "its header is not where the directory says");
  zip_refused(zip({{"a", "123"}}, 0, 1), "does not end where it should");
  zip_refused(zip({{"a", "123"}}, 0, -1), "does not end where it should");
  zip_refused(zip({{"a", "123"}}, 0, 0, 1), "the archive's directory has 1 of 2 entries");
  zip_refused(zip({{"a", "123"}}, 0, 0, -1), "has more than its 0 entries");
  std::string renamed = zip({{"a", "123"}});
  renamed[30] = 'b';
  zip_refused(renamed, "its header and the directory disagree");
}

TEST_CASE("deflated entries are inflated, damaged ones refused", "[state_dict]") {
  // "aaaaaaaaaaaaaaaaaaaaaaaa" by raw deflate, and its CRC-32.
  const std::string packed = "\x4b\x4c\xc4\x0e\x00"s, text(24, 'a');
  const auto archive = [&](std::uint32_t checksum, std::uint32_t unpacked) {
    std::string file = zip({{"a", packed, 8}});
    const std::size_t entry = file.find("PK\1\2");
    file.replace(entry + 16, 4, little(checksum)).replace(entry + 24, 4, little(unpacked));
    return file;
  };
  const auto unpack = [&](const std::string& file) {
    const auto entries = read_zip_directory(bytes_of(file), ZipMethods::stored_and_deflated);
    const auto bytes = read_zip_entry(bytes_of(file), entries.at(0));
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  constexpr std::uint32_t sum = 0xe6027a84;
  CHECK(unpack(archive(sum, 24)) == text);
  CHECK_THROWS_WITH(unpack(archive(sum + 1, 24)), "it is damaged: its checksum is another");
  CHECK_THROWS_WITH(unpack(archive(sum, 23)), Catch::Contains("cannot be inflated"));
  CHECK_THROWS_WITH(unpack(archive(sum, 25)), Catch::Contains("cannot be inflated"));
  CHECK_THROWS_WITH(unpack(archive(sum, 1 << 30)), Catch::Contains("its 5 bytes cannot be inflated to 1073741824"));
  zip_refused(archive(sum, 24), "it is compressed (method 8)");
}

TEST_CASE("an archive of more than 4 GiB is one of ZIP64", "[state_dict]") {
  constexpr std::uint64_t large = std::uint64_t{9} << 29;  // 4.5 GiB, a hole
  const auto field64 = [](const std::vector<std::uint64_t>& values) {
    std::string field = little<std::uint16_t>(1) + little(static_cast<std::uint16_t>(8 * values.size()));
    for (const std::uint64_t value : values) field += little(value);
    return field;
  };
  const auto central = [](const std::string& name, std::uint32_t size, std::uint32_t place, const std::string& extra) {
    return little(0x02014b50u) + std::string(16, '\0') + little(size) + little(size) +
           little(static_cast<std::uint16_t>(name.size())) + little(static_cast<std::uint16_t>(extra.size())) +
           std::string(10, '\0') + little(place) + name + extra;
  };
  const std::string last = "m/data/1",
                    pickle = dict(text("big") + tensor(storage("HalfStorage", "0", large / 2), 0, {large / 2}, {1}) +
                                  text("last") + tensor(storage("ByteStorage", "1", 3), 1, {2}, {1}));
  const std::string head = local_header({"m/data.pkl", ""}) + pickle, big = local_header({"m/data/0", ""});
  const std::uint64_t second = head.size(), third = second + big.size() + large;
  const auto tail = [&](const std::string& extra) {
    const std::string entry = local_header({last, ""}) + "xyz";
    const std::string directory =
        central("m/data.pkl", static_cast<std::uint32_t>(pickle.size()), 0, "") +
        central("m/data/0", 0xffffffff, static_cast<std::uint32_t>(second), field64({large, large})) +
        central(last, 3, 0xffffffff, extra);
    const std::uint64_t begin = third + entry.size(), end = begin + directory.size();
    return entry + directory + little(0x06064b50u) + little<std::uint64_t>(44) + std::string(12, '\0') +
           little<std::uint64_t>(3) + little<std::uint64_t>(3) + little<std::uint64_t>(directory.size()) +
           little(begin) + little(0x07064b50u) + little(0u) + little(end) + little(1u) + little(0x06054b50u) +
           little(0u) + little(0xffffffffu) + little(0xffffffffu) + little(0xffffffffu) + little<std::uint16_t>(0);
  };
  test::TemporaryDirectory directory;
  const std::string path = directory / "pytorch_model.bin";
  const auto write = [&](const std::string& extra) {
    spit(path, head + big);
    std::filesystem::resize_file(path, third);
    std::ofstream(path, std::ios::binary | std::ios::app) << tail(extra);
  };
  write(little<std::uint16_t>(99) + little<std::uint16_t>(2) + "??" + field64({third}));
  const TensorFolder folder(path);
  CHECK(folder.tensor("big").bytes.size() == large);
  std::byte elements[2];
  folder.tensor("last").read(elements);
  CHECK(elements[0] == std::byte{'y'});
  CHECK(elements[1] == std::byte{'z'});
  write("");
  CHECK_THROWS_WITH(TensorFolder(path), Catch::Contains("entry 'm/data/1' of the archive: a ZIP64 field is missing"));
  write(little<std::uint16_t>(1) + little<std::uint16_t>(9) + little(third));
  CHECK_THROWS_WITH(TensorFolder(path), Catch::Contains("an extra field goes beyond its end"));
  write(field64({third + 1}));
  CHECK_THROWS_WITH(TensorFolder(path), Catch::Contains("its header is not where the directory says"));
}

TEST_CASE("a state dict is a table of places", "[state_dict]") {
  const auto table = table_of(dict(text("a") + tensor(bytes12, 2, {2, 3}, {3, 1}) + text("b") +
                                   tensor(storage("ShortStorage", "0", 6), 0, {3, 2}, {1, 3}) + text("none") +
                                   tensor(bytes12, 12, {0, 4}, {4, 1}) + text("scalar") + tensor(bytes12, 11, {}, {})));
  REQUIRE(table.size() == 4);
  const std::string file = archive("");
  CHECK(table[0].name == "a");
  CHECK(table[0].type == "U8");
  CHECK(table[0].shape == Shape{2, 3});
  CHECK(table[0].strides.empty());
  CHECK(table[0].size == 6);
  CHECK(table[1].type == "I16");
  CHECK(table[1].strides == Shape{1, 3});
  CHECK(table[1].size == 12);
  CHECK(table[2].size == 0);
  CHECK(table[3].size == 1);
  CHECK(table[3].offset == table[0].offset + 9);
}

TEST_CASE("strided and shared tensors are read in C order", "[state_dict]") {
  test::TemporaryDirectory directory;
  spit(directory / "pytorch_model.bin",
       archive(dict(text("t") + tensor(bytes12, 0, {4, 3}, {1, 4}) + text("part") + tensor(bytes12, 1, {2, 2}, {6, 2}) +
                    text("same") + tensor(bytes12, 0, {12}, {1}) + text("one") + tensor(bytes12, 5, {1, 2}, {7, 1}))));
  const TensorFolder folder(directory / "");
  const auto read = [&](const std::string& name) {
    const StoredTensor stored = folder.tensor(name);
    std::string elements(static_cast<std::size_t>(stored.size()), '?');
    stored.read(reinterpret_cast<std::byte*>(elements.data()));
    return elements;
  };
  CHECK(read("t") == "aeibfjcgkdhl");
  CHECK(read("part") == "bdhj");
  CHECK(read("same") == "abcdefghijkl");
  CHECK(read("one") == "fg");
  CHECK(folder.tensor("one").strides.empty());
}

TEST_CASE("tensors that do not fit their storage are refused by name", "[state_dict]") {
  const auto one = [](const std::string& what) { return dict(text("w") + what); };
  refused(one(tensor(bytes12, 0, {13}, {1})), "tensor 'w': shape (13,) with strides (1,) at element 0 does not fit");
  refused(one(tensor(bytes12, 1, {12}, {1})), "at element 1 does not fit");
  refused(one(tensor(bytes12, 13, {0}, {1})), "at element 13 does not fit");
  refused(one(tensor(bytes12, 0, {3, 4}, {5, 1})), "does not fit its storage of 12 elements");
  refused(one(tensor(bytes12, 0, {1000000}, {0})), "does not fit");
  refused(one(tensor(bytes12, INT64_MAX, {1}, {1})), "does not fit");
  refused(one(tensor(bytes12, 0, {3}, {INT64_MAX})), "does not fit");
  refused(one(tensor(bytes12, 0, {2, 2, 2}, {INT64_MAX, INT64_MAX, 1})), "does not fit");  // wraps to 0
  refused(one(tensor(bytes12, 0, {INT64_MAX, 4}, {0, 0})), "too many elements");
  refused(one(tensor(bytes12, 0, {-1}, {1})), "a negative size or stride");
  refused(one(tensor(bytes12, 0, {1}, {-1})), "a negative size or stride");
  refused(one(tensor(bytes12, -1, {1}, {1})), "a negative offset");
  refused(one(tensor(bytes12, 0, {1, 1}, {1})), "1 strides for 2 axes");
  refused(one(tensor(storage("ByteStorage", "0", 13), 0, {1}, {1})),
          "its storage '0' has 12 bytes and not 13 elements");
  refused(one(tensor(storage("FloatStorage", "0", INT64_MAX), 0, {1}, {1})), "has 12 bytes and not");
  refused(one(tensor(storage("ByteStorage", "0", -1), 0, {1}, {1})), "a storage of -1 elements");
  refused(one(tensor(storage("ByteStorage", "1", 12), 0, {1}, {1})),
          "tensor 'w': its storage '1' is not in the archive");
  refused(one(tensor(storage("ByteStorage", "../0", 12), 0, {1}, {1})), "its storage '../0' is not in the archive");
}

TEST_CASE("what no state dict needs is refused and not run", "[state_dict]") {
  refused(proto + "cos\nsystem\n(" + text("touch x") + "tR.", "refused: 'os.system' is nothing that a state dict");
  refused(proto + "cbuiltins\neval\n.", "refused: 'builtins.eval'");
  refused(proto + "ctorch\nload\n.", "refused: 'torch.load'");
  refused(proto + "ctorch._utils\n_rebuild_tensor_v3\n.", "refused: 'torch._utils._rebuild_tensor_v3'");
  refused("\x80\x04" + text("os") + text("system") + "\x93.", "refused: 'os.system'");
  for (int opcode = 0; opcode < 256; ++opcode) {
    const std::string known =
        "\x80\x95(.N\x88\x89KMJ\x8aG\x8cX\x8d)]}t\x85\x86\x87"
        "aesubqr\x94hjc\x93QR";
    if (known.find(static_cast<char>(opcode)) == std::string::npos)
      refused(proto + static_cast<char>(opcode), "the pickle, byte 2: refused: opcode 0x");
  }
  refused(proto + "ios\nsystem\n", "opcode 0x69");
  refused(proto + "cos.path\n", "a line without end");
  const std::string function = "ccollections\nOrderedDict\n";
  refused(proto + function + ".", "the pickle holds no state dict");
  refused(proto + function + "(" + text("x") + "tR.", "an OrderedDict with arguments");
  refused(proto + function + "N}b.", "expected a dictionary");
  refused(proto + text("f") + ")R.", "expected a function");
  refused(proto + function + "]R.", "expected a tuple");
  refused(proto + "ctorch._utils\n_rebuild_tensor_v2\n)R.", "expected the six arguments");
  refused(dict(text("w") + tensor(bytes12, 0, {1}, {1}, "\x89}" + text("a") + "Ns")), "a tensor with hooks");
  refused(dict(text("w") + tensor(text("x"), 0, {1}, {1})), "expected a storage");
  refused(dict(text("w") + tensor("(" + text("module") + "NNNNtQ", 0, {1}, {1})), "expected a storage");
}

TEST_CASE("pickles that break off or go round are refused", "[state_dict]") {
  const std::string whole = dict(text("w") + tensor(bytes12, 0, {1}, {1}));
  CHECK(table_of(whole).size() == 1);
  for (std::size_t size = 0; size < whole.size(); ++size) CHECK_THROWS_AS(table_of(whole.substr(0, size)), Error);
  refused(proto + ".", "nothing is on the stack");
  refused(proto + "(.", "nothing is on the stack");
  refused(proto + "(N.", "more than one value is on the stack");
  refused(proto + "NN.", "more than one value is on the stack");
  refused(proto + "t.", "no mark is on the stack");
  refused(proto + "}(Nu.", "a key without a value");
  refused(proto + "]NNs.", "expected a dictionary");
  refused(proto + "h\7.", "nothing was remembered as number 7");
  refused("\x80\x09N.", "a protocol that is not known");
  refused(proto + "\x8a\x09" + std::string(9, 'x') + ".", "an integer of 9 bytes");
  refused(proto + "X\xff\xff\xff\xff.", "truncated");
  refused(proto + "N.", "the pickle holds no state dict");
  refused(proto + "]q\1h\1a.", "the pickle holds no state dict");  // a list that holds itself
  refused(proto + "}q\1" + text("w") + "h\1s.", "'w' of the state dict is no tensor");
  refused(dict(text("w") + "K\1"), "'w' of the state dict is no tensor");
  refused(dict("K\1" + tensor(bytes12, 0, {1}, {1})), "a key of the state dict is no text");
  refused(dict(text("w") + tensor(bytes12, 0, {1}, {1}) + text("w") + tensor(bytes12, 0, {1}, {1})),
          "tensor 'w' stands twice");
  // NOLINTNEXTLINE(bugprone-string-constructor): it is meant to be long
  refused(proto + std::string(16'000'001, '(') + ".", "more than 16000000 steps");
}

TEST_CASE("archives of others than torch.save are refused", "[state_dict]") {
  const auto refused_file = [](const std::string& file, const std::string& message) {
    CHECK_THROWS_WITH(read_state_dict_table(bytes_of(file)), Catch::Contains(message));
  };
  refused_file(zip({{"word/document.xml", "<x/>"}}), "a zip archive, but none of torch.save: it has no data.pkl");
  refused_file(zip({{"a/b/data.pkl", "N."}}), "no data.pkl");
  refused_file(zip({{"m/data.pkl", dict("")}, {"m/byteorder", "big"}}), "elements are big-endian");
  CHECK(read_state_dict_table(bytes_of(zip({{"m/data.pkl", dict("")}, {"m/byteorder", "little"}}))).empty());
  refused_file("", "not a file of torch.save");
  refused_file(dict(""), "not a file of torch.save");
}
