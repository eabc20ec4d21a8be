// Each op as a fraction of its own limit (column of_limit): floating-point operations a second against the faster of
// our large product and OpenBLAS's, or bytes a second against memcpy of as many. `bench_ops --benchmark_filter=...`;
// the numbers in the names are shapes. What law 4 costs is the ratio of product/M/N/K to openblas/M/N/K.
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <vector>

#include "core/array.hpp"
#include "core/random.hpp"
#include "core/threads.hpp"
#include "core/workspace.hpp"
#include "ops/attention.hpp"
#include "ops/cross_entropy.hpp"
#include "ops/elementwise.hpp"
#include "ops/embedding.hpp"
#include "ops/gemm.hpp"
#include "ops/pooling.hpp"
#include "train/optimizer.hpp"

using namespace pipeformer;
using benchmark::Counter;
using benchmark::State;

namespace {

/// What one benchmark works on: random numbers, made once.
std::vector<float> random_floats(std::int64_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& v : values) v = static_cast<float>(random.uniform() - 0.5);
  return values;
}

/// Sequences of `length` rows.
std::vector<std::int64_t> even_offsets(std::int64_t sequences, std::int64_t length) {
  std::vector<std::int64_t> offsets;
  for (std::int64_t s = 0; s <= sequences; ++s) offsets.push_back(s * length);
  return offsets;
}

template <class Body>
double best_seconds(Body body) {
  double best = 1e30;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

void sgemm(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* w, float* c) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), 1,
              a, static_cast<int>(k), w, static_cast<int>(k), 0, c, static_cast<int>(n));
}

/// The panels of a weight as they are in a long run, whose first products went without.
PackedView panels_of(PackedWeight& packed, const WeightView& w, std::int64_t m) {
  for (;;)
    if (const PackedView panels = packed.forward(w, 0, m)) return panels;
}

double flops_limit() {
  static const double limit = [] {
    constexpr std::int64_t m = 2048, n = 512;
    const auto a = random_floats(m * n, 1), w = random_floats(n * n, 2);
    Buffer<float> c(static_cast<std::size_t>(m * n));
    PackedWeight packed;
    const double ours = best_seconds([&] {
      product_packed({a.data(), m, n}, panels_of(packed, {w.data(), n, n}, m), nullptr, {c.data(), m, n});
    });
    return 2.0 * m * n * n / std::min(ours, best_seconds([&] { sgemm(m, n, n, a.data(), w.data(), c.data()); }));
  }();
  return limit;
}

double bytes_limit(double bytes) {
  const auto half = static_cast<std::size_t>(bytes / 2);
  std::vector<char> from(half, 1), to(half);
  return bytes / best_seconds([&] {
           std::memcpy(to.data(), from.data(), half);
           benchmark::ClobberMemory();
         });
}

/// each: floating-point operations, or bytes read and written, of one iteration.
void count(State& state, const char* what, double each) {
  const double done = each * static_cast<double>(state.iterations());
  state.counters[what] = Counter(done, Counter::kIsRate);
  const double limit = std::strcmp(what, "flops") == 0 ? flops_limit() : bytes_limit(each);
  state.counters["of_limit"] = Counter(done / limit, Counter::kIsRate);
}

void openblas(State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const auto a = random_floats(m * k, 1), w = random_floats(n * k, 2);
  Buffer<float> c(static_cast<std::size_t>(m * n));
  for (auto _ : state) sgemm(m, n, k, a.data(), w.data(), c.data());
  count(state, "flops", 2.0 * static_cast<double>(m * n * k));
}

void product(State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const auto a = random_floats(m * k, 1), w = random_floats(n * k, 2);
  Buffer<float> c(static_cast<std::size_t>(m * n));
  PackedWeight packed;
  const PackedView panels = panels_of(packed, {w.data(), n, k}, m);
  for (auto _ : state) product_packed({a.data(), m, k}, panels, nullptr, {c.data(), m, n});
  count(state, "flops", 2.0 * static_cast<double>(m * n * k));
}

/// The first product with a weight.
void product_once(State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const auto a = random_floats(m * k, 1), w = random_floats(n * k, 2);
  Buffer<float> c(static_cast<std::size_t>(m * n));
  for (auto _ : state) product_nt({a.data(), m, k}, {w.data(), n, k}, nullptr, {c.data(), m, n});
  count(state, "flops", 2.0 * static_cast<double>(m * n * k));
}

/// A weight of 8 bits, packed as in inference.
struct Weight8 {
  Weight8(std::int64_t n, std::int64_t k) : q(static_cast<std::size_t>(n * k)), scales(static_cast<std::size_t>(n)) {
    const auto w = random_floats(n * k, 2);
    for (std::int64_t r = 0; r < n; ++r)
      scales[static_cast<std::size_t>(r)] = quantise(k, w.data() + r * k, q.data() + r * k);
    view = WeightView(q.data(), WeightType::int8, n, k);
    view.scales = scales.data();
  }
  void product(const float* a, std::int64_t m, float* c) {
    product_packed({a, m, view.columns}, panels_of(packed, view, m), nullptr, {c, m, view.rows});
  }
  std::vector<std::int8_t> q;
  std::vector<float> scales;
  WeightView view;
  PackedWeight packed;
};

/// The same of 4 bits.
struct Weight4 {
  Weight4(std::int64_t n, std::int64_t k)
      : q(static_cast<std::size_t>(n * row_bytes(WeightType::int4, k))),
        scales(static_cast<std::size_t>(n * row_scales(WeightType::int4, k))) {
    const auto w = random_floats(n * k, 2);
    for (std::int64_t r = 0; r < n; ++r)
      quantise_int4(k, w.data() + r * k, q.data() + r * row_bytes(WeightType::int4, k),
                    scales.data() + r * row_scales(WeightType::int4, k));
    view = WeightView(q.data(), WeightType::int4, n, k);
    view.scales = scales.data();
  }
  std::vector<std::uint8_t> q;
  std::vector<float> scales;
  WeightView view;
  PackedWeight packed;
};

void product_int4(State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const auto a = random_floats(m * k, 1);
  Buffer<float> c(static_cast<std::size_t>(m * n));
  Weight4 w(n, k);
  for (auto _ : state) product_packed({a.data(), m, k}, panels_of(w.packed, w.view, m), nullptr, {c.data(), m, n});
  state.counters["ops"] =
      Counter(2.0 * static_cast<double>(m * n * k) * static_cast<double>(state.iterations()), Counter::kIsRate);
}

/// What memory gives to a reader: sums over much more than the caches hold, each thread over a part of its own.
void read_bandwidth(State& state) {
  const auto n = static_cast<std::int64_t>(state.range(0)) / 8;
  Buffer<std::uint64_t> values(static_cast<std::size_t>(n));  // in large pages, as packed weights are
  std::fill(values.begin(), values.end(), 1);
  const std::int64_t parts = thread_count(), each = n / parts;
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(parts));
  for (auto _ : state) {
    parallel_for(parts, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t p = first; p < last; ++p) {
        constexpr std::int64_t kChains = 32;
        std::uint64_t total[kChains] = {};
        const std::uint64_t* from = values.data() + p * each;
        for (std::int64_t i = 0; i + kChains <= each; i += kChains)
          for (std::int64_t c = 0; c < kChains; ++c) total[c] += from[i + c];
        for (const std::uint64_t sum : total) sums[static_cast<std::size_t>(p)] += sum;
      }
    });
    benchmark::DoNotOptimize(sums.data());
    benchmark::ClobberMemory();
  }
  state.counters["bytes"] =
      Counter(static_cast<double>(n * 8) * static_cast<double>(state.iterations()), Counter::kIsRate);
}

/// Products of 8-bit integers: of what the kernel does with operands that stay in the nearest caches.
void product_int8(State& state) {
  static const double limit = [] {
    constexpr std::int64_t m = 96, n = 256, k = 512;
    const auto a = random_floats(m * k, 1);
    Buffer<float> c(static_cast<std::size_t>(m * n));
    Weight8 weight(n, k);
    return 2.0 * m * n * k / best_seconds([&] { weight.product(a.data(), m, c.data()); });
  }();
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const auto a = random_floats(m * k, 1);
  Buffer<float> c(static_cast<std::size_t>(m * n));
  Weight8 weight(n, k);
  for (auto _ : state) weight.product(a.data(), m, c.data());
  const double done = 2.0 * static_cast<double>(m * n * k) * static_cast<double>(state.iterations());
  state.counters["ops"] = Counter(done, Counter::kIsRate);
  state.counters["of_limit"] = Counter(done / limit, Counter::kIsRate);
}

/// The three products of a linear layer in training: output, gradient of the input, gradient of the weight.
void linear_training(State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const auto a = random_floats(m * k, 1), w = random_floats(n * k, 2);
  std::vector<float> c(static_cast<std::size_t>(m * n)), da(a.size()), dw(w.size());
  for (auto _ : state) {
    product_nt({a.data(), m, k}, {w.data(), n, k}, nullptr, {c.data(), m, n});
    product_nn({c.data(), m, n}, {w.data(), n, k}, {da.data(), m, k});
    product_tn({c.data(), m, n}, {a.data(), m, k}, {dw.data(), n, k});
  }
  count(state, "flops", 6.0 * static_cast<double>(m * n * k));
}

/// sequences, length, heads, width of a head; causal or not.
struct AttentionCase {
  explicit AttentionCase(State& state)
      : offsets(even_offsets(state.range(0), state.range(1))),
        width(state.range(2) * state.range(3)),
        qkv(random_floats(offsets.back() * 3 * width, 1)),
        out(static_cast<std::size_t>(offsets.back() * width)),
        log_sum(static_cast<std::size_t>(offsets.back() * state.range(2))) {
    shape.heads = shape.kv_heads = state.range(2);
    shape.key_width = shape.value_width = state.range(3);
    shape.scale = 0.125f;
    shape.causal = state.range(4) != 0;
    in.query = qkv.data();
    in.key = qkv.data() + width;
    in.value = qkv.data() + 2 * width;
    in.query_stride = in.key_stride = in.value_stride = 3 * width;
    in.queries = in.keys = {offsets};
    const double pairs = static_cast<double>(state.range(0) * state.range(1) * state.range(1));
    flops = 4.0 * pairs * static_cast<double>(width) * (shape.causal ? 0.5 : 1.0);
  }
  std::vector<std::int64_t> offsets;
  std::int64_t width;
  std::vector<float> qkv, out, log_sum;
  AttentionShape shape;
  AttentionInput in;
  double flops;
};

void attention(State& state) {
  AttentionCase c(state);
  for (auto _ : state) attention_forward(c.shape, c.in, c.out.data(), nullptr);
  count(state, "flops", c.flops);
}

void attention_gradient(State& state) {
  AttentionCase c(state);
  attention_forward(c.shape, c.in, c.out.data(), c.log_sum.data());
  std::vector<float> d(c.qkv.size());
  for (auto _ : state)
    attention_backward(c.shape, c.in, c.out.data(), c.log_sum.data(), c.out.data(),
                       {d.data(), d.data() + c.width, d.data() + 2 * c.width});
  count(state, "flops", 2.5 * c.flops);
}

void cross_entropy_training(State& state) {
  const std::int64_t rows = state.range(0), d = state.range(1), vocabulary = state.range(2);
  const auto hidden = random_floats(rows * d, 1), weight = random_floats(vocabulary * d, 2);
  std::vector<float> d_hidden(hidden.size()), d_weight(weight.size());
  std::vector<std::int32_t> targets;
  for (std::int64_t r = 0; r < rows; ++r) targets.push_back(static_cast<std::int32_t>(r * 97 % vocabulary));
  Workspace workspace;
  for (auto _ : state)
    cross_entropy({{weight.data(), vocabulary, d}, nullptr, {}, {}, d_weight.data()}, rows, hidden.data(),
                  targets.data(), {0.1f, 1.0f}, workspace, d_hidden.data());
  count(state, "flops", 6.0 * static_cast<double>(rows * d * vocabulary));
}

struct Operands {
  std::int64_t rows, n;
  const float *x, *gamma;  ///< (rows, n), (n)
  float *y, *kept;         ///< (rows, n), two numbers a row
  float *d_gamma, *d_beta;
};

/// An op on (rows, n) that reads and writes `traffic` floats an element; its limit is copy.
void elementwise(State& state, double traffic, void (*op)(const Operands&)) {
  const std::int64_t rows = state.range(0), n = state.range(1);
  const auto x = random_floats(rows * n, 1), gamma = random_floats(n, 2);
  std::vector<float> y(x.size()), kept(static_cast<std::size_t>(2 * rows)), d_gamma(gamma.size()), d_beta(gamma.size());
  for (auto _ : state) {
    op({rows, n, x.data(), gamma.data(), y.data(), kept.data(), d_gamma.data(), d_beta.data()});
    benchmark::ClobberMemory();
  }
  count(state, "bytes", traffic * 4.0 * static_cast<double>(rows * n));
}

void adam(State& state) {
  const std::int64_t n = state.range(0);
  auto values = random_floats(n, 1), gradients = random_floats(n, 2);
  Optimizer optimizer(n, {}, {{0, n}});
  std::int64_t step = 0;
  for (auto _ : state) optimizer.step(++step, 1e-4, 1.0, values.data(), gradients.data());
  count(state, "bytes", 8.0 * 4.0 * static_cast<double>(n));  // values, gradients, both moments: read and written
}

/// Ids of a text: some are frequent.
std::vector<std::int32_t> zipf_ids(std::int64_t n, std::int64_t vocabulary) {
  Random random(5);
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < n; ++i)
    ids.push_back(static_cast<std::int32_t>(random.below(1 + random.below(static_cast<std::uint64_t>(vocabulary)))));
  return ids;
}

void embedding_lookup(State& state) {
  const std::int64_t rows = state.range(0), d = state.range(1), vocabulary = state.range(2);
  const auto table = random_floats(vocabulary * d, 1);
  const auto ids = zipf_ids(rows, vocabulary);
  std::vector<float> y(static_cast<std::size_t>(rows * d));
  for (auto _ : state) embedding(rows, ids.data(), {table.data(), vocabulary, d}, 2.0f, y.data());
  count(state, "bytes", 2 * 4.0 * static_cast<double>(rows * d));
}

void embedding_gradient(State& state) {
  const std::int64_t rows = state.range(0), d = state.range(1), vocabulary = state.range(2);
  const auto dy = random_floats(rows * d, 1);
  const auto ids = zipf_ids(rows, vocabulary);
  std::vector<float> table(static_cast<std::size_t>(vocabulary * d));
  for (auto _ : state) embedding_backward(rows, d, ids.data(), dy.data(), 2.0f, vocabulary, table.data());
  count(state, "bytes", 3 * 4.0 * static_cast<double>(rows * d));
}

void positions(State& state) {
  const auto offsets = even_offsets(state.range(0) / 16, 16);
  const std::int64_t d = state.range(1);
  const auto x = random_floats(offsets.back() * d, 1);
  const auto table = sinusoidal_table(0, 16, d, Sinusoid::interleaved);
  std::vector<float> y(x.size());
  for (auto _ : state) add_positions({offsets}, d, table.data(), x.data(), y.data());
  count(state, "bytes", 2 * 4.0 * static_cast<double>(offsets.back() * d));
}

void rotary(State& state) {
  const std::int64_t rows = state.range(0), d = state.range(1);
  auto x = random_floats(rows * d, 1);
  std::vector<std::int32_t> places(static_cast<std::size_t>(rows));
  std::iota(places.begin(), places.end(), 0);
  for (auto _ : state) rotate(RotarySpec{.width = 64}, {rows, d / 64, 64, d}, {places.data()}, false, x.data());
  count(state, "bytes", 2 * 4.0 * static_cast<double>(rows * d));
}

void pooling(State& state) {
  const auto offsets = even_offsets(state.range(0) / 16, 16);
  const std::int64_t d = state.range(1);
  const auto x = random_floats(offsets.back() * d, 1);
  std::vector<float> y(x.size() / 16);
  for (auto _ : state) mean_rows({offsets}, d, x.data(), y.data());
  count(state, "bytes", 4.0 * static_cast<double>(offsets.back() * d));
}

}  // namespace

#define SHAPES                   \
  Args({2048, 512, 512})         \
      ->Args({4096, 512, 512})   \
      ->Args({4096, 2048, 512})  \
      ->Args({4096, 512, 2048})  \
      ->Args({4096, 128, 128})   \
      ->Args({4096, 256, 128})   \
      ->Args({512, 10000, 128})  \
      ->Args({1024, 1024, 1024}) \
      ->Args({96, 512, 512})     \
      ->Args({32, 512, 512})     \
      ->Args({16, 2048, 512})    \
      ->Args({1, 2048, 512})     \
      ->Args({1, 4096, 4096})    \
      ->UseRealTime()
BENCHMARK(openblas)->SHAPES;
BENCHMARK(product)->SHAPES;
BENCHMARK(product_once)->SHAPES;
BENCHMARK(product_int8)->SHAPES;
BENCHMARK(product_int4)->SHAPES;
BENCHMARK(read_bandwidth)->Arg(std::int64_t{1} << 30)->UseRealTime();
BENCHMARK(linear_training)->Args({4096, 512, 512})->Args({4096, 2048, 512})->Args({4096, 128, 128})->UseRealTime();
BENCHMARK(attention)->Args({128, 16, 8, 64, 0})->Args({8, 512, 8, 64, 0})->Args({1, 8192, 1, 64, 1})->UseRealTime();
BENCHMARK(attention)->Args({256, 16, 4, 32, 0})->UseRealTime();
BENCHMARK(attention_gradient)
    ->Args({128, 16, 8, 64, 0})
    ->Args({8, 512, 8, 64, 0})
    ->Args({256, 16, 4, 32, 0})
    ->UseRealTime();
BENCHMARK(cross_entropy_training)->Args({4096, 128, 10000})->Args({4096, 512, 32000})->UseRealTime();
BENCHMARK_CAPTURE(elementwise, copy, 2,
                  [](const Operands& o) {
                    std::memcpy(o.y, o.x, static_cast<std::size_t>(o.rows * o.n) * sizeof(float));
                  })
    ->Args({4096, 512})
    ->UseRealTime();
BENCHMARK_CAPTURE(elementwise, add, 3, [](const Operands& o) { add(o.rows * o.n, o.x, o.y, o.y); })
    ->Args({4096, 512})
    ->UseRealTime();
BENCHMARK_CAPTURE(elementwise, relu, 2, [](const Operands& o) { activation(Activation::relu, o.rows, o.n, o.x, o.y); })
    ->Args({4096, 2048})
    ->UseRealTime();
BENCHMARK_CAPTURE(elementwise, gelu, 2, [](const Operands& o) { activation(Activation::gelu, o.rows, o.n, o.x, o.y); })
    ->Args({4096, 2048})
    ->UseRealTime();
BENCHMARK_CAPTURE(elementwise, dropout, 2, [](const Operands& o) { dropout(0.1f, 7, 0, o.rows, o.n, o.x, o.y); })
    ->Args({4096, 512})
    ->UseRealTime();
BENCHMARK_CAPTURE(elementwise, norm, 2,
                  [](const Operands& o) {
                    norm({}, {o.x, o.rows, o.n}, o.gamma, o.gamma, o.y, {o.kept, o.kept + o.rows});
                  })
    ->Args({4096, 512})
    ->UseRealTime();
BENCHMARK_CAPTURE(
    elementwise, norm_gradient, 3,
    [](const Operands& o) {
      norm_backward({}, {o.x, o.rows, o.n}, o.gamma, {o.kept, o.kept + o.rows}, o.x, o.y, {o.d_gamma, o.d_beta});
    })
    ->Args({4096, 512})
    ->UseRealTime();
BENCHMARK_CAPTURE(elementwise, column_sums, 1,
                  [](const Operands& o) {
                    column_sums({o.x, o.rows, o.n}, o.d_gamma);
                  })
    ->Args({4096, 512})
    ->UseRealTime();
BENCHMARK(embedding_lookup)->Args({4096, 512, 32000})->UseRealTime();
BENCHMARK(embedding_gradient)->Args({4096, 512, 32000})->UseRealTime();
BENCHMARK(positions)->Args({4096, 512})->UseRealTime();
BENCHMARK(rotary)->Args({4096, 512})->UseRealTime();
BENCHMARK(pooling)->Args({4096, 512})->UseRealTime();
BENCHMARK(adam)->Arg(1 << 24)->UseRealTime();

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  // As many threads as OpenBLAS is given.
  const char* threads = std::getenv("OPENBLAS_NUM_THREADS");
  set_thread_count(threads ? std::atoi(threads) : 1);
  if (!threads) openblas_set_num_threads(1);
  benchmark::RunSpecifiedBenchmarks();
}
