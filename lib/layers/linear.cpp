#include "layers/linear.hpp"

namespace pipeformer {

Linear::Linear(ParameterSource& source, const std::string& name, std::int64_t in, std::int64_t out, bool bias)
    : weight_(source.get(name + "/weight", {out, in}, Initial::xavier)),
      in_(in),
      out_(out),
      packed_(std::make_shared<PackedWeight>()) {
  if (bias) bias_ = source.get(name + "/bias", {out}, Initial::zero);
}

Linear::Linear(Parameter weight, Parameter bias, std::int64_t in, std::int64_t out)
    : weight_(weight), bias_(bias), in_(in), out_(out), packed_(std::make_shared<PackedWeight>()) {}

void Linear::forward(std::int64_t rows, const float* x, float* y) const {
  if (const float* packed = packed_forward())
    product_packed(rows, out_, in_, x, in_, packed, bias_.value, y, out_, false);
  else
    product_nt(rows, out_, in_, x, weight_.value, bias_.value, y, out_);
}

void Linear::backward(std::int64_t rows, const float* x, const float* dy, float* dx, bool accumulate) const {
  product_tn(out_, in_, rows, dy, out_, x, weight_.gradient);
  if (bias_.value) column_sums(rows, out_, dy, out_, bias_.gradient);
  if (!dx) return;
  if (const float* packed = packed_backward())
    product_packed(rows, in_, out_, dy, out_, packed, nullptr, dx, in_, accumulate);
  else
    product_nn(rows, in_, out_, dy, out_, weight_.value, dx, accumulate);
}

}  // namespace pipeformer
