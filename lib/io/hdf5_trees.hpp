/// The trees and heaps of HDF5 files: sections III.A (B-trees), III.D (local heaps), III.E (global heaps) and III.G
/// (fractal heaps) of the specification. Each walk ends, whatever the file says: see Budget.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/hdf5_bytes.hpp"

namespace pipeformer::hdf5 {

/// B-trees of the first version: of groups (children are symbol table nodes) and of chunks (children are chunks).
enum class TreeKind { group = 0, chunks = 1 };
/// Calls visit(key, child) for each entry of the leaves, in order. A key is the one before its child.
void walk_tree(const Extent&, std::uint64_t root, TreeKind, std::size_t key_size,
               const std::function<void(Bytes key, std::uint64_t child)>& visit);

/// B-trees of the second version: calls visit(record) for each record, in order.
void walk_records(const Extent&, std::uint64_t header, const std::function<void(Bytes record)>& visit);

/// The names of the links of a group of the old form.
class LocalHeap {
 public:
  LocalHeap(const Extent&, std::uint64_t address);
  std::string text(std::uint64_t offset) const;

 private:
  const Extent& file_;
  Bytes data_;
};

/// Where links and attributes lie when there are many of them.
class FractalHeap {
 public:
  FractalHeap(const Extent&, std::uint64_t address);
  /// The object of an identifier, which is as long as id_size().
  Bytes object(Bytes id) const;
  std::size_t id_size() const { return id_size_; }

 private:
  Bytes managed(std::uint64_t offset, std::uint64_t size) const;
  std::uint64_t row_block(unsigned row) const;  ///< Size of the blocks of a row of the doubling table.

  const Extent& file_;
  std::uint64_t address_;
  std::size_t id_size_ = 0, offset_size_ = 0, size_size_ = 0, header_size_ = 0;
  std::uint64_t huge_tree_ = undefined, starting_block_ = 0, largest_direct_ = 0, root_ = undefined;
  std::uint64_t root_rows_ = 0, width_ = 0;
};

/// Object `index` of the global heap collection at an address.
Bytes global_heap_object(const Extent&, std::uint64_t address, std::uint64_t index);

}  // namespace pipeformer::hdf5
