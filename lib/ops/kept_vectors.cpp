#include "ops/kept_vectors.hpp"

#include <algorithm>
#include <cstddef>

#include "core/threads.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer {

void keep_vectors(WeightType type, std::int64_t count, std::int64_t n, const float* x, void* to) {
  const std::int64_t bytes = kept_bytes(type, n);
  parallel_for(count, std::max<std::int64_t>(1, 65536 / (n + 1)), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      kernels().narrow(type, n, x + r * n, static_cast<std::byte*>(to) + r * bytes);
  });
}

}  // namespace pipeformer
