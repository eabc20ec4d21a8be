// What law 4 costs: our matrix product, whose rows do not depend on their batch, against OpenBLAS on the same shapes,
// in turn, on one thread. Prints a table: shape, GF/s of both (best of the rounds), and the ratio.
#include <cblas.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "core/random.hpp"
#include "core/threads.hpp"
#include "ops/gemm.hpp"
#include "ops/kernels/kernels.hpp"

using namespace pipeformer;

namespace {

template <class Body>
double seconds(int repetitions, Body body) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < repetitions; ++i) body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / repetitions;
}

std::vector<float> random_floats(std::int64_t n, std::uint64_t key) {
  Random random(key);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& v : values) v = static_cast<float>(random.uniform() - 0.5);
  return values;
}

}  // namespace

int main() {
  set_thread_count(1);
  openblas_set_num_threads(1);
  std::printf("kernels: %s; OpenBLAS: %s\n", kernels().name, openblas_get_corename());
  std::printf("%6s %6s %6s %10s %10s %8s\n", "m", "n", "k", "ours GF/s", "OpenBLAS", "ratio");
  struct Shape3 {
    std::int64_t m, n, k;
  };
  for (const auto [m, n, k] : std::initializer_list<Shape3>{{4096, 512, 512},
                                                            {4096, 2048, 512},
                                                            {4096, 512, 2048},
                                                            {4096, 128, 128},
                                                            {4096, 256, 128},
                                                            {512, 10000, 128},
                                                            {96, 512, 512},
                                                            {32, 512, 512},
                                                            {16, 2048, 512},
                                                            {1, 2048, 512}}) {
    const auto a = random_floats(m * k, 1), w = random_floats(n * k, 2);
    std::vector<float> c(static_cast<std::size_t>(m * n));
    PackedWeight packed;  // as in inference, where weights are packed once
    const double flops = 2.0 * static_cast<double>(m * n * k);
    const int repetitions = static_cast<int>(std::max(2.0, 4e8 / flops));
    double ours = 1e30, theirs = 1e30;
    for (int round = 0; round < 12; ++round) {
      ours = std::min(
          ours, seconds(repetitions, [&] { product_nt(m, n, k, a.data(), w.data(), nullptr, c.data(), n, &packed); }));
      theirs = std::min(theirs, seconds(repetitions, [&] {
                          cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(m), static_cast<int>(n),
                                      static_cast<int>(k), 1, a.data(), static_cast<int>(k), w.data(),
                                      static_cast<int>(k), 0, c.data(), static_cast<int>(n));
                        }));
    }
    std::printf("%6lld %6lld %6lld %10.1f %10.1f %8.2f\n", static_cast<long long>(m), static_cast<long long>(n),
                static_cast<long long>(k), flops / ours / 1e9, flops / theirs / 1e9, theirs / ours);
  }
}
