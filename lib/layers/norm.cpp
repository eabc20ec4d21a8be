#include "layers/norm.hpp"

namespace pipeformer {

Norm::Norm(ParameterSource& source, const std::string& name, std::int64_t width, const NormShape& shape)
    : weight_(source.get(name + "/weight", {width}, Initial::one)), width_(width), shape_(shape) {
  if (!shape.rms) bias_ = source.get(name + "/bias", {width}, Initial::zero);
}

void Norm::forward(Context& ctx, std::int64_t rows, const float* x, float* y, Saved& saved) const {
  saved = {x, ctx.workspace.get(rows), ctx.workspace.get(rows)};
  norm(shape_, {x, rows, width_}, weight_.value, bias_.value, y, {saved.mean, saved.rstd});
}

void Norm::backward(std::int64_t rows, const Saved& saved, const float* dy, float* dx) const {
  norm_backward(shape_, {saved.input, rows, width_}, weight_.value, {saved.mean, saved.rstd}, dy, dx,
                {weight_.gradient, bias_.gradient});
}

}  // namespace pipeformer
