#include "ops/kept_vectors.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer {
namespace {

/// An infinite key would not be seen: where a score becomes minus infinity, it has no weight, and nothing else shows.
/// What was not finite before is found by those who read the results.
void expect_in_range_of_float16(std::int64_t n, const float* x) {
  constexpr float kRoundsToInfinity = 65520;
  const auto* const large =
      std::find_if(x, x + n, [](float v) { return std::abs(v) >= kRoundsToInfinity && std::isfinite(v); });
  if (large != x + n)
    throw Error(cat("a key or value is ", std::abs(*large),
                    " large, beyond the 65504 of a cache of type f16; one of type bf16 or f32 holds it"));
}

}  // namespace

void keep_vectors(WeightType type, std::int64_t count, std::int64_t n, const float* x, void* to) {
  const std::int64_t bytes = kept_bytes(type, n);
  if (type == WeightType::float32) {
    std::memcpy(to, x, static_cast<std::size_t>(count * bytes));
    return;
  }
  parallel_for(count, std::max<std::int64_t>(1, 65536 / (n + 1)), [&](std::int64_t begin, std::int64_t end) {
    if (type == WeightType::float16) expect_in_range_of_float16((end - begin) * n, x + begin * n);
    for (std::int64_t r = begin; r < end; ++r)
      kernels().narrow(type, n, x + r * n, static_cast<std::byte*>(to) + r * bytes);
  });
}

void keep_transposed(const Ragged& ragged, std::int64_t n, const float* x, float* to) {
  parallel_for(ragged.sequences(), 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = begin; s < end; ++s) {
      const std::int64_t at = ragged.begin(s) * n;
      kernels().transpose_rows(ragged.length(s), n, x + at, n, to + at);
    }
  });
}

}  // namespace pipeformer
