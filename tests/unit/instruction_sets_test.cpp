// Law 4 across processors: every table of kernels that this processor can run gives the same bits, and they are those
// of every other machine (a digest of all of them stands here).
#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "core/random.hpp"
#include "ops/attention.hpp"
#include "ops/embedding.hpp"
#include "ops/gemm.hpp"
#include "ops/kept_vectors.hpp"
#include "ops/kernels/kernels.hpp"
#include "ops/principal_components.hpp"

using namespace pipeformer;

namespace {

/// FNV-1a over all that a set of kernels computes.
class Digest {
 public:
  void add(const void* data, std::size_t bytes) {
    const auto* p = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < bytes; ++i) state_ = (state_ ^ p[i]) * 0x100000001b3u;
  }
  void add(const std::vector<float>& v) { add(v.data(), v.size() * sizeof(float)); }
  void add(float x) { add(&x, sizeof x); }
  std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325u;
};

/// Numbers by integer arithmetic alone: of ordinary size; or now and then large, tiny, denormal or zero.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : random_(seed) {}
  float ordinary() {
    return static_cast<float>(static_cast<std::int64_t>(random_.below(1 << 24)) - (1 << 23)) * 0x1p-21f;
  }
  float extreme() {
    constexpr float kScales[] = {1e-40f, 1e-30f, 1e-6f, 1.0f, 1.0f, 30.0f, 1e4f, 1e15f, 0.0f, -0.0f};
    return ordinary() * kScales[random_.below(10)];
  }
  std::vector<float> row(std::int64_t n, bool extremes = false) {
    std::vector<float> v(static_cast<std::size_t>(n));
    for (float& x : v) x = extremes ? extreme() : ordinary();
    return v;
  }
  std::int64_t size(std::int64_t most) {
    return 1 + static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(most)));
  }

 private:
  Random random_;
};

/// C (m, n) = A (m, k) W^T or, transposed, A^T (k, m) W^T, from packed panels.
std::vector<float> product(const Kernels& kernel, std::int64_t m, std::int64_t k, std::int64_t n, bool transposed,
                           const std::vector<float>& a, const std::vector<float>& w) {
  const std::int64_t width = kernel.panel, panels = (n + width - 1) / width;
  std::vector<float> packed(static_cast<std::size_t>((panels + 1) * width * k)), c(static_cast<std::size_t>(m * n));
  kernel.pack_transposed(n, k, {w.data(), k}, packed.data());
  for (std::int64_t p = 0; p < panels; ++p) {
    const MutableMatrixView to(c.data() + p * width, m, std::min(width, n - p * width), n);
    const float* panel = packed.data() + p * width * k;
    if (transposed)
      kernel.gemm_panel_transposed({a.data(), k, m, m}, panel, panel, nullptr, to, false);
    else
      kernel.gemm_panel({a.data(), m, k, k}, panel, panel, nullptr, to, false);
  }
  return c;
}

void products(const Kernels& kernel, Digest& digest) {
  Draw draw(1);
  for (int i = 0; i < 60; ++i) {
    const std::int64_t m = draw.size(30), k = draw.size(70), n = draw.size(70);
    const bool extremes = i % 3 == 0;
    const auto a = draw.row(m * k, extremes), w = draw.row(n * k, extremes);
    digest.add(product(kernel, m, k, n, false, a, w));
    digest.add(product(kernel, m, k, n, true, a, w));
    // The kernels of few rows give the bits of the others.
    const std::int64_t rows = std::min<std::int64_t>(m, kFewRows), ld = (n / kernel.panel + 1) * kernel.panel;
    std::vector<float> c(static_cast<std::size_t>(rows * ld));
    kernel.dot_few({a.data(), rows, k, k}, {w.data(), k}, k, {c.data(), rows, n, ld});
    for (std::int64_t r = 0; r < rows; ++r) digest.add(c.data() + r * ld, static_cast<std::size_t>(n) * sizeof(float));
  }
}

void rows(const Kernels& kernel, Digest& digest) {
  Draw draw(2);
  for (int i = 0; i < 200; ++i) {
    const std::int64_t n = draw.size(150);
    const bool extremes = i % 4 == 3;
    const auto x = draw.row(n, extremes), y = draw.row(n, extremes), gamma = draw.row(n), beta = draw.row(n);
    std::vector<float> out = y;
    const auto keep = [&] { digest.add(out); };
    kernel.add(n, x.data(), y.data(), out.data()), keep();
    kernel.multiply(n, x.data(), y.data(), out.data()), keep();
    kernel.axpy(n, 0.3f, x.data(), out.data()), keep();
    kernel.scale(n, 0.7f, out.data()), keep();
    kernel.add_bias(1, n, beta.data(), out.data(), n), keep();
    kernel.column_sums(1, n, x.data(), n, out.data()), keep();
    const double squares = kernel.sum_squares(n, x.data());
    digest.add(&squares, sizeof squares);
    digest.add(kernel.dot(n, x.data(), y.data()));
    kernel.dropout(n, static_cast<std::uint32_t>(i), 1u << 30, 1.25f, x.data(), out.data()), keep();
    for (const float epsilon : {1e-5f, 1e-12f}) {
      for (const bool centred : {true, false}) {
        RowStatistics s;
        (centred ? kernel.layer_norm : kernel.rms_norm)(1, n, x.data(), gamma.data(), beta.data(), epsilon, out.data(),
                                                        &s.mean, &s.rstd);
        if (!std::isfinite(s.rstd) || !std::isfinite(s.mean)) continue;
        digest.add(s.mean), digest.add(s.rstd), keep();
        kernel.norm_backward(n, x.data(), gamma.data(), s, centred, y.data(), out.data()), keep();
        std::vector<float> d_beta = beta;
        kernel.norm_parameters_backward({x.data(), 1, n, n}, y.data(), centred ? &s.mean : nullptr, &s.rstd, out.data(),
                                        d_beta.data());
        keep(), digest.add(d_beta);
      }
    }
    out = x;
    kernel.exp_shifted(n, 0.5f, out.data()), keep();
    kernel.softmax_backward(n, x.data(), 0.25f, 1.5f, out.data()), keep();
    float maximum, sum;
    std::vector<float> maxima(2);
    kernel.log_sum_exp(n, x.data(), &maximum, &sum, maxima.data());
    digest.add(sum), digest.add(maxima);
    out = x;
    digest.add(kernel.cross_entropy_row(n, maximum, sum, 0.1f, n / 2, 0.01f, out.data())), keep();
    const std::int64_t found = kernel.find_above(0, n, 3.9f, x.data());
    digest.add(&found, sizeof found);
    AdamStep step{1e-3f, 0.9f, 0.98f, 1e-9f, 0.2f, 0.1f, i % 2 ? 1e-3f : 0.0f, i % 3 ? 1e-2f : 0.0f, 0.1f, 0.5f};
    std::vector<float> w = x, m = beta, v = gamma;
    for (float& g : v) g *= g;
    if (extremes) continue;
    kernel.adam(n, step, y.data(), w.data(), m.data(), v.data());
    digest.add(w), digest.add(m), digest.add(v);
  }
}

std::uint64_t activation_digest(const Kernels& kernel, Activation activation) {
  Draw draw(5);
  Digest digest;
  for (int i = 0; i < 200; ++i) {
    const std::int64_t n = draw.size(150);
    const bool extremes = i % 4 == 3;
    const auto x = draw.row(n, extremes), dy = draw.row(n, extremes);
    std::vector<float> out(x.size());
    kernel.activation(activation, n, x.data(), out.data()), digest.add(out);
    if (extremes) continue;  // derivatives of 1e19 are infinity times 0
    kernel.activation_backward(activation, n, x.data(), dy.data(), out.data()), digest.add(out);
  }
  return digest.value();
}

void softmax(const Kernels& kernel, Digest& digest) {
  Draw draw(3);
  for (int i = 0; i < 60; ++i) {
    const std::int64_t count = draw.size(9), n = draw.size(60), ld = (n + 31) / 32 * 32;
    auto scores = draw.row(count * ld, i % 3 == 0);
    std::vector<std::int64_t> seen;
    std::vector<float> maximum, sum, correction(static_cast<std::size_t>(count));
    for (std::int64_t r = 0; r < count; ++r) {
      seen.push_back(draw.size(n + 1) - 1);
      maximum.push_back(r % 2 ? draw.ordinary() : -std::numeric_limits<float>::infinity());
      sum.push_back(r % 2 ? 2.0f : 0.0f);
    }
    kernel.softmax_rows({scores.data(), count, ld, ld}, 0.125f, seen.data(), maximum.data(), sum.data(),
                        correction.data());
    digest.add(scores), digest.add(maximum), digest.add(sum), digest.add(correction);
  }
}

void sixteen_bits(const Kernels& kernel, Digest& digest) {
  std::vector<std::uint16_t> all(65536);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  std::vector<float> wide(all.size());
  kernel.widen_bfloat16(65536, all.data(), wide.data()), digest.add(wide);
  kernel.widen_float16(65536, all.data(), wide.data()), digest.add(wide);
}

/// Vectors of fewer bits, written and read by the kernels that read tables.
void kept(const Kernels& kernel, Digest& digest) {
  Draw draw(4);
  for (int i = 0; i < 90; ++i) {
    const auto type = static_cast<WeightType>(i % 3 + 1);
    const std::int64_t k = draw.size(70), n = draw.size(40), rows = draw.size(kFewRows);
    const std::int64_t elements = kept_elements(type, k), width = kernel.panel, ld = (n / width + 1) * width;
    std::vector<std::byte> table(static_cast<std::size_t>(n * kept_bytes(type, k)));
    const auto x = draw.row(n * k, i % 2 == 0), a = draw.row(rows * k);
    for (std::int64_t r = 0; r < n; ++r)
      kernel.narrow(type, k, x.data() + r * k, table.data() + r * kept_bytes(type, k));
    digest.add(table.data(), table.size());
    const TableRows stored{table.data(), elements, nullptr, type};
    std::vector<float> c(static_cast<std::size_t>(rows * ld));
    kernel.dot_few({a.data(), rows, k, k}, stored, k, {c.data(), rows, n, ld});
    for (std::int64_t r = 0; r < rows; ++r) digest.add(c.data() + r * ld, static_cast<std::size_t>(n) * sizeof(float));
    // Panels are of another width in each set: what they hold, column by column.
    std::vector<float> packed(static_cast<std::size_t>((std::max(n, k) / width + 1) * width * std::max(n, k)));
    kernel.pack_transposed(n, k, stored, packed.data());
    for (std::int64_t j = 0; j < n; ++j)
      for (std::int64_t d = 0; d < k; ++d)
        digest.add(packed[static_cast<std::size_t>((j / width * k + d) * width + j % width)]);
    kernel.pack(n, k, stored, packed.data());
    for (std::int64_t j = 0; j < k; ++j)
      for (std::int64_t d = 0; d < n; ++d)
        digest.add(packed[static_cast<std::size_t>((j / width * n + d) * width + j % width)]);
  }
}

void maxima(const Kernels& kernel, Digest& digest) {
  Draw draw(5);
  for (int i = 0; i < 100; ++i) {
    const std::int64_t n = draw.size(1000);
    const auto x = draw.row(n, i % 4 == 3);
    std::vector<float> blocks(static_cast<std::size_t>((n - 1) / kMaximaBlock + 1));
    const float highest = kernel.maxima(n, x.data(), blocks.data());
    const bool finite = std::isfinite(highest);
    digest.add(&finite, sizeof finite);
    if (finite) digest.add(highest), digest.add(blocks);
  }
}

std::uint64_t digest_of(const Kernels& kernel, void (*part)(const Kernels&, Digest&)) {
  Digest digest;
  part(kernel, digest);
  return digest.value();
}

}  // namespace

TEST_CASE("all instruction sets give the same bits", "[ops]") {
  const struct {
    const char* name;
    void (*part)(const Kernels&, Digest&);
    std::uint64_t expected;
  } parts[] = {{"products", products, 0x503d9d3b685c552a}, {"rows", rows, 0x19e5eac374a28882},
               {"softmax", softmax, 0x5ffafbd4928ee742},   {"16 bits", sixteen_bits, 0x784cd9e4479b1b45},
               {"kept", kept, 0xaee0121d7f43dfeb},         {"maxima", maxima, 0x99ff3e9f98eff672}};
  for (const auto& [name, part, expected] : parts)
    for (const Kernels* const* set = available_kernels(); *set; ++set) {
      INFO(name << ", " << (*set)->name);
      CHECK(digest_of(**set, part) == expected);
    }
}

TEST_CASE("attention of few queries multiplies as a plain loop does", "[ops]") {
  const auto same_bits = [](float a, float b) {
    return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
  };
  Draw draw(6);
  for (int i = 0; i < 200; ++i) {
    const auto type = static_cast<WeightType>(i % 4);
    const std::int64_t heads = draw.size(5), rows = draw.size(9), width = draw.size(90), keys = draw.size(40) - 1;
    const std::int64_t step = kept_bytes(type, width), bytes = heads * step;
    const std::int64_t filled = (keys + kScoreColumns - 1) / kScoreColumns * kScoreColumns;
    const Kernels& best = **available_kernels();
    std::vector<std::byte> table(static_cast<std::size_t>((keys + 1) * bytes));
    std::vector<float> wide(static_cast<std::size_t>((keys + 1) * heads * width));
    std::vector<const std::byte*> places;
    for (std::int64_t j = 0; j < keys; ++j) {  // last row first
      std::byte* row = table.data() + (keys - 1 - j) * bytes;
      for (std::int64_t h = 0; h < heads; ++h) {
        const auto x = draw.row(width, i % 3 == 0 && type == WeightType::float32);
        float* to = wide.data() + (j * heads + h) * width;
        best.narrow(type, width, x.data(), row + h * step);
        float by;
        std::memcpy(&by, row + h * step, sizeof by);
        if (type == WeightType::int8)
          for (std::int64_t d = 0; d < width; ++d)
            to[d] = by * static_cast<float>(static_cast<std::int8_t>(row[h * step + 4 + d]));
        else
          widen(type, width, row + h * step, to);
      }
      places.push_back(row);
    }
    places.resize(static_cast<std::size_t>(filled), places.empty() ? nullptr : places[0]);
    const std::int64_t first = draw.size(heads) - 1, count = heads - first;  // of a row's heads
    const KeptVectors kept{places.data(), keys, first * step, step, type};
    const auto q = draw.row(count * rows * width), p = draw.row(count * rows * (keys + 3)),
               before = draw.row(count * rows * width);
    for (const Kernels* const* set = available_kernels(); *set; ++set) {
      INFO((*set)->name << ", type " << i % 4 << ", " << rows << " rows, " << keys << " keys, width " << width);
      const std::int64_t ld = keys + 1;
      std::vector<float> scores(static_cast<std::size_t>(count * rows * ld), -7.0f), mixed = before, added = before;
      (*set)->score_heads(count, {{q.data(), rows, width, count * width}, width}, kept,
                          {{scores.data(), rows, keys, ld}, rows * ld});
      std::vector<float> turned(static_cast<std::size_t>(count * width * keys)), transposed(scores.size(), -7.0f);
      for (std::int64_t h = 0; h < count; ++h)
        (*set)->transpose_rows(keys, width, wide.data() + (first + h) * width, heads * width,
                               turned.data() + h * width * keys);
      (*set)->score_transposed(count, {{q.data(), rows, width, count * width}, width},
                               {{turned.data(), width, keys}, width * keys},
                               {{transposed.data(), rows, keys, ld}, rows * ld});
      const OfHeads<MatrixView> weights{{p.data(), rows, keys, keys + 3}, rows * (keys + 3)};
      (*set)->mix_heads(count, weights, kept, {{mixed.data(), rows, width, count * width}, width}, false);
      (*set)->mix_heads(count, weights, kept, {{added.data(), rows, width, count * width}, width}, true);
      bool same = std::equal(scores.begin(), scores.end(), transposed.begin(), same_bits);
      for (std::int64_t h = 0; h < count; ++h)
        for (std::int64_t r = 0; r < rows; ++r) {
          const auto key = [&](std::int64_t j) { return wide.data() + (j * heads + first + h) * width; };
          const std::int64_t at = (r * count + h) * width;
          const float* score = scores.data() + (h * rows + r) * ld;
          for (std::int64_t j = 0; j < keys; ++j) {
            float sum = 0;
            for (std::int64_t d = 0; d < width; ++d)
              sum = std::fma(key(j)[d], q[static_cast<std::size_t>(at + d)], sum);
            same = same && same_bits(score[j], sum);
          }
          same = same && score[keys] == -7.0f;  // nothing is written beyond the keys
          for (std::int64_t d = 0; d < width; ++d) {
            float sum = 0;
            for (std::int64_t j = 0; j < keys; ++j)
              sum = std::fma(key(j)[d], p[static_cast<std::size_t>((h * rows + r) * (keys + 3) + j)], sum);
            const auto x = static_cast<std::size_t>(at + d);
            same = same && same_bits(mixed[x], sum) && same_bits(added[x], before[x] + sum);
          }
        }
      CHECK(same);
    }
  }
}

TEST_CASE("rows of a norm have the bits that they have alone", "[ops]") {
  Draw draw(7);
  const std::int64_t widths[] = {1, 15, 16, 33, 128, 1024, 1025}, counts[] = {1, 3, 4, 7, 9};
  for (std::size_t i = 0; i < std::size(widths) * std::size(counts); ++i) {
    const std::int64_t n = widths[i / std::size(counts)], rows = counts[i % std::size(counts)];
    const auto x = draw.row(rows * n), gamma = draw.row(n), beta = draw.row(n);
    for (const Kernels* const* set = available_kernels(); *set; ++set)
      for (const auto norm : {(*set)->layer_norm, (*set)->rms_norm})
        for (const float* shift : {beta.data(), static_cast<const float*>(nullptr)}) {
          INFO((*set)->name << ", " << rows << " rows of " << n);
          std::vector<float> y(x.size()), mean(static_cast<std::size_t>(rows)), rstd = mean, alone = y;
          norm(rows, n, x.data(), gamma.data(), shift, 1e-5f, y.data(), mean.data(), rstd.data());
          bool same = true;
          for (std::int64_t r = 0; r < rows; ++r) {
            float own_mean, own_rstd;
            norm(1, n, x.data() + r * n, gamma.data(), shift, 1e-5f, alone.data() + r * n, &own_mean, &own_rstd);
            same =
                same && own_mean == mean[static_cast<std::size_t>(r)] && own_rstd == rstd[static_cast<std::size_t>(r)];
          }
          CHECK(same);
          CHECK(y == alone);
        }
  }
}

TEST_CASE("all instruction sets give the same bits of every activation", "[ops]") {
  constexpr std::uint64_t expected[] = {
      0x18bee4ec5dc6436b,  // identity
      0x8cec2c30694fb017,  // relu
      0xc885b7b44489b2ec,  // gelu
      0x1564fa766b5617e4,  // gelu-tanh
      0x69bfcdb83022b955,  // silu
      0xd5a0a2f1295535c9,  // quick-gelu
      0xd31e4eea7873710d,  // tanh
  };
  static_assert(std::size(expected) == kActivations);
  for (int kind = 0; kind < kActivations; ++kind)
    for (const Kernels* const* set = available_kernels(); *set; ++set) {
      INFO(kNamesOfActivations[kind] << ", " << (*set)->name);
      CHECK(activation_digest(**set, static_cast<Activation>(kind)) == expected[kind]);
    }
}

TEST_CASE("ops give the same bits on every machine", "[ops]") {
  Draw draw(4);
  Digest digest;
  for (const std::int64_t k : {7, 64, 300, 600}) {  // below and above kDepthBlock
    const std::int64_t m = 29, n = 45;
    const auto a = draw.row(m * k), w = draw.row(n * k), bias = draw.row(n);
    std::vector<float> c(static_cast<std::size_t>(m * n)), gradient(static_cast<std::size_t>(n * k));
    product_nt({a.data(), m, k}, {w.data(), n, k}, bias.data(), {c.data(), m, n});
    digest.add(c);
    product_tn({c.data(), m, n}, {a.data(), m, k}, {gradient.data(), n, k});
    digest.add(gradient);
    std::vector<float> back(static_cast<std::size_t>(m * k));
    product_nn({c.data(), m, n}, {w.data(), n, k}, {back.data(), m, k});
    digest.add(back);
  }
  const std::vector<std::int64_t> query_offsets{0, 3, 3, 40, 340}, key_offsets{0, 5, 6, 43, 343};
  for (int variant = 0; variant < 4; ++variant) {
    AttentionShape shape;
    shape.heads = 4;
    shape.kv_heads = variant == 1 ? 2 : 4;
    shape.key_width = 24;
    shape.value_width = 20;
    shape.scale = 0.2f;
    shape.causal = variant > 0;
    shape.window = variant == 2 ? 17 : 0;
    shape.dropout = variant == 3 ? 0.25f : 0.0f;
    AttentionInput in;
    in.queries = {query_offsets};
    in.keys = {key_offsets};
    in.query_stride = shape.heads * shape.key_width;
    in.key_stride = shape.kv_heads * shape.key_width;
    in.value_stride = shape.kv_heads * shape.value_width;
    const auto q = draw.row(in.queries.rows() * in.query_stride), k = draw.row(in.keys.rows() * in.key_stride),
               v = draw.row(in.keys.rows() * in.value_stride);
    in.query = q.data(), in.key = k.data(), in.value = v.data();
    const std::int64_t distances = 700;
    const auto bias = draw.row(shape.heads * distances);
    if (variant == 0) in.masks.distance = {bias.data(), distances, 350};
    const std::int64_t out_size = in.queries.rows() * shape.heads * shape.value_width;
    std::vector<float> out(static_cast<std::size_t>(out_size)),
        log_sum(static_cast<std::size_t>(in.queries.rows() * 4));
    attention_forward(shape, in, out.data(), log_sum.data());
    digest.add(out), digest.add(log_sum);
    const auto d_out = draw.row(out_size);
    std::vector<float> dq(q.size()), dk(k.size()), dv(v.size()), d_bias(bias.size());
    AttentionGradients d{dq.data(), dk.data(), dv.data(), variant == 0 ? d_bias.data() : nullptr};
    attention_backward(shape, in, out.data(), log_sum.data(), d_out.data(), d);
    digest.add(dq), digest.add(dk), digest.add(dv), digest.add(d_bias);
  }
  for (const Sinusoid form : {Sinusoid::interleaved, Sinusoid::halved, Sinusoid::fairseq}) {
    const auto table = sinusoidal_table(0, 600, 40, form);
    digest.add(table.data(), table.size() * sizeof(float));
  }
  std::vector<std::int32_t> positions;
  for (std::int32_t i = 0; i < 50; ++i) positions.push_back(i * i);
  for (const bool interleaved : {false, true}) {
    auto x = draw.row(50 * 64);
    RotarySpec spec;
    spec.base = 500000;
    spec.width = 32;
    spec.interleaved = interleaved;
    rotate(spec, {50, 2, 32, 64}, {positions.data()}, false, x.data());
    digest.add(x);
  }
  CHECK(digest.value() == 0x750f0169e742ca0du);
}

TEST_CASE("principal components are the same bits on every machine", "[ops]") {
  Draw draw(9);
  Digest digest;
  constexpr std::int64_t sizes[][2] = {{60, 40}, {9, 40}, {300, 7}};
  for (const auto& [rows, width] : sizes) {
    const auto x = draw.row(rows * width);
    const PrincipalComponents found = principal_components({x.data(), rows, width}, 5);
    std::vector<float> y(static_cast<std::size_t>(rows * 5));
    project_rows({x.data(), rows, width}, found, 5, y.data());
    digest.add(found.mean), digest.add(found.components), digest.add(y);
    for (const auto* values : {&found.explained_variance, &found.explained_variance_ratio})
      digest.add(values->data(), values->size() * sizeof(double));
  }
  CHECK(digest.value() == 0xd1ba4423d9679e1c);
}
