// Phi (Gunasekar et al. 2023; Li et al. 2023): phi-1, phi-1.5, phi-2.
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {

void phi(Exchange& x) {
  ConfigKeys& keys = x.keys;
  Configuration& c = x.configuration;
  std::string side;
  StackSpec& s = x.field_causal("ForCausalLM", side);
  field_sizes(keys, c, s);
  x.field_tied(false);
  keys.field("num_key_value_heads", s.kv_heads, s.heads);
  s.head_width = c.width / std::max<std::int64_t>(s.heads, 1);
  keys.field("hidden_act", s.activation, Activation::gelu_tanh);
  s.norm_position = NormPosition::pre;
  keys.field("layer_norm_eps", s.norm_epsilon, 1e-5);
  s.final_norm = s.parallel_residual = s.shared_norm = true;
  s.positions = PositionKind::rotary;
  x.field_context();
  field_rotary(x, s, {.share = "partial_rotary_factor", .usual_share = 0.5});
  s.embedding_scale = false;
  keys.expect("qk_layernorm", false);
  c.output_bias = c.has_decoder();
  x.field_control_ids(false);

  x.find_prefix("model.");
  const std::string base = x.prefix;
  x.row(side + "embedding/weight", base + "embed_tokens.weight");
  x.layer(side + "norm", base + "final_layernorm");
  if (c.has_decoder()) x.output("lm_head.weight", base + "embed_tokens.weight");
  if (c.has_decoder()) x.row("decoder/output/bias", "lm_head.bias");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat(side, i, "/"), theirs = cat(base, "layers.", i, ".");
    x.layer(ours + "norm1", theirs + "input_layernorm");
    x.attention(ours + "self_attn", theirs + "self_attn.", {"q_proj", "k_proj", "v_proj", "dense"});
    x.layer(ours + "ffn/linear1", theirs + "mlp.fc1");
    x.layer(ours + "ffn/linear2", theirs + "mlp.fc2");
    x.leave_out(theirs + "self_attn.rotary_emb.inv_freq");
  }
}

}  // namespace pipeformer::import
