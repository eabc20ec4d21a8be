/// Types that appear both in ops' interfaces and in the table of SIMD kernels.
#pragma once
#include <cstdint>

namespace pipeformer {

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
