#include "layers/tap.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace pipeformer {

std::int32_t TapSource::place(const TapEntry& entry) {
  const auto found =
      std::find_if(taps_->begin(), taps_->end(), [&](const TapEntry& e) { return e.name == entry.name; });
  const auto id = static_cast<std::int32_t>(found - taps_->begin());
  if (found == taps_->end()) taps_->push_back(entry);
  return id;
}

Tap TapSource::listed(const TapEntry& entry, bool has_gradient) {
  Tap tap{place(entry)};
  if (gradients_ && has_gradient) tap.gradient = place({"gradient/" + entry.name, entry.shape});
  return tap;
}

std::string shape_text(const TapShape& shape) {
  const std::string rows = shape.rows == TapShape::Rows::own ? "T" : shape.rows == TapShape::Rows::memory ? "S" : "1";
  return shape.matrix() ? cat("(", shape.heads, ", T, ", rows, ")") : cat("(", rows, ", ", shape.width, ")");
}

}  // namespace pipeformer
