/// The parameters of a checkpoint in Hugging Face's layout, whatever files hold them: one mapped view of all tensors.
#pragma once
#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/mapped_file.hpp"
#include "io/tensor_table.hpp"

namespace pipeformer {

/// One tensor, whose elements stay in the mapped file.
struct StoredTensor {
  std::string where;  ///< "gpt2/model.safetensors: tensor 'wte.weight'": the prefix of every message about it.
  TensorType type;
  Shape shape;
  Shape strides;                     ///< In elements; empty: C order without gaps.
  std::span<const std::byte> bytes;  ///< From the first element to the end of the last one; perhaps not aligned.

  std::int64_t size() const { return element_count(shape); }
  /// The elements in C order, as they are: size() * tensor_type_size(type) bytes.
  void read(std::byte* to) const;
  /// The elements in C order as float32: F16, BF16 and F32 exactly, F64 rounded. Throws Error for other types.
  void read_floats(float* to) const;
};

class TensorFolder {
 public:
  /// Opens a directory: the first of model.safetensors, model.safetensors.index.json (with its shards),
  /// pytorch_model.bin, pytorch_model.bin.index.json that is there; or one such file. Every header is read and checked.
  /// Throws Error: no such file, a shard missing, a tensor that stands in two shards or in another one than the index
  /// says, and whatever is wrong with a header. Other files are looked at only where the index names them.
  explicit TensorFolder(const std::string& path);
  /// Adds those of another directory, with `prefix` before their names.
  void add(const std::string& path, const std::string& prefix);

  const std::string& path() const { return path_; }
  const std::vector<std::string>& names() const { return names_; }  ///< Sorted by bytes.
  bool has(const std::string& name) const { return places_.contains(name); }
  std::map<std::string, Shape> shapes() const;  ///< Of all tensors.
  /// Throws Error when there is none, or its type is none of TensorType. The view lives as long as the folder.
  StoredTensor tensor(const std::string& name) const;

 private:
  struct File {
    std::string path;
    MappedFile map;
  };
  struct Place {
    const File* file;
    TensorEntry entry;
  };
  const File* add_file(const std::string& path, const std::string& prefix);
  void add_shards(const std::string& index_path, const std::string& directory, const std::string& prefix);

  std::string path_;
  std::vector<std::unique_ptr<File>> files_;
  std::map<std::string, Place> places_;
  std::vector<std::string> names_;
};

}  // namespace pipeformer
