#include "core/random.hpp"

#include <cmath>
#include <numbers>

#include "core/elementary.hpp"

namespace pipeformer {

double Random::normal() {
  // Box-Muller on fresh pairs; 1 - u keeps the logarithm's argument above zero.
  const double radius = std::sqrt(-2.0 * elementary::log(1.0 - uniform()));
  return radius * elementary::cos(2.0 * std::numbers::pi * uniform());
}

std::uint64_t Random::below(std::uint64_t bound) {
  const std::uint64_t limit = bound * (UINT64_MAX / bound);
  std::uint64_t draw = next();
  while (draw >= limit) draw = next();
  return draw % bound;
}

}  // namespace pipeformer
