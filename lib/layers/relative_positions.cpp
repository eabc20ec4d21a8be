#include "layers/relative_positions.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/elementary.hpp"

namespace pipeformer {

std::int64_t relative_bucket(const RelativeShape& shape, std::int64_t distance) {
  std::int64_t buckets = shape.buckets, first = 0;
  if (shape.bidirectional) {
    buckets /= 2;
    if (distance > 0) first = buckets;
    distance = std::abs(distance);
  } else {
    distance = std::max<std::int64_t>(-distance, 0);
  }
  const std::int64_t exact = std::max<std::int64_t>(buckets / 2, 1);
  if (distance < exact) return first + distance;
  // In float32, as the published models computed it: a bucket's border may move otherwise.
  const float share =
      static_cast<float>(elementary::log(static_cast<float>(distance) / static_cast<float>(exact))) /
      static_cast<float>(elementary::log(static_cast<double>(shape.max_distance) / static_cast<double>(exact)));
  const auto beyond = static_cast<std::int64_t>(share * static_cast<float>(buckets - exact));
  return first + std::min(exact + beyond, buckets - 1);
}

namespace {

/// Of a number of heads that is no power of two, the first ones have the slopes of the next lower power, the others
/// every second one of the next higher power (the authors' code).
std::vector<float> alibi_slopes(std::int64_t heads) {
  std::vector<float> slopes(static_cast<std::size_t>(heads));
  const auto power = static_cast<double>(std::bit_floor(slopes.size()));
  for (std::size_t h = 0; h < slopes.size(); ++h) {
    const auto head = static_cast<double>(h);
    const double exponent = head < power ? 8 * (head + 1) / power : 4 * (2 * (head - power) + 1) / power;
    slopes[h] = static_cast<float>(elementary::pow(2.0, -exponent));
  }
  return slopes;
}

}  // namespace

RelativePositions::RelativePositions(ParameterSource& source, const std::string& name, const RelativeShape& shape)
    : shape_(shape) {
  if (shape.alibi)
    slopes_ = alibi_slopes(shape.heads);
  else
    weight_ = source.get(name + "/weight", {shape.buckets, shape.heads}, Initial::embedding);
}

DistanceBias RelativePositions::bias(Context& ctx, std::int64_t longest) const {
  if (!any() || longest == 0) return {};
  const std::int64_t stride = 2 * longest - 1, zero = longest - 1;
  float* values = ctx.workspace.get(shape_.heads * stride);
  for (std::int64_t i = 0; i < stride; ++i) {
    const std::int64_t distance = i - zero;
    const float* row = shape_.alibi ? nullptr : weight_.value + relative_bucket(shape_, distance) * shape_.heads;
    for (std::int64_t h = 0; h < shape_.heads; ++h)
      values[h * stride + i] =
          row ? row[h] : -slopes_[static_cast<std::size_t>(h)] * static_cast<float>(std::abs(distance));
  }
  return {values, stride, zero};
}

void RelativePositions::backward(const DistanceBias& bias, const float* d_values) const {
  if (shape_.alibi || !bias.values) return;
  for (std::int64_t i = 0; i < bias.stride; ++i) {
    float* row = weight_.gradient + relative_bucket(shape_, i - bias.zero) * shape_.heads;
    for (std::int64_t h = 0; h < shape_.heads; ++h) row[h] += d_values[h * bias.stride + i];
  }
}

}  // namespace pipeformer
