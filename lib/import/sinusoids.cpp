#include "import/sinusoids.hpp"

#include <cstring>

namespace pipeformer {
namespace {

/// Column 2 i becomes column i, column 2 i + 1 column columns / 2 + i.
void reorder_columns(Elements& e) {
  const std::size_t size = e.element(), half = static_cast<std::size_t>(e.columns / 2);
  Buffer<std::byte> to(e.bytes.size());
  for (std::int64_t r = 0; r < e.rows; ++r) {
    const std::size_t row = static_cast<std::size_t>(r * e.columns) * size;
    for (std::size_t i = 0; i < half; ++i) {
      std::memcpy(to.data() + row + i * size, e.bytes.data() + row + 2 * i * size, size);
      std::memcpy(to.data() + row + (half + i) * size, e.bytes.data() + row + (2 * i + 1) * size, size);
    }
  }
  e.bytes = std::move(to);
}

void reorder_rows(Elements& e) {
  const std::size_t line = static_cast<std::size_t>(e.columns) * e.element();
  Buffer<std::byte> to(e.bytes.size());
  for (std::int64_t r = 0; r < e.rows; ++r) {
    const std::int64_t at = r % 2 * (e.rows / 2) + r / 2;
    std::memcpy(to.data() + static_cast<std::size_t>(at) * line, e.bytes.data() + static_cast<std::size_t>(r) * line,
                line);
  }
  e.bytes = std::move(to);
}

}  // namespace

bool can_halve_sinusoids(const Configuration& c) {
  return c.kind == ModelKind::encoder_decoder && c.encoder.positions == PositionKind::sinusoidal &&
         c.decoder.positions == PositionKind::sinusoidal && c.encoder.embedding_width == c.width &&
         c.decoder.embedding_width == c.width && !c.encoder.layer_scale && !c.decoder.layer_scale && !c.head_dense &&
         !c.pooler && c.projection == 0 && !c.reads_vectors();
}

void halve_sinusoids(Configuration& c) {
  c.encoder.positions = c.decoder.positions = PositionKind::sinusoidal_halved;
}

void halve_sinusoids(const std::string& parameter, Elements& e) {
  const auto has = [&](const char* part) { return parameter.find(part) != std::string::npos; };
  const bool weight = parameter.ends_with("/weight");
  if (has("attn/query_norm") || has("attn/key_norm")) return;  // of heads
  if (has("norm") || has("attn/output") || has("ffn/linear2"))
    reorder_rows(e);  // what is as wide as the model comes out
  else if (weight && (has("attn/") || has("ffn/") || has("embedding/") || has("token_types/") || has("r/output/")))
    reorder_columns(e);  // what goes in, and tables
}

}  // namespace pipeformer
