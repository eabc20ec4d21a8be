// Products of 8-bit integers: every way to multiply that this processor has against plain loops, bit for bit. CTest
// runs this file once more for each instruction set, so that all of them give one result.
#include <algorithm>
#include <array>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/error.hpp"
#include "core/random.hpp"
#include "core/threads.hpp"
#include "ops/embedding.hpp"
#include "ops/gemm.hpp"
#include "ops/kernels/kernels.hpp"

using namespace pipeformer;

namespace {

using Floats = std::vector<float>;

const float kNaN = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

/// NaN of any kind is one value here: which one comes out of a product is the processor's choice.
bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}
std::int64_t differences(const float* a, const float* b, std::int64_t n) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < n; ++i) count += !same(a[i], b[i]);
  return count;
}

Floats random_floats(std::int64_t n, std::uint64_t seed) {
  Random random(derive_seed(11, seed));
  Floats x(static_cast<std::size_t>(n));
  for (float& v : x) v = static_cast<float>(random.normal());
  return x;
}

struct Row {
  std::vector<std::int8_t> q;
  float scale;
};

/// The definition in ops/weight.hpp, in float64, where the product of two floats is exact.
Row plain_quantise(const float* x, std::int64_t n) {
  Row row{std::vector<std::int8_t>(static_cast<std::size_t>(n)), 0};
  double largest = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) return {std::vector<std::int8_t>(static_cast<std::size_t>(n)), kNaN};
    largest = std::max(largest, std::fabs(static_cast<double>(x[i])));
  }
  row.scale = static_cast<float>(largest) / 127.0f;
  if (largest == 0) return row;
  const double lift = largest < 0x1p-64 ? 0x1p64 : 1.0;
  const float factor = 127.0f / static_cast<float>(largest * lift);
  for (std::int64_t i = 0; i < n; ++i)
    row.q[static_cast<std::size_t>(i)] =
        static_cast<std::int8_t>(std::nearbyint(static_cast<double>(x[i]) * lift * static_cast<double>(factor)));
  return row;
}

/// A weight of 8 bits that owns its elements.
struct Weight8 {
  std::int64_t rows, columns;
  std::vector<std::int8_t> q;
  Floats scales;
  WeightView view() const {
    WeightView w(q.data(), WeightType::int8, rows, columns);
    w.scales = scales.data();
    return w;
  }
};

Weight8 random_weight(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  Weight8 w{rows, columns, std::vector<std::int8_t>(static_cast<std::size_t>(rows * columns)), {}};
  Random random(derive_seed(13, seed));
  for (std::int8_t& q : w.q) {
    const auto draw = static_cast<int>(random.below(300)) - 150;  // ends of the range are frequent
    q = static_cast<std::int8_t>(std::clamp(draw, -127, 127));
  }
  for (std::int64_t r = 0; r < rows; ++r) w.scales.push_back(static_cast<float>(random.uniform() * 0.02));
  return w;
}

Floats plain_product(const Floats& a, std::int64_t m, const Weight8& w, const float* bias) {
  Floats c;
  for (std::int64_t r = 0; r < m; ++r) {
    const Row row = plain_quantise(a.data() + r * w.columns, w.columns);
    for (std::int64_t j = 0; j < w.rows; ++j) {
      std::int64_t sum = 0;
      for (std::int64_t k = 0; k < w.columns; ++k)
        sum += std::int64_t{row.q[static_cast<std::size_t>(k)]} * w.q[static_cast<std::size_t>(j * w.columns + k)];
      const float scale = row.scale * w.scales[static_cast<std::size_t>(j)];
      c.push_back(std::fma(static_cast<float>(sum), scale, bias ? bias[j] : 0.0f));
    }
  }
  return c;
}

/// A product with the numbered way to multiply; c lies among numbers that must stay as they are.
Floats product_by(const IntegerKernels& way, const Floats& a, std::int64_t m, const Weight8& w, const float* bias) {
  const std::int64_t n = w.rows, k = w.columns, ldc = n + 3;
  const std::int64_t quads = (k + way.group - 1) / way.group * way.group / 4, stride = quads * 4 + 8;
  std::vector<std::byte> q(static_cast<std::size_t>(m * stride * way.element));
  Floats scales(static_cast<std::size_t>(m)), c(static_cast<std::size_t>(m * ldc), -7.0f);
  const Int8Rows rows{q.data(), scales.data(), m, quads, stride};
  way.quantise({a.data(), m, k}, rows);
  const std::int64_t panel_bytes = way.panel_bytes(k);
  std::vector<std::byte> packed(static_cast<std::size_t>((n + way.panel - 1) / way.panel * panel_bytes));
  way.pack(n, k, w.q.data(), nullptr, packed.data());
  for (std::int64_t p = 0; p * way.panel < n; ++p) {
    const std::int64_t first = p * way.panel;
    way.multiply(rows, packed.data() + p * panel_bytes, w.scales.data() + first, bias ? bias + first : nullptr,
                 {c.data() + first, m, std::min<std::int64_t>(way.panel, n - first), ldc});
  }
  Floats result;
  for (std::int64_t r = 0; r < m; ++r) {
    result.insert(result.end(), c.begin() + r * ldc, c.begin() + r * ldc + n);
    for (std::int64_t j = n; j < ldc; ++j) CHECK(c[static_cast<std::size_t>(r * ldc + j)] == -7.0f);
  }
  return result;
}

/// Rows of every kind: all equal, zeros, one outlier, denormals, halves that lie between two integers, NaN, infinity.
Floats extreme_rows(std::int64_t k) {
  const float least = std::numeric_limits<float>::denorm_min(), greatest = std::numeric_limits<float>::max();
  Floats rows;
  const auto add = [&](auto value) {
    for (std::int64_t i = 0; i < k; ++i) rows.push_back(value(i));
  };
  add([](std::int64_t) { return 0.0f; });
  add([](std::int64_t) { return -0.0f; });
  add([](std::int64_t) { return -3.7f; });
  add([](std::int64_t i) { return i == 5 ? 1e30f : static_cast<float>(i % 7) - 3.0f; });
  add([](std::int64_t i) { return i % 3 ? 1e-30f : -1e-31f; });
  add([&](std::int64_t i) { return static_cast<float>(i % 11) * least; });
  add([&](std::int64_t i) { return i % 2 ? greatest : -greatest; });
  add([](std::int64_t i) { return i == 0 ? 127.0f : static_cast<float>(i % 250) / 2 - 62.0f; });
  add([](std::int64_t i) { return i == 0 ? -0x1p-64f : static_cast<float>(i) * 0x1p-75f; });
  add([](std::int64_t i) { return i == 3 ? kNaN : 1.0f; });
  add([](std::int64_t i) { return i == 2 ? -kInfinity : 2.0f; });
  return rows;
}

struct Threads {
  explicit Threads(int n) : before(thread_count()) { set_thread_count(n); }
  ~Threads() { set_thread_count(before); }
  int before;
};

}  // namespace

TEST_CASE("rows are quantised to the nearest integer, whatever is in them", "[ops][int8]") {
  for (const std::int64_t k : {1, 2, 6, 7, 16, 31, 64, 257}) {
    Floats rows = extreme_rows(std::max<std::int64_t>(k, 6));
    if (k < 6) rows = {0.0f, -0.0f, 1e30f, 1e-45f};
    const Floats more = random_floats(40 * k, 5);
    rows.resize(rows.size() / static_cast<std::size_t>(k) * static_cast<std::size_t>(k));
    rows.insert(rows.end(), more.begin(), more.end());
    for (std::size_t r = 0; r < rows.size() / static_cast<std::size_t>(k); ++r) {
      const float* x = rows.data() + r * static_cast<std::size_t>(k);
      INFO("row " << r << " of " << k);
      const Row expected = plain_quantise(x, k);
      std::vector<std::int8_t> q(static_cast<std::size_t>(k), 99);
      const float scale = quantise(k, x, q.data());
      CHECK(same(scale, expected.scale));
      CHECK(q == expected.q);
      if (std::isfinite(scale) && scale > 0) CHECK(*std::max_element(q.begin(), q.end()) <= 127);
    }
  }
}

TEST_CASE("every way to multiply 8-bit integers gives the bits of plain loops", "[ops][int8]") {
  std::vector<std::array<std::int64_t, 3>> shapes{
      {1, 1, 1},     {1, 16, 4},   {6, 32, 8},    {12, 32, 64},  {13, 33, 65}, {7, 15, 3},   {24, 31, 17},
      {25, 64, 128}, {3, 17, 250}, {1, 100, 512}, {2, 8, 1025},  {5, 40, 0},   {97, 48, 36}, {16, 32, 64},
      {17, 20, 63},  {32, 64, 65}, {33, 32, 192}, {48, 31, 130}, {63, 7, 129}, {65, 33, 300}};
  Random random(3);
  for (int i = 0; i < 60; ++i)
    shapes.push_back({1 + static_cast<std::int64_t>(random.below(30)), 1 + static_cast<std::int64_t>(random.below(70)),
                      1 + static_cast<std::int64_t>(random.below(140))});
  for (const auto& [m, n, k] : shapes) {
    const Floats a = random_floats(m * k, 1), bias = random_floats(n, 2);
    const Weight8 w = random_weight(n, k, static_cast<std::uint64_t>(m + n + k));
    const Floats with = plain_product(a, m, w, bias.data()), without = plain_product(a, m, w, nullptr);
    if (m <= 4) {
      Floats few(with.size());
      product_nt({a.data(), m, k}, w.view(), bias.data(), {few.data(), m, n});
      CHECK(differences(few.data(), with.data(), m * n) == 0);
      product_nt({a.data(), m, k}, w.view(), nullptr, {few.data(), m, n});
      CHECK(differences(few.data(), without.data(), m * n) == 0);
    }
    for (int number = 0; const IntegerKernels* way = kernels().int8(number); ++number) {
      INFO(m << " x " << n << " x " << k << ", way " << number);
      CHECK(differences(product_by(*way, a, m, w, bias.data()).data(), with.data(), m * n) == 0);
      CHECK(differences(product_by(*way, a, m, w, nullptr).data(), without.data(), m * n) == 0);
    }
  }
}

TEST_CASE("extreme rows stay among themselves, and NaN is not hidden", "[ops][int8]") {
  const std::int64_t k = 70, n = 37;
  const Floats a = extreme_rows(k), bias = random_floats(n, 2);
  const auto m = static_cast<std::int64_t>(a.size()) / k;
  const Weight8 w = random_weight(n, k, 4);
  const Floats expected = plain_product(a, m, w, bias.data());
  for (int number = 0; const IntegerKernels* way = kernels().int8(number); ++number)
    CHECK(differences(product_by(*way, a, m, w, bias.data()).data(), expected.data(), m * n) == 0);
  for (std::int64_t r = 0; r < m; ++r) {
    Floats alone(static_cast<std::size_t>(n));
    product_nt({a.data() + r * k, 1, k}, w.view(), bias.data(), {alone.data(), 1, n});
    CHECK(differences(alone.data(), expected.data() + r * n, n) == 0);
  }
  for (std::int64_t j = 0; j < n; ++j) {
    CHECK(expected[static_cast<std::size_t>(j)] == bias[static_cast<std::size_t>(j)]);  // zeros
    CHECK(std::isnan(expected[static_cast<std::size_t>((m - 2) * n + j)]));
    CHECK(std::isnan(expected[static_cast<std::size_t>((m - 1) * n + j)]));
  }
}

TEST_CASE("the largest sums of 8-bit integers fit, and longer ones are refused", "[ops][int8]") {
  const std::int64_t k = kInt8Depth;
  Floats a(static_cast<std::size_t>(2 * k), 1.0f);
  std::fill_n(a.begin() + k, k, -1.0f);
  for (const std::int8_t value : {std::int8_t{127}, std::int8_t{-127}, std::int8_t{-128}}) {
    const Weight8 w{1, k, std::vector<std::int8_t>(static_cast<std::size_t>(k), value), {1.0f}};
    const Floats expected = plain_product(a, 2, w, nullptr);
    for (int number = 0; const IntegerKernels* way = kernels().int8(number); ++number)
      CHECK(differences(product_by(*way, a, 2, w, nullptr).data(), expected.data(), 2) == 0);
    Floats alone(2);  // a row that is alone reads the weight as it stands
    for (std::int64_t r = 0; r < 2; ++r)
      product_nt({a.data() + r * k, 1, k}, w.view(), nullptr, {&alone[static_cast<std::size_t>(r)], 1, 1});
    CHECK(differences(alone.data(), expected.data(), 2) == 0);
  }
  const Weight8 longer{1, k + 1, std::vector<std::int8_t>(static_cast<std::size_t>(k + 1), 1), {1.0f}};
  a.resize(static_cast<std::size_t>(k + 1));
  float c = 0;
  CHECK_THROWS_AS(product_nt({a.data(), 1, k + 1}, longer.view(), nullptr, {&c, 1, 1}), Error);
}

TEST_CASE("products with 8-bit weights have the same bits in every batch, with any threads, packed or not",
          "[ops][int8][law4]") {
  const std::int64_t rows = 301, n = 75, k = 517;
  const Floats a = random_floats(rows * k, 1), bias = random_floats(n, 3);
  const Weight8 w = random_weight(n, k, 2);
  const Floats whole = plain_product(a, rows, w, bias.data());
  Floats part(whole.size());
  for (const int threads : {1, 2, 3}) {
    const Threads team(threads);
    PackedWeight cache;
    for (const std::int64_t m : {1, 2, 3, 7, 24, 25, 64, 97, 300})
      for (const std::int64_t first : {std::int64_t{0}, std::int64_t{1}, std::int64_t{13}, rows - m}) {
        if (first + m > rows) continue;
        std::fill(part.begin(), part.end(), 0.0f);
        product_nt({a.data() + first * k, m, k}, w.view(), bias.data(), {part.data(), m, n});
        INFO(threads << " threads, " << m << " rows from " << first);
        CHECK(differences(part.data(), whole.data() + first * n, m * n) == 0);
        if (const PackedView panels = cache.forward(w.view(), 0, m)) {
          std::fill(part.begin(), part.end(), 0.0f);
          product_packed({a.data() + first * k, m, k}, panels, bias.data(), {part.data(), m, n});
          CHECK(differences(part.data(), whole.data() + first * n, m * n) == 0);
        }
      }
  }
}

TEST_CASE("rows of a table of 8 bits are its integers times their scale", "[ops][int8]") {
  const Weight8 w = random_weight(9, 21, 6);
  const std::vector<std::int32_t> ids{8, 0, 3, 3};
  Floats rows(4 * 21);
  embedding(4, ids.data(), w.view(), 1.5f, rows.data());
  for (std::size_t r = 0; r < ids.size(); ++r)
    for (std::size_t j = 0; j < 21; ++j) {
      const auto id = static_cast<std::size_t>(ids[r]);
      const float value = static_cast<float>(w.q[id * 21 + j]) * w.scales[id];
      CHECK(same(rows[r * 21 + j], value * 1.5f));
    }
}

TEST_CASE("rows are quantised once while they stay the same, and anew afterwards", "[ops][int8]") {
  const std::int64_t m = 5, n = 20, k = 33;
  Floats a = random_floats(m * k, 1), other = random_floats(m * k, 8);
  const Weight8 first = random_weight(n, k, 2), second = random_weight(n, k, 3);
  Floats c(static_cast<std::size_t>(m * n));
  const auto check = [&](const Floats& x, const Weight8& w) {
    product_nt({x.data(), m, k}, w.view(), nullptr, {c.data(), m, n});
    CHECK(differences(c.data(), plain_product(x, m, w, nullptr).data(), m * n) == 0);
  };
  {
    const SameRows same;
    check(a, first);
    check(a, second);
    {
      const SameRows inner;
      check(a, first);
      check(other, first);
    }
    check(other, second);
    check(a, second);
    // Fewer of them, at the same place.
    product_nt({a.data(), 2, k}, first.view(), nullptr, {c.data(), 2, n});
    CHECK(differences(c.data(), plain_product(a, 2, first, nullptr).data(), 2 * n) == 0);
  }
  a = other;
  check(a, first);
  const SameRows again;
  std::reverse(a.begin(), a.end());
  check(a, first);
}
