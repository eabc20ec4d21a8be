/// An HDF5 file that is read: its objects by their paths, which are "group/name" with or without a slash before. Errors
/// begin with the file's name.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/hdf5.hpp"
#include "io/hdf5_objects.hpp"
#include "io/mapped_file.hpp"

namespace pipeformer {

/// "group/name" without slashes at the ends; the root is "".
std::string clean_path(const std::string& path);
/// "/group/name"; the root is "/".
std::string absolute(const std::string& path);

class Hdf5Reading {
 public:
  Hdf5Reading(std::string name, const std::string& path);
  Hdf5Reading(std::string name, std::span<const std::byte> bytes);  ///< Which are copied.

  bool mapped() const { return map_.has_value(); }
  int descriptor() const { return map_->descriptor(); }  ///< Of a file that is mapped.
  std::span<const std::byte> bytes() const { return bytes_; }
  const hdf5::Objects& objects() const { return objects_; }

  /// The header of an object; nothing when there is none. Throws Error when a link on the way leads out of the file.
  std::optional<std::uint64_t> find(const std::string& path) const;
  /// The same for one that must be there.
  std::uint64_t object(const std::string& path) const;
  bool is(const std::string& path, hdf5::ObjectKind) const;
  std::vector<Hdf5Entry> entries(const std::string& path) const;
  /// For a path to nothing: the nearest one that there is, as the end of a message; may be empty.
  std::string nearest(const std::string& path) const;
  /// Sorted by name; decoded once, since a model's configuration asks for one after another.
  std::shared_ptr<const std::vector<AttributeValues>> attributes(const std::string& path) const;

  /// Throws Error unless the groups above `path` are groups of the file itself, or are not there yet.
  void check_room(const std::string& path) const;
  /// Throws Error when any object of the file is damaged.
  void check_all() const;

 private:
  using Links = std::map<std::string, hdf5::Link>;

  hdf5::Objects open() const;
  hdf5::ObjectKind kind_of(std::uint64_t header, const std::string& path) const;
  std::shared_ptr<const Links> links(std::uint64_t header, const std::string& path) const;
  AttributeValues values_of(const hdf5::AttributeMessage&) const;
  std::vector<AttributeValues> decoded_attributes(std::uint64_t header, const std::string& path) const;

  std::string name_;
  std::optional<MappedFile> map_;
  std::vector<std::byte> image_;
  std::span<const std::byte> bytes_;
  hdf5::Objects objects_;
  mutable std::mutex mutex_;
  mutable std::unordered_map<std::uint64_t, std::shared_ptr<const Links>> links_;  ///< Of groups that were looked into.
  mutable std::unordered_map<std::uint64_t, std::shared_ptr<const std::vector<AttributeValues>>> attributes_;
};

}  // namespace pipeformer
