#include "io/safetensors.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "core/error.hpp"
#include "core/json.hpp"
#include "core/shortened.hpp"

namespace pipeformer {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kLargestHeader = 100'000'000;  // the format's own limit
constexpr std::string_view kMetadata = "__metadata__";

std::uint64_t whole(const Json& value) {
  const std::int64_t number = value.integer();
  if (number < 0) value.fail("which is negative");
  return static_cast<std::uint64_t>(number);
}

/// What the header says, whether it is possible or not. Errors name the place in the header.
TensorEntry parse_entry(const std::string& name, const Json& value) {
  for (std::size_t i = 0; i < value.size(); ++i) {
    const std::string& key = value.key(i);
    if (key != "dtype" && key != "shape" && key != "data_offsets")
      value.fail(cat("with an unknown key '", shortened(key), "'"));
  }
  TensorEntry entry;
  entry.name = name;
  entry.type = value.at("dtype").string();
  const Json shape = value.at("shape"), offsets = value.at("data_offsets");
  if (!shape.is_array()) shape.fail("not an array");
  for (std::size_t i = 0; i < shape.size(); ++i) entry.shape.push_back(static_cast<std::int64_t>(whole(shape[i])));
  if (!offsets.is_array() || offsets.size() != 2) offsets.fail("not an array of two numbers");
  entry.offset = whole(offsets[0]);
  const std::uint64_t end = whole(offsets[1]);
  if (end < entry.offset) offsets.fail("whose end is before its beginning");
  entry.size = end - entry.offset;
  return entry;
}

/// Type, shape and place must fit each other and the file.
void check_entry(const TensorEntry& entry, std::uint64_t data_size) {
  require(entry.offset + entry.size <= data_size, "data_offsets end at ", entry.offset + entry.size, ", but there are ",
          data_size, " bytes of elements");
  const auto count = static_cast<std::uint64_t>(element_count(entry.shape));
  const std::uint64_t bits = tensor_type_bits(entry.type);
  if (bits == 0) return;  // a type of later versions: the tensor is refused when it is asked for
  std::uint64_t needed = 0;
  require(!__builtin_mul_overflow(count, bits, &needed) && needed % 8 == 0 && needed / 8 == entry.size, "shape ",
          shortened(shape_text(entry.shape)), " of ", entry.type, " does not take the ", entry.size,
          " bytes that data_offsets give it");
}

/// Tensors lie one after another: no byte belongs to two, none to nobody.
void check_cover(const std::vector<TensorEntry>& table, std::uint64_t data_begin, std::uint64_t file_size) {
  std::vector<const TensorEntry*> order;
  order.reserve(table.size());
  for (const TensorEntry& entry : table) order.push_back(&entry);
  std::ranges::sort(order, {}, [](const TensorEntry* e) { return std::pair(e->offset, e->size); });
  std::uint64_t at = data_begin;
  for (const TensorEntry* entry : order) {
    require(entry->offset == at, "tensor '", shortened(entry->name), "' begins at byte ", entry->offset,
            " of the file, but the one before it ends at byte ", at);
    at += entry->size;
  }
  require(at == file_size, "the last tensor ends at byte ", at, " of the file, which has ", file_size);
}

}  // namespace

bool looks_like_safetensors(std::span<const std::byte> file) {
  return file.size() > kLengthBytes && file[kLengthBytes] == std::byte{'{'};
}

std::vector<TensorEntry> read_safetensors_table(std::span<const std::byte> file) {
  require(file.size() >= kLengthBytes, "truncated: the length of the header has ", file.size(), " of 8 bytes");
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  require(length <= kLargestHeader, "no safetensors file: a header of ", length, " bytes");
  require(length <= file.size() - kLengthBytes, "truncated: the header has ", file.size() - kLengthBytes, " of ",
          length, " bytes");
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  require(text.starts_with('{'), "no safetensors file: the header does not begin with '{'");
  const JsonDocument header = JsonDocument::parse(text, "header", {.bytes = kLargestHeader});
  const Json root = header.root();
  const std::uint64_t data_begin = kLengthBytes + length, data_size = file.size() - data_begin;
  std::vector<TensorEntry> table;
  table.reserve(root.size());
  for (std::size_t i = 0; i < root.size(); ++i) {
    const std::string& name = root.key(i);
    const Json value = root[i];
    if (name == kMetadata) {
      for (std::size_t j = 0; j < value.size(); ++j) value[j].string();
      continue;
    }
    TensorEntry entry = parse_entry(name, value);
    try {
      check_entry(entry, data_size);
    } catch (const Error& error) {
      throw Error(cat("tensor '", shortened(name), "': ", error.what()));
    }
    entry.offset += data_begin;
    table.push_back(std::move(entry));
  }
  check_cover(table, data_begin, file.size());
  return table;
}

namespace {

std::uint64_t byte_count(const NewTensor& tensor) {
  return static_cast<std::uint64_t>(element_count(tensor.shape)) * tensor_type_size(tensor.type);
}

/// The header, with its length before it, of tensors in this order.
std::string header_of(const std::vector<NewTensor>& tensors) {
  std::string text(kLengthBytes, '\0');
  text += "{\"__metadata__\":{\"format\":\"pt\"}";
  std::uint64_t at = 0;
  for (const NewTensor& tensor : tensors) {
    text += cat(',', json_string(tensor.name), ":{\"dtype\":\"", tensor_type_name(tensor.type), "\",\"shape\":[");
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) text += cat(i > 0 ? "," : "", tensor.shape[i]);
    const std::uint64_t end = at + byte_count(tensor);
    text += cat("],\"data_offsets\":[", at, ',', end, "]}");
    at = end;
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::uint64_t length = text.size() - kLengthBytes;
  std::memcpy(text.data(), &length, kLengthBytes);
  return text;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::vector<NewTensor> tensors)
    : path_(path), tensors_(std::move(tensors)), out_(path, Content::binary) {
  std::ranges::sort(tensors_, [](const NewTensor& a, const NewTensor& b) {
    return a.type != b.type ? a.type > b.type : a.name < b.name;
  });
  std::set<std::string_view> names{kMetadata};
  for (const NewTensor& tensor : tensors_) {
    require(names.insert(tensor.name).second, path_, ": there are two tensors '", tensor.name, "'");
    missing_ += byte_count(tensor);
  }
  const std::string header = header_of(tensors_);
  require(header.size() - kLengthBytes <= kLargestHeader, path_, ": too many tensors for one safetensors file");
  out_.write(header);
}

void SafetensorsWriter::write(std::span<const std::byte> elements) {
  require(elements.size() <= missing_, path_, ": more elements than were announced");
  missing_ -= elements.size();
  out_.write(elements);
}

void SafetensorsWriter::close() {
  require(missing_ == 0, path_, ": ", missing_, " bytes of elements were not written");
  out_.close();
}

}  // namespace pipeformer
