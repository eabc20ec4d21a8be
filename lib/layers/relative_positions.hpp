/// Positions that enter as a bias on the scores: one number for each head and distance between query and key, so that a
/// query's biases are a slice of one array and no T x T is stored.
#pragma once
#include <string>
#include <vector>

#include "layers/context.hpp"
#include "layers/parameter.hpp"
#include "ops/attention.hpp"

namespace pipeformer {

/// relative: a learned number for each head and bucket of distances (Raffel et al. 2020, section 2.1; the buckets are
/// those of T5): near distances have a bucket each, far ones share buckets that grow as the logarithm, and all from
/// max_distance on share one. alibi: slope * distance, slopes 2^(-8 i / heads) (Press, Smith, Lewis 2022).
struct RelativeShape {
  std::int64_t heads = 0;
  std::int64_t buckets = 32, max_distance = 128;
  bool bidirectional = true;  ///< Keys after the query have buckets of their own.
  bool alibi = false;
};

class RelativePositions {
 public:
  RelativePositions() = default;
  /// relative: parameter `name`/weight (buckets, heads).
  RelativePositions(ParameterSource&, const std::string& name, const RelativeShape&);

  bool any() const { return shape_.heads > 0; }
  /// The biases for sequences of up to `longest` positions, in the workspace; nothing when there are none.
  DistanceBias bias(Context&, std::int64_t longest) const;
  /// Adds the gradients of such an array, laid out as `bias`, to the parameter's.
  void backward(const DistanceBias& bias, const float* d_values) const;
  const RelativeShape& shape() const { return shape_; }

 private:
  RelativeShape shape_;
  Parameter weight_;
  std::vector<float> slopes_;  ///< alibi: of each head.
};

/// The bucket of a distance (key position minus query position).
std::int64_t relative_bucket(const RelativeShape&, std::int64_t distance);

}  // namespace pipeformer
