/// The objects of an HDF5 file: groups with their links, datasets, attributes. Sections II (superblock) and IV (object
/// headers) of the specification. Everything is read where it lies, from memory that must outlive it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/hdf5_bytes.hpp"
#include "io/hdf5_elements.hpp"

namespace pipeformer::hdf5 {

struct Link {
  enum class Kind { hard, soft, external, other };
  std::string name;
  Kind kind = Kind::hard;
  std::uint64_t address = undefined;  ///< Of the object's header: hard links.
  std::string target;                 ///< Path in this file: soft links.
};

struct AttributeMessage {
  std::string name;
  std::string problem;  ///< Why it cannot be read; empty when it can.
  Datatype type;
  Dataspace space;
  Bytes elements;
};

struct Filter {
  enum Id { deflate = 1, shuffle = 2, fletcher32 = 3 };
  std::uint64_t id = 0;
  std::vector<std::uint32_t> values;
};

/// How the chunks of a dataset are found.
enum class ChunkIndex { tree = 0, single = 1, implicit = 2, fixed_array = 3, extensible_array = 4, records = 5 };

struct Layout {
  enum class Kind { compact = 0, contiguous = 1, chunked = 2, elsewhere = 3 };
  Kind kind = Kind::compact;
  Bytes compact;
  std::uint64_t address = undefined;  ///< Of the elements, or of the index of chunks.
  std::optional<std::uint64_t> size;  ///< Of contiguous elements, where the file says it.
  // Chunks:
  ChunkIndex index = ChunkIndex::tree;
  std::vector<std::uint64_t> chunk;  ///< The shape of one, in elements.
  std::uint64_t element_size = 0;
  bool whole_edges = false;                  ///< Chunks that the dataset's end cuts are not filtered.
  std::optional<std::uint64_t> single_size;  ///< Of the one chunk, when it is filtered.
  std::uint32_t single_mask = 0;
};

struct DatasetMessages {
  Datatype type;
  Dataspace space;
  Layout layout;
  std::vector<Filter> filters;
  Bytes fill;  ///< One element, for what is not stored; empty: zeros.
};

enum class ObjectKind { group, dataset, other };

class Objects {
 public:
  /// All bytes of a file. Throws Error unless it is an HDF5 file that is there to its end.
  explicit Objects(Bytes file);

  const Extent& extent() const { return extent_; }
  std::uint64_t base() const { return base_; }  ///< Where in the file address 0 is.
  std::uint64_t root() const { return root_; }

  // Of the object whose header is at an address:
  ObjectKind kind(std::uint64_t header) const;
  std::vector<Link> links(std::uint64_t header) const;                   ///< Of a group, as they lie in the file.
  std::vector<AttributeMessage> attributes(std::uint64_t header) const;  ///< As they lie in the file.
  DatasetMessages dataset(std::uint64_t header) const;

  /// The string of an attribute of one variable-length string.
  std::string variable_string(const std::byte* element) const;

 private:
  struct Message;
  std::vector<Message> messages(std::uint64_t header) const;
  Cursor content(const Message&) const;
  Bytes shared(unsigned type, Bytes reference) const;
  AttributeMessage attribute(Bytes message) const;
  Link link(Bytes message) const;

  Extent extent_;
  std::uint64_t base_ = 0, root_ = undefined;
};

}  // namespace pipeformer::hdf5
