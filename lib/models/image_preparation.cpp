#include "models/image_preparation.hpp"

#include <algorithm>
#include <array>

#include "core/error.hpp"
#include "core/json.hpp"
#include "ops/patches.hpp"

namespace pipeformer {
namespace {

std::vector<double> of_channels(const Json& settings, const char* key, std::int64_t channels) {
  const Json list = settings.at(key);
  std::vector<double> values;
  for (std::size_t i = 0; i < (list.is_array() ? list.size() : 1); ++i)
    values.push_back(list.is_array() ? list[i].number() : list.number());
  if (values.size() == 1) values.resize(static_cast<std::size_t>(channels), values[0]);
  if (std::ssize(values) != channels) list.fail(cat("of ", values.size(), " values for ", channels, " channels"));
  return values;
}

}  // namespace

bool ImagePreparation::Size::fits(std::int64_t h, std::int64_t w) const {
  return shortest_edge > 0 ? std::min(h, w) == shortest_edge : height == 0 || (h == height && w == width);
}

std::string ImagePreparation::Size::text() const {
  return shortest_edge > 0 ? cat("a shorter side of ", shortest_edge) : cat("height ", height, " and width ", width);
}

/// A number is both sides, or, not `square`, the shorter one.
ImagePreparation::Size ImagePreparation::read_size(const Json& value, bool square) {
  Size size;
  const auto side = [](const Json& number) {
    if (number.integer() < 1) number.fail("less than 1");
    return number.integer();
  };
  if (!value.is_object()) {
    square ? void(size.height = size.width = side(value)) : void(size.shortest_edge = side(value));
  } else if (const auto edge = value.get("shortest_edge")) {
    size.shortest_edge = side(*edge);
  } else {
    size.height = side(value.at("height"));
    size.width = side(value.at("width"));
  }
  return size;
}

ImagePreparation::ImagePreparation(const ModelFile& file) : model_(file.name()) {
  const Configuration& c = file.configuration();
  const std::string text = file.texts().preprocessor;
  require(c.reads_vectors(), model_, ": this model reads ids, not images");
  require(!text.empty() && c.patch_size > 0, model_,
          ": does not say how images are prepared (no preprocessor): --size and --scale do");
  patch_size_ = c.patch_size;
  channels_ = c.channels;
  if (const auto longest = c.longest(false)) patch_count_ = *longest - c.class_tokens;
  const JsonDocument document = JsonDocument::parse(text, model_ + ": preprocessor");
  const Json settings = document.root();
  // Files do not repeat what was the default when they were written.
  const auto wants = [&](const char* step, bool fallback) {
    const auto found = settings.get(step);
    return found ? found->boolean() : fallback;
  };
  constexpr std::array steps{"do_resize",     "do_center_crop", "do_rescale", "do_normalize", "do_flip_channel_order",
                             "do_convert_rgb"};  // the last: images without colours are refused
  for (std::size_t i = 0; i < settings.size(); ++i)
    if (settings.key(i).starts_with("do_") && std::find(steps.begin(), steps.end(), settings.key(i)) == steps.end() &&
        !settings[i].is_null() && settings[i].boolean())
      settings[i].fail("a step that is not understood");
  const auto size = settings.get("size"), crop = settings.get("crop_size");
  const bool crops = wants("do_center_crop", crop.has_value());
  if (crops && !crop) settings.at("do_center_crop").fail("but there is no crop_size");
  if (size && wants("do_resize", true)) size_ = read_size(*size, wants("default_to_square", !crops));
  if (crop && crops) crop_ = read_size(*crop, true);
  flip_channels_ = wants("do_flip_channel_order", false);
  if (wants("do_rescale", true))
    scale_ = settings.get("rescale_factor") ? settings.at("rescale_factor").number() : 1 / 255.0;
  if (!wants("do_normalize", settings.get("image_mean").has_value())) return;
  mean_ = of_channels(settings, "image_mean", channels_);
  deviation_ = of_channels(settings, "image_std", channels_);
  if (std::count(deviation_.begin(), deviation_.end(), 0) > 0) settings.at("image_std").fail("with a zero");
}

void ImagePreparation::check_size(std::int64_t height, std::int64_t width) const {
  const Size& wanted = crop_.height > 0 ? crop_ : size_;
  if (!wanted.fits(height, width)) {
    std::string command = "ImageMagick's convert IN";
    if (size_.shortest_edge > 0)
      command += cat(" -resize ", size_.shortest_edge, 'x', size_.shortest_edge, '^');
    else if (size_.height > 0)
      command += cat(" -resize ", size_.width, 'x', size_.height, '!');
    if (crop_.height > 0) command += cat(" -gravity center -extent ", crop_.width, 'x', crop_.height);
    throw Error(cat("an image of height ", height, " and width ", width, ", but ", model_, " takes ", wanted.text(),
                    ": ", command, " ppm:-"));
  }
  const std::int64_t count = (height / patch_size_) * (width / patch_size_);
  require(!patch_count_ || count == *patch_count_, "an image of height ", height, " and width ", width, " has ", count,
          " patches of ", patch_size_, " by ", patch_size_, ", but ", model_, " has positions for ",
          patch_count_.value_or(0));
}

Array ImagePreparation::patches(const Array& pixels) const {
  const std::int64_t axes = channels_ == 1 && (pixels.rank() < 3 || pixels.shape.back() != 1) ? 2 : 3;
  require(pixels.rank() >= axes && (axes == 2 || pixels.shape.back() == channels_), "pixels of shape ",
          shape_text(pixels.shape), ", but ", model_, " takes (..., H, W, C) with ", channels_,
          channels_ == 3 ? " channels (ImageMagick's convert IN -type TrueColor ppm:- makes them)" : " channels");
  const auto image = pixels.shape.end() - axes;
  check_size(image[0], image[1]);
  Array prepared = pixels.as(DType::f4);
  const auto values = prepared.values<float>();
  for (std::int64_t i = 0; i < std::ssize(values); i += channels_) {
    float* x = values.data() + i;
    if (flip_channels_) std::reverse(x, x + channels_);
    for (std::int64_t c = 0; c < channels_; ++c) {
      const auto at = static_cast<std::size_t>(c);
      x[c] = static_cast<float>(x[c] * scale_);
      if (!mean_.empty()) x[c] = (x[c] - static_cast<float>(mean_[at])) / static_cast<float>(deviation_[at]);
    }
  }
  return pipeformer::patches(prepared, axes == 3, patch_size_, 1.0f);
}

}  // namespace pipeformer
