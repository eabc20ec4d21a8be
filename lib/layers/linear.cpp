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
    product_packed({x, rows, in_}, packed, bias_.value, {y, rows, out_});
  else
    product_nt({x, rows, in_}, {weight_.value, out_, in_}, bias_.value, {y, rows, out_});
}

void Linear::backward(std::int64_t rows, const float* x, const float* dy, float* dx, bool accumulate) const {
  product_tn({dy, rows, out_}, {x, rows, in_}, {weight_.gradient, out_, in_});
  if (bias_.value) column_sums({dy, rows, out_}, bias_.gradient);
  if (!dx) return;
  if (const float* packed = packed_backward())
    product_packed({dy, rows, out_}, packed, nullptr, {dx, rows, in_}, accumulate);
  else
    product_nn({dy, rows, out_}, {weight_.value, out_, in_}, {dx, rows, in_}, accumulate);
}

}  // namespace pipeformer
