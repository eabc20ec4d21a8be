// GPT-2 (Radford et al. 2019).
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {

void gpt2(Exchange& x) {
  ConfigKeys& keys = x.keys;
  Configuration& c = x.configuration;
  std::string side;
  StackSpec& s = x.field_causal("LMHeadModel", side, "classifier");
  keys.field("n_embd", c.width);
  x.field_tied(true);
  keys.field("n_layer", s.layers);
  keys.field("n_head", s.heads);
  keys.field("n_inner", s.inner, 4 * c.width);
  keys.field("activation_function", s.activation, Activation::gelu_tanh);
  s.norm_position = NormPosition::pre;
  keys.field("layer_norm_epsilon", s.norm_epsilon, 1e-5);
  s.final_norm = true;
  s.positions = PositionKind::learned;
  keys.field("n_positions", s.max_positions, 1024);
  s.embedding_scale = false;
  bool scaled = s.attention_scale == 0;
  keys.field("scale_attn_weights", scaled, true);
  s.attention_scale = scaled ? 0 : 1;
  keys.expect("scale_attn_by_inverse_layer_idx", false);
  keys.harmless({"n_ctx", "reorder_and_upcast_attn"});
  x.field_control_ids(false);

  x.find_prefix("transformer.");
  const std::string base = x.prefix;
  x.row(side + "embedding/weight", base + "wte.weight");
  x.row(side + "positions/weight", base + "wpe.weight");
  x.layer(side + "norm", base + "ln_f");
  if (c.has_decoder()) x.output("lm_head.weight", base + "wte.weight");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat(side, i, "/"), theirs = cat(base, "h.", i, ".");
    // Linear layers are stored (in, out); queries, keys and values are one of them.
    const auto part = [&](const std::string& to, std::int64_t number) {
      x.part(ours + to, theirs + "attn.c_attn", {.transposed = true, .first = number * c.width, .rows = c.width});
    };
    x.layer(ours + "norm1", theirs + "ln_1");
    part("self_attn/query", 0);
    part("self_attn/key", 1);
    part("self_attn/value", 2);
    x.part(ours + "self_attn/output", theirs + "attn.c_proj", {.transposed = true});
    x.layer(ours + "norm2", theirs + "ln_2");
    x.part(ours + "ffn/linear1", theirs + "mlp.c_fc", {.transposed = true});
    x.part(ours + "ffn/linear2", theirs + "mlp.c_proj", {.transposed = true});
    for (const char* buffer : {"attn.bias", "attn.masked_bias"}) x.leave_out(theirs + buffer);
  }
}

}  // namespace pipeformer::import
