#include "ops/gemm.hpp"

#include <algorithm>
#include <cstring>

#include "core/threads.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t kRowBlock = 96;    // rows of A that one task takes through a group of panels
constexpr std::int64_t kPanelGroup = 16;  // panels that stay in the second-level cache: 16 x 32 x 256 floats = 512 KB

std::int64_t panel_count(std::int64_t n) {
  return (n + kernels().panel - 1) / kernels().panel;
}

Buffer<float>& scratch() {
  thread_local Buffer<float> buffer;
  return buffer;
}

Buffer<float>& tile_scratch() {
  thread_local Buffer<float> buffer;
  return buffer;
}

/// Packs panels [first, last) of B = w^T, w (n, k).
auto pack_rows_of(const MatrixView& w) {
  return [w, width = std::int64_t{kernels().panel}](std::int64_t first, std::int64_t last, float* out) {
    kernels().pack_transposed(std::min(w.rows, last * width) - first * width, w.columns,
                              w.data + first * width * w.stride, w.stride, nullptr, out);
  };
}

/// Packs panels [first, last) of B (k, n).
auto pack_columns_of(const MatrixView& b) {
  return [b, width = std::int64_t{kernels().panel}](std::int64_t first, std::int64_t last, float* out) {
    kernels().pack(b.rows, std::min(b.columns, last * width) - first * width, b.data + first * width, b.stride, nullptr,
                   out);
  };
}

/// All rows of C through panels [first, last): the part of a product that one task computes. `panels` points at
/// panel `first`.
template <bool Transposed>
void multiply_block(const MatrixView& a, const float* panels, std::int64_t first, std::int64_t last, const float* bias,
                    const MutableMatrixView& c, bool accumulate) {
  const Kernels& kernel = kernels();
  const std::int64_t m = c.rows, n = c.columns, k = Transposed ? a.rows : a.columns, lda = a.stride;
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
    for (std::int64_t p = first; p < last; ++p) {
      const int columns = static_cast<int>(std::min<std::int64_t>(kernel.panel, n - p * kernel.panel));
      const float* panel = panels + ((p - first) * k + k0) * kernel.panel;
      const float* ahead = p + 1 < last     ? panel + k * kernel.panel
                           : k0 + depth < k ? panels + (k0 + depth) * kernel.panel
                                            : panels + (last - first) * k * kernel.panel;
      (Transposed ? kernel.gemm_panel_transposed : kernel.gemm_panel)(
          m, depth, block, stride, panel, ahead, c.data + p * kernel.panel, c.stride, columns, accumulate || k0 > 0);
    }
  }
  if (bias) {
    const std::int64_t column = first * kernel.panel, width = std::min(n, last * kernel.panel) - column;
    kernel.add_bias(m, width, bias + column, c.data + column, c.stride);
  }
}

/// The frame of all three products. pack(first, last, out) packs panels [first, last) of B. With many rows B is packed
/// once, before; with few, each task packs the panels it uses into its own cache.
template <bool Transposed, class Pack>
void multiply(const MatrixView& a, const float* packed, Pack pack, const float* bias, const MutableMatrixView& c,
              bool accumulate) {
  const std::int64_t m = c.rows, n = c.columns, k = Transposed ? a.rows : a.columns;
  if (m == 0 || n == 0) return;
  const std::int64_t panels = panel_count(n), panel_floats = k * kernels().panel;
  const std::int64_t row_blocks = (m + kRowBlock - 1) / kRowBlock;
  const std::int64_t rows = (m + row_blocks - 1) / row_blocks;
  // Enough pieces for the team, unless the whole is too small to be worth waking it.
  const bool small = m * n * k < 200000;
  const std::int64_t wanted = small ? 1 : (4 * thread_count() + row_blocks - 1) / row_blocks;
  const std::int64_t group = std::clamp<std::int64_t>((panels + wanted - 1) / wanted, 1, kPanelGroup);
  const std::int64_t groups = (panels + group - 1) / group;
  if (!packed && row_blocks > 1) {
    thread_local Buffer<float> whole;  // of the calling thread: products are not nested
    float* out = at_least(whole, panels * panel_floats);
    parallel_for(panels, std::max<std::int64_t>(1, 16384 / (panel_floats + 1)),
                 [&](std::int64_t begin, std::int64_t end) { pack(begin, end, out + begin * panel_floats); });
    packed = out;
  }
  const std::int64_t tasks = row_blocks * groups;
  parallel_for(tasks, small ? tasks : 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t block = task / groups, first = task % groups * group, last = std::min(panels, first + group);
      const std::int64_t row = block * rows, height = std::min(rows, m - row);
      if (height <= 0) continue;
      const float* from = packed ? packed + first * panel_floats : nullptr;
      if (!packed) {
        float* out = at_least(scratch(), group * panel_floats);
        pack(first, last, out);
        from = out;
      }
      const MatrixView part = Transposed ? MatrixView(a.data + row, k, height, a.stride)
                                         : MatrixView(a.data + row * a.stride, height, k, a.stride);
      multiply_block<Transposed>(part, from, first, last, bias, {c.data + row * c.stride, height, n, c.stride},
                                 accumulate);
    }
  });
}

}  // namespace

std::int64_t packed_size(std::int64_t n, std::int64_t k) {
  return panel_count(n) * kernels().panel * k;
}

void pack_nt(const MatrixView& w, float* packed) {
  const auto pack = pack_rows_of(w);
  parallel_for(panel_count(w.rows), 4, [&](std::int64_t begin, std::int64_t end) {
    pack(begin, end, packed + begin * kernels().panel * w.columns);
  });
}

void pack_nn(const MatrixView& b, float* packed) {
  const auto pack = pack_columns_of(b);
  parallel_for(panel_count(b.columns), 1, [&](std::int64_t begin, std::int64_t end) {
    pack(begin, end, packed + begin * kernels().panel * b.rows);
  });
}

template <class Pack>
const float* PackedWeight::Copy::get(std::int64_t size, std::uint64_t wanted, Pack pack) {
  if (version.load(std::memory_order_acquire) == wanted) return panels.data();
  const std::lock_guard lock(filling);
  if (version.load(std::memory_order_relaxed) == wanted) return panels.data();
  const bool again = used == wanted;
  used = wanted;
  if (!again && panels.empty()) return nullptr;
  panels.resize(static_cast<std::size_t>(size));
  pack(panels.data());
  version.store(wanted, std::memory_order_release);
  return panels.data();
}

const float* PackedWeight::forward(const float* w, std::int64_t out, std::int64_t in, std::uint64_t version) {
  return forward_.get(packed_size(out, in), version, [&](float* to) { pack_nt({w, out, in}, to); });
}

const float* PackedWeight::backward(const float* w, std::int64_t out, std::int64_t in, std::uint64_t version) {
  return backward_.get(packed_size(in, out), version, [&](float* to) { pack_nn({w, out, in}, to); });
}

void product_packed(const MatrixView& a, const float* packed, const float* bias, const MutableMatrixView& c,
                    bool accumulate) {
  multiply<false>(
      a, packed, [](std::int64_t, std::int64_t, float*) {}, bias, c, accumulate);
}

void product_nt(const MatrixView& a, const MatrixView& w, const float* bias, const MutableMatrixView& c) {
  multiply<false>(a, nullptr, pack_rows_of(w), bias, c, false);
}

void product_nn(const MatrixView& a, const MatrixView& b, const MutableMatrixView& c, bool accumulate) {
  multiply<false>(a, nullptr, pack_columns_of(b), nullptr, c, accumulate);
}

void product_tn(const MatrixView& a, const MatrixView& b, const MutableMatrixView& c) {
  if (a.rows == 0) return;
  multiply<true>(a, nullptr, pack_columns_of(b), nullptr, c, true);
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
