/// Images in Netpbm's formats, one or several back to back, as they come out of `pngtopnm`, `djpeg` or ImageMagick's
/// `ppm:-`: PGM (P5, plain P2) and PPM (P6, plain P3). Source: netpbm's pgm(5) and ppm(5).
#pragma once
#include <memory>
#include <span>
#include <string>

#include "core/array.hpp"
#include "io/byte_source.hpp"
#include "io/stream.hpp"

namespace pipeformer {

/// Reads one image: (H, W) of a PGM, (H, W, 3) of a PPM. Values are 0 to 255: u1 where that is the file's largest
/// value, f4 otherwise (a sample of an image of 16 bits is multiplied by 255 / 65535). False when the source is at its
/// end; throws Error for other formats and for bytes that end within an image.
bool read_pnm(ByteSource&, Array& image);

/// True when bytes begin as any of Netpbm's formats begins.
bool looks_like_pnm(std::span<const std::byte>);

struct ImageStream {
  std::unique_ptr<RecordReader> reader;
  bool pnm = false;  ///< Images say themselves whether they have channels: those of rank 3 do.
};

/// Opens a stream of images: PNM, or what RecordReader::open takes. Looks at the first bytes: waits for a pipe.
ImageStream open_images(const std::string& address);

}  // namespace pipeformer
