/// Products of 8-bit integers with the tile registers of AMX: a tile of sums (16 x 16, 32 bits) += a tile of rows of A
/// (16 x 64 elements) times one of weights (16 quads of 16 columns, which is how they lie in a panel). The sums are
/// integers, so the bits are those of every other way (int8.hpp). Instructions are written out, since the processor is
/// asked at run time.
#pragma once
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ops/kernels/int8_dots.hpp"

namespace pipeformer {
namespace {

constexpr int kAmxRows = 16, kAmxBytes = 64;  // of the largest tile
constexpr int kAmxDepth = kAmxBytes;          // k's that one step takes, ...
constexpr int kStepBytes = kAmxRows * kInt8Panel * kQuad,
              kStepLines = kStepBytes / kCacheLine;  // ... and what that is of a panel

/// Whether the processor has these tiles and Linux lets this process use them: it keeps 8 KB more of each thread that
/// does, so it wants to be asked.
inline bool tiles_are_there() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (kTile | kInt8)) != (kTile | kInt8)) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

/// What the tiles hold while this lives. 0 to 3: sums; 4 and 5: `rows` rows of A; 6 and 7: weights.
class Tiles {
 public:
  explicit Tiles(int rows) {
    struct {
      std::uint8_t palette = 1, start = 0, reserved[14] = {};
      std::uint16_t bytes[16] = {};
      std::uint8_t rows[16] = {};
    } shapes;
    static_assert(sizeof shapes == 64);
    for (int tile = 0; tile < 8; ++tile) {
      shapes.bytes[tile] = kAmxBytes;
      shapes.rows[tile] = static_cast<std::uint8_t>(tile < 6 ? rows : kAmxRows);
    }
    asm volatile("ldtilecfg %0" : : "m"(shapes));
  }
  // Released, so that the system no longer has them to keep.
  ~Tiles() { asm volatile("tilerelease"); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

/// Two tiles of rows (one, when Two is false) by the columns of a panel. On the way `Lines` cache lines from `ahead`
/// are asked for with each step: those of a whole step come into the nearest cache, fewer into the next one.
template <bool Two, int Lines>
void sum_tiles(const std::int8_t* a, const std::int8_t* second, std::int64_t stride, const std::int8_t* weights,
               std::int64_t steps, const std::int8_t* ahead, std::int32_t* sums) {
  constexpr std::int64_t kQuadBytes = kInt8Panel * kQuad;
  asm volatile("tilezero %tmm0\n\ttilezero %tmm1\n\ttilezero %tmm2\n\ttilezero %tmm3");
  for (std::int64_t s = 0; s < steps; ++s) {
    asm volatile(
        "tileloadd (%0,%1,1), %%tmm6\n\t"
        "tileloadd (%2,%3,1), %%tmm4\n\t"
        "tileloadd 64(%0,%1,1), %%tmm7\n\t"
        "tdpbssd %%tmm6, %%tmm4, %%tmm0\n\t"
        "tdpbssd %%tmm7, %%tmm4, %%tmm1"
        :
        : "r"(weights), "r"(kQuadBytes), "r"(a), "r"(stride)
        : "memory");
    if constexpr (Two)
      asm volatile(
          "tileloadd (%0,%1,1), %%tmm5\n\t"
          "tdpbssd %%tmm6, %%tmm5, %%tmm2\n\t"
          "tdpbssd %%tmm7, %%tmm5, %%tmm3"
          :
          : "r"(second), "r"(stride)
          : "memory");
#pragma GCC unroll 32
    for (int line = 0; line < Lines; ++line)
      __builtin_prefetch(ahead + line * kCacheLine, 0, Lines == kStepLines ? 3 : 2);
    weights += kStepBytes;
    a += kAmxDepth;
    second += kAmxDepth;
    ahead += Lines * kCacheLine;
  }
  // Rows of both halves of the panel side by side.
  asm volatile("tilestored %%tmm0, (%0,%1,1)\n\ttilestored %%tmm1, 64(%0,%1,1)"
               :
               : "r"(sums), "r"(kQuadBytes)
               : "memory");
  if constexpr (Two)
    asm volatile("tilestored %%tmm2, (%0,%1,1)\n\ttilestored %%tmm3, 64(%0,%1,1)"
                 :
                 : "r"(sums + kAmxRows * kInt8Panel), "r"(kQuadBytes)
                 : "memory");
}

/// All rows of A by one panel.
void int8_panel_by_tiles(const Int8Rows& a, const std::byte* panel, const float* scales, const float* bias,
                         const MutableMatrixView& c) {
  static_assert(kInt8Panel * sizeof(std::int32_t) == 2 * kAmxBytes);
  alignas(64) std::int32_t sums[2 * kAmxRows * kInt8Panel];
  const PanelColumns by(static_cast<int>(c.columns), scales, bias);
  const auto* weights = reinterpret_cast<const std::int8_t*>(panel + kInt8Panel * sizeof(std::int32_t));
  const auto* rows = static_cast<const std::int8_t*>(a.q);
  const std::int64_t steps = a.quads * kQuad / kAmxDepth, tiles = (a.rows + kAmxRows - 1) / kAmxRows;
  const std::int64_t height = (a.rows + tiles - 1) / tiles;  // of every tile: the last one begins earlier
  const auto first_row = [&](std::int64_t tile) {
    const std::int64_t row = tile * height;
    return row < a.rows - height ? row : a.rows - height;
  };
  const Tiles held(static_cast<int>(height));
  for (std::int64_t tile = 0; tile < tiles; tile += 2) {
    const bool two = tile + 1 < tiles;
    const std::int64_t row = first_row(tile), second = first_row(two ? tile + 1 : tile);
    // With few rows the weights are asked for on their way into the tiles, else the panel that follows is while this
    // one's rows are computed: half of it with each of two pairs.
    const bool few = tiles <= 2, asks = tile < 4 && two;
    const auto sum = few    ? two ? sum_tiles<true, kStepLines> : sum_tiles<false, kStepLines>
                        : asks ? sum_tiles<true, kStepLines / 2>
                     : two  ? sum_tiles<true, 0>
                            : sum_tiles<false, 0>;
    const std::int64_t ahead = few ? 4 : steps + tile / 2 * steps / 2;
    sum(rows + row * a.stride, rows + second * a.stride, a.stride, weights, steps, weights + ahead * kStepBytes, sums);
    put_rows(sums, a.scales + row, by, {c.data + row * c.stride, height, c.columns, c.stride});
    if (two)
      put_rows(sums + kAmxRows * kInt8Panel, a.scales + second, by,
               {c.data + second * c.stride, height, c.columns, c.stride});
  }
}

}  // namespace
}  // namespace pipeformer
