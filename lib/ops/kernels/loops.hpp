/// Loops over the vectors of a row.
#pragma once
#include "ops/kernels/simd.hpp"

namespace pipeformer {
namespace {

/// Calls body(i, load, store) for each vector of a row, the last one perhaps partial. load(p) and store(p, v) take the
/// row's base.
template <class Body>
inline void for_vectors(std::int64_t n, Body body) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    body([i](const float* p, float = 0.0f) { return load(p + i); }, [i](float* p, Vec v) { store(p + i, v); }, i);
  if (i < n)
    body([i, n](const float* p, float fill = 0.0f) { return load_part(p + i, n - i, fill); },
         [i, n](float* p, Vec v) { store_part(p + i, v, n - i); }, i);
}

/// The same in steps of a Wide, for what sums over the row: body(load, store).
template <class Body>
inline void for_wide(std::int64_t n, Body body) {
  std::int64_t i = 0;
  for (; i + kWideLanes <= n; i += kWideLanes)
    body([i](const float* p, float = 0.0f) { return load_wide(p + i); },
         [i](float* p, const Wide& v) { store(p + i, v); });
  if (i < n)
    body([i, n](const float* p, float fill = 0.0f) { return load_wide_part(p + i, n - i, fill); },
         [i, n](float* p, const Wide& v) { store_part(p + i, v, n - i); });
}

}  // namespace
}  // namespace pipeformer
