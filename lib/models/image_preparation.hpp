/// What a model of images wants done with pixels, as its preprocessor_config.json says.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/array.hpp"
#include "core/json.hpp"
#include "models/model_file.hpp"

namespace pipeformer {

class ImagePreparation {
 public:
  /// From the model's dataset `preprocessor`. Throws Error when the model reads no images, holds no such dataset, or
  /// wants a step that is not understood.
  explicit ImagePreparation(const ModelFile&);

  /// Pixels (..., H, W, C) of 0 to 255, or (..., H, W) where C is 1, become the patches (..., T, P * P * C) that the
  /// model reads: each value scaled, then (x - mean) / deviation of its channel. Images are not resized: throws Error
  /// naming both sizes, and a command that resizes, when the model wants another size.
  Array patches(const Array& pixels) const;

 private:
  struct Size {
    std::int64_t height = 0, width = 0, shortest_edge = 0;  ///< 0: not said.
    bool fits(std::int64_t h, std::int64_t w) const;
    std::string text() const;
  };
  static Size read_size(const Json& value, bool square);
  void check_size(std::int64_t height, std::int64_t width) const;

  std::string model_;
  std::int64_t patch_size_, channels_;
  std::optional<std::int64_t> patch_count_;  ///< That the model has positions for.
  Size size_, crop_;
  bool flip_channels_ = false;
  double scale_ = 1;
  std::vector<double> mean_, deviation_;  ///< Of each channel; empty: no normalisation.
};

}  // namespace pipeformer
