#include "ops/adam.hpp"

#include <vector>

#include "core/threads.hpp"
#include "ops/kernels/kernels.hpp"

namespace pipeformer {
namespace {
constexpr std::int64_t kPiece = 65536;  // elements of one task, a multiple of every vector width
}

void adam(std::int64_t n, const AdamStep& step, const float* gradient, float* weight, float* first_moment,
          float* second_moment) {
  parallel_for(n, kPiece, [&](std::int64_t i, std::int64_t end) {
    kernels().adam(end - i, step, gradient + i, weight + i, first_moment + i, second_moment + i);
  });
}

double sum_squares(std::int64_t n, const float* x) {
  std::vector<double> sums(static_cast<std::size_t>((n + kPiece - 1) / kPiece));
  parallel_for(n, kPiece, [&](std::int64_t begin, std::int64_t end) {
    sums[static_cast<std::size_t>(begin / kPiece)] = kernels().sum_squares(end - begin, x + begin);
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace pipeformer
