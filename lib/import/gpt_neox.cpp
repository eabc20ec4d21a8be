// GPT-NeoX (Black et al. 2022) and Pythia.
#include "core/error.hpp"
#include "import/families.hpp"

namespace pipeformer::import {

void gpt_neox(Exchange& x) {
  ConfigKeys& keys = x.keys;
  Configuration& c = x.configuration;
  std::string side;
  StackSpec& s = x.field_causal("ForCausalLM", side, "classifier");
  field_sizes(keys, c, s);
  x.field_tied(false);
  s.head_width = c.width / std::max<std::int64_t>(s.heads, 1);
  keys.field("hidden_act", s.activation, Activation::gelu);
  s.norm_position = NormPosition::pre;
  keys.field("layer_norm_eps", s.norm_epsilon, 1e-5);
  s.final_norm = true;
  keys.field("use_parallel_residual", s.parallel_residual, true);
  s.positions = PositionKind::rotary;
  x.field_context();
  field_rotary(x, s, {"rotary_emb_base", "rotary_pct", 0.25});
  keys.field("attention_bias", s.attention_bias, true);
  s.attention_output_bias = s.attention_bias;
  s.embedding_scale = false;
  x.field_control_ids(false);

  x.find_prefix("gpt_neox.");
  const std::string base = x.prefix;
  x.row(side + "embedding/weight", base + "embed_in.weight");
  x.layer(side + "norm", base + "final_layer_norm");
  if (c.has_decoder()) x.output("embed_out.weight", base + "embed_in.weight");
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string ours = cat(side, i, "/"), theirs = cat(base, "layers.", i, ".");
    x.layer(ours + "norm1", theirs + "input_layernorm");
    // Each head's queries, keys and values stand together.
    std::int64_t first = 0;
    for (const char* to : {"query", "key", "value"}) {
      x.part(cat(ours, "self_attn/", to), theirs + "attention.query_key_value",
             {.first = first, .run = s.head_width, .step = 3 * s.head_width, .rows = c.width});
      first += s.head_width;
    }
    x.layer(ours + "self_attn/output", theirs + "attention.dense");
    x.layer(ours + "norm2", theirs + "post_attention_layernorm");
    x.layer(ours + "ffn/linear1", theirs + "mlp.dense_h_to_4h");
    x.layer(ours + "ffn/linear2", theirs + "mlp.dense_4h_to_h");
    for (const char* buffer : {"attention.bias", "attention.masked_bias", "attention.rotary_emb.inv_freq"})
      x.leave_out(theirs + buffer);
  }
}

}  // namespace pipeformer::import
