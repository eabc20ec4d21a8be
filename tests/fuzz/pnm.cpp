// Images in Netpbm's formats, one after another.
#include "io/pnm.hpp"

#include "fuzz.hpp"

using namespace pipeformer;

void fuzz(std::span<const std::byte> bytes) {
  looks_like_pnm(bytes);
  const test::MemoryFile file(bytes);
  ByteSource source(file.path());
  Array image;
  while (read_pnm(source, image)) {
    const bool gray = image.rank() == 2, color = image.rank() == 3 && image.shape[2] == 3;
    if (!gray && !color) std::abort();
    if (image.dtype != DType::f4) continue;
    for (const float sample : image.values<float>())
      if (!(sample >= 0 && sample <= 255)) std::abort();
  }
}
