/// Types that appear both in ops' interfaces and in the table of SIMD kernels.
#pragma once
#include <cstdint>

namespace pipeformer {

/// How numbers are stored: weights (ops/weight.hpp), and keys and values that are kept (ops/kept_vectors.hpp).
enum class WeightType : std::uint8_t { float32, float16, bfloat16, int8, int4 };

/// Integers are stored with scales.
constexpr bool is_integer(WeightType type) {
  return type == WeightType::int8 || type == WeightType::int4;
}
/// Bytes of an element; of int4, of two of them.
constexpr std::int64_t element_size(WeightType type) {
  return type == WeightType::float32 ? 4 : is_integer(type) ? 1 : 2;
}
constexpr std::int64_t kInt4Group = 32;  ///< Elements of a row of int4 that share a scale.

/// f(x): gelu exact, by erf, gelu_tanh its approximation; quick_gelu x sigmoid(1.702 x); the others as PyTorch.
enum class Activation : int { identity, relu, gelu, gelu_tanh, silu, quick_gelu, tanh };
/// Their names in files and options, in the same order.
constexpr const char* kNamesOfActivations[] = {"identity", "relu", "gelu", "gelu-tanh", "silu", "quick-gelu", "tanh"};
constexpr int kActivations = sizeof kNamesOfActivations / sizeof *kNamesOfActivations;

/// One step of Adam or AdamW (Kingma, Ba 2015, algorithm 1; Loshchilov, Hutter 2019), the same for a range of
/// parameters.
struct AdamStep {
  float learning_rate;
  float beta1, beta2, epsilon;
  float correction1, correction2;  ///< 1 - beta1^t, 1 - beta2^t
  float l1, l2;                    ///< Penalties added to the gradient: l1 * sign(w) + l2 * w.
  float decay;                     ///< Decoupled: w -= learning_rate * decay * w.
  float gradient_scale;            ///< Clipping and averaging; multiplies the gradient first.
};

/// Elements of a row of logits whose maximum is kept, so that a search may pass over them.
constexpr std::int64_t kMaximaBlock = 128;

}  // namespace pipeformer
