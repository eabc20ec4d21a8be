/// Linear layer: y = x W^T + b, W (out, in) as in torch.nn.Linear.
#pragma once
#include <memory>
#include <string>

#include "layers/parameter.hpp"
#include "ops/gemm.hpp"

namespace pipeformer {

class Linear {
 public:
  Linear() = default;
  /// Parameters `name`/weight (out, in) and, with bias, `name`/bias (out).
  Linear(ParameterSource&, const std::string& name, std::int64_t in, std::int64_t out, bool bias);
  /// A linear layer over a weight that another layer owns (tied embeddings).
  Linear(Weight weight, Parameter bias);

  /// y (rows, out).
  void forward(std::int64_t rows, const float* x, float* y) const;
  /// dx (rows, in) = (or +=, with accumulate) dy W; null: not wanted. Adds to the gradients: dW += dy^T x, db += column
  /// sums of dy.
  void backward(std::int64_t rows, const float* x, const float* dy, float* dx, bool accumulate) const;

  std::int64_t in() const { return weight_.stored.columns; }
  std::int64_t out() const { return weight_.stored.rows; }
  const Weight& weight() const { return weight_; }
  const Parameter& bias() const { return bias_; }
  /// The weight as PackedWeight keeps it, for so many rows; may be null.
  PackedView packed_forward(std::int64_t rows) const { return packed_->forward(weight_.stored, version(), rows); }
  bool is_packed() const { return packed_->is_packed(version()); }
  PackedView packed_backward() const { return packed_->backward(weight_.stored, version()); }

 private:
  std::uint64_t version() const { return weight_.version ? *weight_.version : 0; }
  Weight weight_;
  Parameter bias_;
  std::shared_ptr<PackedWeight> packed_;
};

}  // namespace pipeformer
