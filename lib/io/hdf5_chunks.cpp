#include "io/hdf5_chunks.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <new>
#include <utility>

#include "core/error.hpp"
#include "io/hdf5_trees.hpp"

namespace pipeformer::hdf5 {
namespace {

constexpr std::uint64_t most_kept = 64 << 20;
constexpr std::uint64_t most_deflated = 1032;        // deflate makes at most so many bytes of one
constexpr std::uint64_t largest_chunk = 0xffffffff;  // HDF5 counts with 32 bits

using Coordinates = std::vector<std::uint64_t>;

std::uint64_t product(std::uint64_t a, std::uint64_t b) {
  require(a == 0 || b <= std::numeric_limits<std::uint64_t>::max() / a, "a shape that overflows");
  return a * b;
}

std::uint64_t pieces(std::uint64_t whole, std::uint64_t piece) {
  return whole / piece + (whole % piece != 0 ? 1 : 0);
}

/// Elements of the arrays of chunks: an address, and for filtered chunks their size and mask.
struct ArrayElements {
  std::size_t size;
  bool filtered;
  std::function<void(std::uint64_t index, std::uint64_t address, std::uint64_t size, std::uint32_t mask)> visit;

  void take(Cursor& in, std::uint64_t index) const {
    Cursor element = in;
    in.skip(size);
    const std::size_t before = in.left();
    const std::uint64_t address = element.address();
    std::uint64_t bytes = 0;
    std::uint32_t mask = 0;
    if (filtered) {
      bytes = element.number(element.left() - before - 4);
      mask = static_cast<std::uint32_t>(element.number(4));
    }
    if (address != undefined) visit(index, address, bytes, mask);
  }
};

/// Whether a page was ever written: bits from the highest of each byte on.
bool page_written(Bytes bits, std::uint64_t page) {
  return (std::to_integer<unsigned>(bits[page / 8]) & (0x80u >> (page % 8))) != 0;
}

void check_element(const Extent& file, const ArrayElements& elements) {
  const std::size_t least = file.widths.address + (elements.filtered ? 5 : 0);
  require(elements.size >= least && elements.size <= least + (elements.filtered ? 7 : 0),
          "an array of chunks with elements of impossible size");
}

/// Section VII.C: one block, which is paged when it is long.
void walk_fixed_array(const Extent& file, std::uint64_t address, ArrayElements elements) {
  const unsigned width = file.widths.address;
  Cursor head = file.checked(address, 12 + file.widths.length + width);
  head.signature("FAHD");
  head.version(0, 0);
  elements.filtered = head.number(1) == 1;
  elements.size = head.number(1);
  check_element(file, elements);
  const std::uint64_t page_bits = head.number(1), count = head.length(), block = head.address();
  if (block == undefined) return;
  require(page_bits < 32 && count <= file.bytes.size() / elements.size, "an impossible array of chunks");
  const std::uint64_t page = std::uint64_t{1} << page_bits;
  const bool paged = count > page;
  const std::uint64_t pages = paged ? pieces(count, page) : 0, prefix = 6 + width + pieces(pages, 8);
  Cursor in = file.checked(block, prefix + (paged ? 0 : count * elements.size) + 4);
  in.signature("FADB");
  in.version(0, 0);
  in.skip(1 + width);
  const Bytes written = in.take(pieces(pages, 8));
  for (std::uint64_t i = 0; !paged && i < count; ++i) elements.take(in, i);
  for (std::uint64_t p = 0; p < pages; ++p) {
    if (!page_written(written, p)) continue;
    const std::uint64_t here = std::min(page, count - p * page);
    Cursor part = file.checked(block + prefix + 4 + p * (page * elements.size + 4), here * elements.size + 4);
    for (std::uint64_t i = 0; i < here; ++i) elements.take(part, p * page + i);
  }
}

/// Section VII.D: some elements in the index block, then data blocks that grow: those of super block s, 2^(s/2) of
/// them, hold 2^((s+1)/2) times the least number of elements. The first ones are named by the index block itself.
class ExtensibleArray {
 public:
  ExtensibleArray(const Extent& file, std::uint64_t address, ArrayElements elements)
      : file_(file), elements_(std::move(elements)), budget_(file) {
    const unsigned width = file.widths.address;
    Cursor head = file.checked(address, 16 + 6 * file.widths.length + width);
    head.signature("EAHD");
    head.version(0, 0);
    elements_.filtered = head.number(1) == 1;
    elements_.size = head.number(1);
    check_element(file, elements_);
    const std::uint64_t bits = head.number(1);
    in_index_ = head.number(1);
    least_ = head.number(1);
    pointers_ = head.number(1);
    const std::uint64_t page_bits = head.number(1);
    head.skip(6 * file.widths.length);
    index_ = head.address();
    require(bits >= 1 && bits <= 64 && page_bits < 32 && least_ > 0 && pointers_ > 0 && (least_ & (least_ - 1)) == 0 &&
                (pointers_ & (pointers_ - 1)) == 0 && bits >= log2_of(least_),
            "an impossible array of chunks");
    page_ = std::uint64_t{1} << page_bits;
    offset_size_ = (bits + 7) / 8;
    super_blocks_ = 1 + bits - log2_of(least_);
  }
  void walk() {
    if (index_ == undefined) return;
    const std::uint64_t width = file_.widths.address, direct = 2 * log2_of(pointers_), blocks = 2 * (pointers_ - 1);
    const std::uint64_t supers = super_blocks_ > direct ? super_blocks_ - direct : 0;
    Cursor in = file_.checked(index_, 6 + width + in_index_ * elements_.size + (blocks + supers) * width + 4);
    in.signature("EAIB");
    in.version(0, 0);
    in.skip(1 + width);
    std::uint64_t next = 0;  // element
    for (; next < in_index_; ++next) elements_.take(in, next);
    for (std::uint64_t s = 0; s < super_blocks_; ++s) {
      const std::uint64_t count = std::uint64_t{1} << s / 2, size = least_ << (s + 1) / 2;
      if (s < direct) {
        for (std::uint64_t b = 0; b < count; ++b, next += size) data_block(in.address(), size, next, {});
      } else {
        super_block(in.address(), count, size, next);
        next += count * size;
      }
    }
  }

 private:
  std::uint64_t pages(std::uint64_t size) const { return size > page_ ? size / page_ : 0; }

  void super_block(std::uint64_t address, std::uint64_t count, std::uint64_t size, std::uint64_t next) {
    if (address == undefined) return;
    const std::uint64_t width = file_.widths.address, bitmap = pieces(pages(size), 8);
    require(count <= file_.bytes.size() && bitmap <= file_.bytes.size(), "an impossible array of chunks");
    const std::uint64_t total = 6 + width + offset_size_ + count * (bitmap + width) + 4;
    budget_.take(total);
    Cursor in = file_.checked(address, total);
    in.signature("EASB");
    in.version(0, 0);
    in.skip(1 + width + offset_size_);
    const Bytes bits = in.take(count * bitmap);
    for (std::uint64_t b = 0; b < count; ++b, next += size)
      data_block(in.address(), size, next, bits.subspan(b * bitmap, bitmap));
  }
  void data_block(std::uint64_t address, std::uint64_t size, std::uint64_t next, Bytes written) {
    if (address == undefined) return;
    require(size <= file_.bytes.size(), "an impossible array of chunks");
    const std::uint64_t prefix = 6 + file_.widths.address + offset_size_, count = pages(size);
    const std::uint64_t inside = count == 0 ? size * elements_.size : 0;
    budget_.take(prefix + inside);
    Cursor in = file_.checked(address, prefix + inside + 4);
    in.signature("EADB");
    in.version(0, 0);
    in.skip(1 + file_.widths.address + offset_size_);
    for (std::uint64_t i = 0; count == 0 && i < size; ++i) elements_.take(in, next + i);
    for (std::uint64_t p = 0; p < count; ++p) {
      if (p / 8 >= written.size() || !page_written(written, p)) continue;
      const std::uint64_t bytes = page_ * elements_.size + 4;
      budget_.take(bytes);
      Cursor part = file_.checked(address + prefix + 4 + p * bytes, bytes);
      for (std::uint64_t i = 0; i < page_; ++i) elements_.take(part, next + p * page_ + i);
    }
  }

  const Extent& file_;
  ArrayElements elements_;
  Budget budget_;
  std::uint64_t in_index_ = 0, least_ = 0, pointers_ = 0, index_ = undefined, page_ = 1, offset_size_ = 0;
  std::uint64_t super_blocks_ = 0;
};

Buffer<std::byte> inflated(Bytes stored, std::uint64_t most) {
  require(stored.size() <= largest_chunk && most <= largest_chunk, "a chunk is too large");
  Buffer<std::byte> out(most);
  z_stream stream{};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(stored.data()));
  stream.avail_in = static_cast<uInt>(stored.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(most);
  if (inflateInit(&stream) != Z_OK) throw std::bad_alloc();
  const int end = inflate(&stream, Z_FINISH);
  out.resize(most - stream.avail_out);
  inflateEnd(&stream);
  require(end == Z_STREAM_END, "a chunk cannot be inflated");
  return out;
}

Buffer<std::byte> unshuffled(const Buffer<std::byte>& from, std::uint64_t width) {
  const std::uint64_t count = width == 0 ? 0 : from.size() / width;
  Buffer<std::byte> to = from;  // bytes behind the last whole element stay
  for (std::uint64_t b = 0; b < width && count > 0; ++b)
    for (std::uint64_t i = 0; i < count; ++i) to[i * width + b] = from[b * count + i];
  return to;
}

/// Fletcher's sums of 16-bit words, the first byte being the higher one.
bool fletcher_agrees(Bytes content, std::uint64_t stored) {
  std::uint64_t first = 0, second = 0;
  for (std::size_t i = 0; i < content.size(); i += 2) {
    first += std::to_integer<std::uint64_t>(content[i]) << 8;
    if (i + 1 < content.size()) first += std::to_integer<std::uint64_t>(content[i + 1]);
    first %= 65535;
    second = (second + first) % 65535;
  }
  return (stored & 0xffff) % 65535 == first && (stored >> 16) % 65535 == second;
}

}  // namespace

Elements::Elements(const Extent& file, DatasetMessages set) : file_(file), set_(std::move(set)) {
  const Layout& layout = set_.layout;
  require(layout.kind != Layout::Kind::elsewhere,
          "it lies in another file (external or virtual storage), which is not read");
  for (const Filter& filter : set_.filters)
    require(filter.id == Filter::deflate || filter.id == Filter::shuffle || filter.id == Filter::fletcher32,
            "it has filter ", filter.id, ": only deflate, shuffle and fletcher32 are read");
  require(set_.filters.size() <= 32, "it has ", set_.filters.size(), " filters");
  const std::uint64_t total = product(set_.space.count(), set_.type.size);
  row_bytes_ = set_.space.dims.empty() || set_.space.dims[0] == 0 ? total : total / set_.space.dims[0];
  if (total == 0) return;
  switch (layout.kind) {
    case Layout::Kind::compact:
      require(layout.compact.size() >= total, "it holds ", layout.compact.size(), " bytes, its shape says ", total);
      plain_ = layout.compact.first(total);
      stored_ = total;
      return;
    case Layout::Kind::contiguous:
      if (layout.address == undefined) return;
      require(layout.size.value_or(total) >= total, "it holds ", *layout.size, " bytes, its shape says ", total);
      plain_ = file.at(layout.address, total);
      stored_ = total;
      return;
    default:
      find_chunks();
  }
}

void Elements::find_chunks() {
  const Layout& layout = set_.layout;
  const std::size_t rank = set_.space.dims.size();
  require(layout.chunk.size() == rank && rank > 0, "chunks of ", layout.chunk.size(), " axes, the shape has ", rank);
  require(layout.element_size == set_.type.size, "chunks of elements of ", layout.element_size, " bytes, the type has ",
          set_.type.size);
  chunk_size_ = set_.type.size;
  Coordinates most(rank);  // chunks along each axis when it is as long as it may become
  for (std::size_t i = 0; i < rank; ++i) {
    chunk_size_ = product(chunk_size_, layout.chunk[i]);
    grid_.push_back(pieces(set_.space.dims[i], layout.chunk[i]));
    most[i] = pieces(std::max(set_.space.most[i], set_.space.dims[i]), layout.chunk[i]);
  }
  require(chunk_size_ <= largest_chunk, "a chunk is too large");
  if (layout.address == undefined) return;

  // Chunk `index` of an array stands where its coordinates, the last running fastest, say; an axis without end, if
  // there is one, is made the first.
  const std::uint64_t unlimited = ~std::uint64_t{0} >> (64 - 8 * file_.widths.length);
  std::vector<std::size_t> axes(rank);
  for (std::size_t i = 0; i < rank; ++i) axes[i] = i;
  if (layout.index == ChunkIndex::extensible_array)
    std::stable_partition(axes.begin(), axes.end(), [&](std::size_t i) { return set_.space.most[i] == unlimited; });
  const auto add = [&](std::uint64_t index, std::uint64_t address, std::uint64_t size, std::uint32_t mask) {
    Coordinates at(rank);
    for (std::size_t i = rank; i-- > 1; index /= most[axes[i]]) at[axes[i]] = index % most[axes[i]];
    at[axes[0]] = index;
    add_chunk(at, {address, set_.filters.empty() ? chunk_size_ : size, mask});
  };
  const ArrayElements elements{0, false, add};
  switch (layout.index) {
    case ChunkIndex::tree:
      walk_tree(file_, layout.address, TreeKind::chunks, 8 + 8 * (rank + 1), [&](Bytes key, std::uint64_t child) {
        Cursor in = file_.cursor(key);
        Chunk chunk;
        chunk.address = child;
        chunk.size = in.number(4);
        chunk.mask = static_cast<std::uint32_t>(in.number(4));
        Coordinates at(rank);
        for (std::size_t i = 0; i < rank; ++i) {
          const std::uint64_t begin = in.number(8);
          require(begin % layout.chunk[i] == 0, "a chunk begins between others");
          at[i] = begin / layout.chunk[i];
        }
        add_chunk(at, chunk);
      });
      return;
    case ChunkIndex::single:
      return add(0, layout.address, layout.single_size.value_or(chunk_size_), layout.single_mask);
    case ChunkIndex::implicit: {
      std::uint64_t count = 1;
      for (const std::uint64_t axis : most) count = product(count, axis);
      file_.at(layout.address, product(count, chunk_size_));
      for (std::uint64_t i = 0; i < count; ++i) add(i, layout.address + i * chunk_size_, chunk_size_, 0);
      return;
    }
    case ChunkIndex::fixed_array:
      return walk_fixed_array(file_, layout.address, elements);
    case ChunkIndex::extensible_array:
      return ExtensibleArray(file_, layout.address, elements).walk();
    case ChunkIndex::records:
      walk_records(file_, layout.address, [&](Bytes record) {
        Cursor in = file_.cursor(record);
        Chunk chunk;
        chunk.address = in.address();
        chunk.size = chunk_size_;
        if (const std::size_t fixed = 8 * rank; in.left() > fixed) {
          require(in.left() > fixed + 4 && in.left() <= fixed + 12, "a chunk's record of impossible size");
          chunk.size = in.number(in.left() - fixed - 4);
          chunk.mask = static_cast<std::uint32_t>(in.number(4));
        }
        Coordinates at(rank);
        for (std::uint64_t& axis : at) axis = in.number(8);
        add_chunk(at, chunk);
      });
      return;
  }
  throw Error("an unknown index of chunks");
}

std::uint64_t Elements::number_of(const Coordinates& at) const {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < at.size(); ++i) number = number * grid_[i] + at[i];
  return number;
}

void Elements::add_chunk(const Coordinates& at, const Chunk& chunk) {
  for (std::size_t i = 0; i < at.size(); ++i)
    if (at[i] >= grid_[i]) return;  // left over from a larger shape
  require(chunk.address != undefined && (!set_.filters.empty() || chunk.size == chunk_size_), "a chunk of ", chunk.size,
          " bytes, its shape says ", chunk_size_);
  file_.at(chunk.address, chunk.size);
  if (chunks_.emplace(number_of(at), chunk).second) stored_ += chunk.size;
}

void Elements::fill(std::byte* to, std::uint64_t count) const {
  const Bytes value = set_.fill;
  if (value.size() != set_.type.size) {
    require(value.empty(), "a fill value of ", value.size(), " bytes for elements of ", set_.type.size);
    std::memset(to, 0, count * set_.type.size);
    return;
  }
  for (std::uint64_t i = 0; i < count; ++i) std::memcpy(to + i * value.size(), value.data(), value.size());
}

Buffer<std::byte> Elements::unfiltered(const Chunk& chunk) const {
  const Bytes stored = file_.at(chunk.address, chunk.size);
  std::size_t sums = 0;  // checksums that may stand behind the elements
  for (const Filter& filter : set_.filters) sums += filter.id == Filter::fletcher32 ? 4 : 0;
  Buffer<std::byte> now(stored.begin(), stored.end());
  for (std::size_t i = set_.filters.size(); i-- > 0;) {
    const Filter& filter = set_.filters[i];
    if (i < 32 && (chunk.mask >> i & 1) != 0) continue;
    if (filter.id == Filter::deflate) {
      require(chunk_size_ / most_deflated <= now.size(), "a chunk cannot be inflated");
      now = inflated(now, chunk_size_ + sums);
    } else if (filter.id == Filter::shuffle) {
      now = unshuffled(now, filter.values.empty() ? set_.type.size : filter.values[0]);
    } else {
      require(now.size() >= 4, "a chunk is too short");
      const Bytes all(now), content = all.first(all.size() - 4);
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
      require(fletcher_agrees(content, file_.cursor(all.last(4)).number(4)), "a chunk's checksum is wrong");
#else
      (void)fletcher_agrees;
#endif
      now.resize(content.size());
    }
  }
  require(now.size() == chunk_size_, "a chunk of ", now.size(), " bytes, its shape says ", chunk_size_);
  return now;
}

/// The elements of a chunk, in `memory` when the file does not have them as they are; empty when it is not stored.
Bytes Elements::chunk_bytes(std::uint64_t number, bool cut, Memory& memory) const {
  const auto found = chunks_.find(number);
  if (found == chunks_.end()) return {};
  const Chunk& chunk = found->second;
  if (set_.filters.empty() || (cut && set_.layout.whole_edges)) return file_.at(chunk.address, chunk_size_);
  {
    const std::lock_guard lock(mutex_);
    if (const auto kept = kept_.find(number); kept != kept_.end()) memory = kept->second;
  }
  if (memory) return *memory;
  memory = std::make_shared<const Buffer<std::byte>>(unfiltered(chunk));
  const std::lock_guard lock(mutex_);
  if (kept_bytes_ + chunk_size_ > most_kept) {
    kept_.clear();
    kept_bytes_ = 0;
  }
  if (chunk_size_ <= most_kept && kept_.emplace(number, memory).second) kept_bytes_ += chunk_size_;
  return *memory;
}

/// The rows of the chunk at these coordinates that are asked for; `to` is where row `begin` goes.
void Elements::read_chunk(const Coordinates& at, std::uint64_t begin, std::uint64_t end, std::byte* to) const {
  const std::vector<std::uint64_t>&dims = set_.space.dims, &chunk = set_.layout.chunk;
  const std::size_t rank = dims.size(), size = set_.type.size;
  Coordinates first(rank), count(rank);  // of the elements wanted, in the dataset
  bool cut = false;
  for (std::size_t i = 0; i < rank; ++i) {
    first[i] = at[i] * chunk[i];
    const std::uint64_t last = std::min(dims[i], first[i] + chunk[i]);
    cut = cut || last < first[i] + chunk[i];
    const std::uint64_t from = i == 0 ? std::max(first[0], begin) : first[i];
    count[i] = (i == 0 ? std::min(last, end) : last) - from;
    first[i] = from;
  }
  Memory memory;
  const Bytes source = chunk_bytes(number_of(at), cut, memory);
  // Axes that the chunk spans whole are one run with the axis before them.
  std::size_t last = rank - 1;
  while (last > 0 && chunk[last] == dims[last]) --last;
  std::uint64_t run = count[last];
  for (std::size_t i = last + 1; i < rank; ++i) run *= dims[i];
  Coordinates step(rank, 0);
  for (;;) {
    std::uint64_t from = 0, target = 0;
    for (std::size_t i = 0; i < rank; ++i) {
      const std::uint64_t index = first[i] + step[i];
      from = from * chunk[i] + (index - at[i] * chunk[i]);
      target = target * dims[i] + (i == 0 ? index - begin : index);
    }
    if (source.empty())
      fill(to + target * size, run);
    else
      std::memcpy(to + target * size, source.data() + from * size, run * size);
    std::size_t axis = last;
    while (axis > 0 && ++step[axis - 1] == count[axis - 1]) step[--axis] = 0;
    if (axis == 0) return;
  }
}

void Elements::read(std::uint64_t begin, std::uint64_t end, std::byte* to) const {
  if (!plain_.empty()) {
    std::memcpy(to, plain_.data() + begin * row_bytes_, (end - begin) * row_bytes_);
    return;
  }
  if (chunks_.empty()) return fill(to, (end - begin) * row_bytes_ / set_.type.size);
  const std::uint64_t height = set_.layout.chunk[0];
  Coordinates at(grid_.size(), 0);
  for (at[0] = begin / height; at[0] < pieces(end, height);) {
    read_chunk(at, begin, end, to);
    std::size_t axis = at.size();
    while (axis > 1 && ++at[axis - 1] == grid_[axis - 1]) at[--axis] = 0;
    if (axis <= 1) ++at[0];
  }
}

}  // namespace pipeformer::hdf5
