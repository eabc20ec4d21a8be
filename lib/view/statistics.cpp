#include "view/statistics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>
#include <xtensor/xadapt.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xoperation.hpp>

namespace pipeformer {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

template <class T>
Statistics of(std::span<const T> values) {
  Statistics s;
  s.count = static_cast<std::int64_t>(values.size());
  if (s.count == 0) return s;
  // One lazy view of the elements as float64: nothing is copied, every reduction below reads the array itself.
  const std::array<std::size_t, 1> shape{values.size()};
  const auto x = xt::cast<double>(xt::adapt(values.data(), values.size(), xt::no_ownership(), shape));
  const auto now = xt::evaluation_strategy::immediate;
  s.zeros = xt::sum<std::int64_t>(xt::equal(x, 0.0), now)();
  if constexpr (std::is_floating_point_v<T>) {
    s.nan = xt::sum<std::int64_t>(xt::isnan(x), now)();
    s.infinite = xt::sum<std::int64_t>(xt::isinf(x), now)();
    if (s.nan == s.count) return s;
  }
  const double number = static_cast<double>(s.count - s.nan);
  if (s.nan == 0) {
    s.min = xt::amin(x, now)();
    s.max = xt::amax(x, now)();
    s.mean = xt::sum<double>(x, now)() / number;
    s.squares = xt::sum<double>(xt::square(x - s.mean), now)();
  } else {
    s.min = xt::nanmin<double>(x, now)();
    s.max = xt::nanmax<double>(x, now)();
    s.mean = xt::nansum<double>(x, now)() / number;
    s.squares = xt::nansum<double>(xt::square(x - s.mean), now)();
  }
  if (s.infinite > 0) s.squares = kNan;  // nansum would have ignored inf - inf
  return s;
}

}  // namespace

double Statistics::std() const { return count == nan ? kNan : std::sqrt(squares / static_cast<double>(count - nan)); }

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
    case DType::f2: return statistics(array.as(DType::f4));
    case DType::f4: return of(array.values<float>());
    case DType::f8: return of(array.values<double>());
    case DType::i4: return of(array.values<std::int32_t>());
    case DType::i8: return of(array.values<std::int64_t>());
    case DType::u1:
    case DType::b1: return of(array.values<std::uint8_t>());
  }
  return {};
}

}  // namespace pipeformer
