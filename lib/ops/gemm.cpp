#include "ops/gemm.hpp"

#include <algorithm>
#include <cstring>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/integer_product.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t kRowBlock = 96;     // rows of A that one task takes through a group of panels
constexpr std::int64_t kWidenedRows = 24;  // of A from which on panels of 16 bits are widened in memory
constexpr std::int64_t kPanelGroup = 16;   // panels that stay in the second-level cache: 16 x 32 x 256 floats = 512 KB

std::int64_t panel_count(std::int64_t n) {
  return (n + kernels().panel - 1) / kernels().panel;
}

Buffer<std::byte>& scratch() {
  thread_local Buffer<std::byte> buffer;
  return buffer;
}

Buffer<float>& wide_scratch() {
  thread_local Buffer<float> buffer;
  return buffer;
}

Buffer<float>& tile_scratch() {
  thread_local Buffer<float> buffer;
  return buffer;
}

/// Packs panels [first, last) of B = w^T, w (n, k).
auto pack_rows_of(const WeightView& w) {
  return [w, width = std::int64_t{kernels().panel}](std::int64_t first, std::int64_t last, void* to) {
    auto* out = static_cast<std::byte*>(to);
    const std::int64_t end = std::min(w.rows, last * width);
    for_rows_once(w, first * width, end, width, [&](std::int64_t, std::int64_t columns, const std::byte* from) {
      if (w.type == WeightType::float32)
        kernels().pack_transposed(columns, w.columns, {from, w.columns, nullptr, w.type},
                                  reinterpret_cast<float*>(out));
      else
        kernels().pack_transposed_16(columns, w.columns, reinterpret_cast<const std::uint16_t*>(from), w.columns,
                                     reinterpret_cast<std::uint16_t*>(out));
      out += columns * row_bytes(w.type, w.columns);
    });
  };
}

/// Packs panels [first, last) of B (k, n).
auto pack_columns_of(const MatrixView& b) {
  return [b, width = std::int64_t{kernels().panel}](std::int64_t first, std::int64_t last, void* out) {
    kernels().pack(b.rows, std::min(b.columns, last * width) - first * width, {b.data + first * width, b.stride},
                   static_cast<float*>(out));
  };
}

/// Bytes of a panel of depth k.
std::int64_t panel_bytes(std::int64_t k, WeightType type) {
  return k * kernels().panel * element_size(type);
}

/// All rows of C through panels [first, last): the part of a product that one task computes. `panels` begins with
/// panel `first`. Panels of 16 bits are widened in registers for few rows, else block by block, into the first-level
/// cache.
template <bool Transposed>
void multiply_block(const MatrixView& a, const PackedView& panels, std::int64_t first, std::int64_t last,
                    const float* bias, const MutableMatrixView& c, bool accumulate) {
  const Kernels& kernel = kernels();
  const std::int64_t m = c.rows, n = c.columns, k = Transposed ? a.rows : a.columns, lda = a.stride;
  const bool widened = panels.type != WeightType::float32 && m > kWidenedRows;
  const auto panel_product = Transposed                                      ? kernel.gemm_panel_transposed
                             : widened || panels.type == WeightType::float32 ? kernel.gemm_panel
                             : panels.type == WeightType::float16            ? kernel.gemm_panel_float16
                                                                             : kernel.gemm_panel_bfloat16;
  float* tile = at_least(tile_scratch(), Transposed ? kRowBlock * kDepthBlock : 0);
  // The columns of a transposed A with long rows fall each into a page of its own: such a block is copied together.
  const bool copy = Transposed && lda > 512;
  const std::int64_t stride = copy ? kRowBlock : lda;
  for (std::int64_t k0 = 0; k0 == 0 || k0 < k; k0 += kDepthBlock) {
    const std::int64_t depth = std::min(kDepthBlock, k - k0);
    const float* block = a.data + (Transposed ? k0 * lda : k0);
    if (copy) {
      for (std::int64_t r = 0; r < depth; ++r)
        std::memcpy(tile + r * stride, block + r * lda, static_cast<std::size_t>(m) * sizeof(float));
      block = tile;
    }
    const MatrixView part = Transposed ? MatrixView(block, depth, m, stride) : MatrixView(block, m, depth, stride);
    for (std::int64_t p = first; p < last; ++p) {
      const std::int64_t columns = std::min<std::int64_t>(kernel.panel, n - p * kernel.panel);
      const auto at = [&](std::int64_t number, std::int64_t from) {
        return static_cast<const std::byte*>(panels.data) +
               (number * k + from) * kernel.panel * element_size(panels.type);
      };
      const void* stored = at(p - first, k0);
      const void* ahead = p + 1 < last     ? at(p + 1 - first, k0)
                          : k0 + depth < k ? at(0, k0 + depth)
                                           : at(last - first, 0);
      const void* panel = stored;
      if (widened) {
        float* wide = at_least(wide_scratch(), kDepthBlock * kernel.panel);
        widen(panels.type, depth * kernel.panel, stored, wide);
        panel = wide;
      }
      const float* added = bias && k0 + depth == k ? bias + p * kernel.panel : nullptr;
      panel_product(part, panel, ahead, added, {c.data + p * kernel.panel, m, columns, c.stride}, accumulate || k0 > 0);
    }
  }
}

/// The frame of all three products. B is packed already (packed.data is there), or pack(first, last, out) packs panels
/// [first, last) of it, of packed.type: with many rows all of it once, before; with few, each task packs the panels it
/// uses into its own cache.
template <bool Transposed, class Pack>
void multiply(const MatrixView& a, PackedView packed, Pack pack, const float* bias, const MutableMatrixView& c,
              bool accumulate) {
  const std::int64_t m = c.rows, n = c.columns, k = Transposed ? a.rows : a.columns;
  if (m == 0 || n == 0) return;
  const std::int64_t panels = panel_count(n), bytes = panel_bytes(k, packed.type);
  const std::int64_t row_blocks = (m + kRowBlock - 1) / kRowBlock;
  const std::int64_t rows = (m + row_blocks - 1) / row_blocks;
  // Enough pieces for the team, unless the whole is too small to be worth waking it.
  const bool small = m * n * k < 200000;
  const std::int64_t wanted = small ? 1 : (4 * thread_count() + row_blocks - 1) / row_blocks;
  const std::int64_t group = std::clamp<std::int64_t>((panels + wanted - 1) / wanted, 1, kPanelGroup);
  const std::int64_t groups = (panels + group - 1) / group;
  if (!packed && row_blocks > 1) {
    thread_local Buffer<std::byte> whole;  // of the calling thread: products are not nested
    std::byte* out = at_least(whole, panels * bytes);
    parallel_for(panels, std::max<std::int64_t>(1, 65536 / (bytes + 1)),
                 [&](std::int64_t begin, std::int64_t end) { pack(begin, end, out + begin * bytes); });
    packed.data = out;
  }
  const std::int64_t tasks = row_blocks * groups;
  parallel_for(tasks, small ? tasks : 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t block = task / groups, first = task % groups * group, last = std::min(panels, first + group);
      const std::int64_t row = block * rows, height = std::min(rows, m - row);
      if (height <= 0) continue;
      PackedView from = packed;
      if (packed) {
        from.data = static_cast<const std::byte*>(packed.data) + first * bytes;
      } else {
        std::byte* out = at_least(scratch(), group * bytes);
        pack(first, last, out);
        from.data = out;
      }
      const MatrixView part = Transposed ? MatrixView(a.data + row, k, height, a.stride)
                                         : MatrixView(a.data + row * a.stride, height, k, a.stride);
      multiply_block<Transposed>(part, from, first, last, bias, {c.data + row * c.stride, height, n, c.stride},
                                 accumulate);
    }
  });
}

/// C = A w^T for few rows, with w as it stands.
void multiply_few(const MatrixView& a, const WeightView& w, const MutableMatrixView& c) {
  const std::int64_t n = c.columns, width = kernels().panel, panels = panel_count(n);
  parallel_for(panels, n * w.columns < 200000 ? panels : 4, [&](std::int64_t begin, std::int64_t end) {
    for_rows_once(w, begin * width, std::min(n, end * width), width,
                  [&](std::int64_t first, std::int64_t count, const std::byte* rows) {
                    kernels().dot_few(a, {rows, w.columns, nullptr, w.type}, kDepthBlock,
                                      {c.data + first, c.rows, count, c.stride});
                  });
  });
}

}  // namespace

void widen(WeightType type, std::int64_t n, const void* stored, float* y) {
  switch (type) {
    case WeightType::float32:
      std::memcpy(y, stored, static_cast<std::size_t>(n) * sizeof(float));
      break;
    case WeightType::float16:
      kernels().widen_float16(n, static_cast<const std::uint16_t*>(stored), y);
      break;
    case WeightType::bfloat16:
      kernels().widen_bfloat16(n, static_cast<const std::uint16_t*>(stored), y);
      break;
    case WeightType::int8:
    case WeightType::int4:
      throw Error("integers mean nothing without the scales of their row");
  }
}

void widen_row(const WeightView& w, std::int64_t r, float* y) {
  if (is_integer(w.type))
    integer_kernels(w.type).widen(w.columns, w.row(r), w.scales + r * row_scales(w.type, w.columns), y);
  else
    widen(w.type, w.columns, w.row(r), y);
}

float quantise(std::int64_t n, const float* x, std::int8_t* q) {
  return kernels().quantise_int8(n, x, q);
}

std::int64_t packed_bytes(std::int64_t n, std::int64_t k, WeightType type) {
  return is_integer(type) ? integer_packed_bytes(n, k, type) : panel_count(n) * panel_bytes(k, type);
}

PackedView pack_nt(const WeightView& w, void* packed) {
  if (is_integer(w.type)) {
    integer_pack(w, packed);
    return {packed, w.type, w.scales};
  }
  const auto pack = pack_rows_of(w);
  const std::int64_t bytes = panel_bytes(w.columns, w.type);
  parallel_for(panel_count(w.rows), 4, [&](std::int64_t begin, std::int64_t end) {
    pack(begin, end, static_cast<std::byte*>(packed) + begin * bytes);
  });
  return {packed, w.type, nullptr};
}

PackedView pack_nn(const MatrixView& b, void* packed) {
  const auto pack = pack_columns_of(b);
  const std::int64_t bytes = panel_bytes(b.rows, WeightType::float32);
  parallel_for(panel_count(b.columns), 1, [&](std::int64_t begin, std::int64_t end) {
    pack(begin, end, static_cast<std::byte*>(packed) + begin * bytes);
  });
  return {packed, WeightType::float32, nullptr};
}

template <class Pack>
const void* PackedWeight::Copy::get(std::int64_t bytes, std::uint64_t wanted, int cost, Pack pack) {
  if (version.load(std::memory_order_acquire) == wanted) return panels.get();
  const std::lock_guard lock(filling);
  if (version.load(std::memory_order_relaxed) == wanted) return panels.get();
  if (used != wanted) spent = 0;
  used = wanted;
  const bool enough = spent >= kCopy;
  spent += cost;
  if (!enough && !panels) return nullptr;
  if (!panels) panels = allocate_kept(static_cast<std::size_t>(bytes));
  pack(panels.get());
  version.store(wanted, std::memory_order_release);
  return panels.get();
}

PackedView PackedWeight::forward(const WeightView& w, std::uint64_t version, std::int64_t rows) {
  const auto pack = [&](void* to) { pack_nt(w, to); };
  const bool large = w.columns >= kLongRow && w.rows * row_bytes(w.type, w.columns) >= kLargeBytes;
  const bool few = rows <= few_rows(w.type), many = rows >= kManyRows && w.file >= 0;
  const int cost = large && (few || many) ? kLargeUse : kCopy;
  return {forward_.get(packed_bytes(w.rows, w.columns, w.type), version, cost, pack), w.type, w.scales};
}

PackedView PackedWeight::backward(const WeightView& w, std::uint64_t version) {
  const MatrixView b(w.values(), w.rows, w.columns);
  return {backward_.get(packed_bytes(w.columns, w.rows), version, kCopy, [&](void* to) { pack_nn(b, to); }), w.type,
          nullptr};
}

void product_packed(const MatrixView& a, const PackedView& packed, const float* bias, const MutableMatrixView& c,
                    bool accumulate) {
  if (is_integer(packed.type)) {
    require(!accumulate, "a product with a weight of integers adds to nothing");
    return integer_product(a, packed, {}, bias, c);
  }
  multiply<false>(
      a, packed, [](std::int64_t, std::int64_t, void*) {}, bias, c, accumulate);
}

void product_nt(const MatrixView& a, const WeightView& w, const float* bias, const MutableMatrixView& c) {
  if (is_integer(w.type)) return integer_product(a, {}, w, bias, c);
  if (c.rows == 0 || c.columns == 0) return;
  if (c.rows > few_rows(w.type)) return multiply<false>(a, {nullptr, w.type, nullptr}, pack_rows_of(w), bias, c, false);
  multiply_few(a, w, c);
  if (bias) kernels().add_bias(c.rows, c.columns, bias, c.data, c.stride);
}

void product_nn(const MatrixView& a, const MatrixView& b, const MutableMatrixView& c, bool accumulate) {
  multiply<false>(a, {}, pack_columns_of(b), nullptr, c, accumulate);
}

void product_tn(const MatrixView& a, const MatrixView& b, const MutableMatrixView& c) {
  if (a.rows == 0) return;
  multiply<true>(a, {}, pack_columns_of(b), nullptr, c, true);
}

void column_sums(const MatrixView& x, float* sums) {
  // Each task owns some columns and adds all rows in order: the same sums for any number of threads.
  constexpr std::int64_t kColumns = 64;
  const std::int64_t n = x.columns;
  parallel_for((n + kColumns - 1) / kColumns, x.rows * n < 65536 ? n : 1, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin * kColumns, last = std::min(n, end * kColumns);
    kernels().column_sums(x.rows, last - first, x.data + first, x.stride, sums + first);
  });
}

}  // namespace pipeformer
