/// Normalisation layer with its parameters: layer norm (weight, bias) or RMS norm (weight).
#pragma once
#include <string>

#include "layers/context.hpp"
#include "layers/parameter.hpp"
#include "ops/elementwise.hpp"

namespace pipeformer {

class Norm {
 public:
  struct Saved {
    const float* input = nullptr;
    float *mean = nullptr, *rstd = nullptr;
  };
  Norm() = default;
  Norm(ParameterSource&, const std::string& name, std::int64_t width, const NormShape&);
  void forward(Context&, std::int64_t rows, const float* x, float* y, Saved&) const;
  /// dx overwritten.
  void backward(std::int64_t rows, const Saved&, const float* dy, float* dx) const;
  std::int64_t width() const { return width_; }

 private:
  Parameter weight_, bias_;
  std::int64_t width_ = 0;
  NormShape shape_;
};

}  // namespace pipeformer
