#include "io/state_dict.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "core/error.hpp"
#include "core/shortened.hpp"
#include "io/pickle.hpp"
#include "io/zip.hpp"

namespace pipeformer {
namespace {

constexpr std::uint64_t kLargestPickle = 64 << 20;
constexpr std::int64_t kOldProtocol = 1001;
// How a file of the old form begins: a pickle of 0x1950a86a20f9469cfc6c.
constexpr std::string_view kOldMagic =
    "\x80\x02\x8a\x0al\xfc\x9c"
    "F\xf9 j\xa8P\x19.";

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Where a storage's bytes lie.
struct Place {
  std::uint64_t offset = 0, size = 0;
};
using FindStorage = std::function<Place(std::string_view key)>;

/// Whether elements of these strides stand in C order without gaps.
bool in_c_order(const Shape& shape, const Shape& strides) {
  std::int64_t step = 1;
  for (std::size_t axis = shape.size(); axis-- > 0; step *= shape[axis]) {
    if (shape[axis] != 1 && strides[axis] != step) return false;
  }
  return true;
}

/// How many elements of a storage lie between the first one and the last one, or nothing when that overflows.
std::optional<std::uint64_t> extent_of(const Shape& shape, const Shape& strides) {
  std::uint64_t extent = 1;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    std::uint64_t step = 0;
    if (__builtin_mul_overflow(static_cast<std::uint64_t>(shape[axis] - 1), static_cast<std::uint64_t>(strides[axis]),
                               &step) ||
        __builtin_add_overflow(extent, step, &extent))
      return std::nullopt;
  }
  return extent;
}

TensorEntry entry_of(const Pickle::Tensor& tensor, const FindStorage& find_storage) {
  const Pickle::Storage& storage = *tensor.storage;
  const std::uint64_t element = tensor_type_bits(storage.type.type) / 8;
  const Place place = find_storage(storage.key);
  require(storage.elements <= place.size / element, "its storage '", shortened(storage.key), "' has ", place.size,
          " bytes and not ", storage.elements, " elements of ", storage.type.type);
  const auto count = static_cast<std::uint64_t>(element_count(tensor.shape));
  const auto extent = count == 0 ? 0 : extent_of(tensor.shape, tensor.strides);
  // Strides of 0 repeat elements: a few bytes must not become an allocation without bound.
  require(extent && tensor.offset <= storage.elements && *extent <= storage.elements - tensor.offset &&
              count <= storage.elements,
          "shape ", shortened(shape_text(tensor.shape)), " with strides ", shortened(shape_text(tensor.strides)),
          " at element ", tensor.offset, " does not fit its storage of ", storage.elements, " elements");
  TensorEntry entry;
  entry.type = storage.type.type;
  entry.shape = tensor.shape;
  if (count > 0 && !in_c_order(tensor.shape, tensor.strides)) entry.strides = tensor.strides;
  entry.offset = place.offset + tensor.offset * element;
  entry.size = *extent * element;
  return entry;
}

/// A dictionary from names to tensors.
std::vector<TensorEntry> table_of(const Pickle::Value& value, const FindStorage& find_storage) {
  const auto* dict = std::get_if<Pickle::Container*>(&value);
  require(dict != nullptr && (*dict)->kind == Pickle::Container::Kind::dict, "the pickle holds no state dict");
  const auto& items = (*dict)->items;
  std::vector<TensorEntry> table;
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < items.size(); i += 2) {
    const auto* name = std::get_if<std::string_view>(&items[i]);
    require(name != nullptr, "a key of the state dict is no text");
    const auto* tensor = std::get_if<const Pickle::Tensor*>(&items[i + 1]);
    if (tensor == nullptr) throw Error(cat("'", shortened(*name), "' of the state dict is no tensor"));
    if (!names.insert(*name).second) throw Error(cat("tensor '", shortened(*name), "' stands twice"));
    try {
      table.push_back(entry_of(**tensor, find_storage));
    } catch (const Error& error) {
      throw Error(cat("tensor '", shortened(*name), "': ", error.what()));
    }
    table.back().name = *name;
  }
  return table;
}

std::vector<TensorEntry> read_zip_form(std::span<const std::byte> file) {
  constexpr std::string_view pickle_name = "/data.pkl";
  const std::vector<ZipEntry> entries = read_zip_directory(file);
  std::map<std::string_view, const ZipEntry*> by_name;
  const ZipEntry* pickle = nullptr;
  for (const ZipEntry& entry : entries) {
    by_name.emplace(entry.name, &entry);
    if (entry.name.find('/') + pickle_name.size() == entry.name.size() && entry.name.ends_with(pickle_name))
      pickle = &entry;
  }
  require(pickle != nullptr, "a zip archive, but none of torch.save: it has no data.pkl");
  const std::string folder = pickle->name.substr(0, pickle->name.size() - pickle_name.size());
  require(pickle->size <= kLargestPickle, "data.pkl of ", pickle->size, " bytes is longer than ", kLargestPickle);
  if (const auto order = by_name.find(folder + "/byteorder"); order != by_name.end())
    require(text_of(file.subspan(order->second->offset, order->second->size)) == "little", "elements are big-endian");
  const Pickle state(file.subspan(pickle->offset, pickle->size));
  return table_of(state.result(), [&](std::string_view key) {
    const auto found = by_name.find(cat(folder, "/data/", key));
    if (found == by_name.end()) throw Error(cat("its storage '", shortened(key), "' is not in the archive"));
    return Place{found->second->offset, found->second->size};
  });
}

/// Pickles of a magic number, the protocol, the writer's system, the state dict and the keys of its storages; then, in
/// the order of the keys, each storage as its number of elements (8 bytes) and the elements.
std::vector<TensorEntry> read_old_form(std::span<const std::byte> file) {
  std::span<const std::byte> rest = file;
  const auto skip = [&](std::uint64_t size) {
    require(size <= rest.size(), "truncated: the storages end beyond the file");
    rest = rest.subspan(size);
  };
  skip(kOldMagic.size());
  const Pickle protocol(rest);
  require(protocol.result() == Pickle::Value(kOldProtocol), "a protocol of torch.save that is not known");
  skip(protocol.size());
  const Pickle system(rest);
  if (const auto* dict = std::get_if<Pickle::Container*>(&system.result())) {
    const auto& items = (*dict)->items;
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      if (items[i] == Pickle::Value(std::string_view("little_endian")))
        require(items[i + 1] == Pickle::Value(true), "elements are big-endian");
    }
  }
  skip(system.size());
  const Pickle state(rest);
  skip(state.size());
  const Pickle keys(rest);
  skip(keys.size());

  std::map<std::string_view, std::uint64_t> element_sizes;
  for (const Pickle::Storage& storage : state.storages())
    element_sizes.emplace(storage.key, tensor_type_bits(storage.type.type) / 8);
  const auto* list = std::get_if<Pickle::Container*>(&keys.result());
  require(list != nullptr, "the keys of the storages are no list");
  std::map<std::string_view, Place> places;
  for (const Pickle::Value& value : (*list)->items) {
    const auto* key = std::get_if<std::string_view>(&value);
    require(key != nullptr && element_sizes.contains(*key), "a storage that no tensor has");
    std::uint64_t elements = 0, size = 0;
    require(rest.size() >= sizeof elements, "truncated: a storage without its size");
    std::memcpy(&elements, rest.data(), sizeof elements);
    skip(sizeof elements);
    require(!__builtin_mul_overflow(elements, element_sizes[*key], &size) && size <= rest.size(),
            "truncated: storage '", shortened(*key), "' of ", elements, " elements has ", rest.size(), " bytes");
    const Place place{file.size() - rest.size(), size};
    require(places.emplace(*key, place).second, "storage '", shortened(*key), "' stands twice");
    skip(size);
  }
  return table_of(state.result(), [&](std::string_view key) {
    const auto found = places.find(key);
    if (found == places.end()) throw Error(cat("its storage '", shortened(key), "' is not in the file"));
    return found->second;
  });
}

bool has_old_form(std::span<const std::byte> file) {
  return text_of(file).starts_with(kOldMagic);
}

}  // namespace

bool looks_like_state_dict(std::span<const std::byte> file) {
  return looks_like_zip(file) || has_old_form(file);
}

std::vector<TensorEntry> read_state_dict_table(std::span<const std::byte> file) {
  if (has_old_form(file)) return read_old_form(file);
  require(looks_like_zip(file), "not a file of torch.save: neither a zip archive nor its older form");
  return read_zip_form(file);
}

}  // namespace pipeformer
