/// Attention of one query over the patches of its image (Dosovitskiy et al. 2021, figure 6).
#pragma once
#include <cstdint>
#include <string>

#include "core/array.hpp"
#include "view/matrices.hpp"

namespace pipeformer {

struct OverImage {
  std::int64_t query = 0;             ///< The row of the weights: 0 is the class token, where there is one.
  std::int64_t down = 0, across = 0;  ///< Patches; 0: as many as columns, in a square, after at most two other tokens.
};

/// SVG: of each matrix of the part (weights (..., queries, keys)) the image in grey, and over each patch the weight of
/// its key, the denser the larger; options.grey: what is not attended to is darkened instead. Keys before the patches
/// are other tokens, whose weight the caption gives. image: (H, W), (H, W, 3) or
/// (3, H, W), stretched over the grid of patches; u1
/// as it is, others from their least value (black) to their largest. Throws Error.
std::string draw_over_image(const Array& image, const HeatmapPart&, const OverImage&, const HeatmapOptions&);

}  // namespace pipeformer
