#include "ops/int8_product.hpp"

#include <algorithm>

#include "core/array.hpp"
#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/gemm.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer {
namespace {

constexpr std::int64_t kRowBlock = 96;    // rows of A that one task takes through a group of panels
constexpr std::int64_t kPanelGroup = 32;  // panels of one task
constexpr std::int64_t kQuad = 4;

std::int64_t panel_count(std::int64_t n) {
  return (n + int8_kernels().panel - 1) / int8_kernels().panel;
}

std::int64_t quad_count(std::int64_t k) {
  return (k + kQuad - 1) / kQuad;
}

std::int64_t panel_bytes(std::int64_t k) {
  return int8_kernels().panel * (quad_count(k) * kQuad + static_cast<std::int64_t>(sizeof(std::int32_t)));
}

/// Packs panels [first, last) of B = w^T.
void pack_panels(const WeightView& w, std::int64_t first, std::int64_t last, std::byte* out) {
  const std::int64_t width = int8_kernels().panel;
  int8_kernels().pack(std::min(w.rows, last * width) - first * width, w.columns,
                      reinterpret_cast<const std::int8_t*>(w.row(first * width)), out);
}

Int8Rows row_range(const Int8Rows& a, std::int64_t first, std::int64_t count) {
  return {static_cast<std::byte*>(a.q) + first * a.stride * int8_kernels().element, a.scales + first, count, a.quads,
          a.stride};
}

/// What a thread quantised last.
struct Quantised {
  Buffer<std::byte> memory;
  Buffer<float> scales;
  int same = 0;  ///< How many SameRows live.
  MatrixView from{nullptr, 0, 0};
  Int8Rows rows{};
};

Quantised& quantised() {
  thread_local Quantised own;
  return own;
}

bool same_place(const MatrixView& a, const MatrixView& b) {
  return a.data == b.data && a.rows == b.rows && a.columns == b.columns && a.stride == b.stride;
}

/// All rows of a quantised, into memory of the calling thread.
Int8Rows quantise(const MatrixView& a) {
  Quantised& own = quantised();
  if (own.same > 0 && own.from.data && same_place(a, own.from)) return own.rows;
  constexpr std::int64_t kLine = 64;
  const std::int64_t element = int8_kernels().element, quads = quad_count(a.columns);
  // A cache line more than fits: rows of a power of two would all fall into the same few sets of the cache.
  const std::int64_t bytes = (quads * kQuad * element + kLine - 1) / kLine * kLine + kLine;
  const Int8Rows rows{at_least(own.memory, a.rows * bytes), at_least(own.scales, a.rows), a.rows, quads,
                      bytes / element};
  parallel_for(a.rows, std::max<std::int64_t>(1, 65536 / (a.columns + 1)), [&](std::int64_t begin, std::int64_t end) {
    int8_kernels().quantise({a.data + begin * a.stride, end - begin, a.columns, a.stride},
                            row_range(rows, begin, end - begin));
  });
  own.from = a;
  own.rows = rows;
  return rows;
}

}  // namespace

SameRows::SameRows() {
  if (quantised().same++ == 0) quantised().from.data = nullptr;
}

SameRows::~SameRows() {
  --quantised().same;
}

const Int8Kernels& int8_kernels() {
  static const Int8Kernels& fastest = *kernels().int8(0);
  return fastest;
}

std::int64_t int8_packed_bytes(std::int64_t n, std::int64_t k) {
  return panel_count(n) * panel_bytes(k);
}

void int8_pack(const WeightView& w, void* packed) {
  const std::int64_t bytes = panel_bytes(w.columns);
  parallel_for(panel_count(w.rows), 4, [&](std::int64_t begin, std::int64_t end) {
    pack_panels(w, begin, end, static_cast<std::byte*>(packed) + begin * bytes);
  });
}

void int8_product(const MatrixView& a, const PackedView& packed, const WeightView& w, const float* bias,
                  const MutableMatrixView& c) {
  const std::int64_t m = c.rows, n = c.columns, k = a.columns;
  if (m == 0 || n == 0) return;
  require(k <= kInt8Depth, "a product over ", k, " columns is more than sums of 8-bit integers hold (", kInt8Depth,
          "): keep this weight in 16 or 32 bits");
  const float* scales = packed ? packed.scales : w.scales;
  const std::int64_t panels = panel_count(n), bytes = panel_bytes(k), width = int8_kernels().panel;
  const std::int64_t row_blocks = (m + kRowBlock - 1) / kRowBlock, rows = (m + row_blocks - 1) / row_blocks;
  // Enough pieces for the team, unless the whole is too small to be worth waking it.
  const bool small = m * n * k < 400000;
  const std::int64_t wanted = small ? 1 : (4 * thread_count() + row_blocks - 1) / row_blocks;
  const std::int64_t group = std::clamp<std::int64_t>((panels + wanted - 1) / wanted, 1, kPanelGroup);
  const std::int64_t groups = (panels + group - 1) / group, tasks = row_blocks * groups;
  const Int8Rows from = quantise(a);
  const void* whole = packed.data;
  if (!whole && row_blocks > 1) {
    thread_local Buffer<std::byte> memory;  // of the calling thread: products are not nested
    int8_pack(w, at_least(memory, panels * bytes));
    whole = memory.data();
  }
  parallel_for(tasks, small ? tasks : 1, [&](std::int64_t begin, std::int64_t end) {
    thread_local Buffer<std::byte> own;
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t row = task / groups * rows, height = std::min(rows, m - row);
      const std::int64_t first = task % groups * group, last = std::min(panels, first + group);
      if (height <= 0) continue;
      const Int8Rows block = row_range(from, row, height);
      for (std::int64_t p = first; p < last; ++p) {
        const std::byte* panel;
        if (whole) {
          panel = static_cast<const std::byte*>(whole) + p * bytes;
        } else {
          std::byte* out = at_least(own, bytes);
          pack_panels(w, p, p + 1, out);
          panel = out;
        }
        const std::int64_t column = p * width, columns = std::min(width, n - column);
        int8_kernels().multiply(block, panel, scales + column, bias ? bias + column : nullptr,
                                {c.data + row * c.stride + column, height, columns, c.stride});
      }
    }
  });
}

}  // namespace pipeformer
