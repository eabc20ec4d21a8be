/// What a masked language model puts in place of masks.
#pragma once
#include <cstdint>
#include <vector>

#include "io/batch.hpp"
#include "models/transformer.hpp"

namespace pipeformer {

/// One mask of a batch and the likeliest ids for it, the likeliest first, of equals the lower id.
struct FilledMask {
  struct Piece {
    std::int32_t id;
    float probability;
  };
  std::int64_t row;  ///< Of the batch.
  std::vector<Piece> best;
};

/// The masks of a batch of ids in order, each with the `top` likeliest ids (or all, where there are fewer). The model
/// is encoder-only and predicts tokens. Throws RowError for ids that the model does not take, and for scores that are
/// not finite.
std::vector<FilledMask> fill_masks(Context&, const Transformer&, const Batch&, std::int32_t mask, std::int64_t top);

}  // namespace pipeformer
