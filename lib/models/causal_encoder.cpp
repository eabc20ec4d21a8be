#include "models/causal_encoder.hpp"

#include <string_view>
#include <utility>

namespace pipeformer {

Configuration causal_encoder(const Configuration& language_model) {
  Configuration c = language_model;
  c.kind = ModelKind::encoder_only;
  c.source_vocabulary = std::exchange(c.target_vocabulary, 0);
  c.encoder = std::exchange(c.decoder, {});
  c.encoder.causal = true;
  c.pooling = Pooling::last;
  c.head_dense = c.head_norm = c.output_bias = false;
  c.output_scale = 1;
  c.output_soft_cap = 0;
  return c;
}

std::string name_in_language_model(const std::string& parameter) {
  constexpr std::string_view ours = "encoder/";
  return parameter.starts_with(ours) ? "decoder/" + parameter.substr(ours.size()) : parameter;
}

}  // namespace pipeformer
