#include "layers/linear.hpp"

namespace pipeformer {

Linear::Linear(ParameterSource& source, const std::string& name, std::int64_t in, std::int64_t out, bool bias)
    : weight_(source.get_weight(name + "/weight", {out, in}, Initial::xavier)),
      packed_(std::make_shared<PackedWeight>()) {
  if (bias) bias_ = source.get(name + "/bias", {out}, Initial::zero);
}

Linear::Linear(Weight weight, Parameter bias)
    : weight_(weight), bias_(bias), packed_(std::make_shared<PackedWeight>()) {}

void Linear::forward(std::int64_t rows, const float* x, float* y) const {
  if (const PackedView packed = packed_forward(rows))
    product_packed({x, rows, in()}, packed, bias_.value, {y, rows, out()});
  else
    product_nt({x, rows, in()}, weight_.stored, bias_.value, {y, rows, out()});
}

void Linear::backward(std::int64_t rows, const float* x, const float* dy, float* dx, bool accumulate) const {
  product_tn({dy, rows, out()}, {x, rows, in()}, {weight_.gradient, out(), in()});
  if (bias_.value) column_sums({dy, rows, out()}, bias_.gradient);
  if (!dx) return;
  if (const PackedView packed = packed_backward())
    product_packed({dy, rows, out()}, packed, nullptr, {dx, rows, in()}, accumulate);
  else
    product_nn({dy, rows, out()}, {weight_.stored.values(), out(), in()}, {dx, rows, in()}, accumulate);
}

}  // namespace pipeformer
