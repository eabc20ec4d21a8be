#include "io/tensor_folder.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "core/error.hpp"
#include "core/half.hpp"
#include "core/shortened.hpp"
#include "io/json_file.hpp"
#include "io/safetensors.hpp"
#include "io/state_dict.hpp"

namespace pipeformer {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFiles[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                  "pytorch_model.bin.index.json"};

/// Copies the elements of one axis after another, in C order, and returns the end of what it wrote.
std::byte* gather(const std::byte* from, const Shape& shape, const Shape& strides, std::size_t axis, std::size_t size,
                  std::byte* to) {
  if (axis == shape.size()) {
    std::memcpy(to, from, size);
    return to + size;
  }
  const std::int64_t step = strides[axis] * static_cast<std::int64_t>(size);
  for (std::int64_t i = 0; i < shape[axis]; ++i) to = gather(from + i * step, shape, strides, axis + 1, size, to);
  return to;
}

template <class Bits, class Convert>
void convert_all(const std::byte* from, std::int64_t count, float* to, Convert convert) {
  for (std::int64_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, from + i * static_cast<std::int64_t>(sizeof bits), sizeof bits);
    to[i] = convert(bits);
  }
}

std::vector<TensorEntry> read_table(std::span<const std::byte> bytes, const std::string& path) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  require(!text.starts_with("version https://git-lfs"),
          "a pointer of git-lfs, not the file itself (git lfs pull gets it)");
  if (looks_like_state_dict(bytes)) return read_state_dict_table(bytes);
  require(path.ends_with(".safetensors") || looks_like_safetensors(bytes),
          "neither safetensors nor a file of torch.save");
  return read_safetensors_table(bytes);
}

}  // namespace

void StoredTensor::read(std::byte* to) const {
  if (size() == 0) return;
  if (strides.empty()) {
    std::memcpy(to, bytes.data(), bytes.size());
  } else {
    gather(bytes.data(), shape, strides, 0, tensor_type_size(type), to);
  }
}

void StoredTensor::read_floats(float* to) const {
  const std::int64_t count = size();
  Buffer<std::byte> ordered;
  const std::byte* from = bytes.data();
  if (!strides.empty()) {
    ordered.resize(static_cast<std::size_t>(count) * tensor_type_size(type));
    read(ordered.data());
    from = ordered.data();
  }
  switch (type) {
    case TensorType::F16:
      return convert_all<std::uint16_t>(from, count, to, float_from_half);
    case TensorType::BF16:
      return convert_all<std::uint16_t>(from, count, to, float_from_bfloat16);
    case TensorType::F32:
      if (count > 0) std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
      return;
    case TensorType::F64:
      return convert_all<double>(from, count, to, [](double x) { return static_cast<float>(x); });
    default:
      throw Error(cat(where, " holds ", tensor_type_name(type), ", not floating-point numbers"));
  }
}

TensorFolder::TensorFolder(const std::string& path) : path_(path) {
  add(path, "");
}

void TensorFolder::add(const std::string& path, const std::string& prefix) {
  std::string file = path, directory = fs::path(path).parent_path().string();
  if (fs::is_directory(path)) {
    directory = path;
    file.clear();
    for (const char* name : kFiles) {
      if (file.empty() && fs::exists(fs::path(path) / name)) file = (fs::path(path) / name).string();
    }
    if (file.empty())
      throw Error(cat(path, ": neither model.safetensors nor pytorch_model.bin is there, and no index of shards"));
  }
  if (file.ends_with(".json")) {
    add_shards(file, directory, prefix);
  } else {
    add_file(file, prefix);
  }
  names_.clear();
  for (const auto& [name, place] : places_) names_.push_back(name);
}

const TensorFolder::File* TensorFolder::add_file(const std::string& path, const std::string& prefix) {
  const File* file = files_.emplace_back(new File{path, MappedFile(path)}).get();
  try {
    for (TensorEntry& entry : read_table(file->map.bytes(), path)) {
      const std::string name = prefix + entry.name;
      const auto [place, is_new] = places_.try_emplace(name, Place{file, std::move(entry)});
      require(is_new, "tensor '", shortened(name), "' is in ", place->second.file->path, " too");
    }
  } catch (const Error& error) {
    throw Error(cat(path, ": ", error.what()));
  }
  return file;
}

void TensorFolder::add_shards(const std::string& index_path, const std::string& directory, const std::string& prefix) {
  const JsonDocument index = read_json(index_path);
  const Json map = index.root().at("weight_map");
  if (!map.is_object()) map.fail("not an object");
  std::map<std::string, const File*> shards;
  for (std::size_t i = 0; i < map.size(); ++i) {
    const std::string& shard = map[i].string();
    // An index that somebody sends must not open files elsewhere.
    if (shard.empty() || shard.find('/') != std::string::npos || shard.find('\0') != std::string::npos ||
        shard.ends_with(".json"))
      map[i].fail("no file name of a shard");
    const auto [known, is_new] = shards.try_emplace(shard, nullptr);
    if (is_new) known->second = add_file((fs::path(directory) / shard).string(), prefix);
  }
  for (std::size_t i = 0; i < map.size(); ++i) {
    const auto place = places_.find(prefix + map.key(i));
    require(place != places_.end() && place->second.file == shards.at(map[i].string()), index_path, ": tensor '",
            shortened(map.key(i)), "' is not in ", shortened(map[i].string()));
  }
  for (const auto& [name, place] : places_) {
    const File* file = place.file;  // clang before 16 captures no bindings
    const bool here = std::any_of(shards.begin(), shards.end(), [file](const auto& s) { return s.second == file; });
    require(!here || map.find(name.substr(prefix.size())).has_value(), index_path, ": tensor '", shortened(name),
            "' of ", file->path, " is not in the index");
  }
}

std::map<std::string, Shape> TensorFolder::shapes() const {
  std::map<std::string, Shape> shapes;
  for (const auto& [name, place] : places_) shapes.emplace(name, place.entry.shape);
  return shapes;
}

StoredTensor TensorFolder::tensor(const std::string& name) const {
  const auto place = places_.find(name);
  require(place != places_.end(), path_, ": no tensor '", shortened(name), "'");
  const auto& [file, entry] = place->second;
  const std::string where = cat(file->path, ": tensor '", shortened(name), "'");
  const auto type = tensor_type_from_name(entry.type);
  require(type.has_value(), where, " holds ", shortened(entry.type), ", which is not supported");
  return {where, *type, entry.shape, entry.strides, file->map.bytes().subspan(entry.offset, entry.size)};
}

}  // namespace pipeformer
