#include "io/hdf5_trees.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/error.hpp"

namespace pipeformer::hdf5 {
namespace {

constexpr std::size_t deepest_tree = 32;  // of the second version: 2^32 records at least

/// A B-tree of the second version that is being walked.
class RecordTree {
 public:
  RecordTree(const Extent& file, std::uint64_t header, const std::function<void(Bytes)>& visit)
      : file_(file), visit_(visit), budget_(file) {
    const unsigned address = file.widths.address, length = file.widths.length;
    Cursor in = file.checked(header, 22 + address + length);
    in.signature("BTHD");
    in.version(0, 0);
    type_ = in.number(1);
    node_size_ = in.number(4);
    record_size_ = in.number(2);
    depth_ = in.number(2);
    in.skip(2);
    root_ = in.address();
    root_records_ = in.number(2);
    require(record_size_ > 0 && node_size_ > prefix + record_size_ && depth_ <= deepest_tree, "an impossible B-tree");
    // A pointer to a node holds the number of its records, and of those below: as many bytes as the most would take.
    std::uint64_t most = (node_size_ - prefix) / record_size_, most_below = most;
    count_size_ = bytes_for(most);
    below_size_.push_back(0);
    for (std::size_t level = 1; level <= depth_; ++level) {
      const std::size_t pointer = pointer_size(level);
      require(node_size_ > prefix + pointer + record_size_, "an impossible B-tree");
      most = (node_size_ - prefix - pointer) / (record_size_ + pointer);
      constexpr std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
      most_below = most_below >= limit / (most + 2) ? limit : (most + 1) * most_below + most;
      below_size_.push_back(bytes_for(most_below));
    }
  }
  void walk() {
    if (root_ != undefined) walk(root_, root_records_, depth_);
  }

 private:
  static constexpr std::size_t prefix = 10;  ///< Signature, version, type and checksum of a node.

  /// Of pointers in nodes of this level; leaves are level 0.
  std::size_t pointer_size(std::size_t level) const {
    return file_.widths.address + count_size_ + below_size_[level - 1];
  }
  void walk(std::uint64_t address, std::uint64_t records, std::size_t level) {
    const std::uint64_t size = prefix + records * record_size_ + (level > 0 ? (records + 1) * pointer_size(level) : 0);
    require(size <= node_size_, "a node of a B-tree with too many records");
    budget_.take(size);
    Cursor in = file_.checked(address, size);
    in.signature(level > 0 ? "BTIN" : "BTLF");
    in.version(0, 0);
    require(in.number(1) == type_, "a node of another B-tree");
    const Bytes all = in.take(records * record_size_);
    for (std::uint64_t i = 0; i <= records; ++i) {
      if (level > 0) {
        const std::uint64_t child = in.address(), count = in.number(count_size_);
        in.skip(below_size_[level - 1]);
        walk(child, count, level - 1);
      }
      if (i < records) visit_(all.subspan(i * record_size_, record_size_));
    }
  }

  const Extent& file_;
  const std::function<void(Bytes)>& visit_;
  Budget budget_;
  std::uint64_t type_ = 0, node_size_ = 0, record_size_ = 0, depth_ = 0, root_ = undefined, root_records_ = 0;
  std::size_t count_size_ = 0;
  std::vector<std::size_t> below_size_;  ///< Of each level: bytes of a number of records at and below it.
};

}  // namespace

void walk_tree(const Extent& file, std::uint64_t root, TreeKind kind, std::size_t key_size,
               const std::function<void(Bytes, std::uint64_t)>& visit) {
  Budget budget(file);
  const std::function<void(std::uint64_t, std::uint64_t)> walk = [&](std::uint64_t address, std::uint64_t above) {
    Cursor in = file.from(address);
    in.signature("TREE");
    require(in.number(1) == static_cast<std::uint64_t>(kind), "a node of another B-tree");
    const std::uint64_t level = in.number(1), entries = in.number(2);
    require(level < above, "a B-tree's levels do not fall");
    in.skip(2 * file.widths.address);
    budget.take(8 + 2 * file.widths.address + entries * (key_size + file.widths.address));
    for (std::uint64_t i = 0; i < entries; ++i) {
      const Bytes key = in.take(key_size);
      const std::uint64_t child = in.address();
      if (level == 0)
        visit(key, child);
      else
        walk(child, level);
    }
  };
  walk(root, 256);
}

void walk_records(const Extent& file, std::uint64_t header, const std::function<void(Bytes)>& visit) {
  RecordTree(file, header, visit).walk();
}

LocalHeap::LocalHeap(const Extent& file, std::uint64_t address) : file_(file) {
  Cursor in = file.from(address);
  in.signature("HEAP");
  in.version(0, 0);
  in.skip(3);
  const std::uint64_t size = in.length();
  in.length();
  data_ = file.at(in.address(), size);
}

std::string LocalHeap::text(std::uint64_t offset) const {
  require(offset < data_.size(), "a name lies beyond its heap");
  return file_.cursor(data_.subspan(offset)).text();
}

FractalHeap::FractalHeap(const Extent& file, std::uint64_t address) : file_(file), address_(address) {
  const unsigned width = file.widths.address, length = file.widths.length;
  Cursor in = file.checked(address, 26 + 3 * width + 12 * length);
  in.signature("FRHP");
  in.version(0, 0);
  id_size_ = in.number(2);
  require(in.number(2) == 0, "a filtered heap, which is not read");
  const bool checksums = (in.number(1) & 2) != 0;
  const std::uint64_t largest_object = in.number(4);
  in.length();
  huge_tree_ = in.address();
  in.length();
  in.address();
  in.skip(8 * length);
  width_ = in.number(2);
  starting_block_ = in.length();
  largest_direct_ = in.length();
  const std::uint64_t bits = in.number(2);
  in.skip(2);
  root_ = in.address();
  root_rows_ = in.number(2);
  require(id_size_ > 0 && bits >= 1 && bits <= 64 && std::has_single_bit(width_) &&
              std::has_single_bit(starting_block_) && std::has_single_bit(largest_direct_) &&
              largest_direct_ >= starting_block_,
          "an impossible heap");
  offset_size_ = (bits + 7) / 8;
  size_size_ = std::min<std::size_t>((log2_of(largest_direct_) + 7) / 8, bytes_for(largest_object));
  header_size_ = 5 + width + offset_size_ + (checksums ? 4 : 0);
}

std::uint64_t FractalHeap::row_block(unsigned row) const {
  const unsigned shift = row < 2 ? 0 : row - 1;
  require(shift < 64 && starting_block_ <= std::numeric_limits<std::uint64_t>::max() >> shift, "an impossible heap");
  return starting_block_ << shift;
}

Bytes FractalHeap::managed(std::uint64_t offset, std::uint64_t size) const {
  std::uint64_t address = root_, rows = root_rows_, block = rows == 0 ? starting_block_ : 0;
  while (rows > 0) {  // an indirect block: rows of `width_` blocks each, the first two of the same size, then doubling
    Cursor in = file_.from(address);
    in.signature("FHIB");
    in.version(0, 0);
    require(in.address() == address_, "a block of another heap");
    in.skip(offset_size_);
    unsigned row = 0;
    for (; row < rows && offset / width_ >= row_block(row); ++row) {
      offset -= row_block(row) * width_;
      in.skip(width_ * file_.widths.address);
    }
    require(row < rows, "an object lies beyond its heap");
    const std::uint64_t inner = row_block(row);
    in.skip(offset / inner * file_.widths.address);
    offset %= inner;
    address = in.address();
    if (inner <= largest_direct_) {
      block = inner;
      rows = 0;
    } else {
      // Blocks of the next one are smaller than itself, so that this ends.
      rows = log2_of(inner / starting_block_ / width_) + 1;
    }
  }
  const Bytes all = file_.at(address, block);
  file_.cursor(all).signature("FHDB");
  require(offset >= header_size_ && offset <= all.size() && size <= all.size() - offset,
          "an object lies beyond its heap");
  return all.subspan(offset, size);
}

Bytes FractalHeap::object(Bytes id) const {
  Cursor in = file_.cursor(id);
  const auto first = static_cast<unsigned>(in.number(1));
  require(first >> 6 == 0, "an unknown kind of heap object");
  switch ((first >> 4) & 3) {
    case 0: {
      const std::uint64_t offset = in.number(offset_size_);
      return managed(offset, in.number(size_size_));
    }
    case 1: {  // huge: in the file by itself
      if (id_size_ >= 1u + file_.widths.address + file_.widths.length) {
        const std::uint64_t address = in.address();
        return file_.at(address, in.length());
      }
      const std::uint64_t key = in.number(std::min<std::size_t>({id_size_ - 1, in.left(), 8}));
      Bytes found;
      walk_records(file_, huge_tree_, [&](Bytes record) {
        Cursor entry = file_.cursor(record);
        const std::uint64_t address = entry.address(), size = entry.length();
        if (entry.length() == key) found = file_.at(address, size);
      });
      require(found.data() != nullptr, "a heap lacks an object");
      return found;
    }
    case 2: {  // tiny: in the identifier itself
      const bool extended = id_size_ > 17;
      const std::uint64_t size = extended ? ((first & 15) << 8 | in.number(1)) + 1 : (first & 15) + 1;
      return in.take(size);
    }
    default:
      throw Error("an unknown kind of heap object");
  }
}

Bytes global_heap_object(const Extent& file, std::uint64_t address, std::uint64_t index) {
  Cursor head = file.from(address);
  head.signature("GCOL");
  head.version(1, 1);
  head.skip(3);
  const std::uint64_t size = head.length(), start = 8 + file.widths.length;
  require(size >= start, "a global heap is too short");
  Cursor in = file.cursor(file.at(address, size).subspan(start));
  while (in.left() >= start) {
    const std::uint64_t found = in.number(2);
    in.skip(6);
    const std::uint64_t length = in.length();
    if (found == 0) break;  // the free space, which is last
    const Bytes object = in.take(length);
    if (found == index) return object;
    in.skip(std::min<std::uint64_t>((8 - length % 8) % 8, in.left()));
  }
  throw Error(cat("the global heap has no object ", index));
}

}  // namespace pipeformer::hdf5
