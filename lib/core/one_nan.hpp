/// Which NaN arithmetic gives, its sign and payload, is the choice of processor and compiler. Computed numbers are
/// written with one NaN, so that files are the same bits everywhere (law 4).
#pragma once
#include <bit>
#include <cstdint>

#include "core/array.hpp"

namespace pipeformer {

constexpr std::uint32_t kOneNaN = 0x7fc00000;  ///< Positive and quiet, no payload.

inline bool holds_nan(const float* x, std::int64_t n) {
  std::int32_t found = 0;  // no branch, and signed, which SSE2 compares: this reads all that is written
  for (std::int64_t i = 0; i < n; ++i)
    found |= static_cast<std::int32_t>((std::bit_cast<std::int32_t>(x[i]) & 0x7fffffff) > 0x7f800000);
  return found != 0;
}

/// x (n), or a copy of it with one NaN.
inline const float* with_one_nan(const float* x, std::int64_t n, Buffer<float>& copy) {
  if (!holds_nan(x, n)) return x;
  copy.assign(x, x + n);
  for (float& v : copy)
    if (v != v) v = std::bit_cast<float>(kOneNaN);
  return copy.data();
}

}  // namespace pipeformer
