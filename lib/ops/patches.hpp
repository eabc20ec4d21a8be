/// Images as sequences of patches, what a Vision Transformer reads (Dosovitskiy et al. 2021, section 3.1).
#pragma once
#include <cstdint>

#include "core/array.hpp"

namespace pipeformer {

/// The x_p of the paper's equation 1, times `scale`: images (..., H, W), or with `channels` (..., H, W, C), of any
/// dtype
/// -> (..., T, P * P * C) float32, T = (H / P) * (W / P). Patches go row by row from the top left; inside a patch
/// pixels go row by row, channels last. Leading axes are kept. Throws Error when there are too few axes or P does not
/// divide H and W.
Array patches(const Array& images, bool channels, std::int64_t size, float scale);

}  // namespace pipeformer
