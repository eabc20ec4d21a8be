/// Position-wise feed-forward layer (Vaswani et al. 2017, equation 2): linear2(f(linear1(x))), or gated (Shazeer 2020):
/// linear2(f(gate(x)) * linear1(x)).
#pragma once
#include <string>

#include "layers/context.hpp"
#include "layers/linear.hpp"
#include "ops/elementwise.hpp"

namespace pipeformer {

struct FeedForwardShape {
  std::int64_t width = 0, inner = 0;
  Activation activation = Activation::relu;
  bool gated = false, bias = true;
};

class FeedForward {
 public:
  struct Saved {
    const float* input = nullptr;
    float *up = nullptr, *gate = nullptr, *inner = nullptr;
    std::uint64_t seed = 0;
  };
  FeedForward() = default;
  FeedForward(ParameterSource&, const std::string& name, const FeedForwardShape&);
  void forward(Context&, const Ragged&, const float* x, float* y, Saved&) const;
  void backward(Context&, const Ragged&, const Saved&, const float* dy, float* dx) const;
  const FeedForwardShape& shape() const { return shape_; }
  /// Whether the copies of the weights are made: from then on it costs nothing to use them for some rows at a time.
  bool is_packed() const { return linear2_.is_packed(); }

 private:
  std::string name_;
  FeedForwardShape shape_;
  Linear linear1_, gate_, linear2_;
  Tap hidden_tap_, gate_tap_, activation_tap_, output_tap_;
};

}  // namespace pipeformer
