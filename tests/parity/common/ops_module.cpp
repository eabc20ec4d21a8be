// Ops behind plain C functions, for parity/gradients.py: it calls them through ctypes with NumPy's memory.
#include <vector>

#include "ops/attention.hpp"
#include "ops/elementwise.hpp"
#include "ops/embedding.hpp"
#include "ops/pooling.hpp"

using namespace pipeformer;

extern "C" {

struct AttentionCase {
  std::int64_t sequences, heads, kv_heads, key_width, value_width;
  std::int64_t causal, window;
  double scale, soft_cap;
  const std::int64_t *query_offsets, *key_offsets;  ///< [sequences + 1]
  const float *query, *key, *value;
  const float* distance_bias;  ///< (heads, distance_stride) or null
  std::int64_t distance_stride, distance_zero;
  float *out, *log_sum;
  const float* d_out;
  float *d_query, *d_key, *d_value, *d_distance_bias;
};

void attention(const AttentionCase* c) {
  AttentionShape shape;
  shape.heads = c->heads;
  shape.kv_heads = c->kv_heads;
  shape.key_width = c->key_width;
  shape.value_width = c->value_width;
  shape.scale = static_cast<float>(c->scale);
  shape.soft_cap = static_cast<float>(c->soft_cap);
  shape.causal = c->causal != 0;
  shape.window = c->window;
  AttentionInput in;
  in.query = c->query;
  in.key = c->key;
  in.value = c->value;
  in.query_stride = c->heads * c->key_width;
  in.key_stride = c->kv_heads * c->key_width;
  in.value_stride = c->kv_heads * c->value_width;
  const auto count = static_cast<std::size_t>(c->sequences + 1);
  in.queries = {{c->query_offsets, count}};
  in.keys = {{c->key_offsets, count}};
  in.masks.distance = {c->distance_bias, c->distance_stride, c->distance_zero};
  attention_forward(shape, in, c->out, c->log_sum);
  attention_backward(shape, in, c->out, c->log_sum, c->d_out, {c->d_query, c->d_key, c->d_value, c->d_distance_bias});
}

struct RotaryCase {
  double base;
  std::int64_t width, interleaved, scaling;
  double factor, low_frequency, high_frequency;
  std::int64_t original_context;
  double attention_factor;
  const double *short_factors, *long_factors;  ///< width / 2 each
  std::int64_t rows, heads, head_width;
};

void rotary(const RotaryCase* c, const std::int32_t* positions, const std::int32_t* lengths, std::int64_t inverse,
            float* x) {
  RotarySpec spec{c->base,   c->width,         c->interleaved != 0, static_cast<RotaryScaling>(c->scaling),
                  c->factor, c->low_frequency, c->high_frequency,   c->original_context};
  spec.attention_factor = c->attention_factor;
  spec.short_factors.assign(c->short_factors, c->short_factors + c->width / 2);
  spec.long_factors.assign(c->long_factors, c->long_factors + c->width / 2);
  rotate(spec, {c->rows, c->heads, c->head_width, c->heads * c->head_width}, {positions, lengths}, inverse != 0, x);
}

void activate(std::int64_t kind, std::int64_t n, const float* x, const float* dy, float* y, float* dx) {
  activation(static_cast<Activation>(kind), 1, n, x, y);
  activation_backward(static_cast<Activation>(kind), 1, n, x, dy, dx);
}

void normalize(std::int64_t rows, std::int64_t d, float* x, const float* dy, float* dx) {
  std::vector<float> lengths(static_cast<std::size_t>(rows));
  normalize_rows(rows, d, x, lengths.data());
  normalize_rows_backward(rows, d, x, lengths.data(), dy, dx);
}

void scaled_columns(std::int64_t rows, std::int64_t d, const float* x, const float* scale, float* y) {
  scale_columns(rows, d, x, scale, y);
}
void scaled_columns_backward(std::int64_t rows, std::int64_t d, const float* x, const float* scale, const float* dy,
                             float* dx, float* d_scale) {
  scale_columns_backward(rows, d, x, scale, dy, dx, d_scale);
}

void pool_max(std::int64_t sequences, const std::int64_t* offsets, std::int64_t d, const float* x, float* y,
              const float* dy, float* dx) {
  std::vector<std::int32_t> rows(static_cast<std::size_t>(sequences * d));
  max_rows({{offsets, static_cast<std::size_t>(sequences + 1)}}, d, x, y, rows.data());
  max_rows_backward(sequences, d, rows.data(), dy, dx);
}
void pool_mean(std::int64_t sequences, const std::int64_t* offsets, std::int64_t d, const float* x, float* y,
               const float* dy, float* dx) {
  const Ragged ragged{{offsets, static_cast<std::size_t>(sequences + 1)}};
  mean_rows(ragged, d, x, y);
  mean_rows_backward(ragged, d, dy, dx);
}

}  // extern "C"
