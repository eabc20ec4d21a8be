#include "models/image_input.hpp"

#include <cstring>

#include "ops/patches.hpp"

namespace pipeformer {
namespace {

/// (..., C, H, W) -> (..., H, W, C), float32.
Array channels_last(const Array& image) {
  const std::size_t rank = image.shape.size();
  Shape shape = image.shape;
  const std::int64_t channels = shape[rank - 3], pixels = shape[rank - 2] * shape[rank - 1];
  shape[rank - 3] = image.shape[rank - 2];
  shape[rank - 2] = image.shape[rank - 1];
  shape[rank - 1] = channels;
  const Array floats = image.as(DType::f4);
  Array result(DType::f4, shape);
  const float* from = floats.values<float>().data();
  float* to = result.values<float>().data();
  for (std::int64_t i = 0; i < image.size() / std::max<std::int64_t>(channels * pixels, 1); ++i)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t p = 0; p < pixels; ++p)
        to[(i * pixels + p) * channels + c] = from[(i * channels + c) * pixels + p];
  return result;
}

class PatchReader : public RecordReader {
 public:
  PatchReader(std::unique_ptr<RecordReader> reader, const Configuration& c)
      : RecordReader(reader->name()), reader_(std::move(reader)), configuration_(c) {}

 protected:
  bool read(Array& record) override {
    if (!reader_->next(record)) return false;
    if (is_image(record)) record = patches(channels_last(record), true, configuration_.patch_size, 1.0f);
    return true;
  }

 private:
  bool is_image(const Array& record) const {
    const std::size_t rank = record.shape.size();
    const std::int64_t patch = configuration_.patch_size;
    return is_floating(record.dtype) && rank >= 3 && record.shape[rank - 3] == configuration_.channels &&
           record.shape[rank - 1] != configuration_.input_width && record.shape[rank - 1] % patch == 0 &&
           record.shape[rank - 2] % patch == 0;
  }
  std::unique_ptr<RecordReader> reader_;
  Configuration configuration_;
};

}  // namespace

std::unique_ptr<RecordReader> images_to_patches(std::unique_ptr<RecordReader> reader, const Configuration& c) {
  if (c.patch_size == 0) return reader;
  return std::make_unique<PatchReader>(std::move(reader), c);
}

}  // namespace pipeformer
