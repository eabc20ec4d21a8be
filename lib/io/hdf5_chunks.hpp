/// The elements of an HDF5 dataset, wherever they are stored: sections IV.A.2.i (layouts), III.A.1 (trees of chunks)
/// and VII (other indices of chunks) of the specification.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "core/array.hpp"
#include "io/hdf5_objects.hpp"

namespace pipeformer::hdf5 {

class Elements {
 public:
  /// Throws Error when they lie in another file, pass a filter that is not undone here, or are fewer than the shape
  /// says.
  Elements(const Extent&, DatasetMessages);

  const DatasetMessages& messages() const { return set_; }
  /// Bytes of the file that hold elements.
  std::uint64_t stored() const { return stored_; }
  /// All of them, when they lie one after another; nothing when they do not, or none is stored.
  Bytes plain() const { return plain_; }
  /// Rows begin .. end (of the first axis), as they are typed in the file, to memory for them.
  void read(std::uint64_t begin, std::uint64_t end, std::byte* to) const;

 private:
  struct Chunk {
    std::uint64_t address = undefined, size = 0;
    std::uint32_t mask = 0;  ///< Bit i: filter i was passed over.
  };
  using Memory = std::shared_ptr<const Buffer<std::byte>>;
  void find_chunks();
  void add_chunk(const std::vector<std::uint64_t>& at, const Chunk&);
  void read_chunk(const std::vector<std::uint64_t>& at, std::uint64_t begin, std::uint64_t end, std::byte* to) const;
  Bytes chunk_bytes(std::uint64_t number, bool cut, Memory& memory) const;
  Buffer<std::byte> unfiltered(const Chunk&) const;
  void fill(std::byte* to, std::uint64_t count) const;
  std::uint64_t number_of(const std::vector<std::uint64_t>& at) const;

  const Extent& file_;
  DatasetMessages set_;
  std::uint64_t stored_ = 0, row_bytes_ = 0, chunk_size_ = 0;
  Bytes plain_;
  std::vector<std::uint64_t> grid_;                  ///< Chunks along each axis.
  std::unordered_map<std::uint64_t, Chunk> chunks_;  ///< By their number, in C order.
  mutable std::mutex mutex_;
  mutable std::map<std::uint64_t, Memory> kept_;  ///< Unfiltered chunks, which are read in several pieces.
  mutable std::uint64_t kept_bytes_ = 0;
};

}  // namespace pipeformer::hdf5
