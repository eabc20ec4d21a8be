/// A grey image as PNG (ISO/IEC 15948), not compressed, so that the same pixels are the same bytes with any zlib.
#pragma once
#include <cstdint>
#include <span>
#include <string>

namespace pipeformer {

/// pixels (rows, columns), 0 black .. 255 white.
std::string grey_png(std::int64_t rows, std::int64_t columns, std::span<const std::uint8_t> pixels);

}  // namespace pipeformer
