/// Keys and values as a decoder keeps them for later queries: one vector a head, in 32, 16 or 8 bits. Attention widens
/// them as it reads them (AttentionInput::kept), all its arithmetic is float32.
#pragma once
#include <cstdint>

#include "core/ragged.hpp"
#include "ops/kernel_types.hpp"

namespace pipeformer {

/// Elements that a vector of n takes; of 8 bits it begins with its scale, a float32 (its largest magnitude / 127).
constexpr std::int64_t kept_elements(WeightType type, std::int64_t n) {
  return type == WeightType::int8 ? n + static_cast<std::int64_t>(sizeof(float)) : n;
}
constexpr std::int64_t kept_bytes(WeightType type, std::int64_t n) {
  return kept_elements(type, n) * element_size(type);
}

/// Stores `count` vectors of n, one after another: 16 bits are rounded to nearest even, 8 bits as `quantise` does.
/// Infinity, and a number too large for bfloat16, become NaN; a vector with NaN or infinity becomes NaN in 8 bits.
/// Throws Error for a finite number that is too large for float16.
void keep_vectors(WeightType type, std::int64_t count, std::int64_t n, const float* x, void* to);

/// Stores the rows of each sequence of x (rows, n) transposed, as (n, rows of the sequence), where they would be: keys
/// that many queries read, in float32 (AttentionInput::transposed_keys).
void keep_transposed(const Ragged&, std::int64_t n, const float* x, float* to);

}  // namespace pipeformer
