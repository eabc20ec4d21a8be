#include "import/tables.hpp"

#include <cmath>
#include <cstring>

#include "ops/embedding.hpp"

namespace pipeformer {
namespace {

bool sinusoidal(const StackSpec& s) {
  return s.positions <= PositionKind::sinusoidal_fairseq;
}

/// Embeddings are scaled, in a model of one stack that reads ids.
bool scales(const Configuration& c) {
  if (c.kind == ModelKind::encoder_decoder || c.reads_vectors()) return false;
  return c.stack(c.has_decoder()).embedding_scale;
}

/// The output is the embeddings, which it reads unscaled.
bool unties(const Configuration& c) {
  return scales(c) && c.head == Head::tokens && (c.tied == Tied::all || c.tied == Tied::target) &&
         c.embedding_width(c.has_decoder()) == c.width;
}

std::string side_of(const Configuration& c) {
  return c.has_decoder() ? "decoder" : "encoder";
}

}  // namespace

bool can_be_in_tables(const Configuration& c) {
  bool any = scales(c) && (unties(c) || c.head != Head::tokens || c.tied == Tied::none || c.tied == Tied::embeddings);
  Configuration(c).stacks([&](const StackSpec& s) { any |= sinusoidal(s); });
  return any;
}

void put_in_tables(Configuration& c, std::int64_t positions) {
  const bool scaled = scales(c), untied = unties(c);
  c.stacks([&](StackSpec& s) {
    if (sinusoidal(s)) {
      s.positions = PositionKind::learned;
      s.max_positions = positions;
      s.position_offset = 0;
    }
    if (scaled && (untied || c.head != Head::tokens || c.tied == Tied::none || c.tied == Tied::embeddings))
      s.embedding_scale = false;
  });
  if (untied) c.tied = Tied::none;
}

std::string table_source(const Configuration& c, const std::string& parameter) {
  for (const bool decoding : {false, true})
    if (parameter == (decoding ? "decoder/positions/weight" : "encoder/positions/weight") &&
        sinusoidal(c.stack(decoding)))
      return "";
  return unties(c) && parameter == side_of(c) + "/output/weight" ? side_of(c) + "/embedding/weight" : parameter;
}

Elements in_tables(const Configuration& c, std::int64_t positions, const std::string& parameter,
                   const std::function<Elements(const std::string&)>& read) {
  const std::string source = table_source(c, parameter);
  if (source.empty()) {
    const bool decoding = parameter.starts_with("decoder");
    const StackSpec& s = c.stack(decoding);
    const std::int64_t width = c.embedding_width(decoding);
    const Buffer<float> table = sinusoidal_table(s.position_offset, positions, width, sinusoid_of(s.positions));
    Elements e{TensorType::F32, positions, width, {}};
    e.bytes.resize(static_cast<std::size_t>(positions * width) * sizeof(float));
    std::memcpy(e.bytes.data(), table.data(), e.bytes.size());
    return e;
  }
  Elements e = read(source);
  Configuration after = c;
  put_in_tables(after, positions);
  const bool decoding = c.has_decoder();
  if (parameter != side_of(c) + "/embedding/weight" || !c.stack(decoding).embedding_scale ||
      after.stack(decoding).embedding_scale)
    return e;
  widen(e);
  const float scale = std::sqrt(static_cast<float>(c.width));  // as TokenEmbedding has it
  auto* x = reinterpret_cast<float*>(e.bytes.data());
  for (std::int64_t i = 0; i < e.rows * e.columns; ++i) x[i] *= scale;
  return e;
}

}  // namespace pipeformer
