// Products with weights of 4 bits in groups: every set of kernels that this processor has against plain loops, bit for
// bit. CTest runs this file once more for each instruction set.
#include <algorithm>
#include <array>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "core/random.hpp"
#include "core/threads.hpp"
#include "ops/embedding.hpp"
#include "ops/gemm.hpp"
#include "ops/kernels/kernels.hpp"

using namespace pipeformer;

namespace {

using Floats = std::vector<float>;

/// NaN of any kind is one value here.
bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}
std::int64_t differences(const float* a, const float* b, std::int64_t n) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < n; ++i) count += !same(a[i], b[i]);
  return count;
}

Floats random_floats(std::int64_t n, std::uint64_t seed) {
  Random random(derive_seed(17, seed));
  Floats x(static_cast<std::size_t>(n));
  for (float& v : x) v = static_cast<float>(random.normal());
  return x;
}

/// A weight of 4 bits, element by element: the definition in man/pipeformer-formats.5.
struct Weight4 {
  std::int64_t rows, columns;
  std::vector<int> values;
  Floats scales;
  std::vector<std::uint8_t> bytes;
  std::int64_t groups() const { return (columns + 31) / 32; }
  void pack() {
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t k = 0; k < columns; k += 2) {
        const auto at = static_cast<std::size_t>(r * columns + k);
        const int second = k + 1 < columns ? values[at + 1] : 0;
        bytes.push_back(static_cast<std::uint8_t>((values[at] + 8) | (second + 8) << 4));
      }
  }
  WeightView view() const {
    WeightView w(bytes.data(), WeightType::int4, rows, columns);
    w.scales = scales.data();
    return w;
  }
};

Weight4 random_weight(std::int64_t rows, std::int64_t columns, std::uint64_t seed, bool extremes = false) {
  Weight4 w{rows, columns, {}, {}, {}};
  Random random(derive_seed(19, seed));
  for (std::int64_t i = 0; i < rows * columns; ++i)
    w.values.push_back(extremes ? (random.below(2) ? 7 : -8) : static_cast<int>(random.below(16)) - 8);
  for (std::int64_t i = 0; i < rows * w.groups(); ++i) w.scales.push_back(static_cast<float>(random.normal() * 0.02));
  w.pack();
  return w;
}

Floats plain_product(const Floats& a, std::int64_t m, const Weight4& w, const float* bias) {
  Floats c;
  std::vector<std::int8_t> q(static_cast<std::size_t>(w.columns));
  for (std::int64_t r = 0; r < m; ++r) {
    const float row_scale = quantise(w.columns, a.data() + r * w.columns, q.data());
    for (std::int64_t j = 0; j < w.rows; ++j) {
      float total = 0;
      for (std::int64_t g = 0; g < w.groups(); ++g) {
        std::int64_t sum = 0;
        for (std::int64_t k = g * 32; k < std::min(w.columns, g * 32 + 32); ++k)
          sum += std::int64_t{q[static_cast<std::size_t>(k)]} * w.values[static_cast<std::size_t>(j * w.columns + k)];
        total = std::fma(static_cast<float>(sum), w.scales[static_cast<std::size_t>(j * w.groups() + g)], total);
      }
      c.push_back(std::fma(total, std::isfinite(row_scale) ? row_scale : NAN, bias ? bias[j] : 0.0f));
    }
  }
  return c;
}

/// By one set of kernels; c lies among numbers that must stay as they are.
Floats product_by(const IntegerKernels& by, const Floats& a, std::int64_t m, const Weight4& w, const float* bias) {
  const std::int64_t n = w.rows, k = w.columns, stride = by.row_elements(k) + 12, ldc = n + 3;
  std::vector<std::byte> q(static_cast<std::size_t>(m * stride));
  Floats scales(static_cast<std::size_t>(m)), c(static_cast<std::size_t>(m * ldc), -7.0f);
  const Int8Rows rows{q.data(), scales.data(), m, w.groups() * 8, stride};
  by.quantise({a.data(), m, k}, rows);
  // A panel follows the last one, too: it is asked for ahead.
  std::vector<std::byte> packed(static_cast<std::size_t>((n + by.panel - 1) / by.panel * by.panel_bytes(k)));
  by.pack(n, k, w.bytes.data(), w.scales.data(), packed.data());
  for (std::int64_t p = 0; p * by.panel < n; ++p) {
    const std::int64_t first = p * by.panel;
    by.multiply(rows, packed.data() + p * by.panel_bytes(k), nullptr, bias ? bias + first : nullptr,
                {c.data() + first, m, std::min<std::int64_t>(by.panel, n - first), ldc});
  }
  Floats result;
  for (std::int64_t r = 0; r < m; ++r) {
    result.insert(result.end(), c.begin() + r * ldc, c.begin() + r * ldc + n);
    for (std::int64_t j = n; j < ldc; ++j) CHECK(c[static_cast<std::size_t>(r * ldc + j)] == -7.0f);
  }
  return result;
}

struct TeamOf {
  explicit TeamOf(int n) : before(thread_count()) { set_thread_count(n); }
  ~TeamOf() { set_thread_count(before); }
  int before;
};

}  // namespace

TEST_CASE("every set of kernels gives the bits of plain loops with weights of 4 bits", "[ops][int4]") {
  std::vector<std::array<std::int64_t, 3>> shapes{{1, 1, 1},   {1, 16, 32},  {4, 32, 64}, {5, 33, 66}, {7, 15, 3},
                                                  {3, 17, 31}, {1, 40, 512}, {2, 8, 98},  {9, 48, 160}};
  Random random(3);
  for (int i = 0; i < 40; ++i)
    shapes.push_back({1 + static_cast<std::int64_t>(random.below(12)), 1 + static_cast<std::int64_t>(random.below(70)),
                      1 + static_cast<std::int64_t>(random.below(200))});
  for (const auto& [m, n, k] : shapes) {
    Floats a = random_floats(m * k, 1);
    const Floats bias = random_floats(n, 2);
    if (m > 2) std::fill_n(a.begin() + k, k, a[0] < 0 ? -3.0f : 3.0f);  // the largest sums
    if (m > 4) a[static_cast<std::size_t>(3 * k)] = NAN;
    const Weight4 w = random_weight(n, k, static_cast<std::uint64_t>(m + n + k), k % 2 == 0);
    const Floats with = plain_product(a, m, w, bias.data()), without = plain_product(a, m, w, nullptr);
    for (const Kernels* const* set = available_kernels(); *set; ++set) {
      INFO(m << " x " << n << " x " << k << ", " << (*set)->name);
      CHECK(differences(product_by(*(*set)->int4, a, m, w, bias.data()).data(), with.data(), m * n) == 0);
      CHECK(differences(product_by(*(*set)->int4, a, m, w, nullptr).data(), without.data(), m * n) == 0);
    }
  }
}

TEST_CASE("products with weights of 4 bits have the same bits in every batch, with any threads, packed or not",
          "[ops][int4][law4]") {
  const std::int64_t rows = 203, n = 75, k = 518;
  const Floats a = random_floats(rows * k, 1), bias = random_floats(n, 3);
  const Weight4 w = random_weight(n, k, 2);
  const Floats whole = plain_product(a, rows, w, bias.data());
  Floats part(whole.size());
  for (const int threads : {1, 3}) {
    const TeamOf team(threads);
    PackedWeight cache;
    for (const std::int64_t m : {1, 2, 5, 97, 200})
      for (const std::int64_t first : {std::int64_t{0}, std::int64_t{1}, rows - m}) {
        std::fill(part.begin(), part.end(), 0.0f);
        product_nt({a.data() + first * k, m, k}, w.view(), bias.data(), {part.data(), m, n});
        CHECK(differences(part.data(), whole.data() + first * n, m * n) == 0);
        if (const PackedView panels = cache.forward(w.view(), 0, m)) {
          std::fill(part.begin(), part.end(), 0.0f);
          product_packed({a.data() + first * k, m, k}, panels, bias.data(), {part.data(), m, n});
          CHECK(differences(part.data(), whole.data() + first * n, m * n) == 0);
        }
      }
  }
}

TEST_CASE("rows of a table of 4 bits are its integers times the scale of their group", "[ops][int4]") {
  const Weight4 w = random_weight(9, 70, 6);
  const std::vector<std::int32_t> ids{8, 0, 3, 3};
  Floats rows(4 * 70);
  embedding(4, ids.data(), w.view(), 1.5f, rows.data());
  for (std::size_t r = 0; r < ids.size(); ++r)
    for (std::size_t j = 0; j < 70; ++j) {
      const auto id = static_cast<std::size_t>(ids[r]);
      CHECK(same(rows[r * 70 + j], static_cast<float>(w.values[id * 70 + j]) * w.scales[id * 3 + j / 32] * 1.5f));
    }
}

TEST_CASE("rows are quantised to 4 bits with less error than by the largest of a group alone", "[ops][int4]") {
  for (const std::int64_t n : {1, 2, 31, 32, 33, 64, 70}) {
    Floats x = random_floats(n, static_cast<std::uint64_t>(n));
    if (n > 40) std::fill_n(x.begin(), 32, 0.0f);
    if (n > 64) x[66] = 1e30f;
    std::vector<std::uint8_t> q(static_cast<std::size_t>((n + 1) / 2));
    Floats scales(static_cast<std::size_t>((n + 31) / 32));
    quantise_int4(n, x.data(), q.data(), scales.data());
    for (std::int64_t first = 0; first < n; first += 32) {
      double largest = 0, ours = 0, simple = 0;
      const std::int64_t end = std::min(n, first + 32);
      for (std::int64_t k = first; k < end; ++k)
        largest = std::max(largest, std::fabs(static_cast<double>(x[static_cast<std::size_t>(k)])));
      for (std::int64_t k = first; k < end; ++k) {
        const auto v = static_cast<double>(x[static_cast<std::size_t>(k)]);
        const int code = (q[static_cast<std::size_t>(k / 2)] >> (k % 2 * 4) & 15) - 8;
        ours += std::pow(v - static_cast<double>(scales[static_cast<std::size_t>(first / 32)]) * code, 2);
        const double step = largest / 7;
        if (largest > 0) simple += std::pow(v - step * std::nearbyint(v / step), 2);
      }
      INFO(n << ", from " << first);
      CHECK(ours <= simple * 1.001 + 1e-12 * largest * largest);
      CHECK((largest > 0) == (scales[static_cast<std::size_t>(first / 32)] != 0));
    }
  }
  const Floats bad{1.0f, NAN};
  std::uint8_t q = 0;
  float scale = 0;
  quantise_int4(2, bad.data(), &q, &scale);
  CHECK(std::isnan(scale));
}
