// Every op against a plain reference in float64 (xtensor), its gradients against finite differences of that reference,
// and law 4: the same bits whatever the batch and the threads. CTest runs this file once more for each instruction set.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>
#include <xtensor-blas/xlinalg.hpp>
#include <xtensor/xadapt.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>

#include "core/elementary.hpp"
#include "core/half.hpp"
#include "core/random.hpp"
#include "core/threads.hpp"
#include "models/configuration.hpp"
#include "ops/attention.hpp"
#include "ops/cross_entropy.hpp"
#include "ops/elementwise.hpp"
#include "ops/embedding.hpp"
#include "ops/gemm.hpp"
#include "ops/kept_vectors.hpp"
#include "ops/logits.hpp"
#include "ops/nearest.hpp"
#include "ops/pair_cross_entropy.hpp"
#include "ops/pooling.hpp"

using namespace pipeformer;

namespace {

using Matrix = xt::xtensor<double, 2>;
using Floats = std::vector<float>;

Floats random_floats(std::int64_t n, std::uint64_t seed, double deviation = 1.0) {
  Random random(derive_seed(7, seed));
  Floats x(static_cast<std::size_t>(n));
  for (float& v : x) v = static_cast<float>(random.normal() * deviation);
  return x;
}

Matrix matrix(const float* x, std::int64_t rows, std::int64_t columns, std::int64_t stride) {
  Matrix m = xt::zeros<double>({static_cast<std::size_t>(rows), static_cast<std::size_t>(columns)});
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) m(i, j) = x[i * stride + j];
  return m;
}
Matrix matrix(const Floats& x, std::int64_t rows, std::int64_t columns) {
  return matrix(x.data(), rows, columns, columns);
}

/// norm(difference) / norm(expected)
double relative_error(const float* x, const Matrix& expected) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(x[i] - expected.data()[i], 2);
    norm += std::pow(expected.data()[i], 2);
  }
  return std::sqrt(difference) / std::max(std::sqrt(norm), 1e-30);
}

bool same_bits(const float* a, const float* b, std::int64_t n) {
  return n == 0 || std::memcmp(a, b, static_cast<std::size_t>(n) * sizeof(float)) == 0;
}

/// Compares a gradient with central differences of a float64 loss in up to `samples` of its elements; the error is
/// relative to the gradient's largest element.
void check_gradient(const std::function<double(const std::vector<double>&)>& loss, const Floats& at,
                    const Floats& gradient, int samples = 60) {
  std::vector<double> x(at.begin(), at.end());
  double largest = 1e-6;
  for (const float g : gradient) largest = std::max(largest, std::abs(static_cast<double>(g)));
  Random random(3);
  const std::size_t n = x.size();
  for (std::size_t s = 0; s < std::min<std::size_t>(n, static_cast<std::size_t>(samples)); ++s) {
    const std::size_t i = n <= static_cast<std::size_t>(samples) ? s : random.below(n);
    const double h = 1e-5, kept = x[i];
    x[i] = kept + h;
    const double above = loss(x);
    x[i] = kept - h;
    const double below = loss(x);
    x[i] = kept;
    INFO("element " << i << ": gradient " << gradient[i] << ", difference quotient " << (above - below) / (2 * h));
    CHECK(std::abs(gradient[i] - (above - below) / (2 * h)) <= 2e-5 * largest);
  }
}

struct Threads {
  explicit Threads(int n) : before(thread_count()) { set_thread_count(n); }
  ~Threads() { set_thread_count(before); }
  int before;
};

}  // namespace

TEST_CASE("logarithms of a row are those of one number", "[ops]") {
  std::vector<float> x{0.0f, 1.0f, 0x1p-149f, 0x1p-126f, 0x1.fffffep127f, 0.5f, 0x1.6a09e6p-1f, 0x1.6a09e8p-1f};
  Random random(3);
  for (int i = 0; i < 20000; ++i) {
    const auto bits = static_cast<std::uint32_t>(random.below(0x7f800000));
    x.push_back(i % 2 ? std::bit_cast<float>(bits) : static_cast<float>(random.uniform()));
  }
  for (const std::size_t n : {x.size(), std::size_t{13}, std::size_t{1}}) {
    std::vector<float> y(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(n));
    logarithms(static_cast<std::int64_t>(n), y.data());
    for (std::size_t i = 0; i < n; ++i) {
      INFO(x[i]);
      REQUIRE(y[i] == static_cast<float>(elementary::log(static_cast<double>(x[i]))));
    }
  }
}

TEST_CASE("products agree with float64", "[ops]") {
  struct Size {
    std::int64_t m, n, k;
  };
  for (const auto [m, n, k] : {Size{1, 1, 1},
                               {3, 5, 7},
                               {24, 32, 64},
                               {33, 65, 257},
                               {100, 17, 513},
                               {7, 130, 1024},
                               {0, 4, 4},
                               {260, 48, 31}}) {
    INFO(m << " x " << n << " x " << k);
    const Floats a = random_floats(m * k, 1), w = random_floats(n * k, 2), bias = random_floats(n, 3);
    const Matrix A = matrix(a, m, k), W = matrix(w, n, k), B = matrix(w, k, n);
    Matrix expected = xt::linalg::dot(A, xt::transpose(W));
    Floats c(static_cast<std::size_t>(m * n));
    product_nt({a.data(), m, k}, {w.data(), n, k}, nullptr, {c.data(), m, n});
    CHECK(relative_error(c.data(), expected) < 1e-6);
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j) expected(i, j) += bias[static_cast<std::size_t>(j)];
    PackedWeight cache;
    product_nt({a.data(), m, k}, {w.data(), n, k}, bias.data(), {c.data(), m, n});
    CHECK(relative_error(c.data(), expected) < 1e-6);
    CHECK(!cache.forward({w.data(), n, k}, 5, 5));  // not at the first use
    for (int use = 0; use < 2; ++use) {
      product_packed({a.data(), m, k}, cache.forward({w.data(), n, k}, 5, 5), bias.data(), {c.data(), m, n});
      CHECK(relative_error(c.data(), expected) < 1e-6);
    }
    expected = xt::linalg::dot(A, B);
    product_nn({a.data(), m, k}, {w.data(), k, n}, {c.data(), m, n});
    CHECK(relative_error(c.data(), expected) < 1e-6);
    product_nn({a.data(), m, k}, {w.data(), k, n}, {c.data(), m, n}, true);
    CHECK(relative_error(c.data(), 2.0 * expected) < 1e-6);
    std::vector<std::byte> packed(static_cast<std::size_t>(packed_bytes(n, k)));
    product_packed({a.data(), m, k}, pack_nn({w.data(), k, n}, packed.data()), nullptr, {c.data(), m, n});
    CHECK(relative_error(c.data(), expected) < 1e-6);
    const Floats zeros(w.size(), 0.0f);  // a packed copy is of one version of the weight
    CHECK(!cache.backward({zeros.data(), k, n}, 1));
    product_packed({a.data(), m, k}, cache.backward({zeros.data(), k, n}, 1), nullptr, {c.data(), m, n});
    CHECK(std::all_of(c.begin(), c.end(), [](float x) { return x == 0.0f; }));
    for (const Floats* weight : {&w, &zeros}) {
      product_packed({a.data(), m, k}, cache.backward({weight->data(), k, n}, 2), nullptr, {c.data(), m, n});
      CHECK(relative_error(c.data(), expected) < 1e-6);
    }

    // a (k, m), b (k, n): c += a^T b, and column sums.
    expected = xt::linalg::dot(xt::transpose(matrix(a, k, m)), B);
    std::fill(c.begin(), c.end(), 0.0f);
    product_tn({a.data(), k, m}, {w.data(), k, n}, {c.data(), m, n});
    CHECK(relative_error(c.data(), expected) < 1e-6);
    Floats sums(static_cast<std::size_t>(n), 0.0f);
    column_sums({w.data(), k, n}, sums.data());
    const Matrix ones = xt::ones<double>({std::size_t{1}, static_cast<std::size_t>(k)});
    CHECK(relative_error(sums.data(), xt::linalg::dot(ones, B)) < 1e-6);
  }
}

TEST_CASE("16-bit elements are widened exactly", "[ops][half]") {
  std::vector<std::uint16_t> all(65536);
  std::iota(all.begin(), all.end(), std::uint16_t{0});
  Floats wide(all.size());
  for (const WeightType type : {WeightType::float16, WeightType::bfloat16}) {
    widen(type, 65536, all.data(), wide.data());
    std::int64_t wrong = 0;
    for (const std::uint16_t bits : all) {
      const float expected = type == WeightType::float16 ? float_from_half(bits) : float_from_bfloat16(bits);
      if (std::isnan(expected))
        wrong += !std::isnan(wide[bits]);
      else
        wrong += std::bit_cast<std::uint32_t>(wide[bits]) != std::bit_cast<std::uint32_t>(expected);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("products and embeddings of 16-bit weights are those of the widened weights, bit for bit", "[ops][half]") {
  for (const auto& [m, n, k] : std::vector<std::array<std::int64_t, 3>>{{1, 1, 1},
                                                                        {1, 33, 257},
                                                                        {4, 31, 64},
                                                                        {7, 64, 256},
                                                                        {12, 65, 100},
                                                                        {24, 64, 513},
                                                                        {25, 33, 40},
                                                                        {97, 65, 513},
                                                                        {200, 100, 70},
                                                                        {3, 0, 5},
                                                                        {0, 3, 5}}) {
    INFO(m << " x " << n << " x " << k);
    const Floats a = random_floats(m * k, 1), bias = random_floats(n, 3);
    Random random(m + n + k);
    std::vector<std::uint16_t> stored(static_cast<std::size_t>(n * k));
    for (std::uint16_t& bits : stored)
      bits = static_cast<std::uint16_t>(random.below(65536) & 0xbfff);  // no NaN, no infinity
    Floats wide(stored.size()), expected(static_cast<std::size_t>(m * n)), c(expected.size());
    for (const WeightType type : {WeightType::float16, WeightType::bfloat16}) {
      widen(type, n * k, stored.data(), wide.data());
      const WeightView weight(stored.data(), type, n, k);
      product_nt({a.data(), m, k}, {wide.data(), n, k}, bias.data(), {expected.data(), m, n});
      product_nt({a.data(), m, k}, weight, bias.data(), {c.data(), m, n});
      CHECK(same_bits(c.data(), expected.data(), m * n));
      PackedWeight cache;
      CHECK(!cache.forward(weight, 1, 5));
      std::fill(c.begin(), c.end(), 0.0f);
      product_packed({a.data(), m, k}, cache.forward(weight, 1, 5), bias.data(), {c.data(), m, n});
      CHECK(same_bits(c.data(), expected.data(), m * n));
      std::vector<std::int32_t> ids;
      for (std::int64_t r = n; r-- > 0;) ids.push_back(static_cast<std::int32_t>(r));
      Floats rows(wide.size()), rows_wide(wide.size());
      embedding(n, ids.data(), weight, 1.5f, rows.data());
      embedding(n, ids.data(), {wide.data(), n, k}, 1.5f, rows_wide.data());
      CHECK(same_bits(rows.data(), rows_wide.data(), n * k));
    }
  }
}

TEST_CASE("a weight is copied for the kernels where a copy pays", "[ops]") {
  const std::int64_t n = 512, k = 512;
  const Floats w = random_floats(n * k, 1);
  const WeightView large(w.data(), n, k), small(w.data(), 16, 16);
  PackedWeight of_large, of_small;
  for (int use = 0; use < 4; ++use) CHECK(!of_large.forward(large, 3, 4));
  CHECK(of_large.forward(large, 3, 1));
  PackedWeight of_more;
  CHECK(!of_more.forward(large, 3, 300));
  CHECK(of_more.forward(large, 3, 1));
  CHECK(!of_small.forward(small, 3, 1));
  CHECK(of_small.forward(small, 3, 1));

  // Of a file.
  WeightView mapped = large;
  const int file = ::memfd_create("weight", 0);
  REQUIRE(::write(file, w.data(), w.size() * sizeof(float)) == static_cast<ssize_t>(w.size() * sizeof(float)));
  mapped.file = file;
  PackedWeight of_file, of_other;
  for (int use = 0; use < 4; ++use) CHECK(!of_file.forward(mapped, 0, 300));
  CHECK(of_file.forward(mapped, 0, 300));
  CHECK(!of_other.forward(mapped, 0, 40));
  CHECK(of_other.forward(mapped, 0, 40));
  ::close(file);
}

TEST_CASE("a row of a product has the same bits in every batch, at every place, with any threads", "[ops][law4]") {
  const std::int64_t rows = 301, n = 75, k = 517;
  const Floats a = random_floats(rows * k, 1), w = random_floats(n * k, 2), bias = random_floats(n, 3);
  Floats whole(static_cast<std::size_t>(rows * n)), part(whole.size());
  {
    const Threads one(1);
    product_nt({a.data(), rows, k}, {w.data(), n, k}, bias.data(), {whole.data(), rows, n});
  }
  for (const int threads : {1, 2, 3}) {
    const Threads team(threads);
    PackedWeight cache;
    for (const std::int64_t m : {1, 2, 3, 7, 24, 25, 64, 300})
      for (const std::int64_t first : {std::int64_t{0}, std::int64_t{1}, std::int64_t{13}, rows - m}) {
        if (first + m > rows) continue;
        INFO(threads << " threads, " << m << " rows from " << first);
        product_nt({a.data() + first * k, m, k}, {w.data(), n, k}, bias.data(), {part.data(), m, n});
        CHECK(same_bits(part.data(), whole.data() + first * n, m * n));
        const PackedView panels = cache.forward({w.data(), n, k}, 0, m);
        if (!panels) continue;
        std::fill(part.begin(), part.end(), 0.0f);
        product_packed({a.data() + first * k, m, k}, panels, bias.data(), {part.data(), m, n});
        CHECK(same_bits(part.data(), whole.data() + first * n, m * n));
      }
  }
}

namespace {

/// A case of attention: shapes, inputs, and the same in float64.
struct Attention {
  AttentionShape shape;
  std::vector<std::int64_t> query_offsets, key_offsets;
  Floats query, key, value;
  std::vector<std::vector<std::uint8_t>> masks;
  std::vector<Floats> biases;
  std::vector<const std::uint8_t*> mask_list;
  std::vector<const float*> bias_list;
  std::vector<std::int64_t> lengths;
  Floats distance;           ///< (heads, 2 longest - 1) biases by distance
  std::vector<Floats> kept;  ///< For dropout: what each weight is multiplied by.

  Attention(const std::vector<std::int64_t>& q, const std::vector<std::int64_t>& k, std::int64_t heads,
            std::int64_t kv_heads, std::int64_t dk, std::int64_t dv)
      : query_offsets{0}, key_offsets{0} {
    shape.heads = heads;
    shape.kv_heads = kv_heads;
    shape.key_width = dk;
    shape.value_width = dv;
    shape.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(dk)));
    for (const auto n : q) query_offsets.push_back(query_offsets.back() + n);
    for (const auto n : k) key_offsets.push_back(key_offsets.back() + n);
    query = random_floats(query_offsets.back() * heads * dk, 11);
    key = random_floats(key_offsets.back() * kv_heads * dk, 12);
    value = random_floats(key_offsets.back() * kv_heads * dv, 13);
  }
  std::int64_t sequences() const { return static_cast<std::int64_t>(query_offsets.size()) - 1; }
  std::int64_t out_width() const { return shape.heads * shape.value_width; }
  std::int64_t queries(std::int64_t s) const { return Ragged{query_offsets}.length(s); }
  std::int64_t keys(std::int64_t s) const { return Ragged{key_offsets}.length(s); }

  void add_masks() {
    Random random(5);
    for (std::int64_t s = 0; s < sequences(); ++s)
      for (std::int64_t h = 0; h < shape.heads; ++h) {
        std::vector<std::uint8_t> mask(static_cast<std::size_t>(queries(s) * keys(s)));
        for (auto& m : mask) m = random.uniform() < 0.6;
        if (queries(s) > 1)
          std::fill_n(mask.begin() + keys(s), keys(s), std::uint8_t{0});  // query 1 may attend to nothing
        masks.push_back(mask);
      }
    for (const auto& mask : masks) mask_list.push_back(mask.data());
  }
  void add_biases() {
    for (std::int64_t s = 0; s < sequences(); ++s)
      for (std::int64_t h = 0; h < shape.heads; ++h)
        biases.push_back(random_floats(queries(s) * keys(s), 20 + static_cast<std::uint64_t>(s * shape.heads + h)));
    for (const auto& bias : biases) bias_list.push_back(bias.data());
  }
  std::int64_t longest() const {
    std::int64_t n = 0;
    for (std::int64_t s = 0; s < sequences(); ++s) n = std::max({n, queries(s), keys(s)});
    return n;
  }
  void add_distance_biases() { distance = random_floats(shape.heads * (2 * longest() - 1), 41); }
  AttentionInput input() const {
    AttentionInput in;
    if (!distance.empty()) in.masks.distance = {distance.data(), 2 * longest() - 1, longest() - 1};
    in.query = query.data();
    in.key = key.data();
    in.value = value.data();
    in.query_stride = shape.heads * shape.key_width;
    in.key_stride = shape.kv_heads * shape.key_width;
    in.value_stride = shape.kv_heads * shape.value_width;
    in.queries = {query_offsets};
    in.keys = {key_offsets};
    in.masks.mask = mask_list.empty() ? nullptr : mask_list.data();
    in.masks.bias = bias_list.empty() ? nullptr : bias_list.data();
    in.masks.key_lengths = lengths.empty() ? nullptr : lengths.data();
    return in;
  }
  Floats forward(Floats* log_sum = nullptr, std::vector<Floats>* weights = nullptr) const {
    Floats out(static_cast<std::size_t>(query_offsets.back() * out_width()), -1.0f);
    if (log_sum) log_sum->resize(static_cast<std::size_t>(query_offsets.back() * shape.heads));
    std::vector<float*> list;
    if (weights) {
      weights->clear();
      for (std::int64_t s = 0; s < sequences(); ++s)
        for (std::int64_t h = 0; h < shape.heads; ++h)
          weights->emplace_back(static_cast<std::size_t>(queries(s) * keys(s)), -1.0f);
      for (auto& w : *weights) list.push_back(w.data());
    }
    attention_forward(shape, input(), out.data(), log_sum ? log_sum->data() : nullptr);
    const Floats before = out;
    const auto keep = [&](const AttentionRows& part) {
      std::copy_n(part.x, part.rows * part.keys,
                  list[static_cast<std::size_t>(part.sequence * shape.heads + part.head)] + part.first * part.keys);
    };
    if (weights) attention_look(shape, input(), {{}, keep}, out.data());
    CHECK(out == before);
    return out;
  }
  /// The same in float64, as the formula stands. q, k, v as the members.
  Matrix reference(const std::vector<double>& q, const std::vector<double>& k, const std::vector<double>& v,
                   std::vector<Matrix>* weights = nullptr) const {
    return reference(q, k, v, {distance.begin(), distance.end()}, weights);
  }
  Matrix reference(const std::vector<double>& q, const std::vector<double>& k, const std::vector<double>& v,
                   const std::vector<double>& by_distance, std::vector<Matrix>* weights) const {
    const auto at = [](const std::vector<double>& x, std::int64_t i) { return x[static_cast<std::size_t>(i)]; };
    Matrix out =
        xt::zeros<double>({static_cast<std::size_t>(query_offsets.back()), static_cast<std::size_t>(out_width())});
    const std::int64_t n = longest();
    for (std::int64_t s = 0; s < sequences(); ++s)
      for (std::int64_t h = 0; h < shape.heads; ++h) {
        const std::int64_t tq = queries(s), tk = keys(s), kv = h * shape.kv_heads / shape.heads;
        const std::size_t which = static_cast<std::size_t>(s * shape.heads + h);
        Matrix Q = xt::zeros<double>({static_cast<std::size_t>(tq), static_cast<std::size_t>(shape.key_width)});
        Matrix K = xt::zeros<double>({static_cast<std::size_t>(tk), static_cast<std::size_t>(shape.key_width)});
        Matrix V = xt::zeros<double>({static_cast<std::size_t>(tk), static_cast<std::size_t>(shape.value_width)});
        for (std::int64_t i = 0; i < tq; ++i)
          for (std::int64_t c = 0; c < shape.key_width; ++c)
            Q(i, c) = at(q, ((query_offsets[static_cast<std::size_t>(s)] + i) * shape.heads + h) * shape.key_width + c);
        for (std::int64_t j = 0; j < tk; ++j) {
          const std::int64_t row = (key_offsets[static_cast<std::size_t>(s)] + j) * shape.kv_heads + kv;
          for (std::int64_t c = 0; c < shape.key_width; ++c) K(j, c) = at(k, row * shape.key_width + c);
          for (std::int64_t c = 0; c < shape.value_width; ++c) V(j, c) = at(v, row * shape.value_width + c);
        }
        if (tq == 0) {
          if (weights) weights->push_back(Matrix());
          continue;
        }
        Matrix P = tk > 0 ? Matrix(xt::linalg::dot(Q, xt::transpose(K)) * static_cast<double>(shape.scale))
                          : Matrix(xt::zeros<double>({static_cast<std::size_t>(tq), std::size_t{0}}));
        for (std::int64_t i = 0; i < tq; ++i) {
          double highest = -std::numeric_limits<double>::infinity(), sum = 0;
          for (std::int64_t j = 0; j < tk; ++j) {
            const std::size_t cell = static_cast<std::size_t>(i * tk + j);
            if (!biases.empty()) P(i, j) += biases[which][cell];
            const std::int64_t away = j - (i + tk - tq);
            if (!by_distance.empty()) P(i, j) += at(by_distance, h * (2 * n - 1) + n - 1 + away);
            const bool seen = (masks.empty() || masks[which][cell]) && (!shape.causal || away <= 0) &&
                              (!shape.causal || shape.window == 0 || away > -shape.window) &&
                              (lengths.empty() || j < lengths[static_cast<std::size_t>(s)]);
            if (!seen) P(i, j) = -std::numeric_limits<double>::infinity();
            highest = std::max(highest, P(i, j));
          }
          for (std::int64_t j = 0; j < tk; ++j)
            sum += P(i, j) = std::isinf(highest) ? 0.0 : std::exp(P(i, j) - highest);
          for (std::int64_t j = 0; j < tk; ++j) {
            P(i, j) = sum > 0 ? P(i, j) / sum : 0.0;
            if (!kept.empty()) P(i, j) *= kept[which][static_cast<std::size_t>(i * tk + j)];
          }
        }
        if (tk > 0) {
          const Matrix O = xt::linalg::dot(P, V);
          const std::int64_t first = query_offsets[static_cast<std::size_t>(s)];
          xt::view(out, xt::range(first, first + tq), xt::range(h * shape.value_width, (h + 1) * shape.value_width)) =
              O;
        }
        if (weights) weights->push_back(P);
      }
    return out;
  }
};

std::vector<double> doubles(const Floats& x) {
  return {x.begin(), x.end()};
}

void check_forward(const Attention& a) {
  std::vector<Floats> weights;
  std::vector<Matrix> expected_weights;
  const Floats out = a.forward(nullptr, &weights);
  const Matrix expected = a.reference(doubles(a.query), doubles(a.key), doubles(a.value), &expected_weights);
  CHECK(relative_error(out.data(), expected) < 1e-6);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!weights[i].empty()) CHECK(relative_error(weights[i].data(), expected_weights[i]) < 1e-6);
  }
  const Floats plain = a.forward();
  CHECK(same_bits(plain.data(), out.data(), static_cast<std::int64_t>(out.size())));  // looking changes nothing
}

void check_backward(const Attention& a, int samples) {
  Floats log_sum;
  const Floats out = a.forward(&log_sum), d_out = random_floats(static_cast<std::int64_t>(out.size()), 31);
  Floats d_query(a.query.size(), 9.0f), d_key(a.key.size(), 9.0f), d_value(a.value.size(), 9.0f);
  Floats d_distance(a.distance.size(), 0.0f);
  const AttentionGradients gradients{d_query.data(), d_key.data(), d_value.data(),
                                     d_distance.empty() ? nullptr : d_distance.data()};
  attention_backward(a.shape, a.input(), out.data(), log_sum.data(), d_out.data(), gradients);
  const auto loss = [&](const Matrix& y) {
    double sum = 0;
    for (std::size_t i = 0; i < d_out.size(); ++i) sum += d_out[i] * y.data()[i];
    return sum;
  };
  const auto q = doubles(a.query), k = doubles(a.key), v = doubles(a.value);
  check_gradient([&](const auto& x) { return loss(a.reference(x, k, v)); }, a.query, d_query, samples);
  check_gradient([&](const auto& x) { return loss(a.reference(q, x, v)); }, a.key, d_key, samples);
  check_gradient([&](const auto& x) { return loss(a.reference(q, k, x)); }, a.value, d_value, samples);
  if (!a.distance.empty())
    check_gradient([&](const auto& x) { return loss(a.reference(q, k, v, x, nullptr)); }, a.distance, d_distance,
                   samples);
}

/// What the weights of a case with dropout were multiplied by, from the weights with and without it.
void find_kept(Attention& a) {
  std::vector<Floats> dropped, plain;
  a.forward(nullptr, &dropped);
  Attention without = a;
  without.mask_list.clear();
  for (const auto& mask : without.masks) without.mask_list.push_back(mask.data());
  without.shape.dropout = 0;
  without.forward(nullptr, &plain);
  a.kept = dropped;
  std::int64_t zeros = 0, all = 0;
  for (std::size_t m = 0; m < dropped.size(); ++m)
    for (std::size_t i = 0; i < dropped[m].size(); ++i) {
      a.kept[m][i] = dropped[m][i] == 0.0f ? 0.0f : 1.0f / (1.0f - a.shape.dropout);
      if (plain[m][i] == 0.0f) continue;
      zeros += dropped[m][i] == 0.0f;
      ++all;
      if (dropped[m][i] != 0.0f) CHECK(dropped[m][i] == Approx(plain[m][i] * a.kept[m][i]).epsilon(1e-5));
    }
  const double share = static_cast<double>(zeros) / static_cast<double>(all);
  CHECK(std::abs(share - a.shape.dropout) < 4 * std::sqrt(a.shape.dropout / static_cast<double>(all)));
}

}  // namespace

TEST_CASE("attention agrees with float64, forward and backward", "[ops]") {
  SECTION("plain, ragged, with empty sequences on either side") {
    Attention a({3, 0, 5, 1, 2}, {4, 3, 5, 0, 7}, 2, 2, 3, 5);
    check_forward(a);
    check_backward(a, 80);
  }
  SECTION("causal, as many keys as queries, more, and fewer") {
    Attention a({6, 2, 5}, {6, 5, 3}, 2, 2, 4, 4);
    a.shape.causal = true;
    check_forward(a);
    check_backward(a, 80);
  }
  SECTION("grouped queries") {
    for (const std::int64_t kv_heads : {1, 2, 4}) {
      Attention a({5, 3}, {4, 6}, 4, kv_heads, 3, 2);
      check_forward(a);
      check_backward(a, 60);
    }
  }
  SECTION("masks, biases, lengths, all with causal") {
    Attention a({5, 4}, {5, 7}, 2, 1, 3, 3);
    a.add_masks();
    check_forward(a);
    check_backward(a, 60);
    a.add_biases();
    a.shape.causal = true;
    a.lengths = {3, 0};
    check_forward(a);
    check_backward(a, 60);
  }
  SECTION("windows: longer than the sequence, shorter, of one key, with all else") {
    for (const std::int64_t window : {1, 2, 3, 100}) {
      Attention a({6, 2, 5, 0, 3}, {6, 5, 3, 4, 0}, 4, 2, 4, 4);
      a.shape.causal = true;
      a.shape.window = window;
      check_forward(a);
      if (window > 1) check_backward(a, 60);  // of one key the weight is 1: no gradient to compare with
      a.add_masks();
      a.add_biases();
      a.lengths = {3, 0, 2, 4, 0};
      check_forward(a);
      if (window > 1) check_backward(a, 60);
    }
  }
  SECTION("windows over many tiles") {
    for (const std::int64_t window : {1, 50, 256, 300}) {
      Attention a({1300, 4, 700, 530}, {1300, 1000, 530, 900}, 2, 1, 4, 4);
      a.shape.causal = true;
      a.shape.window = window;
      check_forward(a);
      a.lengths = {1100, 300, 530, 0};  // the last queries of all but the third see nothing
      check_forward(a);
      Attention b({30, 400}, {530, 530}, 1, 1, 4, 4);
      b.shape.causal = true;
      b.shape.window = window;
      b.add_distance_biases();
      check_forward(b);
      if (window > 1) check_backward(b, 8);
    }
  }
  SECTION("biases by distance") {
    for (const bool causal : {false, true}) {
      Attention a({5, 0, 3, 2, 7}, {5, 3, 0, 6, 4}, 4, 2, 3, 3);
      a.shape.causal = causal;
      a.add_distance_biases();
      check_forward(a);
      check_backward(a, 60);
      a.shape.window = 2;
      a.shape.scale = 0.25f;
      a.add_masks();
      a.add_biases();
      check_forward(a);
      check_backward(a, 60);
      a.shape.dropout = 0.3f;
      find_kept(a);
      check_backward(a, 60);
    }
  }
  SECTION("a query without keys gives zeros") {
    Attention a({2}, {3}, 1, 1, 2, 2);
    a.lengths = {0};
    for (const float x : a.forward()) CHECK(x == 0.0f);
  }
  SECTION("more keys and queries than a tile") {
    Attention a({300, 1, 700}, {300, 600, 530}, 2, 1, 8, 8);
    check_forward(a);
    a.shape.causal = true;
    check_forward(a);
    Attention b({30}, {530}, 1, 1, 4, 4);
    b.add_biases();
    check_forward(b);
    check_backward(b, 12);
  }
  SECTION("large scores do not overflow") {
    Attention a({9}, {9}, 1, 1, 4, 4);
    for (float& x : a.query) x *= 1000.0f;
    const Floats out = a.forward();
    CHECK(relative_error(out.data(), a.reference(doubles(a.query), doubles(a.key), doubles(a.value))) < 1e-5);
  }
  SECTION("dropout") {
    Attention a({17, 30}, {40, 300}, 2, 2, 4, 4);
    a.shape.dropout = 0.3f;
    a.shape.dropout_seed = 99;
    find_kept(a);
    check_forward(a);
    check_backward(a, 12);
    a.shape.causal = true;
    find_kept(a);
    check_forward(a);
    check_backward(a, 12);
  }
}

TEST_CASE("attention has the same bits in every batch and with any threads", "[ops][law4]") {
  Attention a({5, 40, 0, 300, 17}, {5, 40, 3, 300, 290}, 4, 2, 8, 8);
  a.shape.causal = true;
  a.shape.dropout = 0.1f;
  Floats whole;
  {
    const Threads one(1);
    whole = a.forward();
  }
  const Threads team(3);
  CHECK(same_bits(a.forward().data(), whole.data(), static_cast<std::int64_t>(whole.size())));
  for (std::int64_t s = 0; s < a.sequences(); ++s) {
    Attention alone({a.queries(s)}, {a.keys(s)}, 4, 2, 8, 8);
    alone.shape = a.shape;
    alone.shape.first_sequence = s;
    const std::int64_t q = a.query_offsets[static_cast<std::size_t>(s)], k = a.key_offsets[static_cast<std::size_t>(s)];
    std::copy_n(a.query.begin() + q * 32, alone.query.size(), alone.query.begin());
    std::copy_n(a.key.begin() + k * 16, alone.key.size(), alone.key.begin());
    std::copy_n(a.value.begin() + k * 16, alone.value.size(), alone.value.begin());
    CHECK(same_bits(alone.forward().data(), whole.data() + q * 32, a.queries(s) * 32));
  }
}

TEST_CASE("the gradient of biases by distance has the same bits however batches and threads are cut", "[ops][law4]") {
  Attention a({40, 3, 0, 300, 17}, {40, 5, 3, 300, 290}, 4, 2, 8, 8);
  a.add_distance_biases();
  const std::int64_t heads = 4, width = a.out_width();
  const Floats d_out = random_floats(a.query_offsets.back() * width, 31);
  Floats log_sum;
  const Floats out = a.forward(&log_sum);
  // Sequences [first, last) of the batch as a batch of their own.
  const auto gradient = [&](std::int64_t first, std::int64_t last, Floats& sums) {
    std::vector<std::int64_t> q, k;
    for (std::int64_t s = first; s <= last; ++s) {
      q.push_back(a.query_offsets[static_cast<std::size_t>(s)] - a.query_offsets[static_cast<std::size_t>(first)]);
      k.push_back(a.key_offsets[static_cast<std::size_t>(s)] - a.key_offsets[static_cast<std::size_t>(first)]);
    }
    AttentionInput in = a.input();
    const std::int64_t row = a.query_offsets[static_cast<std::size_t>(first)],
                       key_row = a.key_offsets[static_cast<std::size_t>(first)];
    in.query += row * in.query_stride;
    in.key = a.key.data() + key_row * in.key_stride;
    in.value = a.value.data() + key_row * in.value_stride;
    in.queries = {q};
    in.keys = {k};
    Floats d_query(a.query.size()), d_key(a.key.size()), d_value(a.value.size());
    attention_backward(a.shape, in, out.data() + row * width, log_sum.data() + row * heads, d_out.data() + row * width,
                       {d_query.data(), d_key.data(), d_value.data(), sums.data()});
  };
  Floats whole(a.distance.size(), 0.5f), parts(whole), team_whole(whole);
  {
    const Threads one(1);
    gradient(0, 5, whole);
  }
  const Threads team(3);
  gradient(0, 5, team_whole);
  for (const auto& [first, last] : {std::pair{0, 2}, {2, 4}, {4, 5}}) gradient(first, last, parts);
  CHECK(same_bits(whole.data(), team_whole.data(), static_cast<std::int64_t>(whole.size())));
  CHECK(same_bits(whole.data(), parts.data(), static_cast<std::int64_t>(whole.size())));
}

TEST_CASE("one query against a cache of keys gives the bits of the whole causal pass", "[ops][law4]") {
  const std::int64_t length = 530;
  Attention a({length}, {length}, 4, 2, 8, 8);
  a.shape.causal = true;
  a.shape.window = GENERATE(0, 1, 20, 256, 300);
  if (GENERATE(false, true)) a.add_distance_biases();
  const Floats whole = a.forward();
  // The cache keeps row r at a place of its own.
  std::vector<std::int32_t> place(length);
  Floats key(static_cast<std::size_t>(2 * length * 16)), value(key.size());
  for (std::int64_t r = 0; r < length; ++r) {
    place[static_cast<std::size_t>(r)] = static_cast<std::int32_t>(r * 7 % length + length / 2);
    std::copy_n(a.key.begin() + r * 16, 16, key.begin() + place[static_cast<std::size_t>(r)] * 16);
    std::copy_n(a.value.begin() + r * 16, 16, value.begin() + place[static_cast<std::size_t>(r)] * 16);
  }
  for (const std::int64_t i : {0, 1, 2, 15, 16, 17, 100, 255, 256, 257, 400, 511, 512, 513, 529}) {
    const std::vector<std::int64_t> one{0, 1}, past{0, i + 1};
    AttentionInput in = a.input();
    in.query = a.query.data() + i * 32;
    in.key = key.data();
    in.value = value.data();
    in.queries = {one};
    in.keys = {past};
    in.key_index = place.data();
    for (const bool causal : {false, true}) {
      if (!causal && a.shape.window > 0) continue;
      AttentionShape shape = a.shape;
      shape.causal = causal;
      Floats out(32);
      attention_forward(shape, in, out.data(), nullptr);
      INFO("position " << i);
      CHECK(same_bits(out.data(), whole.data() + i * 32, 32));
    }
  }
}

namespace {

/// What a vector becomes that is kept in another type, by the definitions of the types.
Floats kept_and_read(WeightType type, const float* x, std::int64_t n) {
  Floats y(x, x + n);
  if (type == WeightType::int8) {
    std::vector<std::int8_t> q(y.size());
    const float scale = quantise(n, x, q.data());
    for (std::size_t i = 0; i < q.size(); ++i) y[i] = static_cast<float>(q[i]) * scale;
  }
  for (float& v : y) {
    if (type == WeightType::float16) v = float_from_half(half_from_double(static_cast<double>(v)));
    if (type == WeightType::bfloat16) v = float_from_bfloat16(bfloat16_from_float(v));
  }
  return y;
}

}  // namespace

TEST_CASE("attention to keys and values of fewer bits is attention to what they stand for", "[ops]") {
  const auto type = GENERATE(WeightType::float32, WeightType::float16, WeightType::bfloat16, WeightType::int8);
  for (const std::int64_t width : {1, 7, 8, 24, 64}) {
    Attention a({1, 3, 4, 5, 40, 0, 2}, {300, 3, 17, 270, 40, 4, 0}, 6, 3, width, width + 3);
    CAPTURE(type, width);
    for (std::size_t i = 0; i < a.key.size(); i += 5) a.key[i] *= 1e-6f;  // subnormal in binary16
    const auto stored = [&](const Floats& x, std::int64_t n, Floats& read) {
      const std::int64_t count = static_cast<std::int64_t>(x.size()) / n;
      std::vector<std::byte> kept(static_cast<std::size_t>(count * kept_bytes(type, n)));
      keep_vectors(type, count, n, x.data(), kept.data());
      for (std::int64_t r = 0; r < count; ++r) {
        const Floats row = kept_and_read(type, x.data() + r * n, n);
        read.insert(read.end(), row.begin(), row.end());
      }
      return kept;
    };
    Attention read = a;
    read.key.clear();
    read.value.clear();
    const auto key = stored(a.key, width, read.key), value = stored(a.value, width + 3, read.value);
    AttentionInput in = a.input();
    in.kept = type;
    in.key = key.data();
    in.value = value.data();
    in.key_stride = 3 * kept_elements(type, width);
    in.value_stride = 3 * kept_elements(type, width + 3);
    const Floats expected = read.forward();
    Floats out(expected.size());
    attention_forward(a.shape, in, out.data(), nullptr);
    CHECK(same_bits(out.data(), expected.data(), static_cast<std::int64_t>(out.size())));
    CHECK((type == WeightType::float32) == (read.key == a.key));
  }
}

TEST_CASE("attention to transposed keys is attention to the keys", "[ops]") {
  const std::int64_t kv_heads = GENERATE(1, 3, 6);
  for (const std::int64_t width : {1, 7, 16, 40}) {
    Attention a({1, 3, 4, 5, 40, 0, 2, 1, 30}, {300, 3, 17, 270, 40, 4, 0, 33, 600}, 6, kv_heads, width, width + 3);
    CAPTURE(kv_heads, width);
    AttentionInput in = a.input();
    const std::int64_t n = kv_heads * width;
    Floats key(a.key.size()), kept(key.size());
    for (std::int64_t s = 0; s < in.keys.sequences(); ++s)
      for (std::int64_t j = 0; j < in.keys.length(s); ++j)
        for (std::int64_t k = 0; k < n; ++k)
          key[static_cast<std::size_t>(in.keys.begin(s) * n + k * in.keys.length(s) + j)] =
              a.key[static_cast<std::size_t>((in.keys.begin(s) + j) * n + k)];
    keep_transposed(in.keys, n, a.key.data(), kept.data());
    CHECK(same_bits(kept.data(), key.data(), static_cast<std::int64_t>(key.size())));
    const auto scores_of = [&](const AttentionInput& input, Floats& out) {
      Floats scores;
      attention_forward(a.shape, input, out.data(), nullptr);
      attention_look(
          a.shape, input,
          {[&](const AttentionRows& rows) { scores.insert(scores.end(), rows.x, rows.x + rows.rows * rows.keys); }, {}},
          out.data());
      return scores;
    };
    const Floats expected = a.forward();
    Floats rows(expected.size()), out(expected.size());
    const Floats expected_scores = scores_of(in, rows);
    in.key = key.data();
    in.transposed_keys = true;
    const Floats scores = scores_of(in, out);
    CHECK(same_bits(out.data(), expected.data(), static_cast<std::int64_t>(out.size())));
    REQUIRE(scores.size() == expected_scores.size());
    CHECK(same_bits(scores.data(), expected_scores.data(), static_cast<std::int64_t>(scores.size())));
  }
}

TEST_CASE("what is too large to be kept in fewer bits is an error or NaN", "[ops]") {
  const float infinity = std::numeric_limits<float>::infinity();
  const Floats edges{65504.0f, 65519.99f, 65520.0f, 3.3895e38f, 3.4e38f, infinity, -infinity, NAN, -65520.0f};
  Floats read(1);
  for (const float x : edges) {
    std::uint16_t bits = 0;
    INFO(x);
    const float half = float_from_half(half_from_double(static_cast<double>(x)));
    if (std::isfinite(x) && !std::isfinite(half)) {
      CHECK_THROWS_WITH(keep_vectors(WeightType::float16, 1, 1, &x, &bits), Catch::Contains("of a cache of type f16"));
    } else {
      keep_vectors(WeightType::float16, 1, 1, &x, &bits);
      CHECK(std::isnan(float_from_half(bits)) == !std::isfinite(x));
      CHECK((std::isnan(float_from_half(bits)) || float_from_half(bits) == half));
    }
    keep_vectors(WeightType::bfloat16, 1, 1, &x, &bits);
    const float bfloat = float_from_bfloat16(bfloat16_from_float(x));
    CHECK(std::isnan(float_from_bfloat16(bits)) == !std::isfinite(bfloat));
    CHECK((std::isnan(float_from_bfloat16(bits)) || float_from_bfloat16(bits) == bfloat));
  }
  // The first of them is named, whatever stands beside it.
  const Floats several{1.0f, infinity, -70000.0f, 80000.0f};
  std::uint16_t bits[4];
  CHECK_THROWS_WITH(keep_vectors(WeightType::float16, 1, 4, several.data(), bits), Catch::Contains("70000 large"));
  // All that a binary16 is stays what it is.
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const float x = float_from_half(static_cast<std::uint16_t>(i));
    std::uint16_t bits = 0;
    keep_vectors(WeightType::float16, 1, 1, &x, &bits);
    REQUIRE((std::isfinite(x) ? bits == i : bits == 0x7e00));
  }
}

TEST_CASE("norms agree with float64, forward and backward", "[ops]") {
  for (const bool rms : {false, true})
    for (const std::int64_t n : {2, 5, 16, 64, 129, 512}) {
      INFO((rms ? "rms " : "layer ") << n);
      const std::int64_t rows = 9;
      const NormShape shape{rms, 1e-5f};
      const Floats x = random_floats(rows * n, 1), gamma = random_floats(n, 2), beta = random_floats(n, 3),
                   dy = random_floats(rows * n, 4);
      Floats y(x.size()), mean(9), rstd(9), dx(x.size()), dgamma(gamma.size(), 0.0f), dbeta(beta.size(), 0.0f);
      const auto reference = [&](const std::vector<double>& in, const std::vector<double>& g,
                                 const std::vector<double>& b) {
        Matrix out = xt::zeros<double>({std::size_t{9}, static_cast<std::size_t>(n)});
        for (std::int64_t r = 0; r < rows; ++r) {
          double m = 0, v = 0;
          for (std::int64_t i = 0; i < n; ++i) m += in[static_cast<std::size_t>(r * n + i)] / static_cast<double>(n);
          if (rms) m = 0;
          for (std::int64_t i = 0; i < n; ++i)
            v += std::pow(in[static_cast<std::size_t>(r * n + i)] - m, 2) / static_cast<double>(n);
          for (std::int64_t i = 0; i < n; ++i)
            out(r, i) = (in[static_cast<std::size_t>(r * n + i)] - m) /
                            std::sqrt(v + static_cast<double>(shape.epsilon)) * g[static_cast<std::size_t>(i)] +
                        (rms ? 0.0 : b[static_cast<std::size_t>(i)]);
        }
        return out;
      };
      norm(shape, {x.data(), rows, n}, gamma.data(), rms ? nullptr : beta.data(), y.data(), {mean.data(), rstd.data()});
      CHECK(relative_error(y.data(), reference(doubles(x), doubles(gamma), doubles(beta))) < 1e-6);
      norm_backward(shape, {x.data(), rows, n}, gamma.data(), {mean.data(), rstd.data()}, dy.data(), dx.data(),
                    {dgamma.data(), rms ? nullptr : dbeta.data()});
      const auto loss = [&](const Matrix& out) {
        double sum = 0;
        for (std::size_t i = 0; i < dy.size(); ++i) sum += dy[i] * out.data()[i];
        return sum;
      };
      // With two elements the gradient of layer norm is almost nothing: the difference of large terms.
      if (n > 2 || rms)
        check_gradient([&](const auto& v) { return loss(reference(v, doubles(gamma), doubles(beta))); }, x, dx, 20);
      check_gradient([&](const auto& v) { return loss(reference(doubles(x), v, doubles(beta))); }, gamma, dgamma, 20);
      if (!rms)
        check_gradient([&](const auto& v) { return loss(reference(doubles(x), doubles(gamma), v)); }, beta, dbeta, 20);
    }
}

TEST_CASE("activations agree with float64, forward and backward", "[ops]") {
  const auto reference = [](Activation kind, double x) {
    switch (kind) {
      case Activation::identity:
        return x;
      case Activation::relu:
        return std::max(x, 0.0);
      case Activation::gelu:
        return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
      case Activation::gelu_tanh:
        return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
      case Activation::silu:
        return x / (1.0 + std::exp(-x));
      case Activation::quick_gelu:
        return x / (1.0 + std::exp(-1.702 * x));
      case Activation::tanh:
        return std::tanh(x);
    }
    throw std::logic_error("an activation without a reference");
  };
  const std::int64_t rows = 7, n = 101;
  Floats x = random_floats(rows * n, 1, 3.0);
  x[0] = 0.0f, x[1] = 40.0f, x[2] = -40.0f, x[3] = 1e-6f, x[4] = -100.0f, x[5] = 100.0f;
  const Floats dy = random_floats(rows * n, 2);
  for (int number = 0; number < kActivations; ++number) {
    const auto kind = static_cast<Activation>(number);
    INFO("activation " << name_of(kind));
    Floats y(x.size()), dx(x.size());
    activation(kind, rows, n, x.data(), y.data());
    activation_backward(kind, rows, n, x.data(), dy.data(), dx.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      INFO("x = " << x[i]);
      CHECK(std::abs(y[i] - reference(kind, x[i])) <= 4e-7 * std::max(1.0, std::abs(static_cast<double>(x[i]))));
      if (x[i] == 0.0f && kind == Activation::relu) continue;  // a corner
      const double h = 1e-6, slope = (reference(kind, x[i] + h) - reference(kind, x[i] - h)) / (2 * h);
      CHECK(std::abs(dx[i] - dy[i] * slope) <= 2e-6 * std::abs(static_cast<double>(dy[i])) + 1e-9);
    }
    Floats in_place = x;
    activation(kind, rows, n, in_place.data(), in_place.data());
    CHECK(same_bits(in_place.data(), y.data(), rows * n));
  }
}

TEST_CASE("dropout keeps 1 - p, scales by its inverse, and depends on the place only", "[ops][law4]") {
  const std::int64_t rows = 200, n = 131;
  const Floats ones(static_cast<std::size_t>(rows * n), 1.0f);
  Floats y(ones.size()), part(ones.size());
  for (const float p : {0.1f, 0.5f, 0.9f}) {
    dropout(p, 42, 0, rows, n, ones.data(), y.data());
    std::int64_t zeros = 0;
    for (const float v : y) {
      zeros += v == 0.0f;
      if (v != 0.0f) CHECK(v == Approx(1.0f / (1.0f - p)));
    }
    const double count = static_cast<double>(rows * n), expected = p * count;
    CHECK(std::abs(static_cast<double>(zeros) - expected) < 5 * std::sqrt(expected * (1 - static_cast<double>(p))));
    const Threads team(3);
    dropout(p, 42, 0, 17, n, ones.data(), part.data());
    CHECK(same_bits(part.data(), y.data(), 17 * n));
    dropout(p, 42, 17, rows - 17, n, ones.data(), part.data());  // the others, as a part that begins there
    CHECK(same_bits(part.data(), y.data() + 17 * n, (rows - 17) * n));
    dropout(p, 43, 0, rows, n, ones.data(), part.data());
    CHECK(!same_bits(part.data(), y.data(), rows * n));
  }
}

TEST_CASE("embeddings and their gradient", "[ops]") {
  const std::int64_t vocabulary = 37, d = 19, n = 300;
  const Floats table = random_floats(vocabulary * d, 1), dy = random_floats(n * d, 2);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(n));
  Random random(3);
  for (auto& id : ids) id = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocabulary)));
  Floats y(static_cast<std::size_t>(n * d)), gradient(table.size(), 1.0f), again(table.size(), 1.0f);
  embedding(n, ids.data(), {table.data(), static_cast<std::int64_t>(table.size()) / d, d}, 2.5f, y.data());
  Matrix one_hot = xt::zeros<double>({static_cast<std::size_t>(n), static_cast<std::size_t>(vocabulary)});
  for (std::int64_t r = 0; r < n; ++r) one_hot(r, ids[static_cast<std::size_t>(r)]) = 2.5;
  CHECK(relative_error(y.data(), xt::linalg::dot(one_hot, matrix(table, vocabulary, d))) < 1e-7);
  {
    const Threads one(1);
    embedding_backward(n, d, ids.data(), dy.data(), 2.5f, vocabulary, gradient.data());
  }
  CHECK(relative_error(gradient.data(), 1.0 + xt::linalg::dot(xt::transpose(one_hot), matrix(dy, n, d))) < 1e-6);
  const Threads team(3);
  embedding_backward(n, d, ids.data(), dy.data(), 2.5f, vocabulary, again.data());
  CHECK(same_bits(gradient.data(), again.data(), vocabulary * d));
}

TEST_CASE("positions", "[ops]") {
  const std::int64_t d = 12, length = 3000;
  const auto plain = sinusoidal_table(0, length, d, Sinusoid::interleaved),
             halved = sinusoidal_table(0, length, d, Sinusoid::halved);
  for (const std::int64_t p : {0, 1, 2, 100, 2999})
    for (std::int64_t i = 0; i < d / 2; ++i) {
      const double angle =
          static_cast<double>(p) / std::pow(10000.0, 2.0 * static_cast<double>(i) / static_cast<double>(d));
      CHECK(plain[static_cast<std::size_t>(p * d + 2 * i)] == Approx(std::sin(angle)).margin(1e-7));
      CHECK(plain[static_cast<std::size_t>(p * d + 2 * i + 1)] == Approx(std::cos(angle)).margin(1e-7));
      CHECK(halved[static_cast<std::size_t>(p * d + i)] == plain[static_cast<std::size_t>(p * d + 2 * i)]);
      CHECK(halved[static_cast<std::size_t>(p * d + d / 2 + i)] == plain[static_cast<std::size_t>(p * d + 2 * i + 1)]);
    }

  const std::vector<std::int64_t> offsets{0, 4, 4, 7};
  const Floats x = random_floats(7 * d, 1), dy = random_floats(7 * d, 2);
  Floats y(x.size()), gradient(static_cast<std::size_t>(10 * d), 0.0f);
  add_positions({offsets}, d, plain.data() + 3 * d, x.data(), y.data());
  add_positions_backward({offsets}, d, dy.data(), gradient.data());
  for (std::int64_t r = 0; r < 7; ++r) {
    const std::int64_t position = r < 4 ? r : r - 4;
    for (std::int64_t i = 0; i < d; ++i) {
      const auto at = static_cast<std::size_t>(r * d + i);
      CHECK(y[at] == x[at] + plain[static_cast<std::size_t>((position + 3) * d + i)]);
      const float expected = position < 3 ? dy[static_cast<std::size_t>(position * d + i)] +
                                                dy[static_cast<std::size_t>((position + 4) * d + i)]
                                          : dy[at];
      CHECK(gradient[static_cast<std::size_t>(position * d + i)] == expected);
    }
  }
}

TEST_CASE("rotary positions turn pairs, keep relative scores, and turn back", "[ops]") {
  const std::int64_t rows = 6, heads = 2, width = 8, stride = 20;
  const std::vector<std::int32_t> positions{0, 1, 2, 100, 1001, 3};
  const Floats x = random_floats(rows * stride, 1);
  Floats y = x;
  rotate(RotarySpec{.width = width}, {rows, heads, width, stride}, {positions.data()}, false, y.data());
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < stride; ++c) {
      const std::int64_t head = c / width, i = c % width % (width / 2);
      double expected = x[static_cast<std::size_t>(r * stride + c)];
      if (head < heads) {
        const double angle =
            positions[static_cast<std::size_t>(r)] * std::pow(10000.0, -2.0 * static_cast<double>(i) / width);
        const double a = x[static_cast<std::size_t>(r * stride + head * width + i)],
                     b = x[static_cast<std::size_t>(r * stride + head * width + width / 2 + i)];
        expected = c % width < width / 2 ? a * std::cos(angle) - b * std::sin(angle)
                                         : b * std::cos(angle) + a * std::sin(angle);
      }
      CHECK(y[static_cast<std::size_t>(r * stride + c)] == Approx(expected).margin(1e-6));
    }
  rotate(RotarySpec{.width = width}, {rows, heads, width, stride}, {positions.data()}, true, y.data());
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(y[i] == Approx(x[i]).margin(1e-6));
}

TEST_CASE("rotary positions: base, width, pairs and scaling", "[ops]") {
  const std::int64_t rows = 4, heads = 2, head_width = 12, stride = 25;
  const std::vector<std::int32_t> positions{0, 1, 77, 5000};
  const Floats x = random_floats(rows * stride, 1);
  for (const RotaryScaling scaling : {RotaryScaling::none, RotaryScaling::linear, RotaryScaling::llama3})
    for (const bool interleaved : {false, true})
      for (const std::int64_t width : {4, 12}) {
        INFO("scaling " << static_cast<int>(scaling) << ", interleaved " << interleaved << ", width " << width);
        // Frequencies on either side of the passage of llama3, and inside it.
        const RotarySpec spec{500, width, interleaved, scaling, 8, 1, 4, 60};
        Floats y = x;
        rotate(spec, {rows, heads, head_width, stride}, {positions.data()}, false, y.data());
        Matrix expected = matrix(x, rows, stride);
        for (std::int64_t i = 0; i < width / 2; ++i) {
          double frequency = std::pow(500.0, -2.0 * static_cast<double>(i) / static_cast<double>(width));
          const double wavelength = 2 * M_PI / frequency;
          if (scaling == RotaryScaling::linear || (scaling == RotaryScaling::llama3 && wavelength > 60.0 / 1))
            frequency /= 8;
          else if (scaling == RotaryScaling::llama3 && wavelength >= 60.0 / 4) {
            const double smooth = (60.0 / wavelength - 1) / (4 - 1);
            frequency = (1 - smooth) * frequency / 8 + smooth * frequency;
          }
          for (std::int64_t r = 0; r < rows; ++r)
            for (std::int64_t h = 0; h < heads; ++h) {
              const std::int64_t a = h * head_width + (interleaved ? 2 * i : i),
                                 b = h * head_width + (interleaved ? 2 * i + 1 : width / 2 + i);
              const double angle = positions[static_cast<std::size_t>(r)] * frequency, p = expected(r, a),
                           q = expected(r, b);
              expected(r, a) = p * std::cos(angle) - q * std::sin(angle);
              expected(r, b) = q * std::cos(angle) + p * std::sin(angle);
            }
        }
        CHECK(relative_error(y.data(), expected) < 1e-6);
        for (std::int64_t r = 0; r < rows; ++r) {  // what is not turned keeps its bits
          CHECK(same_bits(&y[static_cast<std::size_t>(r * stride + 24)], &x[static_cast<std::size_t>(r * stride + 24)],
                          1));
          CHECK(same_bits(&y[static_cast<std::size_t>(r * stride + width)],
                          &x[static_cast<std::size_t>(r * stride + width)], head_width - width));
        }
        rotate(spec, {rows, heads, head_width, stride}, {positions.data()}, true, y.data());
        CHECK(relative_error(y.data(), matrix(x, rows, stride)) < 1e-6);
      }
}

TEST_CASE("pooling, normalized rows and scaled columns, forward and backward", "[ops]") {
  const std::int64_t d = 19, rows = 9;
  const std::vector<std::int64_t> offsets{0, 4, 4, 5, 9};
  const Floats dy = random_floats(rows * d, 2), scale = random_floats(d, 3);
  Floats x = random_floats(rows * d, 1);
  std::fill_n(x.begin() + 8 * d, d, 0.0f);
  x[3] = x[static_cast<std::size_t>(d + 3)] = 50.0f;  // the largest of column 3 stands in rows 0 and 1
  const std::size_t other = 5 * d;                    // sequence 3, column 0
  Floats y(4 * d), dx(x.size(), 0.0f);
  std::vector<std::int32_t> from(4 * d);
  max_rows({offsets}, d, x.data(), y.data(), from.data());
  max_rows_backward(4, d, from.data(), dy.data(), dx.data());
  Floats expected_dx(x.size(), 0.0f);
  for (std::int64_t s = 0; s < 4; ++s)
    for (std::int64_t c = 0; c < d; ++c) {
      const auto cell = static_cast<std::size_t>(s * d + c);
      std::int64_t best = -1;
      for (std::int64_t r = offsets[static_cast<std::size_t>(s)]; r < offsets[static_cast<std::size_t>(s) + 1]; ++r)
        if (best < 0 || x[static_cast<std::size_t>(r * d + c)] > x[static_cast<std::size_t>(best * d + c)]) best = r;
      CHECK(from[cell] == best);
      CHECK(y[cell] == (best < 0 ? 0.0f : x[static_cast<std::size_t>(best * d + c)]));
      if (best >= 0) expected_dx[static_cast<std::size_t>(best * d + c)] = dy[cell];
    }
  CHECK(dx == expected_dx);
  Floats damaged = x;
  damaged[other] = std::numeric_limits<float>::quiet_NaN();
  max_rows({offsets}, d, damaged.data(), y.data(), from.data());
  CHECK(std::isnan(y[3 * d]));
  damaged[other] = x[other];
  damaged[other + d] = std::numeric_limits<float>::quiet_NaN();
  max_rows({offsets}, d, damaged.data(), y.data(), from.data());
  CHECK(std::isnan(y[3 * d]));

  const auto loss = [&](const std::function<double(const std::vector<double>&, std::int64_t, std::int64_t)>& value) {
    return [&, value](const std::vector<double>& v) {
      double sum = 0;
      for (std::int64_t r = 0; r < rows - 1; ++r)
        for (std::int64_t c = 0; c < d; ++c) sum += dy[static_cast<std::size_t>(r * d + c)] * value(v, r, c);
      return sum;
    };
  };
  const auto normalized = [&](const std::vector<double>& v, std::int64_t r, std::int64_t c) {
    double squares = 0;
    for (std::int64_t i = 0; i < d; ++i) squares += std::pow(v[static_cast<std::size_t>(r * d + i)], 2);
    return v[static_cast<std::size_t>(r * d + c)] / std::sqrt(squares);
  };
  Floats normal = x, lengths(rows);
  normalize_rows(rows, d, normal.data(), lengths.data());
  for (std::int64_t r = 0; r < rows - 1; ++r)
    for (std::int64_t c = 0; c < d; ++c)
      CHECK(normal[static_cast<std::size_t>(r * d + c)] == Approx(normalized(doubles(x), r, c)).margin(1e-7));
  CHECK(std::all_of(normal.end() - d, normal.end(), [](float v) { return v == 0.0f; }));
  normalize_rows_backward(rows, d, normal.data(), lengths.data(), dy.data(), dx.data());
  for (std::int64_t c = 0; c < d; ++c)  // the row of zeros was divided by 1e-12
    CHECK(dx[static_cast<std::size_t>(8 * d + c)] == Approx(dy[static_cast<std::size_t>(8 * d + c)] * 1e12));
  std::fill(dx.end() - d, dx.end(), 0.0f);
  check_gradient(loss(normalized), x, dx, 171);

  Floats scaled(x.size()), d_scale(scale.size(), 0.0f), again(scale.size(), 0.0f);
  scale_columns(rows, d, x.data(), scale.data(), scaled.data());
  scale_columns_backward(rows, d, x.data(), scale.data(), dy.data(), dx.data(), d_scale.data());
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < d; ++c) {
      const auto cell = static_cast<std::size_t>(r * d + c);
      CHECK(scaled[cell] == x[cell] * scale[static_cast<std::size_t>(c)]);
      CHECK(dx[cell] == dy[cell] * scale[static_cast<std::size_t>(c)]);
    }
  check_gradient(loss([&](const auto& v, std::int64_t r, std::int64_t c) {
                   return x[static_cast<std::size_t>(r * d + c)] * v[static_cast<std::size_t>(c)];
                 }),
                 scale, d_scale);
  const Threads team(3);
  scale_columns_backward(rows, d, x.data(), scale.data(), dy.data(), dx.data(), again.data());
  CHECK(same_bits(again.data(), d_scale.data(), d));
}

TEST_CASE("cross-entropy agrees with float64, forward and backward", "[ops]") {
  const std::int64_t d = 11;
  for (const std::int64_t vocabulary : {3, 40, 131})
    for (const float smoothing : {0.0f, 0.1f})
      for (const bool with_bias : {false, true}) {
        INFO("vocabulary " << vocabulary << ", smoothing " << smoothing << ", bias " << with_bias);
        const std::int64_t rows = 301;
        const float scale = 0.25f;
        const Floats hidden = random_floats(rows * d, 1), weight = random_floats(vocabulary * d, 2),
                     bias = random_floats(vocabulary, 3);
        std::vector<std::int32_t> targets(static_cast<std::size_t>(rows));
        Random random(4);
        for (auto& t : targets) t = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocabulary)));
        targets[5] = targets[300] = -1;
        LossSums expected;
        const auto loss = [&](const std::vector<double>& h, const std::vector<double>& w,
                              const std::vector<double>& b) {
          expected = {};
          for (std::int64_t r = 0; r < rows; ++r) {
            const std::int64_t target = targets[static_cast<std::size_t>(r)];
            if (target < 0) continue;
            std::vector<double> logits(static_cast<std::size_t>(vocabulary), 0.0);
            double highest = -1e300, sum = 0, total = 0;
            std::int64_t best = 0;
            for (std::int64_t v = 0; v < vocabulary; ++v) {
              double& z = logits[static_cast<std::size_t>(v)];
              for (std::int64_t c = 0; c < d; ++c)
                z += h[static_cast<std::size_t>(r * d + c)] * w[static_cast<std::size_t>(v * d + c)];
              if (with_bias) z += b[static_cast<std::size_t>(v)];
              if (z > highest) highest = z, best = v;
              total += z;
            }
            for (const double z : logits) sum += std::exp(z - highest);
            const double lse = highest + std::log(sum), e = smoothing;
            expected.loss +=
                lse - (1 - e) * logits[static_cast<std::size_t>(target)] - e / static_cast<double>(vocabulary) * total;
            expected.negative_log_likelihood += lse - logits[static_cast<std::size_t>(target)];
            expected.correct += best == target;
            expected.rows += 1;
          }
          return expected.loss * static_cast<double>(scale);
        };
        Workspace workspace;
        Floats d_hidden(hidden.size(), 7.0f), d_weight(weight.size(), 0.0f), d_bias(bias.size(), 0.0f);
        const auto run = [&](float* dh, float* dw, float* db) {
          return cross_entropy({.weight = {weight.data(), vocabulary, d},
                                .bias = with_bias ? bias.data() : nullptr,
                                .packed = {},
                                .packed_back = {},
                                .d_weight = dw,
                                .d_bias = with_bias ? db : nullptr},
                               rows, hidden.data(), targets.data(), {smoothing, scale}, workspace, dh);
        };
        const LossSums result = run(d_hidden.data(), d_weight.data(), d_bias.data());
        loss(doubles(hidden), doubles(weight), doubles(bias));
        CHECK(result.loss == Approx(expected.loss).epsilon(1e-6));
        CHECK(result.negative_log_likelihood == Approx(expected.negative_log_likelihood).epsilon(1e-6));
        CHECK(result.correct == expected.correct);
        CHECK(result.rows == expected.rows);
        CHECK(run(nullptr, nullptr, nullptr).loss == Approx(result.loss).epsilon(1e-9));
        for (std::int64_t c = 0; c < d; ++c) CHECK(d_hidden[static_cast<std::size_t>(5 * d + c)] == 0.0f);
        check_gradient([&](const auto& v) { return loss(v, doubles(weight), doubles(bias)); }, hidden, d_hidden, 8);
        check_gradient([&](const auto& v) { return loss(doubles(hidden), v, doubles(bias)); }, weight, d_weight, 8);
        if (with_bias)
          check_gradient([&](const auto& v) { return loss(doubles(hidden), doubles(weight), v); }, bias, d_bias, 8);
        // The same bits with other threads.
        Floats h2(hidden.size()), w2(weight.size(), 0.0f), b2(bias.size(), 0.0f);
        const Threads team(3);
        CHECK(run(h2.data(), w2.data(), b2.data()).loss == result.loss);
        CHECK(same_bits(h2.data(), d_hidden.data(), rows * d));
        CHECK(same_bits(w2.data(), d_weight.data(), vocabulary * d));
        CHECK(same_bits(b2.data(), d_bias.data(), vocabulary));
      }
}

TEST_CASE("cross-entropy of pairs agrees with float64, forward and backward", "[ops]") {
  const std::int64_t d = 6;
  for (const std::int64_t pairs : {1, 7, 300})
    for (const float smoothing : {0.0f, 0.1f}) {
      INFO(pairs << " pairs, smoothing " << smoothing);
      const Floats source = random_floats(pairs * d, 181), target = random_floats(pairs * d, 182), log_scale{0.4f};
      const double scale = 1.0 / static_cast<double>(2 * pairs);
      // The mean loss, with any of the three as double.
      const auto loss = [&](const auto& a, const auto& b, const auto& s) {
        const auto product = [&](std::int64_t i, std::int64_t j) {
          double sum = 0;
          for (std::int64_t k = 0; k < d; ++k)
            sum += static_cast<double>(a[static_cast<std::size_t>(i * d + k)]) * b[static_cast<std::size_t>(j * d + k)];
          return sum * std::exp(static_cast<double>(s[0]));
        };
        double total = 0;
        for (const bool by_source : {true, false})
          for (std::int64_t i = 0; i < pairs; ++i) {
            double sum = 0, all = 0;
            for (std::int64_t j = 0; j < pairs; ++j) {
              const double logit = by_source ? product(i, j) : product(j, i);
              sum += std::exp(logit);
              all += logit;
            }
            total += std::log(sum) - (1 - smoothing) * product(i, i) - smoothing / static_cast<double>(pairs) * all;
          }
        return total * scale;
      };
      Workspace workspace;
      Floats d_source(source.size(), 0.0f), d_target(target.size(), 0.0f), d_scale{0.0f};
      const PairVectors vectors{pairs, d, source.data(), target.data(), log_scale[0]};
      const PairGradients gradients{d_source.data(), d_target.data(), d_scale.data()};
      const CrossEntropyForm form{smoothing, static_cast<float>(scale), 0};
      const PairCrossEntropy result = pair_cross_entropy(vectors, form, workspace, &gradients);
      CHECK(result.total.loss * scale == Approx(loss(source, target, log_scale)).epsilon(1e-6).margin(1e-6));
      CHECK(result.total.rows == 2 * pairs);
      const PairCrossEntropy alone = pair_cross_entropy(vectors, form, workspace, nullptr);
      CHECK(alone.total.loss == Approx(result.total.loss));
      CHECK(alone.targets_found == result.targets_found);
      CHECK(result.total.correct == result.targets_found[0] + result.sources_found[0]);
      if (pairs == 7) {  // finite differences take a loss for each number
        check_gradient([&](const auto& v) { return loss(v, target, log_scale); }, source, d_source, 183);
        check_gradient([&](const auto& v) { return loss(source, v, log_scale); }, target, d_target, 184);
      }
      if (pairs > 1) check_gradient([&](const auto& v) { return loss(source, target, v); }, log_scale, d_scale);
      const Threads team(3);
      Floats again(source.size(), 0.0f), other(target.size(), 0.0f), third{0.0f};
      const PairGradients to{again.data(), other.data(), third.data()};
      pair_cross_entropy(vectors, form, workspace, &to);
      CHECK((again == d_source && other == d_target && third == d_scale));
    }
  // Of equals the first one is found: where all are the same, only the first pair finds itself.
  const Floats same(20 * d, 0.5f);
  Workspace workspace;
  const PairCrossEntropy equal = pair_cross_entropy({20, d, same.data(), same.data(), 1}, {}, workspace, nullptr);
  CHECK(equal.targets_found == std::array<std::int64_t, 3>{1, 5, 10});
  CHECK(equal.sources_found == equal.targets_found);
}

TEST_CASE("the nearest rows are exact where products cannot tell distances apart", "[ops]") {
  // Far from zero |x|^2 - 2 x . y + |y|^2 cancels: in float32 these distances would be nothing but rounding.
  const std::int64_t rows = 2500, width = 3, k = 7;
  Random random(5);
  Buffer<float> base(static_cast<std::size_t>(rows * width));
  for (float& x : base) x = 1000 + static_cast<float>(std::floor(random.uniform() * 50)) / 64;
  const Buffer<float> copy = base;
  const NearestRows nearest(std::move(base), width, VectorMetric::euclidean);
  const std::int64_t first = 0;
  const auto hits = nearest.search({copy.data(), 40, width}, k, &first);
  for (std::int64_t q = 0; q < 40; ++q) {
    std::vector<std::pair<float, std::int32_t>> all;
    for (std::int64_t row = 0; row < rows; ++row) {
      double sum = 0;
      for (std::int64_t i = 0; i < width; ++i) {
        const double d = static_cast<double>(copy[static_cast<std::size_t>(q * width + i)]) -
                         static_cast<double>(copy[static_cast<std::size_t>(row * width + i)]);
        sum += d * d;
      }
      if (row != q) all.emplace_back(static_cast<float>(std::sqrt(sum)), static_cast<std::int32_t>(row));
    }
    std::sort(all.begin(), all.end());
    for (std::int64_t i = 0; i < k; ++i) {
      const Hit& hit = hits[static_cast<std::size_t>(q * k + i)];
      REQUIRE(std::pair(hit.score, hit.id) == all[static_cast<std::size_t>(i)]);
    }
  }
}
