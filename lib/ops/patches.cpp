#include "ops/patches.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/elementwise.hpp"

namespace pipeformer {

Array patches(const Array& images, bool channels, std::int64_t size, float scale) {
  const std::int64_t axes = channels ? 3 : 2;
  require(images.rank() >= axes, "expected images ", channels ? "(..., H, W, C)" : "(..., H, W)", ", not shape ",
          shape_text(images.shape));
  const auto image = images.shape.end() - axes;
  const std::int64_t height = image[0], width = image[1], depth = channels ? image[2] : 1;
  require(height % size == 0 && width % size == 0, "an image of height ", height, " and width ", width,
          " cannot be cut into patches of ", size, " by ", size);
  const std::int64_t rows = height / size, columns = width / size;
  Shape shape(images.shape.begin(), image);
  const std::int64_t count = element_count(shape);
  shape.insert(shape.end(), {rows * columns, element_count({size, size, depth})});

  const Array pixels = images.as(DType::f4);
  Array result(DType::f4, shape);
  if (result.bytes.empty()) return result;
  const float* x = pixels.values<float>().data();
  float* y = result.values<float>().data();
  const std::int64_t line = size * depth;  // one row of one patch: contiguous on both sides
  parallel_for(count * rows, 4, [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r) {
      const std::int64_t band = r * size * width * depth;  // `size` rows of pixels become one row of patches
      for (std::int64_t patch = 0; patch < columns; ++patch) {
        for (std::int64_t i = 0; i < size; ++i)
          std::copy_n(x + band + (i * width + patch * size) * depth, line, y + band + (patch * size + i) * line);
      }
    }
  });
  if (scale != 1.0f) pipeformer::scale(result.size(), scale, y);
  return result;
}

}  // namespace pipeformer
