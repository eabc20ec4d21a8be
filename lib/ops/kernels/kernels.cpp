/// Compiled once for each instruction set (PIPEFORMER_ISA names it); see kernels.hpp for what each function does.
#include "ops/kernels/kernels.hpp"

#include "ops/kernels/activations.hpp"
#include "ops/kernels/few_queries.hpp"
#include "ops/kernels/gemm_tile.hpp"
#include "ops/kernels/int4.hpp"
#include "ops/kernels/int8.hpp"
#include "ops/kernels/int8_row.hpp"
#include "ops/kernels/logits.hpp"
#include "ops/kernels/norms.hpp"
#include "ops/kernels/packing.hpp"
#include "ops/kernels/softmax.hpp"

#define PIPEFORMER_JOIN2(a, b) a##b
#define PIPEFORMER_JOIN(a, b) PIPEFORMER_JOIN2(a, b)
#define PIPEFORMER_STRING2(a) #a
#define PIPEFORMER_STRING(a) PIPEFORMER_STRING2(a)

namespace pipeformer {
namespace {

// --- elementwise ---

void add_bias(std::int64_t rows, std::int64_t n, const float* bias, float* y, std::int64_t ld) {
  for (std::int64_t r = 0; r < rows; ++r, y += ld)
    for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, get(y) + get(bias)); });
}
void add(std::int64_t n, const float* a, const float* b, float* y) {
  for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, get(a) + get(b)); });
}
void multiply(std::int64_t n, const float* a, const float* b, float* y) {
  for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, get(a) * get(b)); });
}
void axpy(std::int64_t n, float alpha, const float* x, float* y) {
  for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, fused(get(x), alpha, get(y))); });
}
void scale(std::int64_t n, float alpha, float* y) {
  for_vectors(n, [&](auto get, auto put, std::int64_t) { put(y, get(y) * alpha); });
}
double sum_squares(std::int64_t n, const float* x) {
  double total = 0.0;
  for (std::int64_t i = 0; i < n;) {  // float sums of short stretches, added in double
    const std::int64_t stretch = n - i < 1024 ? n - i : 1024;
    Wide sum;
    for_wide(stretch, [&](auto get, auto) {
      const Wide v = get(x + i);
      sum = fused(v, v, sum);
    });
    total += static_cast<double>(sum_lanes(sum));
    i += stretch;
  }
  return total;
}

// --- dropout ---

inline UintVec hash(UintVec x) {  // the finaliser of MurmurHash3 (Appleby), a bijection of 32 bits
  x ^= x >> 16;
  x *= 0x85ebca6bu;
  x ^= x >> 13;
  x *= 0xc2b2ae35u;
  x ^= x >> 16;
  return x;
}
void dropout(std::int64_t n, std::uint32_t key, std::uint32_t threshold, float factor, const float* x, float* y) {
  UintVec lane{};
  for (int i = 0; i < kLanes; ++i) lane[i] = static_cast<std::uint32_t>(i);
  for_vectors(n, [&](auto get, auto put, std::int64_t i) {
    const UintVec bits = hash((lane + static_cast<std::uint32_t>(i)) * 0x9e3779b9u + key);
    put(y, bits < threshold ? Vec{} : get(x) * factor);
  });
}

// --- optimiser ---

void adam(std::int64_t n, const AdamStep& s, const float* gradient, float* weight, float* m, float* v) {
  const float step = s.learning_rate / s.correction1, root = 1.0f / __builtin_sqrtf(s.correction2);
  for_vectors(n, [&](auto get, auto put, std::int64_t) {
    const Vec w = get(weight);
    Vec g = get(gradient) * s.gradient_scale;
    if (s.l2 != 0.0f) g = fused(w, s.l2, g);
    if (s.l1 != 0.0f) g += w > Vec{} ? splat(s.l1) : (w < Vec{} ? splat(-s.l1) : Vec{});
    const Vec m1 = fused(get(m), s.beta1, (1.0f - s.beta1) * g);
    const Vec v1 = fused(get(v), s.beta2, (1.0f - s.beta2) * g * g);
    put(m, m1);
    put(v, v1);
    const Vec decayed = fused(w, -s.learning_rate * s.decay, w);
    put(weight, decayed - step * m1 / fused(sqrt(v1), splat(root), s.epsilon));
  });
}

}  // namespace

extern const Kernels PIPEFORMER_JOIN(kernels_, PIPEFORMER_ISA);
const Kernels PIPEFORMER_JOIN(kernels_, PIPEFORMER_ISA) = {
    .name = PIPEFORMER_STRING(PIPEFORMER_ISA),
    .panel = kPanel,
    .pack_transposed = pack_transposed,
    .pack = pack,
    .transpose_rows = transpose_rows,
    .pack_transposed_16 = pack_transposed_16,
    .widen_float16 = widen_row<HalfRow>,
    .widen_bfloat16 = widen_row<BfloatRow>,
    .narrow = narrow,
    .gemm_panel = gemm_panel<true, FloatRow>,
    .gemm_panel_float16 = gemm_panel<true, HalfRow>,
    .gemm_panel_bfloat16 = gemm_panel<true, BfloatRow>,
    .gemm_panel_transposed = gemm_panel<false, FloatRow>,
    .dot_few = dot_few,
    .add_bias = add_bias,
    .add = add,
    .axpy = axpy,
    .scale = scale,
    .sum_squares = sum_squares,
    .score_heads = score_heads,
    .score_transposed = score_transposed,
    .mix_heads = mix_heads,
    .softmax_rows = softmax_rows,
    .exp_shifted = exp_shifted,
    .logarithms = logarithms,
    .dot = dot,
    .softmax_backward = softmax_backward,
    .dropout = dropout,
    .layer_norm = norm_rows<layer_norm_group<4>, layer_norm_group<1>>,
    .rms_norm = norm_rows<rms_norm_group<4>, rms_norm_group<1>>,
    .norm_backward = norm_backward,
    .norm_parameters_backward = norm_parameters_backward,
    .column_sums = column_sums,
    .activation = activation,
    .activation_backward = activation_backward,
    .multiply = multiply,
    .find_above = find_above,
    .maxima = maxima,
    .log_sum_exp = log_sum_exp,
    .cross_entropy_row = cross_entropy_row,
    .adam = adam,
    .quantise_int8 = quantise_int8,
    .int8 = int8_ways,
    .int8_row = int8_row,
    .int4 = &int4_kernels,
};

}  // namespace pipeformer
