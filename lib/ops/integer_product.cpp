#include "ops/integer_product.hpp"

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

std::int64_t panel_count(const IntegerKernels& by, std::int64_t n) {
  return (n + by.panel - 1) / by.panel;
}

/// Packs panels [first, last) of B = w^T.
void pack_panels(const IntegerKernels& by, const WeightView& w, std::int64_t first, std::int64_t last, std::byte* out) {
  const std::int64_t end = std::min<std::int64_t>(w.rows, last * by.panel);
  for_rows_once(w, first * by.panel, end, by.panel, [&](std::int64_t row, std::int64_t count, const std::byte* rows) {
    by.pack(count, w.columns, rows, w.scales ? w.scales + row * row_scales(w.type, w.columns) : nullptr, out);
    out += count / by.panel * by.panel_bytes(w.columns);  // of the last piece nothing reads it
  });
}

Int8Rows row_range(const IntegerKernels& by, const Int8Rows& a, std::int64_t first, std::int64_t count) {
  return {static_cast<std::byte*>(a.q) + first * a.stride * by.element, a.scales + first, count, a.quads, a.stride};
}

/// What a thread quantised last.
struct Quantised {
  Buffer<std::byte> memory;
  Buffer<float> scales;
  int same = 0;  ///< How many SameRows live.
  const IntegerKernels* by = nullptr;
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
Int8Rows quantise(const IntegerKernels& by, const MatrixView& a) {
  Quantised& own = quantised();
  if (own.same > 0 && own.by == &by && own.from.data && same_place(a, own.from)) return own.rows;
  const std::int64_t quads = (a.columns + by.group - 1) / by.group * by.group / kQuad;
  // A cache line more than fits: rows of a power of two would all fall into the same few sets of the cache.
  const std::int64_t bytes =
      (by.row_elements(a.columns) * by.element + kCacheLine - 1) / kCacheLine * kCacheLine + kCacheLine;
  const Int8Rows rows{at_least(own.memory, a.rows * bytes), at_least(own.scales, a.rows), a.rows, quads,
                      bytes / by.element};
  parallel_for(a.rows, std::max<std::int64_t>(1, 65536 / (a.columns + 1)), [&](std::int64_t begin, std::int64_t end) {
    by.quantise({a.data + begin * a.stride, end - begin, a.columns, a.stride}, row_range(by, rows, begin, end - begin));
  });
  own.by = &by;
  own.from = a;
  own.rows = rows;
  return rows;
}

/// One row by a weight of 8 bits as it stands.
void multiply_row(const float* a, const WeightView& w, const float* bias, float* c) {
  thread_local Buffer<std::int8_t> narrow;
  thread_local Buffer<std::int16_t> wide;  // widened once, not with each row of w: a sixth of the time
  const std::int64_t k = w.columns;
  const float scale = kernels().quantise_int8(k, a, at_least(narrow, k));
  std::int16_t* q = at_least(wide, k);
  std::copy_n(narrow.data(), k, q);
  parallel_for(w.rows, std::max<std::int64_t>(1, 262144 / (k + 1)), [&](std::int64_t begin, std::int64_t end) {
    for_rows_once(w, begin, end, 1, [&](std::int64_t first, std::int64_t count, const std::byte* rows) {
      kernels().int8_row(count, k, q, scale, reinterpret_cast<const std::int8_t*>(rows), w.scales + first,
                         bias ? bias + first : nullptr, c + first);
    });
  });
}

}  // namespace

SameRows::SameRows() {
  if (quantised().same++ == 0) quantised().from.data = nullptr;
}

SameRows::~SameRows() {
  --quantised().same;
}

const IntegerKernels& integer_kernels(WeightType type) {
  static const IntegerKernels& int8 = *kernels().int8(0);
  return type == WeightType::int4 ? *kernels().int4 : int8;
}

std::int64_t integer_packed_bytes(std::int64_t n, std::int64_t k, WeightType type) {
  const IntegerKernels& by = integer_kernels(type);
  return panel_count(by, n) * by.panel_bytes(k);
}

void integer_pack(const WeightView& w, void* packed) {
  const IntegerKernels& by = integer_kernels(w.type);
  const std::int64_t bytes = by.panel_bytes(w.columns);
  parallel_for(panel_count(by, w.rows), 4, [&](std::int64_t begin, std::int64_t end) {
    pack_panels(by, w, begin, end, static_cast<std::byte*>(packed) + begin * bytes);
  });
}

void integer_product(const MatrixView& a, const PackedView& packed, const WeightView& w, const float* bias,
                     const MutableMatrixView& c) {
  const std::int64_t m = c.rows, n = c.columns, k = a.columns;
  if (m == 0 || n == 0) return;
  require(k <= kInt8Depth, "a product over ", k, " columns is more than sums of 8-bit integers hold (", kInt8Depth,
          "): keep this weight in 16 or 32 bits");
  if (!packed && m <= few_rows(w.type)) return multiply_row(a.data, w, bias, c.data);
  const IntegerKernels& by = integer_kernels(packed ? packed.type : w.type);
  const float* scales = packed ? packed.scales : w.scales;
  const std::int64_t panels = panel_count(by, n), bytes = by.panel_bytes(k), width = by.panel;
  const std::int64_t row_blocks = (m + kRowBlock - 1) / kRowBlock, rows = (m + row_blocks - 1) / row_blocks;
  // Enough pieces for the team, unless the whole is too small to be worth waking it.
  const bool small = m * n * k < 400000;
  const std::int64_t wanted = small ? 1 : (4 * thread_count() + row_blocks - 1) / row_blocks;
  const std::int64_t group = std::clamp<std::int64_t>((panels + wanted - 1) / wanted, 1, kPanelGroup);
  const std::int64_t groups = (panels + group - 1) / group, tasks = row_blocks * groups;
  const Int8Rows from = quantise(by, a);
  const void* whole = packed.data;
  if (!whole && row_blocks > 1) {
    thread_local Buffer<std::byte> memory;  // of the calling thread: products are not nested
    integer_pack(w, at_least(memory, panels * bytes));
    whole = memory.data();
  }
  parallel_for(tasks, small ? tasks : 1, [&](std::int64_t begin, std::int64_t end) {
    thread_local Buffer<std::byte> own;
    for (std::int64_t task = begin; task < end; ++task) {
      // All rows through a group of panels before the next: the panels come from memory once.
      const std::int64_t row = task % row_blocks * rows, height = std::min(rows, m - row);
      const std::int64_t first = task / row_blocks * group, last = std::min(panels, first + group);
      if (height <= 0) continue;
      const Int8Rows block = row_range(by, from, row, height);
      for (std::int64_t p = first; p < last; ++p) {
        const std::byte* panel;
        if (whole) {
          panel = static_cast<const std::byte*>(whole) + p * bytes;
        } else {
          std::byte* out = at_least(own, bytes);
          pack_panels(by, w, p, p + 1, out);
          panel = out;
        }
        const std::int64_t column = p * width, columns = std::min(width, n - column);
        by.multiply(block, panel, scales + column, bias ? bias + column : nullptr,
                    {c.data + row * c.stride + column, height, columns, c.stride});
      }
    }
  });
}

}  // namespace pipeformer
