/// Images as a model reads them: arrays of pixels become its patches on the way in.
#pragma once
#include <memory>

#include "io/stream.hpp"
#include "models/configuration.hpp"

namespace pipeformer {

/// A stream whose images become vectors of patches (..., T, P * P * C), in the model's order of pixels; other records
/// pass as they are. An image is a record (..., C, H, W) of floating-point numbers, normalised, as the reference
/// library's pixel_values: C is the model's number of channels, and H and W are multiples of its patch size; a record
/// whose last axis is as wide as the model's patches is patches.
std::unique_ptr<RecordReader> images_to_patches(std::unique_ptr<RecordReader>, const Configuration&);

}  // namespace pipeformer
