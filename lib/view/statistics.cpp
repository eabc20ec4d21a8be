#include "view/statistics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>
#include <xtensor/xadapt.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xoperation.hpp>
#include <xtensor/xtensor.hpp>

namespace pipeformer {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Two passes over a block that fits the cache; x holds float64.
Statistics of_block(const xt::xtensor<double, 1>& x, bool floating) {
  constexpr auto now = xt::evaluation_strategy::immediate;
  Statistics s;
  s.count = static_cast<std::int64_t>(x.size());
  s.zeros = xt::sum<std::int64_t>(xt::equal(x, 0.0), now)();
  if (floating) {
    s.nan = xt::sum<std::int64_t>(xt::isnan(x), now)();
    s.infinite = xt::sum<std::int64_t>(xt::isinf(x), now)();
    if (s.nan == s.count) return s;
  }
  const double number = static_cast<double>(s.count - s.nan);
  if (s.nan == 0) {
    s.min = xt::amin(x, now)();
    s.max = xt::amax(x, now)();
    s.mean = xt::sum(x, now)() / number;
    s.squares = xt::sum(xt::square(x - s.mean), now)();
  } else {
    s.min = xt::nanmin(x, now)();
    s.max = xt::nanmax(x, now)();
    s.mean = xt::nansum(x, now)() / number;
    s.squares = xt::nansum(xt::square(x - s.mean), now)();
  }
  if (s.infinite > 0) s.squares = kNan;  // nansum would have ignored inf - inf
  return s;
}

/// Blocks are merged one after another, so rounding errors grow with the number of blocks, not of elements.
template <class T>
Statistics of(std::span<const T> values) {
  constexpr std::size_t kBlock = 4096;
  Statistics all;
  for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
    const std::array<std::size_t, 1> shape{std::min(kBlock, values.size() - begin)};
    const xt::xtensor<double, 1> block =
        xt::cast<double>(xt::adapt(values.data() + begin, shape[0], xt::no_ownership(), shape));
    all.merge(of_block(block, std::is_floating_point_v<T>));
  }
  return all;
}

}  // namespace

double Statistics::std() const {
  return count == nan ? kNan : std::sqrt(squares / static_cast<double>(count - nan));
}

void Statistics::merge(const Statistics& other) {
  const double mine = static_cast<double>(count - nan);
  const double theirs = static_cast<double>(other.count - other.nan);
  count += other.count;
  nan += other.nan;
  infinite += other.infinite;
  zeros += other.zeros;
  if (theirs == 0) return;
  if (mine == 0) {
    min = other.min, max = other.max, mean = other.mean, squares = other.squares;
    return;
  }
  min = std::min(min, other.min);
  max = std::max(max, other.max);
  if (infinite > 0) {
    mean += other.mean;  // inf + x = inf, inf - inf = NaN: what one sum over all would have given
    squares = kNan;
    return;
  }
  const double shift = other.mean - mean;
  const double share = theirs / (mine + theirs);
  mean += shift * share;
  squares += other.squares + shift * shift * mine * share;
}

Statistics statistics(const Array& array) {
  switch (array.dtype) {
    case DType::f2:
      return statistics(array.as(DType::f4));
    case DType::f4:
      return of(array.values<float>());
    case DType::f8:
      return of(array.values<double>());
    case DType::i4:
      return of(array.values<std::int32_t>());
    case DType::i8:
      return of(array.values<std::int64_t>());
    case DType::u1:
    case DType::b1:
      return of(array.values<std::uint8_t>());
  }
  return {};
}

}  // namespace pipeformer
